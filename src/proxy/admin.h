/* SPDX-License-Identifier: BSD-2-Clause */
/* admin - what the admin listener answers: /metrics and /healthz. */
#ifndef PROXY_ADMIN_H
#define PROXY_ADMIN_H

#include "proxy/phase.h"

/* Prometheus text of all counters. */
enum verdict admin_metrics(struct exchange *ex);
/* 200 while serving, 503 while draining. */
enum verdict admin_healthz(struct exchange *ex);

#endif

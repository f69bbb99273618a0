/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * worker - the unprivileged process that serves clients, then drains.
 *
 * It owns its loop and watches the listening sockets; everything that is
 * accepted belongs to the proxy.
 */
#ifndef WORKER_WORKER_H
#define WORKER_WORKER_H

#include "site/boot.h"

/* A process_main_fn. */
int worker_main(const struct process_boot *boot);

#endif

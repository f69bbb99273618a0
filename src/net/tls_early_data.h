/* SPDX-License-Identifier: BSD-2-Clause */
/* tls_early_data - counters of early data, taken and refused (tls_early.h). */
#ifndef NET_TLS_EARLY_DATA_H
#define NET_TLS_EARLY_DATA_H

#include <stdint.h>

#include "metrics/counter.h"

struct tls_io;

extern const struct metric_set tls_early_data_metrics;

/* stats: a block of tls_early_data_metrics, borrowed; or NULL. */
void tls_early_data_count(struct tls_io *io, _Atomic uint64_t *stats);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * histogram - latencies in fixed buckets, the same for every histogram:
 * 0.5 1 2.5 5 10 25 50 100 250 500 ms, 1 2.5 5 10 30 60 s, and above.
 *
 * A histogram is METRIC_HISTOGRAM_WORDS counters of a block: how many fell
 * into each bucket (not cumulated), then the sum of microseconds.
 */
#ifndef METRICS_HISTOGRAM_H
#define METRICS_HISTOGRAM_H

#include <stdint.h>

#include "metrics/counter.h"

enum {
	HISTOGRAM_BUCKETS = 17, /* the last has no upper bound */
	HISTOGRAM_SUM = 17,     /* the word behind them */
};

/* The bucket's upper bound, itself included; UINT64_MAX for the last. */
uint64_t histogram_bound_us(unsigned bucket);
/* The bound in seconds as Prometheus prints it: "0.0025", "+Inf". */
const char *histogram_bound_text(unsigned bucket);
/* Where us belongs: one table look-up and two comparisons. */
unsigned histogram_bucket(uint64_t us);

/* h: `block + ROW`.  For the block's one writer. */
static inline void
histogram_observe(_Atomic uint64_t *h, uint64_t us)
{
	counter_add(h + histogram_bucket(us), 1);
	counter_add(h + HISTOGRAM_SUM, us);
}

#endif

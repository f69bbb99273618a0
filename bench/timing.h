/* SPDX-License-Identifier: BSD-2-Clause */
/* timing - what one call costs, for the small benchmarks of modules. */
#ifndef BENCH_TIMING_H
#define BENCH_TIMING_H

#include <stdbool.h>
#include <stddef.h>

/* Call number i of a round; the result keeps the compiler from dropping it. */
typedef bool timing_fn(void *arg, unsigned i);

/* Nanoseconds a call, of the quickest of a few rounds of so many calls. */
double timing_best_ns(timing_fn *fn, void *arg, unsigned calls);

#endif

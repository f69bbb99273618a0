/* SPDX-License-Identifier: BSD-2-Clause */
/* timing - rounds of calls, of which the quickest was disturbed least. */
#include "timing.h"

#include <stdlib.h>
#include <time.h>

enum { ROUNDS = 5 };

static double
seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

double
timing_best_ns(timing_fn *fn, void *arg, unsigned calls)
{
	double best = 1e9;

	for (unsigned round = 0; round < ROUNDS; round++) {
		double from = seconds(), took;
		unsigned yes = 0;

		for (unsigned i = 0; i < calls; i++)
			yes += fn(arg, i);
		took = (seconds() - from) * 1e9 / calls;
		if (yes > calls)
			abort(); /* keeps the loop from being dropped */
		if (took < best)
			best = took;
	}
	return best;
}

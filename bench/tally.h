/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tally - durations counted in classes 3 % wide, and their quantiles.
 */
#ifndef BENCH_TALLY_H
#define BENCH_TALLY_H

#include <stdint.h>

#define TALLY_PER_OCTAVE 32
#define TALLY_SLOTS (40 * TALLY_PER_OCTAVE)

struct tally {
	uint64_t slots[TALLY_SLOTS];
	uint64_t count;
	uint64_t max_ns;
};

void tally_reset(struct tally *tally);
void tally_add(struct tally *tally, uint64_t ns);
/* The duration that `share` of all did not exceed, in microseconds. */
double tally_quantile_us(const struct tally *tally, double share);

#endif

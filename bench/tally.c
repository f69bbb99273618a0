/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tally - durations counted in classes 3 % wide, and their quantiles.
 */
#include "tally.h"

#include <stddef.h>
#include <string.h>

/* Where a duration is counted: log2 of it, each octave in equal parts. */
static size_t
slot_of(uint64_t ns)
{
	unsigned octave;
	size_t slot;

	if (ns < TALLY_PER_OCTAVE)
		return (size_t)ns;
	octave = 63U - (unsigned)__builtin_clzll(ns);
	slot = (size_t)(octave - 4) * TALLY_PER_OCTAVE +
	       (size_t)((ns >> (octave - 5)) & (TALLY_PER_OCTAVE - 1));
	return slot < TALLY_SLOTS ? slot : TALLY_SLOTS - 1;
}

/* The upper end of a slot, so that a quantile is never flattered. */
static uint64_t
slot_end(size_t slot)
{
	uint64_t base = TALLY_PER_OCTAVE + slot % TALLY_PER_OCTAVE + 1;

	if (slot < TALLY_PER_OCTAVE)
		return slot;
	return (base << (slot / TALLY_PER_OCTAVE - 1)) - 1;
}

void
tally_reset(struct tally *tally)
{
	memset(tally, 0, sizeof(*tally));
}

void
tally_add(struct tally *tally, uint64_t ns)
{
	tally->slots[slot_of(ns)]++;
	tally->count++;
	if (ns > tally->max_ns)
		tally->max_ns = ns;
}

double
tally_quantile_us(const struct tally *tally, double share)
{
	uint64_t wanted = (uint64_t)((double)tally->count * share);
	uint64_t seen = 0;

	for (size_t i = 0; i < TALLY_SLOTS; i++) {
		uint64_t ns = slot_end(i);

		seen += tally->slots[i];
		if (tally->slots[i] == 0 || seen < wanted)
			continue;
		return (double)(ns < tally->max_ns ? ns : tally->max_ns) / 1e3;
	}
	return 0;
}

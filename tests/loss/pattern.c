/* SPDX-License-Identifier: BSD-2-Clause */
/* pattern - one table of pseudo-random bytes, twice in a row. */
#include "pattern.h"

#include <string.h>

static char table[2 * PATTERN_PERIOD];

void
pattern_init(void)
{
	uint32_t x = 2463534242u;

	for (size_t i = 0; i < PATTERN_PERIOD; i++) {
		x ^= x << 13;
		x ^= x >> 17;
		x ^= x << 5;
		table[i] = table[i + PATTERN_PERIOD] = (char)(x >> 24);
	}
}

const char *
pattern_bytes(uint64_t seed, uint64_t at)
{
	return table + (seed + at) % PATTERN_PERIOD;
}

bool
pattern_matches(uint64_t seed, uint64_t at, const char *bytes, size_t len)
{
	while (len > 0) {
		size_t n = len < PATTERN_PERIOD ? len : PATTERN_PERIOD;

		if (memcmp(bytes, pattern_bytes(seed, at), n) != 0)
			return false;
		bytes += n;
		at += n;
		len -= n;
	}
	return true;
}

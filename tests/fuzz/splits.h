/* SPDX-License-Identifier: BSD-2-Clause */
/* splits - what the targets for HTTP/1 share: places to split, and checks. */
#ifndef TESTS_FUZZ_SPLITS_H
#define TESTS_FUZZ_SPLITS_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define CHECK(true_here)                                              \
	do {                                                          \
		if (!(true_here)) {                                   \
			fprintf(stderr, "%s:%d: not so: %s\n",        \
			    __FILE__, __LINE__, #true_here);          \
			abort();                                      \
		}                                                     \
	} while (0)

/* The same places for the same input: FNV-1a, then xorshift. */
static inline uint64_t
splits_seed(const uint8_t *bytes, size_t len)
{
	uint64_t seed = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < len; i++)
		seed = (seed ^ bytes[i]) * UINT64_C(0x100000001b3);
	return seed | 1;
}

/* 1 to max. */
static inline size_t
splits_next(uint64_t *seed, size_t max)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return (size_t)(*seed >> 16) % max + 1;
}

#endif

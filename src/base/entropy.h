/* SPDX-License-Identifier: BSD-2-Clause */
/* entropy - random bytes from the kernel, and a fast generator seeded by it. */
#ifndef BASE_ENTROPY_H
#define BASE_ENTROPY_H

#include <stddef.h>
#include <stdint.h>

/* Fills p with bytes fit for keys; aborts if the kernel has none. */
void entropy_fill(void *p, size_t len);
/*
 * Fast, for balancing and jitter only, never for secrets.  Seeded by the
 * kernel on first use and again in each process after fork.
 */
uint64_t entropy_fast(void);
/*
 * Random bytes for names that must differ everywhere: from a pool that the
 * kernel fills, once for a few hundred calls, anew in each process after fork.
 * len: at most 256.
 */
void entropy_draw(void *p, size_t len);
/* For tests: a fixed sequence from here on, in this process. */
void entropy_seed(uint64_t seed);

#endif

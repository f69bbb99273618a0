/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * block - pieces of memory for bodies, drawn from a pool of the process.
 *
 * The pool is bounded by `body_memory`.  Blocks carry a reference count, so
 * that several owners (a pipe, the cache, a mirror) can share one without a
 * copy.
 */
#ifndef BASE_BLOCK_H
#define BASE_BLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { BLOCK_BYTES = 16384 }; /* of data in one block */

struct block {
	struct block *next; /* in the pool's spare list */
	uint32_t refs;
	uint32_t len; /* bytes filled */
	char data[BLOCK_BYTES];
};

/* One per process.  Spare blocks are kept and given back when idle. */
struct block_pool {
	struct block *spare;
	size_t spare_count;
	size_t in_use;  /* blocks */
	size_t limit;   /* blocks; sources pause beyond it */
	uint64_t refusals; /* times that a source had to pause */
};

void block_pool_init(struct block_pool *pool, size_t limit_bytes);
void block_pool_fini(struct block_pool *pool);
/* Give spare blocks beyond keep back to the heap. */
void block_pool_trim(struct block_pool *pool, size_t keep);
/* False once the limit is reached: a source then asks again later. */
bool block_pool_has_room(struct block_pool *pool);
/* Never NULL: what was received already must find a place. */
struct block *block_get(struct block_pool *pool);
struct block *block_ref(struct block *b);
void block_unref(struct block_pool *pool, struct block **b);

#endif

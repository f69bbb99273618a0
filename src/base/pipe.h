/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pipe - a bounded first-in first-out run of bytes, in blocks of a pool.
 *
 * Holds what a sink did not take.  Blocks belong to a pool of the process
 * (`body_memory`); they carry a reference count, so that a piece of a pipe can
 * be shared with another owner (the cache, a mirror) without a copy.  An empty
 * pipe holds no block.
 */
#ifndef BASE_PIPE_H
#define BASE_PIPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

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

struct pipe_piece;

struct pipe {
	struct pipe_piece *first;
	struct pipe_piece *last;
	size_t len; /* bytes */
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

void pipe_init(struct pipe *p);
/* Drops what is left. */
void pipe_fini(struct pipe *p, struct block_pool *pool);
/* Copies the bytes behind what is there. */
void pipe_put(struct pipe *p, struct block_pool *pool, struct span bytes);
/* Adds bytes that lie in block b, sharing it (takes a reference of its own). */
void pipe_put_block(struct pipe *p, struct block_pool *pool, struct block *b,
    struct span bytes);
/* The first contiguous run; empty when the pipe is. */
struct span pipe_peek(const struct pipe *p);
/* The first max runs, for writev; returns how many. */
size_t pipe_peek_many(const struct pipe *p, struct span *runs, size_t max);
/* Forget the first len bytes; len <= p->len. */
void pipe_drop(struct pipe *p, struct block_pool *pool, size_t len);

#endif

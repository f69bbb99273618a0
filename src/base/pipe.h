/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pipe - a bounded first-in first-out run of bytes, in blocks of a pool.
 *
 * Holds what a sink did not take.  An empty pipe holds no block.
 */
#ifndef BASE_PIPE_H
#define BASE_PIPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/block.h"
#include "base/span.h"

struct pipe_piece;

struct pipe {
	struct pipe_piece *first;
	struct pipe_piece *last;
	size_t len; /* bytes */
};

/* A place in a pipe that is only read meanwhile; zero is its beginning. */
struct pipe_cursor {
	const struct pipe_piece *piece;
	size_t off;
	bool is_begun;
};

void pipe_init(struct pipe *p);
void pipe_drop_all(struct pipe *p, struct block_pool *pool);

/* Drops what is left, mostly nothing. */
static inline void
pipe_fini(struct pipe *p, struct block_pool *pool)
{
	if (p->first != NULL)
		pipe_drop_all(p, pool);
}

/* Copies the bytes behind what is there. */
void pipe_put(struct pipe *p, struct block_pool *pool, struct span bytes);
/* Adds bytes that lie in block b, sharing it (takes a reference of its own). */
void pipe_put_block(struct pipe *p, struct block_pool *pool, struct block *b,
    struct span bytes);
/* The first contiguous run; empty when the pipe is. */
struct span pipe_peek(const struct pipe *p);
/* The first max runs, for writev; returns how many. */
size_t pipe_peek_many(const struct pipe *p, struct span *runs, size_t max);
/* The next bytes, at most max in one run; empty behind the last. */
struct span pipe_read(const struct pipe *p, struct pipe_cursor *at,
    size_t max);
/* Forget the first len bytes; len <= p->len. */
void pipe_drop(struct pipe *p, struct block_pool *pool, size_t len);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/* pipe - blocks, their pool, and the queue of pieces made of them. */
#include "base/pipe.h"

#include <assert.h>
#include <stdlib.h>

#include "base/heap_alloc.h"

enum { SPARE_MAX = 64 }; /* 1 MB kept warm */

struct pipe_piece {
	struct pipe_piece *next;
	struct block *block;
	uint32_t off;
	uint32_t len;
};

void
block_pool_init(struct block_pool *pool, size_t limit_bytes)
{
	memset(pool, 0, sizeof(*pool));
	pool->limit = limit_bytes / BLOCK_BYTES;
}

void
block_pool_trim(struct block_pool *pool, size_t keep)
{
	while (pool->spare_count > keep) {
		struct block *b = pool->spare;

		pool->spare = b->next;
		pool->spare_count--;
		free(b);
	}
}

void
block_pool_fini(struct block_pool *pool)
{
	block_pool_trim(pool, 0);
}

bool
block_pool_has_room(struct block_pool *pool)
{
	if (pool->in_use < pool->limit)
		return true;
	pool->refusals++;
	return false;
}

struct block *
block_get(struct block_pool *pool)
{
	struct block *b = pool->spare;

	if (b != NULL) {
		pool->spare = b->next;
		pool->spare_count--;
	} else {
		b = heap_alloc(sizeof(*b));
	}
	pool->in_use++;
	b->next = NULL;
	b->refs = 1;
	b->len = 0;
	return b;
}

struct block *
block_ref(struct block *b)
{
	assert(b->refs > 0);
	b->refs++;
	return b;
}

void
block_unref(struct block_pool *pool, struct block **b)
{
	struct block *dead = *b;

	*b = NULL;
	if (dead == NULL)
		return;
	assert(dead->refs > 0);
	if (--dead->refs > 0)
		return;
	assert(pool->in_use > 0);
	pool->in_use--;
	if (pool->spare_count >= SPARE_MAX) {
		free(dead);
		return;
	}
	dead->next = pool->spare;
	pool->spare = dead;
	pool->spare_count++;
}

void
pipe_init(struct pipe *p)
{
	memset(p, 0, sizeof(*p));
}

static void
drop_first(struct pipe *p, struct block_pool *pool)
{
	struct pipe_piece *piece = p->first;

	p->first = piece->next;
	if (p->first == NULL)
		p->last = NULL;
	p->len -= piece->len;
	block_unref(pool, &piece->block);
	free(piece);
}

void
pipe_fini(struct pipe *p, struct block_pool *pool)
{
	while (p->first != NULL)
		drop_first(p, pool);
}

static struct pipe_piece *
append(struct pipe *p, struct block *block, uint32_t off)
{
	struct pipe_piece *piece = heap_alloc(sizeof(*piece));

	*piece = (struct pipe_piece){ .block = block, .off = off };
	if (p->last != NULL)
		p->last->next = piece;
	else
		p->first = piece;
	p->last = piece;
	return piece;
}

/* The last block may be filled further only where nobody else uses it. */
static struct pipe_piece *
writable_piece(struct pipe *p, struct block_pool *pool)
{
	struct pipe_piece *last = p->last;

	if (last != NULL && last->block->refs == 1 &&
	    last->off + last->len == last->block->len &&
	    last->block->len < BLOCK_BYTES)
		return last;
	return append(p, block_get(pool), 0);
}

void
pipe_put(struct pipe *p, struct block_pool *pool, struct span bytes)
{
	while (bytes.len > 0) {
		struct pipe_piece *piece = writable_piece(p, pool);
		struct block *b = piece->block;
		size_t room = BLOCK_BYTES - b->len;
		uint32_t n = (uint32_t)(bytes.len < room ? bytes.len : room);

		memcpy(b->data + b->len, bytes.p, n);
		b->len += n;
		piece->len += n;
		p->len += n;
		bytes = span_of(bytes.p + n, bytes.len - n);
	}
}

void
pipe_put_block(struct pipe *p, struct block_pool *pool, struct block *b,
    struct span bytes)
{
	struct pipe_piece *piece;

	(void)pool;
	assert(bytes.p >= b->data && bytes.p + bytes.len <= b->data + b->len);
	if (bytes.len == 0)
		return;
	piece = append(p, block_ref(b), (uint32_t)(bytes.p - b->data));
	piece->len = (uint32_t)bytes.len;
	p->len += bytes.len;
}

size_t
pipe_peek_many(const struct pipe *p, struct span *runs, size_t max)
{
	size_t n = 0;

	for (struct pipe_piece *piece = p->first; piece != NULL && n < max;
	     piece = piece->next)
		runs[n++] = span_of(piece->block->data + piece->off, piece->len);
	return n;
}

struct span
pipe_peek(const struct pipe *p)
{
	struct span run = { NULL, 0 };

	pipe_peek_many(p, &run, 1);
	return run;
}

void
pipe_drop(struct pipe *p, struct block_pool *pool, size_t len)
{
	assert(len <= p->len);
	while (len > 0) {
		struct pipe_piece *piece = p->first;

		if (len >= piece->len) {
			len -= piece->len;
			drop_first(p, pool);
			continue;
		}
		piece->off += (uint32_t)len;
		piece->len -= (uint32_t)len;
		p->len -= len;
		len = 0;
	}
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* pipe - the queue of pieces made of blocks. */
#include "base/pipe.h"

#include <assert.h>
#include <stdlib.h>

#include "base/heap_alloc.h"

struct pipe_piece {
	struct pipe_piece *next;
	struct block *block;
	uint32_t off;
	uint32_t len;
};

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
pipe_drop_all(struct pipe *p, struct block_pool *pool)
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
		runs[n++] = span_of(piece->block->data + piece->off,
		    piece->len);
	return n;
}

struct span
pipe_peek(const struct pipe *p)
{
	struct span run = { NULL, 0 };

	pipe_peek_many(p, &run, 1);
	return run;
}

struct span
pipe_read(const struct pipe *p, struct pipe_cursor *at, size_t max)
{
	const struct pipe_piece *piece;
	struct span run;

	if (!at->is_begun) {
		at->is_begun = true;
		at->piece = p->first;
	}
	piece = at->piece;
	if (piece == NULL)
		return span_of(NULL, 0);
	run = span_of(piece->block->data + piece->off + at->off,
	    piece->len - at->off);
	if (run.len > max)
		run.len = max;
	at->off += run.len;
	if (at->off == piece->len) {
		at->piece = piece->next;
		at->off = 0;
	}
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

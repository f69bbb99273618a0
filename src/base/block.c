/* SPDX-License-Identifier: BSD-2-Clause */
/* block - the pool, its spare blocks, and their references. */
#include "base/block.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/heap_alloc.h"

enum { SPARE_MAX = 64 }; /* 1 MB kept warm */

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

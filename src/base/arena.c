/* SPDX-License-Identifier: BSD-2-Clause */
/* arena - chunks, and the cache that keeps them between arenas. */
#include "base/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/heap_alloc.h"

struct arena_chunk {
	struct arena_chunk *next;
	size_t size; /* bytes of data[] */
	char data[] __attribute__((aligned(16)));
};

enum { CHUNK_DATA = ARENA_CHUNK - (int)sizeof(struct arena_chunk) };

void
arena_init(struct arena *a, struct arena_cache *cache)
{
	a->chunks = NULL;
	a->next = NULL;
	a->end = NULL;
	a->cache = cache;
}

static void
chunk_release(struct arena_cache *cache, struct arena_chunk *chunk)
{
	if (cache == NULL || chunk->size != CHUNK_DATA ||
	    cache->spare_count >= cache->spare_max) {
		free(chunk);
		return;
	}
	chunk->next = cache->spare;
	cache->spare = chunk;
	cache->spare_count++;
}

void
arena_fini(struct arena *a)
{
	while (a->chunks != NULL) {
		struct arena_chunk *chunk = a->chunks;

		a->chunks = chunk->next;
		chunk_release(a->cache, chunk);
	}
	a->next = NULL;
	a->end = NULL;
}

void
arena_cache_fini(struct arena_cache *cache)
{
	while (cache->spare != NULL) {
		struct arena_chunk *chunk = cache->spare;

		cache->spare = chunk->next;
		free(chunk);
	}
	cache->spare_count = 0;
}

static struct arena_chunk *
chunk_get(struct arena *a, size_t len)
{
	struct arena_chunk *chunk;
	size_t size = len > CHUNK_DATA ? len : CHUNK_DATA;

	if (size == CHUNK_DATA && a->cache != NULL &&
	    a->cache->spare != NULL) {
		chunk = a->cache->spare;
		a->cache->spare = chunk->next;
		a->cache->spare_count--;
		return chunk;
	}
	chunk = heap_alloc(sizeof(*chunk) + size);
	chunk->size = size;
	return chunk;
}

void *
arena_grow(struct arena *a, size_t len)
{
	struct arena_chunk *chunk;
	size_t size = (len + 7) & ~(size_t)7;

	if (size < len || size > SIZE_MAX - sizeof(*chunk))
		abort();
	chunk = chunk_get(a, size);
	/* A large one goes behind the current chunk, which stays of use. */
	if (size > CHUNK_DATA / 2 && a->chunks != NULL) {
		chunk->next = a->chunks->next;
		a->chunks->next = chunk;
		return chunk->data;
	}
	chunk->next = a->chunks;
	a->chunks = chunk;
	a->next = chunk->data + size;
	a->end = chunk->data + chunk->size;
	return chunk->data;
}

void *
arena_zalloc(struct arena *a, size_t len)
{
	return memset(arena_alloc(a, len), 0, len);
}

char *
arena_dup(struct arena *a, struct span s)
{
	char *p = arena_alloc(a, s.len + 1);

	if (s.len > 0)
		memcpy(p, s.p, s.len);
	p[s.len] = '\0';
	return p;
}

char *
arena_strdup(struct arena *a, const char *s)
{
	return arena_dup(a, span_cstr(s));
}

char *
arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap;
	int len;
	char *p;

	va_start(ap, fmt);
	len = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (len < 0)
		abort();
	p = arena_alloc(a, (size_t)len + 1);
	va_start(ap, fmt);
	vsnprintf(p, (size_t)len + 1, fmt, ap);
	va_end(ap);
	return p;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * arena - memory that is given back all at once.
 *
 * Three lifetimes exist: generation, connection, exchange; each has an arena,
 * and what is allocated in one is never freed alone.  An arena draws chunks of
 * ARENA_CHUNK bytes from a cache that a process shares between its arenas, so
 * that a request costs no malloc once the process is warm.  Larger requests
 * get a chunk of their own.  Out of memory aborts: every size that a peer
 * chooses was bounded by an option before it comes here.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

enum { ARENA_CHUNK = 4096 };

struct arena_chunk;

/* Spare chunks of one process; zero-initialised is empty. */
struct arena_cache {
	struct arena_chunk *spare;
	size_t spare_count;
	size_t spare_max; /* beyond this, chunks go back to the heap */
};

struct arena {
	struct arena_chunk *chunks; /* newest first */
	char *next;
	char *end;
	struct arena_cache *cache; /* borrowed; NULL = the heap */
};

void arena_init(struct arena *a, struct arena_cache *cache);
/* Gives everything back; the arena may be used again. */
void arena_fini(struct arena *a);
void arena_cache_fini(struct arena_cache *cache);

/* A new chunk; arena_alloc's slow path. */
void *arena_grow(struct arena *a, size_t len);

/* len bytes aligned to 8, not cleared; never NULL. */
static inline void *
arena_alloc(struct arena *a, size_t len)
{
	size_t size = (len + 7) & ~(size_t)7;
	char *p = a->next;

	/* >=: an arena without a chunk has no room for zero bytes either */
	if (size < len || size >= (size_t)(a->end - p))
		return arena_grow(a, len);
	a->next = p + size;
	return p;
}

/* The same, cleared. */
void *arena_zalloc(struct arena *a, size_t len);
/* A copy that lives as long as the arena, with a NUL behind it. */
char *arena_dup(struct arena *a, struct span s);
char *arena_strdup(struct arena *a, const char *s);
char *arena_printf(struct arena *a, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

#endif

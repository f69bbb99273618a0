/* SPDX-License-Identifier: BSD-2-Clause */
/* lb_hash - a sorted ring of points. */
#include "upstream/lb_hash.h"

#include <stdlib.h>
#include <zlib.h>

#include "base/arena.h"
#include "base/entropy.h"
#include "base/str.h"
#include "upstream/group.h"

struct point {
	uint32_t hash;
	uint32_t member; /* place in the view */
};

struct ring {
	size_t count;
	struct point *points;
};

static uint32_t
crc(uint32_t before, const void *p, size_t len)
{
	return (uint32_t)crc32(before, p, (uInt)len);
}

uint32_t
lb_hash_key(struct span key)
{
	return crc(0, key.p, key.len);
}

/* Host and port of an address as it is written. */
static void
split(struct span text, struct span *host, struct span *port)
{
	size_t at = text.len;

	*host = text;
	*port = span_of(NULL, 0);
	if (span_starts(text, SPAN("unix:"))) {
		*host = span_of(text.p + 5, text.len - 5);
		return;
	}
	while (at > 0 && text.p[at - 1] >= '0' && text.p[at - 1] <= '9')
		at--;
	if (at == 0 || text.p[at - 1] != ':')
		return;
	*host = span_of(text.p, at - 1);
	*port = span_of(text.p + at, text.len - at);
}

/* By the address, not the name: each address has points of its own. */
static uint32_t
seed(const struct backend *b)
{
	char memory[BACKEND_NAME_MAX];
	struct span host, port;
	struct str text;
	uint32_t hash;

	str_init(&text, memory, sizeof(memory));
	backend_put_address(b, &text);
	split(str_view(&text), &host, &port);
	hash = crc(0, host.p, host.len);
	hash = crc(hash, "", 1);
	return port.len > 0 ? crc(hash, port.p, port.len) : hash;
}

static int
compare(const void *a_ptr, const void *b_ptr)
{
	const struct point *a = a_ptr;
	const struct point *b = b_ptr;

	if (a->hash != b->hash)
		return a->hash < b->hash ? -1 : 1;
	return a->member < b->member ? -1 : a->member > b->member;
}

static struct point *
put_points(struct point *p, const struct backend *b, uint32_t member,
    uint32_t weight)
{
	uint32_t base = seed(b);
	uint32_t before = 0;

	for (uint32_t i = 0; i < weight * LB_HASH_POINTS; i++) {
		/* Little-endian, whatever the machine. */
		const unsigned char bytes[] = {
			before & 0xff, before >> 8 & 0xff,
			before >> 16 & 0xff, (unsigned char)(before >> 24),
		};

		before = crc(base, bytes, sizeof(bytes));
		*p++ = (struct point){ before, member };
	}
	return p;
}

static const void *
plan(struct arena *a, const struct lb_view *view)
{
	struct ring *ring = arena_alloc(a, sizeof(*ring));
	size_t count = (size_t)view->weight_sum * LB_HASH_POINTS;
	struct point *end;
	size_t last = 0;

	ring->points = arena_alloc(a, count * sizeof(*ring->points));
	end = ring->points;
	for (uint32_t i = 0; i < view->count; i++)
		end = put_points(end, view->members[i], i, view->weights[i]);
	qsort(ring->points, count, sizeof(*ring->points), compare);
	for (size_t i = 1; i < count; i++)
		if (ring->points[i].hash != ring->points[last].hash)
			ring->points[++last] = ring->points[i];
	ring->count = last + 1;
	return ring;
}

/* The first point at or behind hash; the ring is closed. */
static size_t
find(const struct ring *ring, uint32_t hash)
{
	size_t low = 0;
	size_t high = ring->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (ring->points[middle].hash < hash)
			low = middle + 1;
		else
			high = middle;
	}
	return low < ring->count ? low : 0;
}

/*
 * What all have in flight with this request, times the limit: nobody is to
 * have more than his share by weight of it.
 */
static uint64_t
load_limit(const struct lb_view *view)
{
	uint64_t sum = 1;

	for (uint32_t i = 0; i < view->count; i++)
		sum += backend_in_flight(view->members[i]);
	return sum * view->group->conf->hash_load_max;
}

static bool
is_loaded(const struct lb_view *view, uint32_t member, uint64_t limit)
{
	uint64_t load = backend_in_flight(view->members[member]);

	/* At least one is always allowed: hence load, not load + 1. */
	return load * 100 * view->weight_sum >= limit *
	    view->weights[member];
}

/* Along the ring; with a limit, past those that have too much to do. */
static const struct backend *
follow(const struct lb_view *view, const struct ring *ring, size_t from,
    uint64_t limit, const struct lb_query *query)
{
	uint32_t passed = UINT32_MAX;

	for (size_t i = 0; i < ring->count; i++) {
		uint32_t at = ring->points[(from + i) % ring->count].member;

		if (at == passed)
			continue;
		passed = at;
		if (lb_is_usable(view->members[at], query) &&
		    (limit == 0 || !is_loaded(view, at, limit)))
			return view->members[at];
	}
	return NULL;
}

static const struct backend *
pick(const struct lb_view *view, const void *ring_ptr, void *state,
    const struct lb_query *query)
{
	const struct ring *ring = ring_ptr;
	uint32_t hash = query->tries->has_hash ? query->tries->hash :
	    (uint32_t)entropy_fast();
	size_t from = find(ring, hash);
	uint32_t at = ring->points[from].member;
	const struct backend *b;

	(void)state;
	if (view->group->conf->hash_load_max == 0) {
		if (lb_is_usable(view->members[at], query))
			return view->members[at];
	} else if (lb_is_any_usable(view, query)) {
		b = follow(view, ring, from, load_limit(view), query);
		if (b != NULL)
			return b;
	}
	return lb_is_any_usable(view, query) ?
	    follow(view, ring, from, 0, query) : NULL;
}

const struct lb_ops lb_hash = {
	.name = "hash",
	.plan = plan,
	.pick = pick,
};

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pool - idle backend connections of a worker, newest first.
 *
 * The list of a backend is in order of age, because what is put goes to its
 * front: its last item is the one to expire or to be parked.  So the tick only
 * looks at the last items of those backends that have any, or had some at the
 * last tick.
 */
#include "upstream/pool.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/heap_alloc.h"
#include "base/now.h"
#include "os/loop.h"
#include "upstream/backend.h"
#include "upstream/group.h"

enum {
	/* A backend closes a moment before or after what it promised. */
	KEEPALIVE_MARGIN_MS = 1000,
	/* What is due within one of these is done together. */
	TICK_MS = 10,
	TICK_BACKENDS_MAX = 256,
	TICK_PARKS_MAX = 64,
	/* After a lane refused: not every item must be offered to it. */
	REFUSED_MS = 1000,
	/* How soon it is seen that a name has lost an address. */
	LOST_MS = 1000,
};

struct pool_backend {
	struct list idle;   /* newest first; next NULL = never used */
	struct list active; /* of pool->active; left by the tick */
	uint32_t count;
	bool is_active;
	uint32_t tenancy; /* of all that are idle */
	/* Of its options, taken over when it becomes active. */
	uint32_t idle_max;
	uint32_t requests_max;
	uint64_t idle_ms;       /* 0 = nothing is kept */
	uint64_t share_ms;      /* UINT64_MAX = there is no lane */
	uint64_t park_again_ms; /* its lane was full */
};

struct pool {
	struct loop *loop;
	const struct pool_ops *ops;
	const struct lane_set *lanes;
	size_t lane_count; /* slots from here on have none */
	struct pool_counts *counts;
	struct pool_backend *backends; /* by slot */
	size_t slots;
	struct list by_age; /* oldest first */
	struct list active;
	uint32_t idle;
	uint32_t idle_max;
	bool is_draining;
	uint64_t park_again_ms; /* too many descriptors in flight */
	struct deadline tick;
};

static deadline_fn on_tick;

struct pool *
pool_new(const struct pool_options *options)
{
	struct pool *pool = heap_alloc_zeroed(1, sizeof(*pool));

	pool->loop = options->loop;
	pool->ops = options->ops;
	pool->lanes = options->lanes;
	if (options->lanes != NULL)
		pool->lane_count = lane_set_count(options->lanes);
	pool->counts = options->counts;
	pool->slots = options->slots;
	pool->idle_max = options->idle_max;
	pool->backends = heap_alloc_zeroed(options->slots,
	    sizeof(*pool->backends));
	list_init(&pool->by_age);
	list_init(&pool->active);
	deadline_init(&pool->tick, on_tick);
	return pool;
}

uint32_t
pool_idle_count(const struct pool *pool)
{
	return pool->idle;
}

static inline struct pool_backend *
backend_of(struct pool *pool, const struct backend *b)
{
	assert(b->slot < pool->slots);
	return &pool->backends[b->slot];
}

static inline struct pool_item *
by_backend(struct list *node)
{
	return LIST_OF(node, struct pool_item, by_backend);
}

/* Who waits for room at a backend with a limit looks at these counts. */
static inline void
tell_idle(const struct pool_item *item, uint32_t count)
{
	const struct backend *b = item->backend;

	if (b->limit != 0 && b->own != NULL)
		atomic_store_explicit(&b->own->idle, count,
		    memory_order_relaxed);
}

static void
take_out(struct pool *pool, struct pool_backend *pb, struct pool_item *item)
{
	/* Not list_remove: nobody looks at the nodes before the next put. */
	item->by_backend.prev->next = item->by_backend.next;
	item->by_backend.next->prev = item->by_backend.prev;
	item->by_age.prev->next = item->by_age.next;
	item->by_age.next->prev = item->by_age.prev;
	item->is_idle = false;
	pool->idle--;
	pb->count--;
	tell_idle(item, pb->count);
}

static void
evict(struct pool *pool, struct pool_item *item, uint64_t *counter)
{
	take_out(pool, backend_of(pool, item->backend), item);
	(*counter)++;
	pool->ops->close(item);
}

/* Out of this process; the item is gone in any case. */
static void
park(struct pool *pool, struct pool_backend *pb, struct pool_item *item,
    uint64_t now)
{
	const struct backend *b = item->backend;
	struct lane_meta meta;
	int fd;

	memset(&meta, 0, sizeof(meta));
	meta.idle_since_ms = item->idle_since_ms;
	meta.expires_ms = item->expires_ms;
	meta.served = item->served;
	meta.tenancy = item->tenancy;
	meta.peer = item->peer;
	take_out(pool, pb, item);
	fd = pool->ops->detach(item);
	if (fd < 0)
		return;
	switch (lane_send(pool->lanes, b, fd, &meta, &pool->counts->lane)) {
	case LANE_PARKED:
		return;
	case LANE_FULL:
	case LANE_FAILED:
		pb->park_again_ms = now + REFUSED_MS;
		break;
	case LANE_NO_REFS:
		pool->park_again_ms = now + REFUSED_MS;
		break;
	}
	close(fd);
}

/* The name has lost this address: all connections to it are over. */
__attribute__((noinline)) static void
evict_lost(struct pool *pool, struct pool_backend *pb, uint32_t tenancy)
{
	pb->tenancy = tenancy;
	LIST_EACH(&pb->idle, node, after) {
		struct pool_item *item = by_backend(node);

		if (item->tenancy != tenancy)
			evict(pool, item, &pool->counts->evicted);
	}
}

static inline void
look_for_lost(struct pool *pool, struct pool_backend *pb,
    const struct backend *b)
{
	uint32_t tenancy;

	if (!b->is_name)
		return;
	tenancy = backend_tenancy(b);
	if (tenancy != pb->tenancy)
		evict_lost(pool, pb, tenancy);
}

/* When the item is to be parked; UINT64_MAX = never. */
static uint64_t
park_due(const struct pool *pool, const struct pool_backend *pb,
    const struct pool_item *item)
{
	uint64_t due;

	if (!item->is_parkable || pb->share_ms == UINT64_MAX)
		return UINT64_MAX;
	due = item->idle_since_ms + pb->share_ms;
	if (due < pb->park_again_ms)
		due = pb->park_again_ms;
	return due > pool->park_again_ms ? due : pool->park_again_ms;
}

/* Close and park what is due; returns when to look again. */
static uint64_t
tend(struct pool *pool, struct pool_backend *pb, uint64_t now, int *parks)
{
	if (pb->count > 0)
		look_for_lost(pool, pb, by_backend(pb->idle.prev)->backend);
	while (pb->count > 0) {
		struct pool_item *item = by_backend(pb->idle.prev);
		uint64_t due = park_due(pool, pb, item);

		if (item->expires_ms <= now) {
			evict(pool, item, &pool->counts->expired);
			continue;
		}
		if (due > now && item->backend->is_name &&
		    due > now + LOST_MS)
			due = now + LOST_MS;
		if (due > now)
			return due < item->expires_ms ? due : item->expires_ms;
		if (*parks == 0)
			return now;
		(*parks)--;
		park(pool, pb, item, now);
	}
	return UINT64_MAX;
}

static void
on_tick(struct deadline *d)
{
	struct pool *pool = LIST_OF(d, struct pool, tick);
	struct list *last = pool->active.prev;
	uint64_t now = now_ms();
	uint64_t next = UINT64_MAX;
	int parks = TICK_PARKS_MAX;
	int left = TICK_BACKENDS_MAX;
	bool is_last = list_is_empty(&pool->active);

	/* Once around; each goes to the back, so that all get their turn. */
	while (!is_last && left-- > 0) {
		struct list *node = pool->active.next;
		struct pool_backend *pb = LIST_OF(node, struct pool_backend,
		    active);
		uint64_t due;

		is_last = node == last;
		list_remove(node);
		due = tend(pool, pb, now, &parks);
		pb->is_active = pb->count > 0;
		if (pb->is_active)
			list_push_back(&pool->active, node);
		if (due < next)
			next = due;
	}
	if (!is_last)
		next = now;
	if (next == UINT64_MAX)
		return;
	deadline_set(pool->loop, &pool->tick,
	    next < now + TICK_MS ? now + TICK_MS : next);
}

static void
take_options(const struct pool *pool, struct pool_backend *pb,
    const struct backend *b)
{
	const struct group_conf *conf = b->group->conf;

	pb->idle_max = conf->keepalive.idle_max;
	pb->requests_max = conf->keepalive.requests_max;
	pb->idle_ms = pool->idle_max > 0 && pb->idle_max > 0 ?
	    conf->keepalive.idle_timeout_ms : 0;
	/* What counts against a limit stays where it is booked. */
	if (b->slot >= pool->lane_count || b->limit != 0)
		pb->share_ms = UINT64_MAX;
	else
		pb->share_ms = pool->is_draining ? 0 :
		    conf->pool_share_after_ms;
}

void
pool_drain(struct pool *pool)
{
	pool->is_draining = true;
	LIST_EACH(&pool->active, node, after) {
		struct pool_backend *pb = LIST_OF(node, struct pool_backend,
		    active);

		if (pb->share_ms != UINT64_MAX)
			pb->share_ms = 0;
	}
	if (pool->idle > 0)
		deadline_set(pool->loop, &pool->tick, now_ms());
}

void
pool_close_idle(struct pool *pool)
{
	while (pool->idle > 0)
		evict(pool, LIST_OF(pool->by_age.next, struct pool_item,
		    by_age), &pool->counts->evicted);
}

void
pool_free(struct pool *pool)
{
	uint64_t now = now_ms();

	if (pool == NULL)
		return;
	pool_drain(pool);
	while (pool->idle > 0) {
		struct pool_item *item = LIST_OF(pool->by_age.next,
		    struct pool_item, by_age);
		struct pool_backend *pb = backend_of(pool, item->backend);

		if (item->expires_ms > now && park_due(pool, pb, item) <= now)
			park(pool, pb, item, now);
		else
			evict(pool, item, &pool->counts->evicted);
	}
	deadline_stop(pool->loop, &pool->tick);
	free(pool->backends);
	free(pool);
}

/* How long the connection may be idle; 0 = not at all. */
static inline uint64_t
idle_for(const struct pool_backend *pb, const struct pool_item *item,
    uint64_t keepalive_ms)
{
	uint64_t ms = pb->idle_ms;

	if (pb->requests_max != 0 && item->served >= pb->requests_max)
		return 0;
	if (keepalive_ms == 0)
		return ms;
	if (keepalive_ms <= KEEPALIVE_MARGIN_MS)
		return 0;
	keepalive_ms -= KEEPALIVE_MARGIN_MS;
	return keepalive_ms < ms ? keepalive_ms : ms;
}

/* Out of line, like what follows, for the sake of the path beside it. */
__attribute__((noinline)) static void
activate(struct pool *pool, struct pool_backend *pb, const struct backend *b)
{
	if (pb->idle.next == NULL)
		list_init(&pb->idle);
	take_options(pool, pb, b);
	pb->is_active = true;
	list_push_back(&pool->active, &pb->active);
}

__attribute__((noinline)) static void
make_room(struct pool *pool, struct pool_backend *pb)
{
	struct pool_item *oldest = LIST_OF(pool->by_age.next,
	    struct pool_item, by_age);

	if (pb->count >= pb->idle_max)
		oldest = by_backend(pb->idle.prev);
	evict(pool, oldest, &pool->counts->evicted);
}

bool
pool_put(struct pool *pool, struct pool_item *item, uint64_t keepalive_ms)
{
	struct pool_backend *pb = backend_of(pool, item->backend);
	uint64_t now, ms, due;

	assert(!item->is_idle);
	if (!pb->is_active)
		activate(pool, pb, item->backend);
	ms = idle_for(pb, item, keepalive_ms);
	if (ms == 0)
		return false;
	look_for_lost(pool, pb, item->backend);
	if (item->backend->is_name && item->tenancy != pb->tenancy)
		return false;
	if (pb->count >= pb->idle_max || pool->idle >= pool->idle_max)
		make_room(pool, pb);
	now = now_ms();
	item->idle_since_ms = now;
	item->expires_ms = now + ms;
	item->is_idle = true;
	pb->count++;
	tell_idle(item, pb->count);
	pool->idle++;
	list_push_front(&pb->idle, &item->by_backend);
	list_push_back(&pool->by_age, &item->by_age);
	due = item->is_parkable && pb->share_ms < ms ? pb->share_ms : ms;
	if (item->backend->is_name && due > LOST_MS)
		due = LOST_MS;
	due += now;
	if (due < pool->tick.at_ms)
		deadline_set(pool->loop, &pool->tick, due);
	return true;
}

__attribute__((noinline)) static struct pool_item *
take_unexpired(struct pool *pool, struct pool_backend *pb, uint64_t now)
{
	while (pb->count > 0) {
		struct pool_item *item = by_backend(pb->idle.next);

		if (item->expires_ms > now) {
			take_out(pool, pb, item);
			pool->counts->reused++;
			return item;
		}
		evict(pool, item, &pool->counts->expired);
	}
	return NULL;
}

struct pool_item *
pool_take(struct pool *pool, const struct backend *b)
{
	struct pool_backend *pb = backend_of(pool, b);
	uint64_t now = now_ms();
	struct pool_item *item;

	if (pb->count == 0)
		return NULL;
	look_for_lost(pool, pb, b);
	if (pb->count == 0)
		return NULL;
	item = by_backend(pb->idle.next);
	if (item->expires_ms <= now)
		return take_unexpired(pool, pb, now);
	take_out(pool, pb, item);
	pool->counts->reused++;
	return item;
}

struct pool_item *
pool_take_terms(struct pool *pool, const struct backend *b,
    struct span terms)
{
	struct pool_backend *pb = backend_of(pool, b);
	uint64_t now = now_ms();

	if (pb->count == 0)
		return NULL;
	look_for_lost(pool, pb, b);
	LIST_EACH(&pb->idle, node, after) {
		struct pool_item *item = by_backend(node);

		if (!span_eq(item->terms, terms) || item->expires_ms <= now)
			continue;
		take_out(pool, pb, item);
		pool->counts->reused++;
		return item;
	}
	return NULL;
}

int
pool_take_parked(struct pool *pool, const struct backend *b,
    struct lane_meta *meta)
{
	if (b->slot >= pool->lane_count || b->limit != 0 ||
	    b->group->conf->keepalive.idle_timeout_ms == 0)
		return -1;
	return lane_take(pool->lanes, b, now_ms(), meta, &pool->counts->lane);
}

bool
pool_close_one(struct pool *pool, const struct backend *b)
{
	struct pool_backend *pb = backend_of(pool, b);

	if (pb->count == 0)
		return false;
	evict(pool, by_backend(pb->idle.prev), &pool->counts->evicted);
	return true;
}

void
pool_remove(struct pool *pool, struct pool_item *item)
{
	assert(item->is_idle);
	take_out(pool, backend_of(pool, item->backend), item);
}

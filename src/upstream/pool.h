/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pool - the idle backend connections of one worker.
 *
 * The last one put is the first one taken.  An idle connection stays in the
 * event loop, so that its close is an event (the owner calls pool_remove) and
 * taking one costs no system call.  One deadline serves the whole pool: it
 * closes what was idle too long, and what was idle longer than
 * `pool_share_after` it parks in the backend's lane, oldest first, where other
 * workers find it.  Connections to an address that its name has no longer are
 * closed within a second.
 */
#ifndef UPSTREAM_POOL_H
#define UPSTREAM_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/span.h"
#include "os/addr.h"
#include "upstream/lane.h"

struct backend;
struct loop;
struct pool;

/* Embedded in the owner's connection. */
struct pool_item {
	struct list by_backend;
	struct list by_age;
	uint64_t idle_since_ms;
	uint64_t expires_ms;
	const struct backend *backend; /* set by the owner, once */
	uint32_t served;       /* requests carried: counted by the owner */
	uint32_t tenancy;      /* owner: the backend's, before the connect */
	bool is_idle;          /* in the pool */
	bool is_parkable;      /* owner: clear text, nothing buffered, HTTP/1 */
	struct addr_ip peer;   /* owner: whom it is connected to */
	/* Owner: what it was made under besides the backend's own options. */
	struct span terms;
};

/* What the owner does for the pool; an item is out of the pool by then. */
struct pool_ops {
	/* Close the connection and free the item. */
	void (*close)(struct pool_item *item);
	/*
	 * Leave the event loop, give up the descriptor and free the item;
	 * returns the descriptor, which the pool then owns.
	 */
	int (*detach)(struct pool_item *item);
};

struct pool_counts {
	uint64_t reused;        /* taken from the worker's own */
	uint64_t expired;
	uint64_t evicted;       /* limits */
	struct lane_counts lane;
};

struct pool_options {
	struct loop *loop;
	const struct pool_ops *ops;
	const struct lane_set *lanes; /* NULL with one worker: no parking */
	size_t slots;                 /* backend_zone_slots() */
	uint32_t idle_max;            /* upstream_keepalive_pool_size */
	struct pool_counts *counts;   /* borrowed, never NULL */
};

struct pool *pool_new(const struct pool_options *options);
/* Parks what can be parked and closes the rest: a worker that ends. */
void pool_free(struct pool *pool);
/* The same without freeing; what is put from now on is parked or closed. */
void pool_drain(struct pool *pool);
/* Close what is idle and park nothing: the whole of weir stops. */
void pool_close_idle(struct pool *pool);
uint32_t pool_idle_count(const struct pool *pool);

/*
 * The connection is idle now.  keepalive_ms: what the backend's Keep-Alive
 * field promised, 0 if nothing.  False if it is not to be kept (no keep-alive
 * configured, its time or number of requests used up): the caller closes it.
 * May close others by ops->close.
 */
bool pool_put(struct pool *pool, struct pool_item *item,
    uint64_t keepalive_ms) __attribute__((warn_unused_result));
/* The worker's own newest idle connection to b, or NULL. */
struct pool_item *pool_take(struct pool *pool, const struct backend *b);
/* The same, made under these terms. */
struct pool_item *pool_take_terms(struct pool *pool, const struct backend *b,
    struct span terms);
/* One that any worker parked: the descriptor, which the caller owns, or -1. */
int pool_take_parked(struct pool *pool, const struct backend *b,
    struct lane_meta *meta);
/* Close the one that has been idle longest; false if there is none. */
bool pool_close_one(struct pool *pool, const struct backend *b);
/* An idle item's peer closed or spoke: take it out; the caller closes it. */
void pool_remove(struct pool *pool, struct pool_item *item);

#endif

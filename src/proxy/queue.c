/* SPDX-License-Identifier: BSD-2-Clause */
/* queue - waiting for room at backends, fairly between workers. */
#include "proxy/queue.h"

#include <assert.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/heap_alloc.h"
#include "base/list.h"
#include "base/now.h"
#include "proxy/backend_h2.h"
#include "proxy/exchange_private.h"
#include "proxy/proxy_private.h"
#include "upstream/backend_zone.h"
#include "upstream/group.h"

enum {
	LOOK_EVERY_MS = 10,
	/*
	 * A worker keeps a connection for so many requests of its own while
	 * another one that waits has none at all.
	 */
	TURN_REQUESTS = 16,
	PASSED_OVER_MAX = 16, /* of one look */
};

/* Of one upstream in this worker. */
struct queue {
	struct group *group;
	struct list waiting; /* of exchange->in_queue, first come first */
	uint32_t count;
	uint32_t turn;       /* requests of one's own while others had none */
	bool is_due;         /* there may be room */
	bool is_giving;      /* the next room is another worker's */
};

struct queues {
	struct proxy *proxy;
	struct queue *items; /* by group->number */
	size_t count;
	uint32_t waiting;    /* in all of them */
	struct deadline look;
	struct loop_task task;
	struct loop_watch waker;
};

static struct queue *
queue_of(struct proxy *p, const struct group *g)
{
	return &p->queues->items[g->number];
}

/* Those of all workers are counted at the group's first backend. */
static struct tally *
tally_of(const struct group *g)
{
	return &g->backends[0].shared->waiters;
}

static struct tally_cell *
cell_of(const struct group *g)
{
	struct backend_cell *own = g->backends[0].own;

	return own != NULL ? &own->waiters : NULL;
}

/* ---- other workers ---- */

static uint32_t
waiting_of(const struct queues *qs, const struct group *g, uint32_t account)
{
	return tally_share(&backend_zone_cell(qs->proxy->boot.backends,
	    account, g->backends[0].slot)->waiters);
}

static uint32_t
connections_of(const struct queues *qs, const struct group *g,
    uint32_t account)
{
	uint32_t sum = 0;

	for (uint32_t i = 0; i < g->backend_count; i++)
		sum += tally_share(&backend_zone_cell(
		    qs->proxy->boot.backends, account,
		    g->backends[i].slot)->connections);
	return sum;
}

/* Of the other workers that wait, the one with the fewest connections. */
static uint32_t
poorest(const struct queues *qs, const struct group *g, uint32_t *has)
{
	const struct backend_zone *zone = qs->proxy->boot.backends;
	uint32_t accounts = backend_zone_accounts(zone);
	uint32_t own = backend_zone_own(zone);
	uint32_t found = UINT32_MAX;

	*has = UINT32_MAX;
	for (uint32_t i = 0; i < accounts; i++) {
		uint32_t n;

		if (i == own || waiting_of(qs, g, i) == 0)
			continue;
		n = connections_of(qs, g, i);
		if (n < *has) {
			*has = n;
			found = i;
		}
	}
	return found;
}

static bool
has_idle(const struct queues *qs, const struct group *g, uint32_t account)
{
	for (uint32_t i = 0; i < g->backend_count; i++) {
		const struct backend_cell *cell = backend_zone_cell(
		    qs->proxy->boot.backends, account, g->backends[i].slot);

		if (g->backends[i].limit != 0 &&
		    (atomic_load_explicit(&cell->idle,
		    memory_order_relaxed) > 0 ||
		    (atomic_load_explicit(&cell->streams,
		    memory_order_relaxed) & BACKEND_STREAMS_IDLE) != 0))
			return true;
	}
	return false;
}

/* Somebody sits on idle connections that count: let him close one. */
static void
ask_for_idle(const struct queues *qs, const struct group *g)
{
	const struct backend_zone *zone = qs->proxy->boot.backends;
	uint32_t accounts = backend_zone_accounts(zone);
	uint32_t own = backend_zone_own(zone);

	for (uint32_t i = 0; i < accounts; i++) {
		if (i != own && has_idle(qs, g, i)) {
			backend_zone_wake(zone, i);
			return;
		}
	}
}

static void
wake_poorest(const struct queues *qs, const struct group *g)
{
	uint32_t has;
	uint32_t account = poorest(qs, g, &has);

	if (account != UINT32_MAX)
		backend_zone_wake(qs->proxy->boot.backends, account);
}

static bool
do_others_wait(const struct queue *q)
{
	return tally_sum(tally_of(q->group)) > q->count;
}

bool
queue_wants(struct proxy *p, const struct backend *b)
{
	struct queue *q = queue_of(p, b->group);
	uint32_t mine, theirs;

	if (!do_others_wait(q)) {
		q->turn = 0;
		return false;
	}
	if (q->count == 0)
		return true; /* queue_room() wakes one of them */
	if (poorest(p->queues, q->group, &theirs) == UINT32_MAX)
		return false; /* dead, and soon forgotten */
	mine = connections_of(p->queues, q->group,
	    backend_zone_own(p->boot.backends));
	if (mine < theirs + 2 && (theirs > 0 || ++q->turn < TURN_REQUESTS))
		return false;
	q->turn = 0;
	q->is_giving = true;
	return true;
}

/* ---- this worker ---- */

static void
unlink_exchange(struct queue *q, struct exchange *ex)
{
	list_remove(&ex->in_queue);
	ex->is_queued = false;
	q->count--;
}

/*
 * The first one that there is room for.  One that has failed where there is
 * room waits for another backend: it must not hold up those behind it.
 */
static struct exchange *
first_with_room(const struct queue *q)
{
	struct list *at = q->waiting.next;

	for (unsigned i = 0; i <= PASSED_OVER_MAX && at != &q->waiting; i++) {
		struct exchange *ex = LIST_OF(at, struct exchange, in_queue);

		if (group_has_room(q->group, &ex->tries))
			return ex;
		if (ex->tries.count == 0)
			return NULL; /* there is none at all */
		at = at->next;
	}
	return NULL;
}

/* The first ones go on while there is room. */
static void
serve(struct queue *q)
{
	const struct exchange *last = NULL;
	struct exchange *ex;

	q->is_due = false;
	/* Who is back at once has found others faster. */
	while ((ex = first_with_room(q)) != NULL && ex != last) {
		last = ex;
		unlink_exchange(q, ex);
		ex->state = EXCHANGE_SELECT;
		exchange_walk(ex); /* may free it */
	}
}

/* Where it was: behind those that were passed over, which time out first. */
static void
put_back(struct queue *q, struct exchange *ex)
{
	struct list *at = &q->waiting;

	while (at->next != &q->waiting &&
	    LIST_OF(at->next, struct exchange, in_queue)->queued_until_ms <
	    ex->queued_until_ms)
		at = at->next;
	list_insert_after(at, &ex->in_queue);
}

static void
on_task(struct loop_task *t)
{
	struct queues *qs = LIST_OF(t, struct queues, task);

	for (size_t i = 0; i < qs->count; i++)
		if (qs->items[i].is_due)
			serve(&qs->items[i]);
	proxy_flush(qs->proxy);
}

void
queue_room(struct proxy *p, const struct backend *b)
{
	struct queue *q = queue_of(p, b->group);

	if (q->count > 0 && !q->is_giving) {
		q->is_due = true;
		loop_defer(p->loop, &p->queues->task);
	} else if (do_others_wait(q)) {
		wake_poorest(p->queues, q->group);
	}
	q->is_giving = false;
}

void
queue_streams(struct proxy *p, const struct backend *b)
{
	struct queue *q = queue_of(p, b->group);

	if (q->count == 0)
		return;
	q->is_due = true;
	loop_defer(p->loop, &p->queues->task);
}

static void
expire(struct queue *q, uint64_t now)
{
	while (q->count > 0) {
		struct exchange *ex = LIST_OF(q->waiting.next,
		    struct exchange, in_queue);

		if (ex->queued_until_ms > now)
			return;
		queue_leave(ex);
		exchange_on_backend_failed(ex, REASON_QUEUE_TIMEOUT, NULL);
	}
}

static void
on_look(struct deadline *d)
{
	struct queues *qs = LIST_OF(d, struct queues, look);
	uint64_t now = now_ms();

	for (size_t i = 0; i < qs->count; i++) {
		struct queue *q = &qs->items[i];

		if (q->count == 0)
			continue;
		serve(q);
		expire(q, now);
		if (q->count > 0)
			ask_for_idle(qs, q->group);
	}
	if (qs->waiting > 0)
		deadline_set(qs->proxy->loop, d, now + LOOK_EVERY_MS);
	proxy_flush(qs->proxy);
}

/* One of this worker's idle connections to g, for those that wait. */
static void
give_up_idle(struct queues *qs, const struct group *g)
{
	for (uint32_t i = 0; i < g->backend_count; i++)
		if (g->backends[i].limit != 0 &&
		    (pool_close_one(qs->proxy->pool, &g->backends[i]) ||
		    backend_h2_close_one(qs->proxy, &g->backends[i])))
			return;
}

static void
on_wake(struct loop_watch *w, unsigned events)
{
	struct queues *qs = LIST_OF(w, struct queues, waker);
	uint64_t count;

	(void)events;
	if (read(w->fd, &count, sizeof(count)) < 0)
		return;
	for (size_t i = 0; i < qs->count; i++) {
		struct queue *q = &qs->items[i];

		if (!q->group->is_limited)
			continue;
		if (q->count > 0)
			serve(q);
		else if (do_others_wait(q))
			give_up_idle(qs, q->group);
	}
	proxy_flush(qs->proxy);
}

enum reason
queue_enter(struct exchange *ex)
{
	struct proxy *p = ex->proxy;
	struct queues *qs = p->queues;
	const struct group_queue *conf = &ex->group->conf->queue;
	struct queue *q = queue_of(p, ex->group);

	assert(!ex->is_queued);
	if (ex->has_place) {
		put_back(q, ex);
	} else {
		if (conf->size == 0 || !tally_take(tally_of(ex->group),
		    cell_of(ex->group), conf->size))
			return REASON_QUEUE_FULL;
		ex->has_place = true;
		ex->queued_until_ms = now_ms() + conf->timeout_ms;
		list_push_back(&q->waiting, &ex->in_queue);
		qs->waiting++;
		counter_add(&p->stats[PROXY_STAT_QUEUED], 1);
		ask_for_idle(qs, ex->group);
	}
	ex->is_queued = true;
	q->count++;
	if (qs->look.at_ms == DEADLINE_NEVER)
		deadline_set(p->loop, &qs->look, now_ms() + LOOK_EVERY_MS);
	return REASON_NONE;
}

void
queue_leave(struct exchange *ex)
{
	if (ex->is_queued)
		unlink_exchange(queue_of(ex->proxy, ex->group), ex);
	if (!ex->has_place)
		return;
	ex->has_place = false;
	tally_give(tally_of(ex->group), cell_of(ex->group));
	ex->proxy->queues->waiting--;
}

struct queues *
queue_open(struct proxy *p)
{
	struct queues *qs = NULL;
	bool is_needed = false;
	int fd = backend_zone_waker(p->boot.backends);

	for (size_t i = 0; i < p->boot.group_count; i++)
		is_needed |= p->boot.groups[i]->is_limited;
	if (!is_needed)
		return NULL;
	qs = heap_alloc_zeroed(1, sizeof(*qs));
	qs->proxy = p;
	qs->count = p->boot.group_count;
	qs->items = heap_alloc_zeroed(qs->count, sizeof(*qs->items));
	for (size_t i = 0; i < qs->count; i++) {
		assert(p->boot.groups[i]->number == i);
		qs->items[i].group = p->boot.groups[i];
		list_init(&qs->items[i].waiting);
	}
	deadline_init(&qs->look, on_look);
	loop_task_init(&qs->task, on_task);
	qs->waker = (struct loop_watch){ on_wake, -1, 0 };
	/* Without it, looking now and then has to do. */
	if (fd >= 0)
		(void)loop_add_reader(p->loop, &qs->waker, fd, false);
	return qs;
}

void
queue_close(struct queues *qs)
{
	if (qs == NULL)
		return;
	deadline_stop(qs->proxy->loop, &qs->look);
	loop_cancel(qs->proxy->loop, &qs->task);
	loop_remove(qs->proxy->loop, &qs->waker);
	free(qs->items);
	free(qs);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * backend_h2 - connections to backends over HTTP/2, and who gets a stream.
 *
 * A worker's own: what makes them cheap is that they are shared by its many
 * exchanges.  The fullest that has room is taken first, so that those which
 * are not needed any more run empty and end.
 */
#include "proxy/backend_h2.h"

#include <stdlib.h>
#include <string.h>

#include "base/heap_alloc.h"
#include "net/tls_stream.h"
#include "proxy/backend_conn.h"
#include "proxy/backend_h2_private.h"
#include "proxy/queue.h"

enum { LOST_MS = 1000 /* how soon an idle one sees that its address is */ };

static void on_task(struct loop_task *t);
static void on_pool_task(struct loop_task *t);

size_t
backend_h2_bytes(void)
{
	return sizeof(struct backend_h2);
}

/* ---- the pool of a backend ---- */

static struct backend_h2_pool *
pool_of(struct proxy *proxy, const struct backend *b)
{
	struct backend_h2_pool **place = &proxy->h2_pools[b->slot];
	struct backend_h2_pool *pool = *place;

	if (pool != NULL && pool->backend == b)
		return pool;
	assert(pool == NULL);
	pool = heap_alloc_zeroed(1, sizeof(*pool));
	pool->proxy = proxy;
	pool->backend = b;
	list_init(&pool->conns);
	list_init(&pool->waiters);
	loop_task_init(&pool->task, on_pool_task);
	*place = pool;
	return pool;
}

bool
backend_h2_is_wanted(const struct exchange *ex)
{
	const struct backend_h2_pool *pool =
	    ex->proxy->h2_pools[ex->backend->slot];

	if (ex->group->conf->protocol == GROUP_H1 || ex->up_h1_only)
		return false;
	return ex->group->conf->protocol == GROUP_H2 || pool == NULL ||
	    pool->h1_until_ms <= now_ms();
}

bool
backend_h2_is_spoken(const struct exchange *ex, const struct conn *c)
{
	struct span alpn = conn_alpn(c);

	if (!backend_h2_is_wanted(ex))
		return false;
	if (ex->group->conf->protocol == GROUP_H2 && alpn.len == 0)
		return true;
	return span_eq(alpn, SPAN("h2"));
}

/* How many streams a connection may carry at once. */
static uint32_t
streams_max(const struct backend_h2 *bh)
{
	uint32_t own = bh->group->h2_streams_max;
	uint32_t peer = h2_session_peer_streams_max(bh->session);

	return peer < own ? peer : own;
}

/*
 * Clients that do not take what has come for them may hold all of the window,
 * and everybody else on the connection: a new one is cheaper.
 */
static bool
has_window(const struct backend_h2 *bh)
{
	size_t want = bh->conf.stream_window;

	/* One stream may have more than all have: then half will do. */
	if (want > bh->conf.window / 2)
		want = bh->conf.window / 2;
	return bh->pool->backend->limit != 0 || bh->load == 0 ||
	    h2_session_held(bh->session) + want <= bh->conf.window;
}

static bool
has_room_for_stream(const struct backend_h2 *bh)
{
	const struct group_keepalive *k = &bh->group->keepalive;

	return !bh->is_closed && !bh->is_leaving && !bh->conn.failed &&
	    tls_stream_is_current(&bh->conn) &&
	    (k->requests_max == 0 || bh->served < k->requests_max) &&
	    bh->load < streams_max(bh) && has_window(bh);
}

/* Its address is none of the name's any more. */
static bool
is_lost(const struct backend_h2 *bh)
{
	return bh->tenancy != backend_tenancy(bh->pool->backend);
}

/* No more streams; it ends with its last one. */
static void
leave(struct backend_h2 *bh)
{
	if (bh->is_leaving || bh->is_closed)
		return;
	bh->is_leaving = true;
	list_remove(&bh->in_pool);
	backend_h2_want_turn(bh);
}

/* name: of the request, as backend_conn_open_name() says. */
static struct backend_h2 *
find(struct backend_h2_pool *pool, struct span name)
{
	LIST_EACH(&pool->conns, node, after) {
		struct backend_h2 *bh =
		    LIST_OF(node, struct backend_h2, in_pool);

		if (is_lost(bh))
			leave(bh);
		else if (has_room_for_stream(bh) &&
		    span_eq(span_of(bh->name, bh->name_len), name))
			return bh;
	}
	return NULL;
}

/*
 * Where connections are counted, tell the balancer and the other workers what
 * there is in this one.
 */
static void
note_streams(struct backend_h2_pool *pool)
{
	const struct backend *b = pool->backend;
	uint32_t bits = 0;

	if (b->limit == 0 || b->own == NULL)
		return;
	LIST_EACH(&pool->conns, node, after) {
		const struct backend_h2 *bh =
		    LIST_OF(node, struct backend_h2, in_pool);

		if (!is_lost(bh) && has_room_for_stream(bh))
			bits |= BACKEND_STREAMS_ROOM;
		if (list_is_empty(&bh->streams))
			bits |= BACKEND_STREAMS_IDLE;
	}
	atomic_store_explicit(&b->own->streams, bits, memory_order_relaxed);
}

static void
give_stream(struct backend_h2 *bh, struct backend_h2_stream *s)
{
	backend_h2_stream_attach(s, bh);
	backend_h2_want_turn(bh);
}

enum backend_h2_result
backend_h2_open(struct exchange *ex, bool may_reuse)
{
	struct backend_h2_pool *pool = pool_of(ex->proxy, ex->backend);
	char memory[BACKEND_CONN_NAME_MAX];
	struct span name = backend_conn_open_name(ex, memory);
	struct backend_h2 *bh = may_reuse ? find(pool, name) : NULL;
	struct backend_h2_stream *s;

	if (bh != NULL)
		give_stream(bh, backend_h2_stream_new(ex, pool));
	note_streams(pool);
	if (bh != NULL) {
		ex->reused = true;
		return BACKEND_H2_READY;
	}
	/* Who waits takes a connection of another's, made under no name. */
	if (pool->connecting == 0 || !may_reuse || name.len > 0 ||
	    (ex->group->conf->protocol == GROUP_AUTO && !pool->is_known))
		return BACKEND_H2_CONNECT;
	s = backend_h2_stream_new(ex, pool);
	s->is_waiting = true;
	list_push_back(&pool->waiters, &s->all);
	deadline_set(ex->proxy->loop, &s->deadline,
	    now_ms() + ex->route->timeouts.connect_ms);
	return BACKEND_H2_PENDING;
}

void
backend_h2_connect_began(struct proxy *proxy, const struct backend *b)
{
	pool_of(proxy, b)->connecting++;
}

void
backend_h2_connect_ended(struct proxy *proxy, const struct backend *b)
{
	struct backend_h2_pool *pool = pool_of(proxy, b);

	assert(pool->connecting > 0);
	pool->connecting--;
	if (!list_is_empty(&pool->waiters) && !pool->task.is_queued)
		loop_defer(proxy->loop, &pool->task);
}

/*
 * A connection stands, or none will: those who wait get a stream.  Who gets
 * none makes a connection of his own, for which the others wait on; where
 * there may be none, they wait for room like all others.
 */
static void
on_pool_task(struct loop_task *t)
{
	struct backend_h2_pool *pool = LIST_OF(t, struct backend_h2_pool,
	    task);
	struct proxy *proxy = pool->proxy;

	while (!list_is_empty(&pool->waiters)) {
		struct backend_h2_stream *s = LIST_OF(pool->waiters.next,
		    struct backend_h2_stream, all);
		struct backend_h2 *bh = find(pool, span_of(NULL, 0));
		struct exchange *ex = s->ex;

		if (bh != NULL) {
			deadline_clear(&s->deadline);
			give_stream(bh, s);
			exchange_on_connected(ex, true);
			continue;
		}
		if (pool->connecting > 0)
			break;
		/* Its turn: it leaves the queue and connects for itself. */
		note_streams(pool);
		backend_h2_stream_drop(s);
		backend_conn_open_new(ex);
	}
	note_streams(pool);
	proxy_flush(proxy);
}

/* ---- life and death ---- */

static void
drop(struct backend_h2 *bh, const char *why)
{
	struct proxy *proxy = bh->proxy;
	struct h2_session *session = bh->session;

	if (bh->is_closed)
		return;
	bh->is_closed = true;
	bh->why = why;
	list_remove(&bh->in_pool);
	list_remove(&bh->all);
	bh->session = NULL;
	h2_session_free(session);
	proxy_forget_out(proxy, &bh->conn);
	conn_close(&bh->conn, false);
	counter_sub(&proxy->stats[PROXY_STAT_BACKEND_OPEN], 1);
	bh->next_dead = proxy->dead_h2_backends;
	proxy->dead_h2_backends = bh;
	loop_defer(proxy->loop, &proxy->bury);
	note_streams(bh->pool);
	if (bh->is_limited) {
		backend_give_connection(bh->pool->backend);
		queue_room(proxy, bh->pool->backend);
	}
}

bool
backend_h2_close_one(struct proxy *proxy, const struct backend *b)
{
	struct backend_h2_pool *pool = proxy->h2_pools[b->slot];

	if (pool == NULL || pool->backend != b)
		return false;
	LIST_EACH(&pool->conns, node, after) {
		struct backend_h2 *bh =
		    LIST_OF(node, struct backend_h2, in_pool);

		if (bh->is_limited && list_is_empty(&bh->streams)) {
			drop(bh, "others wait");
			return true;
		}
	}
	return false;
}

void
backend_h2_bury(struct proxy *proxy)
{
	struct backend_h2 *bh = proxy->dead_h2_backends;

	backend_h2_stream_bury(proxy);
	proxy->dead_h2_backends = NULL;
	while (bh != NULL) {
		struct backend_h2 *next = bh->next_dead;

		if (bh->task.is_queued || !list_is_empty(&bh->streams)) {
			bh->next_dead = proxy->dead_h2_backends;
			proxy->dead_h2_backends = bh;
		} else {
			bh->magic = 0;
			free(bh->name);
			slab_put(&proxy->h2_backends, bh);
		}
		bh = next;
	}
}

void
backend_h2_fini(struct proxy *proxy)
{
	LIST_EACH(&proxy->h2_backend_list, node, after)
		drop(LIST_OF(node, struct backend_h2, all), "weir ends");
	for (size_t i = 0; i < proxy->h2_pool_count; i++) {
		if (proxy->h2_pools[i] != NULL)
			loop_cancel(proxy->loop, &proxy->h2_pools[i]->task);
		free(proxy->h2_pools[i]);
	}
	free(proxy->h2_pools);
	proxy->h2_pools = NULL;
}

void
backend_h2_drain(struct proxy *proxy)
{
	LIST_EACH(&proxy->h2_backend_list, node, after) {
		struct backend_h2 *bh = LIST_OF(node, struct backend_h2, all);

		if (list_is_empty(&bh->streams))
			leave(bh);
	}
}

void
backend_h2_on_goaway(void *owner, uint32_t last_id, uint32_t error)
{
	(void)last_id;
	(void)error;
	leave(owner);
}

void
backend_h2_on_settings(void *owner)
{
	struct backend_h2 *bh = owner;

	LIST_EACH(&bh->streams, node, after) {
		struct backend_h2_stream *s =
		    LIST_OF(node, struct backend_h2_stream, all);

		if (s->head_waits && list_is_empty(&s->touched))
			list_push_back(&bh->touched, &s->touched);
	}
	backend_h2_want_turn(bh);
}

void
backend_h2_on_pong(void *owner)
{
	struct backend_h2 *bh = owner;

	bh->is_pinged = false;
}

/* ---- receiving and sending ---- */

static void
write_out(void *owner, struct span bytes)
{
	struct backend_h2 *bh = owner;

	str_span(proxy_out(bh->proxy, &bh->conn), bytes);
}

static bool
has_room(void *owner)
{
	const struct backend_h2 *bh = owner;

	return conn_pending(&bh->conn) == 0 && !bh->conn.failed;
}

static void
receive(struct backend_h2 *bh)
{
	struct proxy *proxy = bh->proxy;
	size_t turn = 0;

	while (bh->conn.readable && !bh->is_closed && turn < TURN_BYTES &&
	    !h2_session_is_over(bh->session)) {
		ssize_t n = conn_receive(&bh->conn, proxy->scratch,
		    SCRATCH_BYTES);

		if (n == CONN_AGAIN)
			break;
		if (n == CONN_EOF || n == CONN_FAILED) {
			drop(bh, n == CONN_FAILED ? "connection reset"
						  : "connection closed");
			break;
		}
		turn += (size_t)n;
		h2_session_receive(bh->session,
		    span_of(proxy->scratch, (size_t)n), now_ms());
	}
	if (!bh->is_closed)
		backend_h2_want_turn(bh);
}

/* What the deadline is for: idling, or silence while streams wait. */
static void
await_idle(struct backend_h2 *bh)
{
	uint64_t next = bh->idle_until_ms;

	if (bh->pool->backend->is_name && next > now_ms() + LOST_MS)
		next = now_ms() + LOST_MS;
	deadline_set(bh->proxy->loop, &bh->conn.deadline, next);
}

static void
arm(struct backend_h2 *bh)
{
	uint64_t ping_ms = bh->group->h2_ping_interval_ms;
	bool is_idle = list_is_empty(&bh->streams);

	if (bh->is_pinged)
		return;
	if (is_idle && !bh->was_idle) {
		bh->idle_until_ms = now_ms() +
		    bh->group->keepalive.idle_timeout_ms;
		await_idle(bh);
	}
	if (!is_idle && ping_ms == 0)
		deadline_clear(&bh->conn.deadline);
	else if (!is_idle && (bh->was_idle ||
	    bh->received_seen != bh->conn.received))
		deadline_set(bh->proxy->loop, &bh->conn.deadline,
		    now_ms() + ping_ms);
	bh->received_seen = bh->conn.received;
	bh->was_idle = is_idle;
}

/* A stream has ended where connections are counted: who has its room? */
static void
share_room(struct backend_h2 *bh)
{
	struct proxy *proxy = bh->proxy;
	const struct backend *b = bh->pool->backend;

	if (!bh->has_ended || b->limit == 0)
		return;
	bh->has_ended = false;
	if (bh->is_limited && queue_wants(proxy, b))
		leave(bh);
	note_streams(bh->pool);
	if (!bh->is_leaving)
		queue_streams(proxy, b);
}

static void
finish_turn(struct backend_h2 *bh)
{
	backend_h2_stream_feed_touched(bh);
	if (bh->is_closed)
		return;
	share_room(bh);
	h2_session_compose(bh->session);
	proxy_send_out(bh->proxy);
	backend_h2_stream_composed(bh);
	if (bh->conn.failed)
		drop(bh, "connection reset");
	else if (h2_session_is_over(bh->session))
		drop(bh, "the session has ended");
	else if ((bh->is_leaving || is_lost(bh)) &&
	    list_is_empty(&bh->streams))
		drop(bh, "it leaves");
	else
		arm(bh);
	/* Streams that have ended make room for those who wait. */
	if (!list_is_empty(&bh->pool->waiters) && !bh->pool->task.is_queued)
		loop_defer(bh->proxy->loop, &bh->pool->task);
}

static void
on_task(struct loop_task *t)
{
	struct backend_h2 *bh = LIST_OF(t, struct backend_h2, task);
	struct proxy *proxy = bh->proxy;

	if (!bh->is_closed && bh->conn.readable)
		receive(bh);
	finish_turn(bh);
	if (bh->is_closed)
		loop_defer(proxy->loop, &proxy->bury);
	proxy_flush(proxy);
}

static void
on_event(struct loop_watch *w, unsigned events)
{
	struct backend_h2 *bh = LIST_OF(w, struct backend_h2, conn.watch);
	struct proxy *proxy = bh->proxy;

	assert(bh->magic == BACKEND_H2_MAGIC);
	if (bh->is_closed)
		return;
	conn_note(&bh->conn, events);
	if (conn_pending(&bh->conn) > 0 && bh->conn.writable &&
	    conn_flush(&bh->conn) != 0)
		bh->conn.failed = true;
	if (bh->conn.readable)
		receive(bh);
	if (!bh->is_closed)
		backend_h2_want_turn(bh);
	proxy_flush(proxy);
}

static void
on_deadline(struct deadline *d)
{
	struct backend_h2 *bh = LIST_OF(d, struct backend_h2, conn.deadline);
	struct proxy *proxy = bh->proxy;

	assert(bh->magic == BACKEND_H2_MAGIC);
	if (list_is_empty(&bh->streams)) {
		if (is_lost(bh) || bh->idle_until_ms <= now_ms())
			drop(bh, "idle");
		else
			await_idle(bh);
	} else if (bh->is_pinged) {
		drop(bh, "it does not answer a PING");
	} else {
		bh->is_pinged = true;
		h2_session_ping(bh->session);
		deadline_set(proxy->loop, &bh->conn.deadline,
		    now_ms() + bh->group->h2_ping_timeout_ms);
		backend_h2_want_turn(bh);
	}
	proxy_flush(proxy);
}

/* ---- the beginning ---- */

static void
fill_conf(struct backend_h2 *bh, const struct core_conf *core)
{
	const struct group_conf *group = bh->group;

	bh->conf = (struct h2_conf){
		.events = &backend_h2_stream_events,
		.owner = bh,
		.pool = &bh->proxy->blocks,
		.write = write_out,
		.has_room = has_room,
		.head = {
			.bytes_max = (size_t)group->response_header_max_bytes,
			.line_max = (size_t)group->response_header_max_bytes,
			.fields_max = group->response_fields_max,
		},
		.header_list_max =
		    (size_t)group->response_header_max_bytes * 2,
		.stream_window = (uint32_t)core->buffer,
		.window = (uint32_t)core->h2_buffer,
		.is_client = true,
	};
	/* A backend is bounded by the limits of its responses. */
	for (unsigned i = 0; i < H2_FLOOD_COUNT; i++)
		bh->conf.floods_max[i] = UINT32_MAX / 2;
	bh->conf.floods_max[H2_FLOOD_CONTINUATION] = 8;
	bh->conf.floods_max[H2_FLOOD_HEADER_LIST] = 0;
	bh->conf.floods_max[H2_FLOOD_SETTINGS] = 1000;
	bh->conf.floods_max[H2_FLOOD_PING] = 1000;
	bh->conf.floods_max[H2_FLOOD_EMPTY] = 10000;
}

void
backend_h2_take(struct exchange *ex, struct conn *from, bool is_limited,
    uint32_t tenancy)
{
	struct proxy *proxy = ex->proxy;
	struct backend_h2_pool *pool = pool_of(proxy, ex->backend);
	struct backend_h2 *bh = slab_get_zeroed(&proxy->h2_backends);
	char memory[BACKEND_CONN_NAME_MAX];
	struct span name = backend_conn_open_name(ex, memory);
	struct backend_h2_stream *s;

	bh->magic = BACKEND_H2_MAGIC;
	bh->proxy = proxy;
	bh->pool = pool;
	bh->is_limited = is_limited;
	bh->tenancy = tenancy;
	bh->group = ex->group->conf;
	if (name.len > 0)
		bh->name = strndup(name.p, name.len);
	bh->name_len = bh->name != NULL ? name.len : 0;
	pool->is_known = true;
	list_init(&bh->streams);
	list_init(&bh->touched);
	list_init(&bh->stalled);
	list_init(&bh->in_pool);
	loop_task_init(&bh->task, on_task);
	list_push_back(&proxy->h2_backend_list, &bh->all);
	list_push_back(&pool->conns, &bh->in_pool);
	counter_add(&proxy->stats[PROXY_STAT_BACKEND_OPEN], 1);
	counter_add(&proxy->stats[PROXY_STAT_H2_BACKENDS], 1);
	fill_conf(bh, ex->core);
	if (conn_move(&bh->conn, from, on_event, on_deadline) != 0 ||
	    conn_watch(&bh->conn) != 0)
		bh->conn.failed = true;
	bh->session = h2_session_new(&bh->conf);
	if (bh->session == NULL)
		bh->conn.failed = true;
	s = backend_h2_stream_new(ex, pool);
	give_stream(bh, s);
	note_streams(pool);
	if (bh->session == NULL)
		drop(bh, "no memory");
}

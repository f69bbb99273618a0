/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * client_h2 - an HTTP/2 connection of a client.
 *
 * What is received goes to the session at once; what is to be sent is composed
 * once a turn of the loop, in a task at its end, so that all answers of a
 * batch leave together.  Streams may outlive their connection: an exchange
 * whose backend may finish keeps its stream, and that the connection's memory.
 */
#include "proxy/client_h2.h"

#include <stdlib.h>

#include "proxy/client_h2_private.h"

enum {
	LEAVE_MS = 1000,    /* a client has seen the notice by then */
	LINGER_MS = 2000,   /* reading on after the last frame */
	LINGER_BYTES = 4194304,
};

static void on_task(struct loop_task *t);
static void on_leave(struct deadline *d);

enum client_h2_preface
client_h2_preface(struct span bytes)
{
	static const struct span preface =
	    { "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24 };
	size_t len = bytes.len < preface.len ? bytes.len : preface.len;

	if (memcmp(bytes.p, preface.p, len) != 0)
		return CLIENT_H2_NOT;
	return len == preface.len ? CLIENT_H2_IS : CLIENT_H2_MAYBE;
}

size_t
client_h2_bytes(void)
{
	return sizeof(struct client_h2);
}

static const struct core_conf *
core_of(const struct client_h2 *c)
{
	return client_h2_service(c)->core;
}

/* ---- the one deadline ---- */

static enum client_h2_wait
what_waits(const struct client_h2 *c)
{
	if (c->waits == WAIT_LAST || c->waits == WAIT_CLOSED)
		return (enum client_h2_wait)c->waits;
	if (conn_pending(&c->conn) > 0)
		return WAIT_WRITE;
	if (!h2_session_is_ready(c->session) || h2_session_in_head(c->session))
		return WAIT_HEAD;
	return h2_session_streams(c->session) == 0 ? WAIT_IDLE
						   : WAIT_NOTHING;
}

static uint64_t
limit_ms(const struct client_h2 *c, enum client_h2_wait waits)
{
	switch (waits) {
	case WAIT_HEAD:
		return core_of(c)->client_header_timeout_ms;
	case WAIT_IDLE:
		return core_of(c)->keepalive_timeout_ms;
	case WAIT_WRITE:
		return core_of(c)->client_write_timeout_ms;
	case WAIT_LAST:
		return LINGER_MS;
	case WAIT_NOTHING:
	case WAIT_CLOSED:
	default:
		return 0;
	}
}

static void
set_waits(struct client_h2 *c, enum client_h2_wait waits)
{
	_Atomic uint64_t *idle = &c->proxy->stats[PROXY_STAT_CONN_IDLE];

	if (waits == c->waits &&
	    (waits != WAIT_WRITE || c->conn.sent == c->sent_seen))
		return;
	if (c->waits == WAIT_IDLE && waits != WAIT_IDLE)
		counter_sub(idle, 1);
	if (waits == WAIT_IDLE && c->waits != WAIT_IDLE)
		counter_add(idle, 1);
	c->waits = (uint8_t)waits;
	c->sent_seen = c->conn.sent;
	if (limit_ms(c, waits) == 0)
		deadline_clear(&c->conn.deadline);
	else
		deadline_set(c->proxy->loop, &c->conn.deadline,
		    now_ms() + limit_ms(c, waits));
}

/* ---- life and death ---- */

static void
end_session(struct client_h2 *c)
{
	struct h2_session *session = c->session;

	c->session = NULL;
	h2_session_free(session);
}

/* The one way to die. */
static void
drop(struct client_h2 *c, bool reset)
{
	struct proxy *proxy = c->proxy;

	if (c->waits == WAIT_CLOSED)
		return;
	set_waits(c, WAIT_CLOSED);
	end_session(c);
	deadline_stop(proxy->loop, &c->leave);
	proxy_forget_out(proxy, &c->conn);
	conn_close(&c->conn, reset);
	list_remove(&c->all);
	counter_sub(&proxy->stats[PROXY_STAT_CONN_OPEN], 1);
	c->next_dead = proxy->dead_h2_clients;
	proxy->dead_h2_clients = c;
	loop_defer(proxy->loop, &proxy->bury);
	proxy_client_gone(proxy, c->is_admin);
}

static void
bury_streams(struct proxy *proxy)
{
	struct client_h2_stream *s = proxy->dead_h2_streams;

	proxy->dead_h2_streams = NULL;
	while (s != NULL) {
		struct client_h2_stream *next = s->next_dead;

		pipe_fini(&s->in, &proxy->blocks);
		if (!s->has_exchange)
			arena_fini(&s->arena);
		s->magic = 0;
		slab_put(&proxy->h2_streams, s);
		s = next;
	}
}

void
client_h2_bury(struct proxy *proxy)
{
	struct client_h2 *c = proxy->dead_h2_clients;

	bury_streams(proxy);
	proxy->dead_h2_clients = NULL;
	while (c != NULL) {
		struct client_h2 *next = c->next_dead;

		if (c->task.is_queued || c->is_reading ||
		    !list_is_empty(&c->streams)) {
			c->next_dead = proxy->dead_h2_clients;
			proxy->dead_h2_clients = c;
		} else {
			c->magic = 0;
			slab_put(&proxy->h2_clients, c);
		}
		c = next;
	}
}

/* All was said: FIN, then read on, so that the client can read it. */
static void
linger(struct client_h2 *c)
{
	if (c->conn.peer_closed || c->conn.failed) {
		drop(c, false);
		return;
	}
	end_session(c);
	conn_close_send(&c->conn);
	set_waits(c, WAIT_LAST);
	c->conn.readable = true;
	client_h2_want_turn(c);
}

/* ---- leaving: of a drain, or after enough requests ---- */

static void
leave(struct client_h2 *c)
{
	if (c->is_leaving || c->session == NULL)
		return;
	c->is_leaving = true;
	client_h2_want_turn(c);
	if (h2_session_streams(c->session) == 0 &&
	    h2_session_is_ready(c->session)) {
		/* Nothing can be on its way that would not be repeated. */
		c->has_left = true;
		h2_session_shut_down(c->session, false);
		return;
	}
	h2_session_shut_down(c->session, true);
	h2_session_ping(c->session);
	deadline_set(c->proxy->loop, &c->leave, now_ms() + LEAVE_MS);
}

static void
on_leave(struct deadline *d)
{
	struct client_h2 *c = LIST_OF(d, struct client_h2, leave);
	struct proxy *proxy = c->proxy;

	assert(c->magic == CLIENT_H2_MAGIC);
	if (c->session != NULL && !c->has_left) {
		c->has_left = true;
		h2_session_shut_down(c->session, false);
		client_h2_want_turn(c);
	}
	proxy_flush(proxy);
}

void
client_h2_drain(struct proxy *proxy)
{
	LIST_EACH(&proxy->h2_client_list, node, after)
		leave(LIST_OF(node, struct client_h2, all));
}

/* Its streams that are in flight; some of them may be tunnels. */
static void
cut_streams(struct client_h2 *c, struct proxy_cut *cut)
{
	LIST_EACH(&c->streams, at, next) {
		struct client_h2_stream *s =
		    LIST_OF(at, struct client_h2_stream, all);

		if (s->ex == NULL)
			continue;
		cut->requests += !s->ex->is_tunnel;
		cut->tunnels += s->ex->is_tunnel;
		exchange_on_client_failed(s->ex, REASON_DRAIN_CUT, NULL);
	}
}

void
client_h2_cut_all(struct proxy *proxy, struct proxy_cut *cut)
{
	LIST_EACH(&proxy->h2_client_list, node, after) {
		struct client_h2 *c = LIST_OF(node, struct client_h2, all);

		cut->idle += list_is_empty(&c->streams) && !c->is_admin;
		cut_streams(c, cut);
		drop(c, true);
	}
	proxy_flush(proxy);
}

static unsigned
cut_tunnels(struct client_h2 *c, uint64_t drained_ms)
{
	unsigned count = 0;

	LIST_EACH(&c->streams, at, next) {
		struct client_h2_stream *s =
		    LIST_OF(at, struct client_h2_stream, all);
		uint64_t most;

		if (s->ex == NULL || !s->ex->is_tunnel)
			continue;
		most = s->ex->core->tunnel_shutdown_timeout_ms;
		if (most == 0 || drained_ms < most)
			continue;
		s->was_cut = true;
		exchange_on_client_failed(s->ex, REASON_DRAIN_CUT, NULL);
		count++;
	}
	return count;
}

unsigned
client_h2_cut_tunnels(struct proxy *proxy, uint64_t drained_ms)
{
	unsigned count = 0;

	LIST_EACH(&proxy->h2_client_list, node, after)
		count += cut_tunnels(LIST_OF(node, struct client_h2, all),
		    drained_ms);
	proxy_flush(proxy);
	return count;
}

/* ---- receiving and sending ---- */

static void
write_out(void *owner, struct span bytes)
{
	struct client_h2 *c = owner;

	str_span(proxy_out(c->proxy, &c->conn), bytes);
}

static bool
has_room(void *owner)
{
	const struct client_h2 *c = owner;

	return conn_pending(&c->conn) == 0 && !c->conn.failed;
}

static void
take_in(struct client_h2 *c, struct span bytes)
{
	uint32_t limit = core_of(c)->keepalive_requests;

	h2_session_receive(c->session, bytes, now_ms());
	client_h2_stream_release_held(c);
	if (limit != 0 && c->requests >= limit)
		leave(c);
}

/* Bytes behind the end are read and dropped, but not for ever. */
static void
linger_on(struct client_h2 *c, ssize_t n)
{
	c->lingered += n > 0 ? (uint64_t)n : 0;
	if (c->lingered > LINGER_BYTES || n == CONN_EOF || n == CONN_FAILED)
		drop(c, n > 0);
}

static void
receive(struct client_h2 *c)
{
	struct proxy *proxy = c->proxy;
	size_t turn = 0;

	c->is_reading = true;
	while (c->conn.readable && c->waits != WAIT_CLOSED) {
		ssize_t n;

		if (turn >= TURN_BYTES ||
		    (c->session != NULL && h2_session_is_over(c->session)))
			break;
		n = conn_receive(&c->conn, proxy->scratch, SCRATCH_BYTES);
		if (n == CONN_AGAIN)
			break;
		if (c->session == NULL) {
			linger_on(c, n);
		} else if (n == CONN_EOF || n == CONN_FAILED) {
			drop(c, false);
		} else {
			take_in(c, span_of(proxy->scratch, (size_t)n));
		}
		turn += n > 0 ? (size_t)n : 0;
	}
	c->is_reading = false;
	if (c->waits != WAIT_CLOSED)
		client_h2_want_turn(c);
}

/*
 * The end of a turn: frames are composed and sent, and what this makes room
 * for goes on.
 */
static void
finish_turn(struct client_h2 *c)
{
	client_h2_stream_feed_touched(c);
	if (c->waits == WAIT_CLOSED || c->session == NULL)
		return;
	h2_session_compose(c->session);
	proxy_send_out(c->proxy);
	client_h2_stream_composed(c);
	if (c->conn.failed)
		drop(c, true);
	else if (h2_session_is_over(c->session) && conn_pending(&c->conn) == 0)
		linger(c);
	else
		set_waits(c, what_waits(c));
}

static void
on_task(struct loop_task *t)
{
	struct client_h2 *c = LIST_OF(t, struct client_h2, task);
	struct proxy *proxy = c->proxy;

	if (c->waits != WAIT_CLOSED && c->conn.readable)
		receive(c);
	finish_turn(c);
	if (c->waits == WAIT_CLOSED)
		loop_defer(proxy->loop, &proxy->bury);
	proxy_flush(proxy);
}

static void
on_event(struct loop_watch *w, unsigned events)
{
	struct client_h2 *c = LIST_OF(w, struct client_h2, conn.watch);
	struct proxy *proxy = c->proxy;

	assert(c->magic == CLIENT_H2_MAGIC);
	if (c->waits == WAIT_CLOSED)
		return;
	conn_note(&c->conn, events);
	if (conn_pending(&c->conn) > 0 && c->conn.writable &&
	    conn_flush(&c->conn) != 0)
		c->conn.failed = true;
	if (c->conn.readable)
		receive(c);
	if (c->waits != WAIT_CLOSED)
		client_h2_want_turn(c);
	proxy_flush(proxy);
}

static void
on_deadline(struct deadline *d)
{
	struct client_h2 *c = LIST_OF(d, struct client_h2, conn.deadline);
	struct proxy *proxy = c->proxy;

	assert(c->magic == CLIENT_H2_MAGIC);
	switch ((enum client_h2_wait)c->waits) {
	case WAIT_IDLE:
	case WAIT_HEAD:
		h2_session_terminate(c->session, H2_NO_ERROR);
		c->waits = c->waits == WAIT_IDLE ? WAIT_IDLE : WAIT_NOTHING;
		client_h2_want_turn(c);
		break;
	case WAIT_WRITE:
		drop(c, true);
		break;
	case WAIT_LAST:
		drop(c, false);
		break;
	case WAIT_NOTHING:
	case WAIT_CLOSED:
	default:
		break;
	}
	proxy_flush(proxy);
}

/* ---- the beginning ---- */

static void
fill_conf(struct client_h2 *c)
{
	const struct core_conf *core = core_of(c);
	uint64_t window = core->buffer < core->h2_buffer ? core->buffer
							 : core->h2_buffer;

	c->conf = (struct h2_conf){
		.events = &client_h2_stream_events,
		.owner = c,
		.pool = &c->proxy->blocks,
		.write = write_out,
		.has_room = has_room,
		.head = {
			.bytes_max = (size_t)core->header_size_max,
			.line_max = (size_t)core->request_line_max,
			.fields_max = core->fields_max,
		},
		.header_list_max = (size_t)core->h2_header_list_max,
		.streams_max = core->h2_streams_max,
		.stream_window = (uint32_t)window,
		.window = (uint32_t)core->h2_buffer,
		.takes_connect = core->websocket,
		.floods_max = {
			[H2_FLOOD_RESET] = core->h2_resets_max,
			[H2_FLOOD_RESET_MADE] = core->h2_resets_max,
			[H2_FLOOD_SETTINGS] = core->h2_settings_max,
			[H2_FLOOD_PING] = core->h2_pings_max,
			[H2_FLOOD_PRIORITY] = core->h2_priorities_max,
			[H2_FLOOD_EMPTY] = core->h2_empty_frames_max,
			[H2_FLOOD_WINDOW] = core->h2_window_updates_max,
			[H2_FLOOD_CONTINUATION] = core->h2_continuations_max,
		},
	};
}

void
client_h2_take(struct proxy *proxy, struct conn *from,
    const struct listener_spec *spec, const struct addr_ip *peer, uint64_t id,
    struct span bytes)
{
	struct client_h2 *c = slab_get_zeroed(&proxy->h2_clients);

	c->magic = CLIENT_H2_MAGIC;
	c->proxy = proxy;
	c->spec = spec;
	c->is_admin = spec->is_admin;
	c->id = id;
	c->peer = *peer;
	c->waits = WAIT_NOTHING;
	list_init(&c->streams);
	list_init(&c->held);
	list_init(&c->touched);
	list_init(&c->stalled);
	list_init(&c->slow);
	loop_task_init(&c->task, on_task);
	deadline_init(&c->leave, on_leave);
	list_push_back(&proxy->h2_client_list, &c->all);
	counter_add(&proxy->stats[PROXY_STAT_H2_CONNECTIONS], 1);
	fill_conf(c);
	if (conn_move(&c->conn, from, on_event, on_deadline) != 0 ||
	    conn_watch(&c->conn) != 0)
		c->conn.failed = true;
	c->session = h2_session_new(&c->conf);
	if (c->session == NULL || c->conn.failed) {
		drop(c, true);
		return;
	}
	if (bytes.len > 0)
		take_in(c, bytes);
	if (proxy->draining)
		leave(c);
	client_h2_want_turn(c);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * client_h2_stream - the client's end of one exchange, on an HTTP/2 stream.
 *
 * An exchange may end inside any call made to it: s->ex is looked at again
 * afterwards.  The stream's memory stays until the end of the turn.
 */
#include "http/date.h"
#include "os/sock.h"
#include "proxy/client_h2.h"
#include "proxy/client_h2_private.h"
#include "proxy/relay.h"

enum { ROOM_MIN = 4096 /* less is not worth a receive of the source */ };

static const struct client_ops ops;
static void on_deadline(struct deadline *d);

size_t
client_h2_stream_bytes(void)
{
	return sizeof(struct client_h2_stream);
}

static struct client_h2_stream *
of_h2(struct h2_stream *st)
{
	struct client_h2_stream *s = LIST_OF(st, struct client_h2_stream, h2);

	assert(s->magic == CLIENT_H2_STREAM_MAGIC);
	return s;
}

static struct client_h2_stream *
of_exchange(const struct exchange *ex)
{
	struct client_h2_stream *s = ex->client;

	assert(s->magic == CLIENT_H2_STREAM_MAGIC);
	return s;
}

/* ---- life and death ---- */

static struct h2_stream *
on_open(void *owner)
{
	struct client_h2 *c = owner;
	struct client_h2_stream *s = slab_get_zeroed(&c->proxy->h2_streams);

	s->magic = CLIENT_H2_STREAM_MAGIC;
	s->c = c;
	arena_init(&s->arena, &c->proxy->arenas);
	pipe_init(&s->in);
	list_init(&s->held);
	list_init(&s->touched);
	list_init(&s->stalled);
	list_init(&s->slow);
	list_push_back(&c->streams, &s->all);
	deadline_init(&s->deadline, on_deadline);
	c->requests++;
	counter_add(&c->proxy->stats[PROXY_STAT_H2_STREAMS], 1);
	return &s->h2;
}

/* Neither the session nor an exchange knows it any more. */
static void
bury(struct client_h2_stream *s)
{
	struct proxy *proxy = s->c->proxy;

	assert(s->ex == NULL && s->h2.session == NULL);
	list_remove(&s->all);
	list_remove(&s->held);
	list_remove(&s->touched);
	list_remove(&s->stalled);
	list_remove(&s->slow);
	deadline_stop(proxy->loop, &s->deadline);
	s->next_dead = proxy->dead_h2_streams;
	proxy->dead_h2_streams = s;
	loop_defer(proxy->loop, &proxy->bury);
	client_h2_want_turn(s->c);
}

static struct arena *
arena(struct h2_stream *st)
{
	struct client_h2_stream *s = of_h2(st);

	if (s->ex != NULL)
		return &s->ex->arena;
	return s->has_exchange ? NULL : &s->arena;
}

/* The client broke it off, or the connection has gone. */
static void
on_close(struct h2_stream *st)
{
	struct client_h2_stream *s = of_h2(st);

	if (s->ex != NULL && st->in_ended && st->end_sent &&
	    st->error == H2_NO_ERROR)
		return; /* it is the backend that has not taken all yet */
	if (s->ex != NULL)
		exchange_on_client_failed(s->ex, REASON_CLIENT_GONE,
		    st->error == H2_NO_ERROR ? "connection closed"
					     : "stream reset");
	if (s->ex == NULL && !list_is_empty(&s->all))
		bury(s);
}

/* ---- from the client ---- */

static void resume(struct exchange *ex);

static void
watch_sender(struct client_h2_stream *s)
{
	struct exchange *ex = s->ex;

	if (ex == NULL || ex->is_tunnel || s->is_connect || s->end_given)
		return;
	if (s->in.len == 0 && !s->in_ended && relay_request_room(ex) > 0)
		client_wait_sender(&s->wait, ex, &s->deadline);
	else
		client_wait_progressed(&s->wait);
}

/* What the exchange takes of these bytes; it may end in here. */
static size_t
give(struct client_h2_stream *s, struct span bytes)
{
	struct exchange *ex = s->ex;
	size_t room;

	if (s->is_connect && !ex->is_tunnel && !ex->discard_request)
		return 0; /* nobody has agreed to a tunnel yet */
	room = relay_request_room(ex);
	if (bytes.len > room)
		bytes.len = room;
	if (bytes.len == 0)
		return 0;
	client_wait_progressed(&s->wait);
	if (ex->is_tunnel) {
		deadline_set(ex->proxy->loop, &s->deadline, now_ms() +
		    ex->core->tunnel_idle_timeout_ms);
		relay_on_tunnel(ex, bytes, false);
	} else if (!s->is_connect) {
		relay_on_request_body(ex, bytes, false, NULL);
	}
	h2_stream_consumed(&s->h2, bytes.len);
	client_h2_want_turn(s->c);
	return bytes.len;
}

static void
give_end(struct client_h2_stream *s)
{
	struct exchange *ex = s->ex;

	if (s->end_given || (s->is_connect && !ex->is_tunnel))
		return;
	s->end_given = true;
	if (ex->is_tunnel)
		relay_on_tunnel(ex, span_of(NULL, 0), true);
	else
		relay_on_request_body(ex, span_of(NULL, 0), true,
		    s->trailers);
}

/* Go on with what waits. */
static void
feed(struct client_h2_stream *s)
{
	struct block_pool *pool = &s->c->proxy->blocks;

	s->is_feeding = true;
	while (s->ex != NULL && s->in.len > 0) {
		size_t n = give(s, pipe_peek(&s->in));

		if (n == 0)
			break;
		pipe_drop(&s->in, pool, n);
	}
	s->is_feeding = false;
	if (s->ex == NULL) {
		pipe_fini(&s->in, pool);
		return;
	}
	if (s->in.len == 0 && s->in_ended)
		give_end(s);
	watch_sender(s);
}

static void
on_body(struct h2_stream *st, struct span bytes)
{
	struct client_h2_stream *s = of_h2(st);
	size_t n;

	if (s->ex == NULL) {
		h2_stream_consumed(st, bytes.len);
		client_h2_want_turn(s->c);
		return;
	}
	n = s->in.len == 0 ? give(s, bytes) : 0;
	if (s->ex != NULL && n < bytes.len)
		pipe_put(&s->in, &s->c->proxy->blocks,
		    span_of(bytes.p + n, bytes.len - n));
	/* Only who finds no room at all is told when there is some. */
	if (s->ex != NULL && n > 0 && n < bytes.len)
		resume(s->ex);
	watch_sender(s);
}

static void
on_end(struct h2_stream *st, struct http_fields *trailers)
{
	struct client_h2_stream *s = of_h2(st);

	if (s->ex == NULL)
		return;
	s->in_ended = true;
	if (trailers != NULL) {
		s->trailers = arena_alloc(&s->ex->arena, sizeof(*trailers));
		*s->trailers = *trailers;
	}
	if (s->in.len == 0)
		give_end(s);
	watch_sender(s);
}

static void
on_request(struct h2_stream *st, const struct http_request *req,
    enum h1_refusal refusal)
{
	struct client_h2_stream *s = of_h2(st);
	struct client_h2 *c = s->c;
	struct exchange *ex = exchange_new(c->proxy, client_h2_service(c),
	    &ops, s, &s->arena, req);

	s->ex = ex;
	s->has_exchange = true;
	s->is_connect = req->upgrade_websocket;
	if (refusal != H1_REFUSAL_NONE) {
		ex->is_held = false;
		exchange_start_failed(ex, reason_of_refusal(refusal),
		    h1_refusal_text(refusal));
		return;
	}
	list_push_back(&c->held, &s->held);
	exchange_start(ex);
	if (s->ex == ex && s->is_connect)
		relay_on_request_body(ex, span_of(NULL, 0), true, NULL);
}

void
client_h2_stream_release_held(struct client_h2 *c)
{
	while (!list_is_empty(&c->held)) {
		struct client_h2_stream *s = LIST_OF(c->held.next,
		    struct client_h2_stream, held);

		list_remove(&s->held);
		if (s->ex != NULL)
			exchange_release(s->ex);
		watch_sender(s);
	}
}

void
client_h2_stream_feed_touched(struct client_h2 *c)
{
	while (!list_is_empty(&c->touched)) {
		struct client_h2_stream *s = LIST_OF(c->touched.next,
		    struct client_h2_stream, touched);

		list_remove(&s->touched);
		if (s->ex != NULL)
			feed(s);
	}
}

static void
on_malformed(void *owner, struct h2_stream *st, const char *detail)
{
	struct client_h2 *c = owner;
	char memory[64];
	struct str ip;

	counter_add(&c->proxy->stats[PROXY_STAT_H2_MALFORMED], 1);
	str_init(&ip, memory, sizeof(memory));
	addr_ip_put(&ip, &c->peer);
	log_info(NULL, "conn %llu %.*s: malformed HTTP/2, stream %d reset: "
	    "%s", (unsigned long long)c->id, (int)ip.len, ip.p,
	    st != NULL ? (int)st->id : 0, detail);
}

static void
on_flood(void *owner, enum h2_flood flood)
{
	struct client_h2 *c = owner;
	static const char *const texts[] = {
#define X(id, name, help) help,
		H2_FLOOD_LIST(X)
#undef X
	};
	char memory[64];
	struct str ip;

	counter_add(&c->proxy->stats[PROXY_STAT_H2_FLOODS + flood], 1);
	str_init(&ip, memory, sizeof(memory));
	addr_ip_put(&ip, &c->peer);
	log_info(NULL, "conn %llu %.*s: closed, it went beyond a bound of "
	    "HTTP/2: %s", (unsigned long long)c->id, (int)ip.len, ip.p,
	    texts[flood]);
	client_h2_want_turn(c);
}

/* The notice has been seen by now: name the last stream. */
static void
on_pong(void *owner)
{
	struct client_h2 *c = owner;

	if (!c->is_leaving || c->has_left)
		return;
	c->has_left = true;
	deadline_clear(&c->leave);
	h2_session_shut_down(c->session, false);
	client_h2_want_turn(c);
}

const struct h2_events client_h2_stream_events = {
	.open = on_open,
	.arena = arena,
	.on_request = on_request,
	.on_body = on_body,
	.on_end = on_end,
	.on_close = on_close,
	.on_malformed = on_malformed,
	.on_flood = on_flood,
	.on_pong = on_pong,
};

/* ---- struct client_ops ---- */

static void
send_interim(struct exchange *ex, const struct http_response *res)
{
	struct client_h2_stream *s = of_exchange(ex);
	const struct h2_framing framing = { .is_end = false };

	h2_stream_respond(&s->h2, res, &framing);
	client_h2_want_turn(s->c);
}

static bool
has_no_body(const struct exchange *ex)
{
	return ex->req.method_id == HTTP_METHOD_HEAD ||
	    ex->res.status == 204 || ex->res.status == 304;
}

static void
choose_framing(const struct exchange *ex, struct h2_framing *framing)
{
	bool changes = relay_changes_response(ex);

	if (ex->is_answered) {
		framing->has_length = true;
		framing->content_length = ex->answer.len;
	} else {
		framing->has_length = ex->res.framing == HTTP_FRAMING_LENGTH;
		framing->content_length = ex->res.content_length;
		framing->is_end = ex->res.framing == HTTP_FRAMING_NONE;
	}
	if (changes && !has_no_body(ex))
		framing->has_length = false;
	if (ex->res.status == 204)
		framing->has_length = false;
	if (has_no_body(ex) ||
	    (framing->has_length && framing->content_length == 0))
		framing->is_end = true;
}

static void
send_head(struct exchange *ex)
{
	struct client_h2_stream *s = of_exchange(ex);
	struct h2_framing framing = { .is_end = false };
	struct http_response *res = &ex->res;
	const struct http_field *priority;

	client_h2_want_turn(s->c);
	if (ex->is_tunnel) {
		deadline_set(ex->proxy->loop, &s->deadline, now_ms() +
		    ex->core->tunnel_idle_timeout_ms);
		h2_stream_respond(&s->h2, res, &framing);
		return;
	}
	if (s->is_connect && res->status < 300) {
		/* In HTTP/2 it would mean a tunnel that nobody agreed to. */
		s->was_cut = true;
		h2_stream_reset(&s->h2, H2_INTERNAL_ERROR);
		return;
	}
	choose_framing(ex, &framing);
	if (http_fields_get(&res->fields, FIELD_DATE) == NULL)
		http_fields_add_id(&res->fields, &ex->arena, FIELD_DATE,
		    date_now());
	h2_stream_respond(&s->h2, res, &framing);
	priority = http_fields_find(&res->fields, SPAN("Priority"));
	if (priority != NULL)
		h2_stream_priority(&s->h2, http_field_value(priority));
}

/* Note that body waits for the client to take it. */
static void
watch_reader(struct client_h2_stream *s)
{
	if (s->h2.out.len == 0 || !list_is_empty(&s->slow))
		return;
	list_push_back(&s->c->slow, &s->slow);
	s->sent_seen = s->h2.sent;
}

static void
send_body(struct exchange *ex, struct span bytes)
{
	struct client_h2_stream *s = of_exchange(ex);

	h2_stream_body(&s->h2, bytes);
	if (ex->is_tunnel)
		deadline_set(ex->proxy->loop, &s->deadline, now_ms() +
		    ex->core->tunnel_idle_timeout_ms);
	watch_reader(s);
	client_h2_want_turn(s->c);
}

static void
send_end(struct exchange *ex, struct http_fields *trailers)
{
	struct client_h2_stream *s = of_exchange(ex);

	h2_stream_end(&s->h2, trailers);
	client_h2_want_turn(s->c);
}

/*
 * What the client's windows take at once, which is not held, and `buffer`
 * beyond; what is held by all streams of the connection is h2_buffer at most.
 */
static size_t
room_now(const struct client_h2_stream *s)
{
	const struct client_h2 *c = s->c;
	size_t buffer = (size_t)s->ex->core->buffer;
	size_t all = (size_t)client_h2_service(c)->core->h2_buffer;
	size_t held = s->h2.out.len;
	size_t waiting, n;

	if (s->h2.session == NULL || s->h2.is_reset)
		return SIZE_MAX; /* read on and drop */
	waiting = h2_session_waiting(c->session);
	n = held < buffer ? buffer - held : 0;
	if (n > all - (waiting < all ? waiting : all))
		n = all - (waiting < all ? waiting : all);
	if (held == 0 && conn_pending(&c->conn) == 0)
		n += h2_stream_window(&s->h2);
	return n;
}

static size_t
room(struct exchange *ex)
{
	struct client_h2_stream *s = of_exchange(ex);
	size_t n = room_now(s);

	if (n >= ROOM_MIN)
		return n;
	if (list_is_empty(&s->stalled))
		list_push_back(&s->c->stalled, &s->stalled);
	return 0;
}

static void
resume(struct exchange *ex)
{
	struct client_h2_stream *s = of_exchange(ex);

	if (s->is_feeding || !list_is_empty(&s->touched))
		return;
	if (s->in.len == 0 && !s->in_ended) {
		watch_sender(s);
		return;
	}
	/* Not now: this may be deep inside of the exchange. */
	list_push_back(&s->c->touched, &s->touched);
	client_h2_want_turn(s->c);
}

static void
cut(struct exchange *ex)
{
	of_exchange(ex)->was_cut = true;
}

static void
book_bytes(struct exchange *ex)
{
	struct client_h2_stream *s = of_exchange(ex);

	ex->client_bytes_in = s->h2.bytes_in;
	ex->client_bytes_out = s->h2.bytes_out;
}

static void
finished(struct exchange *ex)
{
	struct client_h2_stream *s = of_exchange(ex);
	struct h2_stream *st = &s->h2;

	s->ex = NULL;
	list_remove(&s->held);
	list_remove(&s->touched);
	list_remove(&s->stalled);
	deadline_clear(&s->deadline);
	if (!s->is_feeding)
		pipe_fini(&s->in, &s->c->proxy->blocks);
	client_h2_want_turn(s->c);
	if (st->session == NULL) {
		if (!list_is_empty(&s->all))
			bury(s);
		return;
	}
	if (s->was_cut || ex->client_gone || !ex->head_sent ||
	    !st->out_ended) {
		/* The head, and what there is of the body, before the reset. */
		if (s->was_cut && ex->head_sent)
			h2_session_compose(st->session);
		h2_stream_reset(st, ex->client_gone || ex->is_tunnel
		    ? H2_CANCEL : H2_INTERNAL_ERROR);
		return;
	}
	h2_stream_consumed(st, st->unconsumed);
	if (!st->in_ended && st->end_sent)
		h2_stream_reset(st, H2_NO_ERROR);
	st->wants_no_more = true;
	/* The tail of the body, if any, has this long to go on. */
	deadline_set(ex->proxy->loop, &s->deadline,
	    now_ms() + ex->core->client_write_timeout_ms);
}

static struct addr_ip
peer(const struct exchange *ex)
{
	return of_exchange(ex)->c->peer;
}

static void
local(const struct exchange *ex, struct addr *addr)
{
	sock_local(of_exchange(ex)->c->conn.watch.fd, addr);
}

static const struct conn *
conn_of(const struct exchange *ex)
{
	return &of_exchange(ex)->c->conn;
}

static uint64_t
connection_id(const struct exchange *ex)
{
	return of_exchange(ex)->c->id;
}

static uint32_t
connection_requests(const struct exchange *ex)
{
	return of_exchange(ex)->c->requests;
}

static const struct client_ops ops = {
	.send_interim = send_interim,
	.send_head = send_head,
	.send_body = send_body,
	.send_end = send_end,
	.room = room,
	.resume = resume,
	.cut = cut,
	.book_bytes = book_bytes,
	.finished = finished,
	.peer = peer,
	.local = local,
	.conn = conn_of,
	.connection_id = connection_id,
	.connection_requests = connection_requests,
};

/* ---- what the client takes, and how long it may take for it ---- */

static void
check_slow(struct client_h2_stream *s)
{
	bool progress = s->h2.sent != s->sent_seen;

	s->sent_seen = s->h2.sent;
	if (s->h2.out.len == 0) {
		list_remove(&s->slow);
		if (s->wait.is_reader_slow) {
			s->wait = (struct client_wait){ .since_ms = 0 };
			if (s->ex != NULL && !s->ex->is_tunnel)
				deadline_clear(&s->deadline);
		}
		return;
	}
	if (s->ex == NULL && progress)
		deadline_set(s->c->proxy->loop, &s->deadline, now_ms() +
		    client_h2_service(s->c)->core->client_write_timeout_ms);
	else if (s->ex != NULL && !s->ex->is_tunnel &&
	    (progress || !s->wait.is_reader_slow))
		client_wait_reader(&s->wait, s->ex, &s->deadline, s->h2.sent,
		    progress);
}

void
client_h2_stream_composed(struct client_h2 *c)
{
	LIST_EACH(&c->slow, node, after)
		check_slow(LIST_OF(node, struct client_h2_stream, slow));
	LIST_EACH(&c->stalled, node, after) {
		struct client_h2_stream *s =
		    LIST_OF(node, struct client_h2_stream, stalled);

		if (s->h2.out.len > s->ex->core->buffer / 2 ||
		    room_now(s) < ROOM_MIN)
			continue;
		list_remove(&s->stalled);
		relay_on_client_writable(s->ex);
	}
}

static void
on_deadline(struct deadline *d)
{
	struct client_h2_stream *s =
	    LIST_OF(d, struct client_h2_stream, deadline);
	struct proxy *proxy = s->c->proxy;

	assert(s->magic == CLIENT_H2_STREAM_MAGIC);
	if (s->ex != NULL) {
		client_wait_expired(&s->wait, s->ex, &s->deadline, s->h2.sent,
		    s->in_ended);
	} else {
		counter_add(&proxy->stats[PROXY_STAT_H2_UNREAD], 1);
		h2_stream_reset(&s->h2, H2_CANCEL);
	}
	client_h2_want_turn(s->c);
	proxy_flush(proxy);
}

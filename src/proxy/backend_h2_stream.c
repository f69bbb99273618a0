/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * backend_h2_stream - the backend's end of one exchange, on an HTTP/2 stream.
 *
 * An exchange may end inside any call made to it, and the stream with it:
 * s->ex is looked at again afterwards.  The memory stays until the end of the
 * turn.
 */
#include "http/hop.h"
#include "metrics/histogram.h"
#include "proxy/backend_h2.h"
#include "proxy/backend_h2_private.h"
#include "proxy/relay.h"

enum {
	ROOM_MIN = 4096,
	H1_MS = 600000, /* a backend that wants HTTP/1.1 is believed */
	END_WAIT_MS = 500, /* for an END_STREAM that says nothing new */
};

static const struct backend_ops ops;
static void on_deadline(struct deadline *d);

size_t
backend_h2_stream_bytes(void)
{
	return sizeof(struct backend_h2_stream);
}

static struct backend_h2_stream *
of_h2(struct h2_stream *st)
{
	struct backend_h2_stream *s =
	    LIST_OF(st, struct backend_h2_stream, h2);

	assert(s->magic == BACKEND_H2_STREAM_MAGIC);
	return s;
}

static struct backend_h2_stream *
of_exchange(const struct exchange *ex)
{
	struct backend_h2_stream *s = ex->backend_conn;

	assert(s->magic == BACKEND_H2_STREAM_MAGIC && s->ex == ex);
	return s;
}

/* ---- life and death ---- */

struct backend_h2_stream *
backend_h2_stream_new(struct exchange *ex, struct backend_h2_pool *pool)
{
	struct backend_h2_stream *s =
	    slab_get_zeroed(&ex->proxy->h2_backend_streams);

	s->magic = BACKEND_H2_STREAM_MAGIC;
	s->ex = ex;
	s->proxy = ex->proxy;
	s->pool = pool;
	pipe_init(&s->in);
	s->left = UINT64_MAX;
	list_init(&s->all);
	list_init(&s->touched);
	list_init(&s->stalled);
	deadline_init(&s->deadline, on_deadline);
	ex->backend_conn = s;
	ex->backend_ops = &ops;
	exchange_enter_backend(ex);
	return s;
}

void
backend_h2_stream_attach(struct backend_h2_stream *s, struct backend_h2 *bh)
{
	s->bh = bh;
	s->is_waiting = false;
	list_remove(&s->all);
	list_push_back(&bh->streams, &s->all);
	bh->served++;
	bh->load++;
}

/* The exchange and the stream part; its last bytes were given already. */
static void
leave_exchange(struct backend_h2_stream *s)
{
	struct exchange *ex = s->ex;

	if (ex == NULL)
		return;
	ex->up_bytes_out += s->h2.bytes_out;
	ex->up_bytes_in += s->h2.bytes_in;
	ex->up_accepted = s->h2.head_sent &&
	    s->h2.error != H2_REFUSED_STREAM;
	ex->backend_conn = NULL;
	exchange_leave_backend(ex);
	s->ex = NULL;
}

/* The one way to die. */
static void
drop(struct backend_h2_stream *s, enum h2_error error)
{
	if (s->is_dead)
		return;
	s->is_dead = true;
	leave_exchange(s);
	h2_stream_forget(&s->h2, error);
	list_remove(&s->all);
	list_remove(&s->touched);
	list_remove(&s->stalled);
	deadline_stop(s->proxy->loop, &s->deadline);
	if (s->bh != NULL) {
		s->bh->load--;
		s->bh->has_ended = true;
		backend_h2_want_turn(s->bh);
	}
	s->next_dead = s->proxy->dead_h2_backend_streams;
	s->proxy->dead_h2_backend_streams = s;
	loop_defer(s->proxy->loop, &s->proxy->bury);
}

void
backend_h2_stream_drop(struct backend_h2_stream *s)
{
	drop(s, H2_CANCEL);
}

void
backend_h2_stream_bury(struct proxy *proxy)
{
	struct backend_h2_stream *s = proxy->dead_h2_backend_streams;

	proxy->dead_h2_backend_streams = NULL;
	while (s != NULL) {
		struct backend_h2_stream *next = s->next_dead;

		pipe_fini(&s->in, &proxy->blocks);
		s->magic = 0;
		slab_put(&proxy->h2_backend_streams, s);
		s = next;
	}
}

static void
fail(struct backend_h2_stream *s, enum h2_error error, enum reason reason,
    const char *detail)
{
	struct exchange *ex = s->ex;

	drop(s, error);
	if (ex != NULL)
		exchange_on_backend_failed(ex, reason, detail);
}

static void
arm(struct backend_h2_stream *s, uint64_t wait_ms)
{
	deadline_set(s->proxy->loop, &s->deadline, now_ms() + wait_ms);
}

/* ---- struct backend_ops ---- */

static void
touch(struct backend_h2_stream *s)
{
	if (s->bh == NULL || !list_is_empty(&s->touched))
		return;
	list_push_back(&s->bh->touched, &s->touched);
	backend_h2_want_turn(s->bh);
}

static void
send_request(struct backend_h2_stream *s)
{
	struct exchange *ex = s->ex;
	const struct http_request *req = &ex->up_req;
	struct h2_framing framing = {
		.has_length = req->framing == HTTP_FRAMING_LENGTH,
		.content_length = req->content_length,
		.is_end = (req->framing == HTTP_FRAMING_NONE ||
		    (req->framing == HTTP_FRAMING_LENGTH &&
		    req->content_length == 0)) && !req->upgrade_websocket,
	};

	/* Handlers may change a body's length. */
	if ((ex->route->phases.used & PHASE_BIT(PHASE_REQUEST_BODY)) != 0 &&
	    !ex->is_collected)
		framing.has_length = false;
	if (h2_stream_request(s->bh->session, &s->h2, req, ex->up_target,
	    ex->up_host, s->bh->conn.stream != NULL ? SPAN("https")
						    : SPAN("http"),
	    &framing) != 0) {
		s->must_fail = true;
		s->h2.error = H2_REFUSED_STREAM;
		touch(s);
	}
	arm(s, ex->route->timeouts.first_byte_ms);
	backend_h2_want_turn(s->bh);
}

static void
send_head(struct exchange *ex)
{
	struct backend_h2_stream *s = of_exchange(ex);

	if (s->bh->session == NULL) {
		s->must_fail = true;
		touch(s);
		return;
	}
	if (ex->up_req.upgrade_websocket &&
	    !h2_session_peer_takes_connect(s->bh->session)) {
		/* Its SETTINGS may still come. */
		s->head_waits = true;
		arm(s, ex->route->timeouts.first_byte_ms);
		touch(s);
		return;
	}
	send_request(s);
}

static void
send_body(struct exchange *ex, struct span bytes)
{
	struct backend_h2_stream *s = of_exchange(ex);

	h2_stream_body(&s->h2, bytes);
	arm(s, ex->is_tunnel ? ex->core->tunnel_idle_timeout_ms
			     : ex->route->timeouts.first_byte_ms);
	if (s->bh != NULL)
		backend_h2_want_turn(s->bh);
}

static void
send_end(struct exchange *ex, struct http_fields *trailers)
{
	struct backend_h2_stream *s = of_exchange(ex);

	s->request_ended = true;
	if (!ex->up_req.upgrade_websocket)
		h2_stream_end(&s->h2, trailers);
	arm(s, ex->is_tunnel ? ex->core->tunnel_idle_timeout_ms
			     : ex->route->timeouts.first_byte_ms);
	if (s->bh != NULL)
		backend_h2_want_turn(s->bh);
}

static void
end_tunnel(struct exchange *ex)
{
	struct backend_h2_stream *s = of_exchange(ex);

	h2_stream_end(&s->h2, NULL);
	if (s->bh != NULL)
		backend_h2_want_turn(s->bh);
}

static size_t
room_now(const struct backend_h2_stream *s)
{
	size_t buffer = (size_t)s->ex->core->buffer;
	size_t held = s->h2.out.len;
	size_t n = held < buffer ? buffer - held : 0;

	if (s->h2.session == NULL)
		return s->head_waits ? 0 : SIZE_MAX;
	if (held == 0 && conn_pending(&s->bh->conn) == 0)
		n += h2_stream_window(&s->h2);
	return n;
}

static size_t
room(struct exchange *ex)
{
	struct backend_h2_stream *s = of_exchange(ex);
	size_t n = room_now(s);

	if (n >= ROOM_MIN)
		return n;
	if (s->bh != NULL && list_is_empty(&s->stalled))
		list_push_back(&s->bh->stalled, &s->stalled);
	return 0;
}

static void
resume(struct exchange *ex)
{
	struct backend_h2_stream *s = of_exchange(ex);

	if (!s->is_feeding && (s->in.len > 0 || s->in_ended))
		touch(s);
}

static void
abort_try(struct exchange *ex)
{
	drop(of_exchange(ex), H2_CANCEL);
}

static const struct backend_ops ops = {
	.send_head = send_head,
	.send_body = send_body,
	.send_end = send_end,
	.end_tunnel = end_tunnel,
	.room = room,
	.resume = resume,
	.abort = abort_try,
};

/* ---- from the backend ---- */

static struct arena *
arena(struct h2_stream *st)
{
	struct backend_h2_stream *s = of_h2(st);

	return s->ex != NULL ? &s->ex->arena : NULL;
}

/*
 * How long the next frame may take.  After the last byte that Content-Length
 * promised only END_STREAM or trailers can come, without which the client has
 * its answer too.
 */
static uint64_t
patience_ms(const struct backend_h2_stream *s)
{
	const struct exchange *ex = s->ex;
	uint64_t ms = ex->route->timeouts.between_bytes_ms;

	if (ex->is_tunnel)
		return ex->core->tunnel_idle_timeout_ms;
	return s->left == 0 && ms > END_WAIT_MS ? END_WAIT_MS : ms;
}

static void
on_response(struct h2_stream *st, const struct http_response *head)
{
	struct backend_h2_stream *s = of_h2(st);
	struct exchange *ex = s->ex;
	struct http_response res = *head;

	if (ex == NULL)
		return;
	if (hop_strip_response(&res) != H1_REFUSAL_NONE) {
		fail(s, H2_PROTOCOL_ERROR, REASON_BACKEND_BAD_RESPONSE,
		    "malformed Connection field");
		return;
	}
	if (res.status < 200 && res.status != 101) {
		if (++s->interim_count > ex->group->conf->interim_responses_max)
			fail(s, H2_ENHANCE_YOUR_CALM,
			    REASON_BACKEND_BAD_RESPONSE,
			    "too many interim responses");
		else
			exchange_on_interim(ex, &res);
		return;
	}
	if (res.framing == HTTP_FRAMING_LENGTH &&
	    ex->up_req.method_id != HTTP_METHOD_HEAD)
		s->left = res.content_length;
	arm(s, res.status == 101 ? ex->core->tunnel_idle_timeout_ms
				 : patience_ms(s));
	histogram_observe(&proxy_upstream_stats(s->proxy,
	    ex)[UPSTREAM_STAT_FIRST_BYTE], now_us() - ex->sent_us);
	histogram_observe(&proxy_backend_stats(s->proxy,
	    ex)[UPSTREAM_STAT_FIRST_BYTE], now_us() - ex->sent_us);
	exchange_on_response(ex, &res);
}

/* The response is whole, and all of it was given but its end. */
static void
give_end(struct backend_h2_stream *s)
{
	struct exchange *ex = s->ex;
	struct http_fields *trailers = s->trailers;

	s->in_ended = false;
	if (ex->is_tunnel) {
		relay_on_response_body(ex, span_of(NULL, 0), true, NULL);
		return;
	}
	if (s->request_ended && s->h2.out_ended && s->h2.out.len == 0)
		drop(s, H2_CANCEL);
	relay_on_response_body(ex, span_of(NULL, 0), true, trailers);
}

static size_t
give(struct backend_h2_stream *s, struct span bytes)
{
	struct exchange *ex = s->ex;
	size_t wanted = relay_response_room(ex);

	if (bytes.len > wanted)
		bytes.len = wanted;
	if (bytes.len == 0)
		return 0;
	arm(s, patience_ms(s));
	relay_on_response_body(ex, bytes, false, NULL);
	h2_stream_consumed(&s->h2, bytes.len);
	backend_h2_want_turn(s->bh);
	return bytes.len;
}

static void
feed(struct backend_h2_stream *s)
{
	struct block_pool *pool = &s->proxy->blocks;

	s->is_feeding = true;
	while (s->ex != NULL && s->in.len > 0) {
		size_t n = give(s, pipe_peek(&s->in));

		if (n == 0)
			break;
		pipe_drop(&s->in, pool, n);
	}
	s->is_feeding = false;
	if (s->ex != NULL && s->in.len == 0 && s->in_ended)
		give_end(s);
}

static void
on_body(struct h2_stream *st, struct span bytes)
{
	struct backend_h2_stream *s = of_h2(st);
	size_t n;

	if (s->ex == NULL) {
		h2_stream_consumed(st, bytes.len);
		return;
	}
	/* nghttp2 lets no more pass than was announced. */
	if (s->left != UINT64_MAX)
		s->left -= bytes.len < s->left ? bytes.len : s->left;
	n = s->in.len == 0 ? give(s, bytes) : 0;
	if (s->ex == NULL || n == bytes.len)
		return;
	pipe_put(&s->in, &s->proxy->blocks,
	    span_of(bytes.p + n, bytes.len - n));
	/* Only who finds no room at all is told when there is some. */
	if (n > 0)
		touch(s);
}

static void
on_end(struct h2_stream *st, struct http_fields *trailers)
{
	struct backend_h2_stream *s = of_h2(st);

	if (s->ex == NULL)
		return;
	if (trailers != NULL) {
		s->trailers = arena_alloc(&s->ex->arena, sizeof(*trailers));
		*s->trailers = *trailers;
	}
	s->in_ended = true;
	if (s->in.len == 0)
		give_end(s);
}

static void
on_malformed(void *owner, struct h2_stream *st, const char *detail)
{
	struct backend_h2_stream *s = st != NULL ? of_h2(st) : NULL;

	(void)owner;
	if (s == NULL || s->ex == NULL)
		return;
	detail = arena_strdup(&s->ex->arena, detail);
	fail(s, H2_PROTOCOL_ERROR, REASON_BACKEND_BAD_RESPONSE, detail);
}

/* Nothing was done with it, and another protocol is new. */
static void
ask_in_h1(struct backend_h2_stream *s, const char *why)
{
	struct exchange *ex = s->ex;

	ex->up_h1_only = true;
	s->h2.error = H2_REFUSED_STREAM;
	leave_exchange(s);
	ex->reused = true;
	drop(s, H2_CANCEL);
	exchange_on_backend_failed(ex, REASON_BACKEND_REFUSED, why);
}

/* What the end of a stream means to its exchange. */
static void
tell_end(struct backend_h2_stream *s)
{
	bool head_seen = s->h2.head_seen;
	const char *why = s->bh != NULL && s->bh->why != NULL ? s->bh->why
							     : "stream reset";

	switch (s->h2.error) {
	case H2_REFUSED_STREAM:
		fail(s, H2_CANCEL, REASON_BACKEND_REFUSED, NULL);
		break;
	case H2_HTTP_1_1_REQUIRED:
		s->pool->h1_until_ms = now_ms() + H1_MS;
		ask_in_h1(s, "it wants HTTP/1.1");
		break;
	default:
		fail(s, H2_CANCEL, head_seen ? REASON_BACKEND_TRUNCATED
					     : REASON_BACKEND_RESET, why);
		break;
	}
}

static void
on_close(struct h2_stream *st)
{
	struct backend_h2_stream *s = of_h2(st);

	if (s->ex == NULL) {
		drop(s, H2_CANCEL);
		return;
	}
	if (st->in_ended && st->error == H2_NO_ERROR &&
	    (s->in.len > 0 || s->in_ended))
		return; /* the client has not taken all of it yet */
	if (st->in_ended && st->head_seen && !s->in_ended &&
	    s->in.len == 0) {
		/* The response is whole; only the upload was going on. */
		fail(s, H2_CANCEL, REASON_BACKEND_RESET, NULL);
		return;
	}
	tell_end(s);
}

static void
on_flood(void *owner, enum h2_flood flood)
{
	(void)owner;
	(void)flood;
}

const struct h2_events backend_h2_stream_events = {
	.arena = arena,
	.on_response = on_response,
	.on_body = on_body,
	.on_end = on_end,
	.on_close = on_close,
	.on_malformed = on_malformed,
	.on_flood = on_flood,
	.on_settings = backend_h2_on_settings,
	.on_goaway = backend_h2_on_goaway,
	.on_pong = backend_h2_on_pong,
};

/* ---- at the end of a turn ---- */

static void
send_late_head(struct backend_h2_stream *s)
{
	if (!h2_session_is_ready(s->bh->session))
		return;
	s->head_waits = false;
	if (h2_session_peer_takes_connect(s->bh->session)) {
		send_request(s);
		relay_on_backend_writable(s->ex);
		return;
	}
	/* Of this request alone: for others HTTP/2 will do. */
	ask_in_h1(s, "it has no WebSocket over HTTP/2");
}

void
backend_h2_stream_feed_touched(struct backend_h2 *bh)
{
	struct list now;

	/* Those touched meanwhile have their turn later. */
	list_init(&now);
	while (!list_is_empty(&bh->touched)) {
		struct list *node = bh->touched.next;

		list_remove(node);
		list_push_back(&now, node);
	}
	while (!list_is_empty(&now)) {
		struct backend_h2_stream *s = LIST_OF(now.next,
		    struct backend_h2_stream, touched);

		list_remove(&s->touched);
		if (s->ex == NULL)
			continue;
		if (s->must_fail)
			tell_end(s);
		else if (s->head_waits && bh->session != NULL)
			send_late_head(s);
		else
			feed(s);
	}
}

void
backend_h2_stream_composed(struct backend_h2 *bh)
{
	LIST_EACH(&bh->stalled, node, after) {
		struct backend_h2_stream *s =
		    LIST_OF(node, struct backend_h2_stream, stalled);

		if (s->h2.out.len > s->ex->core->buffer / 2 ||
		    room_now(s) < ROOM_MIN)
			continue;
		list_remove(&s->stalled);
		if (s->ex->is_tunnel)
			arm(s, s->ex->core->tunnel_idle_timeout_ms);
		else
			arm(s, s->ex->route->timeouts.first_byte_ms);
		relay_on_backend_writable(s->ex);
	}
}

static void
on_deadline(struct deadline *d)
{
	struct backend_h2_stream *s =
	    LIST_OF(d, struct backend_h2_stream, deadline);
	struct proxy *proxy = s->proxy;
	struct exchange *ex = s->ex;

	assert(s->magic == BACKEND_H2_STREAM_MAGIC);
	if (ex == NULL)
		return;
	if (s->is_waiting)
		fail(s, H2_CANCEL, REASON_CONNECT_TIMEOUT, NULL);
	else if (ex->is_tunnel)
		fail(s, H2_CANCEL, REASON_BACKEND_READ_TIMEOUT,
		    "idle tunnel");
	else if (s->h2.out.len > 0)
		fail(s, H2_CANCEL, REASON_BACKEND_WRITE_TIMEOUT, NULL);
	else if (!s->h2.head_seen && s->request_ended)
		fail(s, H2_CANCEL, REASON_BACKEND_FIRST_BYTE_TIMEOUT, NULL);
	else if (s->left == 0 && s->in.len == 0 && s->request_ended &&
	    s->h2.out_ended)
		give_end(s);
	else if (s->h2.head_seen && s->in.len == 0 &&
	    relay_response_room(ex) > 0)
		fail(s, H2_CANCEL, REASON_BACKEND_READ_TIMEOUT, NULL);
	else
		/* It is the client that we wait for, and it has its own. */
		arm(s, ex->route->timeouts.between_bytes_ms);
	proxy_flush(proxy);
}

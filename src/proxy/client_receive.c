/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * client_receive - requests of a client, over HTTP/1.
 *
 * Bytes are received into the worker's scratch and looked at there; only an
 * incomplete head, or what follows a request, is kept (`kept`, at most the
 * header limit), and nothing more is read until the answer is done.  An
 * exchange and this connection may end inside any call made to the exchange:
 * c->ex and c->state are looked at again afterwards.
 */
#include "proxy/client_conn_private.h"

#include <stdlib.h>
#include <string.h>

#include "base/heap_alloc.h"
#include "proxy/client_h2.h"
#include "proxy/relay.h"

static void
keep(struct client_conn *c, struct span in)
{
	struct kept *k = c->kept;

	if (in.len == 0)
		return;
	if (k != NULL && in.p >= k->bytes && in.p <= k->bytes + k->size) {
		memmove(k->bytes, in.p, in.len);
		k->len = in.len;
		return;
	}
	assert(k == NULL || k->len == 0);
	free(k);
	k = heap_alloc(sizeof(*k) + in.len * 2 + 256);
	k->h1 = (struct h1_state){ .checked = 0 };
	k->size = in.len * 2 + 256;
	k->len = in.len;
	memcpy(k->bytes, in.p, in.len);
	c->kept = k;
}

/* A piece of body, or no more; returns what is behind its end. */
static struct span
feed_pieces(struct client_conn *c, struct span in)
{
	const struct core_conf *core = client_conn_service(c)->core;
	const struct h1_body_limits limits = {
		.chunk_line_max = CHUNK_LINE_MAX,
		.trailers_max = (size_t)core->header_size_max,
		.trailer_fields_max = core->fields_max,
	};
	struct exchange *ex = c->ex;
	struct span piece = { NULL, 0 };

	for (;;) {
		struct span data;
		enum h1_body_event event =
		    h1_body_next(c->body, &limits, &in, &data);
		struct http_fields *trailers = NULL;

		if (event == H1_BODY_END) {
			if (c->body->trailers.count > 0) {
				trailers = arena_alloc(&ex->arena,
				    sizeof(*trailers));
				*trailers = c->body->trailers;
				h1_copy_fields(&ex->arena, trailers);
			}
			h1_body_fini(c->body);
			c->body_done = true;
			relay_on_request_body(ex, piece, true, trailers);
			return in;
		}
		if (piece.len > 0) {
			relay_on_request_body(ex, piece, false, NULL);
			if (c->ex != ex)
				return span_of(NULL, 0);
			piece = span_of(NULL, 0);
		}
		if (event == H1_BODY_REFUSED) {
			enum h1_refusal why =
			    (enum h1_refusal)c->body->refusal;

			h1_body_fini(c->body);
			c->close_after = true;
			exchange_on_client_failed(ex, REASON_BAD_BODY,
			    h1_refusal_text(why));
			return span_of(NULL, 0);
		}
		if (event == H1_BODY_MORE)
			return in;
		piece = data;
	}
}

/* Bytes of the current request's body, if it has one, and behind it. */
static struct span
feed_body(struct client_conn *c, struct span in)
{
	if (c->body != NULL)
		return feed_pieces(c, in);
	c->body_done = true;
	relay_on_request_body(c->ex, span_of(NULL, 0), true, NULL);
	return in;
}

static void
begin_exchange(struct client_conn *c, struct arena *arena,
    const struct http_request *req)
{
	struct exchange *ex;

	client_conn_leave_idle(c);
	c->state = STATE_EXCHANGE;
	c->requests++;
	c->close_after = false;
	c->chunked_out = false;
	c->no_body = false;
	c->body_done = false;
	c->fin_wanted = false;
	c->until_close = false;
	c->wait.is_reader_slow = false;
	c->wait.since_ms = 0;
	c->wait.waited_ms = 0;
	deadline_clear(&c->conn.deadline);
	ex = exchange_new(c->proxy, client_conn_service(c), &client_conn_ops,
	    c, arena, req);
	c->ex = ex;
	c->body = NULL;
	if (req->framing == HTTP_FRAMING_NONE)
		return;
	c->body = arena_alloc(&ex->arena, sizeof(*c->body));
	h1_body_init(c->body, (enum http_framing)req->framing,
	    req->content_length);
}

/* A head is whole; returns what follows the request, as far as it came. */
static struct span
on_head(struct client_conn *c, struct span in, size_t used,
    struct http_request *req)
{
	struct arena arena;
	struct exchange *ex;
	struct span rest;

	arena_init(&arena, &c->proxy->arenas);
	h1_copy_request(&arena, in.p, used, SPARE_FIELDS, req);
	begin_exchange(c, &arena, req);
	ex = c->ex;
	exchange_start(ex);
	rest = span_of(in.p + used, in.len - used);
	if (c->ex == ex)
		rest = feed_body(c, rest);
	if (c->ex == ex)
		exchange_release(ex);
	return rest;
}

static void
refuse_head(struct client_conn *c, const struct h1_state *h1)
{
	struct http_request req;
	struct arena arena;
	struct exchange *ex;
	const char *detail;

	memset(&req, 0, sizeof(req));
	req.minor = 1;
	arena_init(&arena, &c->proxy->arenas);
	detail = arena_printf(&arena, "%s at byte %zu",
	    h1_refusal_text(h1->refusal), h1->offset);
	begin_exchange(c, &arena, &req);
	ex = c->ex;
	ex->is_held = false;
	exchange_start_failed(ex, reason_of_refusal(h1->refusal), detail);
}

/* An incomplete head: what there is of it is kept. */
static void
await_head(struct client_conn *c, struct span in)
{
	if (c->state == STATE_IDLE) {
		client_conn_leave_idle(c);
		c->state = STATE_HEAD;
		client_conn_arm(c, client_conn_service(c)->core->
		    client_header_timeout_ms);
	}
	keep(c, in);
}

/* Is it HTTP/2, or may it be?  Then the bytes are taken care of. */
static bool
feed_preface(struct client_conn *c, struct span in)
{
	switch (client_h2_preface(in)) {
	case CLIENT_H2_IS:
		client_begin_h2(c, in);
		return true;
	case CLIENT_H2_MAYBE:
		await_head(c, in);
		return true;
	case CLIENT_H2_NOT:
	default:
		return false;
	}
}

/* Bytes of heads and bodies, until all is used or an exchange must end. */
static void
feed(struct client_conn *c, struct span in)
{
	const struct core_conf *core = client_conn_service(c)->core;
	const struct h1_limits limits = {
		.head_max = (size_t)core->header_size_max,
		.line_max = (size_t)core->request_line_max,
		.fields_max = core->fields_max,
	};

	if (c->spec->h2c && c->requests == 0 && in.len > 0 &&
	    feed_preface(c, in))
		return;
	while (in.len > 0 && (c->state == STATE_IDLE ||
	    c->state == STATE_HEAD)) {
		struct h1_state fresh = { .checked = 0 };
		struct h1_state *h1 = c->kept != NULL ? &c->kept->h1 : &fresh;
		struct http_request req;
		size_t used = 0;
		enum h1_result result;

		c->proxy->serving->what = SERVING_HEAD;
		result = h1_parse_request(h1, in.p, in.len, &limits, &req,
		    &used);

		if (result == H1_MORE) {
			fresh = *h1;
			await_head(c, in);
			c->kept->h1 = fresh;
			return;
		}
		if (result == H1_REFUSED) {
			refuse_head(c, h1);
			return;
		}
		if (c->kept != NULL)
			c->kept->h1 = (struct h1_state){ .checked = 0 };
		in = on_head(c, in, used, &req);
	}
	if (c->state == STATE_CLOSED || in.len == 0) {
		if (c->kept != NULL)
			c->kept->len = 0;
		return;
	}
	/* Behind a request whose answer is not done. */
	keep(c, in);
	c->kept->h1 = (struct h1_state){ .checked = 0 };
}

/* The client has gone, or has ended its sending side. */
static void
on_eof(struct client_conn *c, bool failed)
{
	struct exchange *ex = c->ex;

	c->conn.readable = false;
	if (c->state != STATE_EXCHANGE) {
		client_conn_drop(c, false);
		return;
	}
	if (ex->is_tunnel && !failed && c->body_done) {
		relay_on_tunnel(ex, span_of(NULL, 0), true);
		return;
	}
	if (!failed && c->body_done && ex->core->half_close)
		return;
	exchange_on_client_failed(ex, REASON_CLIENT_GONE,
	    failed ? "connection reset" : "connection closed");
}

/* Where the next bytes go, and how many may come; NULL = none are wanted. */
static char *
receive_place(struct client_conn *c, size_t *len)
{
	size_t head_max = (size_t)client_conn_service(c)->core->header_size_max;
	struct kept *k = c->kept;
	size_t wanted;

	switch (c->state) {
	case STATE_IDLE:
	case STATE_HEAD:
		if (k == NULL || k->len == 0) {
			*len = head_max;
			return c->proxy->scratch;
		}
		if (k->len == k->size) {
			size_t size = k->size * 2;

			k = heap_alloc_grow(k, sizeof(*k) + size, 1);
			k->size = size;
			c->kept = k;
		}
		*len = k->size - k->len;
		return k->bytes + k->len;
	case STATE_EXCHANGE:
		if (c->body_done && !c->ex->is_tunnel)
			return NULL;
		wanted = relay_request_room(c->ex);
		*len = wanted < SCRATCH_BYTES ? wanted : SCRATCH_BYTES;
		return *len > 0 ? c->proxy->scratch : NULL;
	case STATE_LINGER:
		*len = SCRATCH_BYTES;
		return c->proxy->scratch;
	default:
		return NULL;
	}
}

/* Bytes while an exchange is on: of its body, of its tunnel, or behind it. */
static void
feed_exchange(struct client_conn *c, struct span in)
{
	if (!c->body_done) {
		client_wait_progressed(&c->wait);
		in = feed_body(c, in);
	}
	if (in.len == 0 || c->state == STATE_CLOSED)
		return;
	if (c->state == STATE_EXCHANGE && c->ex->is_tunnel) {
		client_conn_arm(c, c->ex->core->tunnel_idle_timeout_ms);
		relay_on_tunnel(c->ex, in, false);
		return;
	}
	keep(c, in);
}

/* What came behind the request before it became a tunnel. */
static void
feed_tunnel(struct client_conn *c)
{
	struct kept *k = c->kept;

	c->kept = NULL;
	relay_on_tunnel(c->ex, span_of(k->bytes, k->len), false);
	free(k);
}

/* One receive, and what follows from it; false = nothing more for now. */
static bool
receive(struct client_conn *c, size_t *turn)
{
	size_t len = 0;
	char *p = receive_place(c, &len);
	ssize_t n;

	if (p == NULL)
		return false;
	n = conn_receive(&c->conn, p, len);
	if (n == CONN_AGAIN)
		return false;
	if (n == CONN_EOF || n == CONN_FAILED) {
		on_eof(c, n == CONN_FAILED);
		return false;
	}
	*turn += (size_t)n;
	if (c->state == STATE_LINGER) {
		c->wait.bytes += (uint64_t)n;
		if (c->wait.bytes > LINGER_BYTES)
			client_conn_drop(c, true);
	} else if (c->state == STATE_EXCHANGE) {
		feed_exchange(c, span_of(p, (size_t)n));
	} else if (c->kept != NULL && c->kept->len > 0) {
		c->kept->len += (size_t)n;
		feed(c, span_of(c->kept->bytes, c->kept->len));
	} else {
		feed(c, span_of(p, (size_t)n));
	}
	return true;
}

/* Read and serve as long as there is something to read and room for it. */
void
client_receive(struct client_conn *c)
{
	size_t turn = 0;

	c->is_reading = true;
	for (;;) {
		if (c->state == STATE_EXCHANGE && c->ex->is_tunnel &&
		    c->body_done && c->kept != NULL && c->kept->len > 0)
			feed_tunnel(c);
		if (c->state == STATE_IDLE && c->kept != NULL &&
		    c->kept->len > 0) {
			/* A request that came behind the one before it. */
			feed(c, span_of(c->kept->bytes, c->kept->len));
			if (c->state == STATE_IDLE)
				continue;
		}
		if (c->state == STATE_CLOSED || c->state == STATE_LAST ||
		    !c->conn.readable)
			break;
		if (turn >= TURN_BYTES) {
			if (!c->task.is_queued)
				loop_defer(c->proxy->loop, &c->task);
			break;
		}
		if (!receive(c, &turn))
			break;
	}
	c->is_reading = false;
	if (c->kept != NULL && c->kept->len == 0) {
		free(c->kept);
		c->kept = NULL;
	}
	if (c->state != STATE_EXCHANGE || c->body_done)
		return;
	if (!c->conn.readable && relay_request_room(c->ex) > 0)
		client_wait_sender(&c->wait, c->ex, &c->conn.deadline);
	else
		/* It is the backend that we wait for. */
		client_wait_progressed(&c->wait);
}

/* A head that took too long is answered and logged (RFC 9110, 15.5.9). */
void
client_receive_timed_out(struct client_conn *c)
{
	struct http_request req;
	struct arena arena;

	memset(&req, 0, sizeof(req));
	req.minor = 1;
	arena_init(&arena, &c->proxy->arenas);
	begin_exchange(c, &arena, &req);
	c->ex->is_held = false;
	exchange_start_failed(c->ex, REASON_HEAD_TIMEOUT, NULL);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * backend_conn_receive - responses of a backend, over HTTP/1.
 *
 * An exchange may end inside any call made to it, and this connection with
 * it: after each such call bc->ex and bc->state are looked at again.
 */
#include "proxy/backend_conn_private.h"

#include <stdlib.h>
#include <string.h>

#include "base/heap_alloc.h"
#include "http/hop.h"
#include "metrics/histogram.h"
#include "proxy/queue.h"
#include "proxy/relay.h"

/*
 * The response is whole.  A connection that is fit for more goes to the pool
 * before the exchange hears of it, so that the next request may take it.
 */
static void
response_end(struct backend_conn *bc, struct span last, bool surplus)
{
	struct exchange *ex = bc->ex;
	struct http_fields *trailers = NULL;

	bc->response_ended = true;
	if (bc->body.trailers.count > 0) {
		if (hop_check_trailers(&bc->body.trailers) !=
		    H1_REFUSAL_NONE) {
			backend_conn_fail(bc, REASON_BACKEND_BAD_RESPONSE,
			    h1_refusal_text(H1_REFUSAL_TRAILER_INVALID));
			return;
		}
		trailers = arena_alloc(&ex->arena, sizeof(*trailers));
		*trailers = bc->body.trailers;
		h1_copy_fields(&ex->arena, trailers);
	}
	if (!bc->request_ended || conn_pending(&bc->conn) > 0 ||
	    proxy_out_pending(bc->proxy, &bc->conn) > 0) {
		/* Full duplex: the request is still on its way. */
		bc->keep_alive = false;
		relay_on_response_body(ex, last, true, trailers);
		return;
	}
	if (ex->group->conf->proxy_protocol != 0)
		bc->keep_alive = false; /* it is this client's */
	backend_conn_leave(bc);
	bc->item.served++;
	if (bc->keep_alive && !surplus && !bc->conn.readable &&
	    !bc->conn.failed && !bc->proxy->is_stopping &&
	    !(bc->is_limited && queue_wants(bc->proxy, bc->item.backend))) {
		bc->state = STATE_IDLE;
		deadline_clear(&bc->conn.deadline);
		if (!pool_put(bc->proxy->pool, &bc->item,
		    (uint64_t)bc->keep_alive_s * 1000))
			backend_conn_drop(bc);
		else if (bc->is_limited)
			queue_room(bc->proxy, bc->item.backend);
	} else {
		backend_conn_drop(bc);
	}
	relay_on_response_body(ex, last, true, trailers);
}

/* Body bytes; true = the connection still serves the same exchange. */
static bool
feed_body(struct backend_conn *bc, struct span in)
{
	struct exchange *ex = bc->ex;
	const struct h1_body_limits limits = {
		.chunk_line_max = CHUNK_LINE_MAX,
		.trailers_max = (size_t)ex->group->conf->
		    response_header_max_bytes,
		.trailer_fields_max = ex->group->conf->response_fields_max,
	};
	struct span piece = { NULL, 0 };

	for (;;) {
		struct span data;
		enum h1_body_event event =
		    h1_body_next(&bc->body, &limits, &in, &data);

		if (event == H1_BODY_END) {
			response_end(bc, piece, in.len > 0);
			return false;
		}
		if (piece.len > 0) {
			relay_on_response_body(ex, piece, false, NULL);
			if (bc->ex != ex)
				return false;
			piece = span_of(NULL, 0);
		}
		if (event == H1_BODY_REFUSED) {
			backend_conn_fail(bc, REASON_BACKEND_BAD_RESPONSE,
			    h1_refusal_text(
			    (enum h1_refusal)bc->body.refusal));
			return false;
		}
		if (event == H1_BODY_MORE)
			return true;
		piece = data;
	}
}

static bool
on_interim(struct backend_conn *bc, struct http_response *res)
{
	struct exchange *ex = bc->ex;

	if (++bc->interim_count > ex->group->conf->interim_responses_max) {
		backend_conn_fail(bc, REASON_BACKEND_BAD_RESPONSE,
		    "too many interim responses");
		return false;
	}
	if (hop_strip_response(res) != H1_REFUSAL_NONE) {
		backend_conn_fail(bc, REASON_BACKEND_BAD_RESPONSE,
		    "malformed Connection field");
		return false;
	}
	exchange_on_interim(ex, res);
	bc->h1 = (struct h1_state){ .checked = 0 };
	return bc->ex == ex;
}

static bool
on_final(struct backend_conn *bc, const char *p, size_t used,
    struct http_response *res)
{
	struct exchange *ex = bc->ex;
	uint64_t first_byte_us = now_us() - ex->sent_us;

	h1_copy_response(&ex->arena, p, used, SPARE_FIELDS, res);
	if (hop_strip_response(res) != H1_REFUSAL_NONE) {
		backend_conn_fail(bc, REASON_BACKEND_BAD_RESPONSE,
		    "malformed Connection field");
		return false;
	}
	if (!backend_conn_send_is_answered(bc, res)) {
		backend_conn_fail(bc, REASON_BACKEND_BAD_RESPONSE,
		    "101 without the right Sec-WebSocket-Accept");
		return false;
	}
	bc->head_done = true;
	bc->keep_alive = res->keep_alive;
	bc->keep_alive_s = res->keep_alive_timeout;
	h1_body_init(&bc->body, res->status == 101
	    ? HTTP_FRAMING_CLOSE : (enum http_framing)res->framing,
	    res->content_length);
	backend_conn_arm(bc, res->status == 101
	    ? ex->core->tunnel_idle_timeout_ms
	    : ex->route->timeouts.between_bytes_ms);
	histogram_observe(&proxy_upstream_stats(bc->proxy,
	    ex)[UPSTREAM_STAT_FIRST_BYTE], first_byte_us);
	histogram_observe(&proxy_backend_stats(bc->proxy,
	    ex)[UPSTREAM_STAT_FIRST_BYTE], first_byte_us);
	exchange_on_response(ex, res);
	return bc->ex == ex;
}

/* Keep an incomplete head; it is contiguous already when it lies in head. */
static void
keep_head(struct backend_conn *bc, struct span in)
{
	if (bc->head != NULL) {
		memmove(bc->head, in.p, in.len);
		bc->head_len = in.len;
		return;
	}
	if (in.len == 0)
		return;
	bc->head_size = in.len < 1024 ? 2048 : in.len * 2;
	bc->head = heap_alloc(bc->head_size);
	memcpy(bc->head, in.p, in.len);
	bc->head_len = in.len;
}

/* Heads, then body; true = read on for the same exchange. */
static bool
feed(struct backend_conn *bc, struct span in)
{
	struct exchange *ex = bc->ex;
	const struct h1_limits limits = {
		.head_max = (size_t)ex->group->conf->response_header_max_bytes,
		.line_max = (size_t)ex->group->conf->response_header_max_bytes,
		.fields_max = ex->group->conf->response_fields_max,
	};
	const struct h1_expected expected = {
		.method = (enum http_method)ex->up_req.method_id,
		.upgrade_websocket = ex->up_req.upgrade_websocket,
	};

	while (!bc->head_done) {
		struct http_response res;
		size_t used = 0;
		enum h1_result result = h1_parse_response(&bc->h1, in.p,
		    in.len, &limits, &expected, &res, &used);

		if (result == H1_MORE) {
			keep_head(bc, in);
			return true;
		}
		if (result == H1_REFUSED) {
			enum h1_refusal why = bc->h1.refusal;

			backend_conn_fail(bc,
			    why == H1_REFUSAL_HEAD_TOO_LARGE ||
			    why == H1_REFUSAL_LINE_TOO_LONG ||
			    why == H1_REFUSAL_FIELDS_TOO_MANY
			    ? REASON_BACKEND_HEADER_TOO_LARGE
			    : REASON_BACKEND_BAD_RESPONSE,
			    h1_refusal_text(why));
			return false;
		}
		if (res.status < 200 && res.status != 101) {
			if (!on_interim(bc, &res))
				return false;
		} else if (!on_final(bc, in.p, used, &res)) {
			return false;
		}
		in = span_of(in.p + used, in.len - used);
	}
	return feed_body(bc, in);
}

static void
on_eof(struct backend_conn *bc, bool failed)
{
	struct exchange *ex = bc->ex;

	if (bc->response_ended) {
		backend_conn_fail(bc, REASON_BACKEND_RESET, NULL);
		return;
	}
	if (!bc->head_done) {
		backend_conn_fail(bc, REASON_BACKEND_RESET, failed
		    ? "connection reset" : "connection closed");
		return;
	}
	if (failed || !h1_body_may_end(&bc->body) ||
	    (bc->conn.is_truncated && !ex->is_tunnel)) {
		backend_conn_fail(bc, REASON_BACKEND_TRUNCATED, failed
		    ? "connection reset" : bc->conn.is_truncated
		    ? "closed without the end of TLS" : "connection closed");
		return;
	}
	if (ex->is_tunnel) {
		/* Half of the tunnel: the other half may go on. */
		bc->response_ended = true;
		bc->conn.readable = false;
		relay_on_response_body(ex, span_of(NULL, 0), true, NULL);
		return;
	}
	bc->keep_alive = false;
	response_end(bc, span_of(NULL, 0), false);
}

/* Where the next bytes go, and how many may come; NULL = none are wanted. */
static char *
receive_place(struct backend_conn *bc, size_t *len)
{
	struct exchange *ex = bc->ex;
	size_t head_max = (size_t)ex->group->conf->response_header_max_bytes;
	size_t wanted;

	if (bc->response_ended) {
		*len = SCRATCH_BYTES; /* surplus: read and judged, not kept */
		return bc->proxy->scratch;
	}
	if (bc->head_done) {
		wanted = relay_response_room(ex);
		*len = wanted < SCRATCH_BYTES ? wanted : SCRATCH_BYTES;
		return *len > 0 ? bc->proxy->scratch : NULL;
	}
	if (bc->head == NULL) {
		*len = head_max < SCRATCH_BYTES ? head_max : SCRATCH_BYTES;
		return bc->proxy->scratch;
	}
	if (bc->head_len == bc->head_size) {
		bc->head_size *= 2;
		bc->head = heap_alloc_grow(bc->head, bc->head_size, 1);
	}
	*len = bc->head_size - bc->head_len;
	return bc->head + bc->head_len;
}

/* The response has ended before the request: its end is still read for. */
static bool
is_uploading(const struct backend_conn *bc, const struct exchange *ex)
{
	return bc->state == STATE_ACTIVE && bc->ex == ex && bc->response_ended;
}

void
backend_conn_receive(struct backend_conn *bc)
{
	size_t turn = 0;

	bc->is_reading = true;
	while (bc->state == STATE_ACTIVE && bc->conn.readable) {
		const struct exchange *ex = bc->ex;
		size_t len;
		char *p = receive_place(bc, &len);
		ssize_t n;

		if (p == NULL)
			break;
		if (turn >= TURN_BYTES) {
			loop_defer(bc->proxy->loop, &bc->task);
			break;
		}
		n = conn_receive(&bc->conn, p, len);
		if (n == CONN_AGAIN)
			break;
		if (n == CONN_EOF || n == CONN_FAILED) {
			on_eof(bc, n == CONN_FAILED);
			break;
		}
		turn += (size_t)n;
		if (bc->response_ended) {
			/* It speaks unasked: nothing of it is to be trusted. */
			bc->keep_alive = false;
			continue;
		}
		if (bc->head_done)
			backend_conn_arm(bc, bc->ex->is_tunnel
			    ? bc->ex->core->tunnel_idle_timeout_ms
			    : bc->ex->route->timeouts.between_bytes_ms);
		if (bc->head != NULL && !bc->head_done) {
			bc->head_len += (size_t)n;
			if (!feed(bc, span_of(bc->head, bc->head_len)) &&
			    !is_uploading(bc, ex))
				break;
			free(bc->old_head);
			bc->old_head = NULL;
			if (bc->head_done) {
				free(bc->head);
				bc->head = NULL;
			}
		} else if (!feed(bc, span_of(p, (size_t)n)) &&
		    !is_uploading(bc, ex)) {
			break;
		}
	}
	bc->is_reading = false;
	if (bc->old_head != NULL) {
		free(bc->old_head);
		bc->old_head = NULL;
	}
}

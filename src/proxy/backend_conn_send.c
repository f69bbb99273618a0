/* SPDX-License-Identifier: BSD-2-Clause */
/* backend_conn_send - requests to a backend, over HTTP/1. */
#include "proxy/backend_conn_private.h"

#include "base/str.h"
#include "http/h1_write.h"
#include "http/websocket.h"
#include "proxy/relay.h"

/* Will the pool take the connection back after this request? */
static bool
keeps(const struct backend_conn *bc)
{
	const struct group_keepalive *k = &bc->ex->group->conf->keepalive;

	return k->idle_timeout_ms != 0 && k->idle_max != 0 &&
	    bc->ex->group->conf->proxy_protocol == 0 &&
	    (k->requests_max == 0 || bc->item.served + 1 < k->requests_max);
}

/* A client over HTTP/2 has no key: weir asks in its place. */
static void
ask_with_key(struct backend_conn *bc)
{
	struct exchange *ex = bc->ex;
	struct http_fields *fields = &ex->up_req.fields;
	char key[WEBSOCKET_KEY_BYTES + 1];

	bc->accept = NULL;
	if (!ex->up_req.upgrade_websocket || !ex->req.is_h2)
		return;
	websocket_key(key);
	http_fields_set(fields, &ex->arena, SPAN("Sec-WebSocket-Key"),
	    span_cstr(arena_strdup(&ex->arena, key)));
	bc->accept = arena_alloc(&ex->arena, WEBSOCKET_ACCEPT_BYTES + 1);
	websocket_accept(span_of(key, WEBSOCKET_KEY_BYTES), bc->accept);
}

/* Did the backend understand it? */
bool
backend_conn_send_is_answered(const struct backend_conn *bc,
    const struct http_response *res)
{
	const struct http_field *f;

	if (res->status != 101 || bc->accept == NULL)
		return true;
	f = http_fields_find(&res->fields, SPAN("Sec-WebSocket-Accept"));
	return f != NULL && span_eq(http_field_value(f),
	    span_cstr(bc->accept));
}

static void
send_head(struct exchange *ex)
{
	struct backend_conn *bc = backend_conn_of(ex);
	struct str *out = proxy_out(ex->proxy, &bc->conn);
	const struct http_request *req = &ex->up_req;
	struct h1_framing framing = {
		.framing = (enum http_framing)req->framing,
		.content_length = req->content_length,
		.upgrade_websocket = req->upgrade_websocket,
		.te_trailers = req->te_trailers,
		.close = !keeps(bc),
	};

	ask_with_key(bc);
	/* Handlers may change a body's length. */
	if (req->framing == HTTP_FRAMING_LENGTH && !ex->is_collected &&
	    ex->route->phases.chains[PHASE_REQUEST_BODY].count > 0)
		framing.framing = HTTP_FRAMING_CHUNKED;
	bc->chunked = framing.framing == HTTP_FRAMING_CHUNKED;
	h1_write_request(out, req, ex->up_target, ex->up_host, &framing);
	backend_conn_arm(bc, ex->route->timeouts.first_byte_ms);
}

static void
send_body(struct exchange *ex, struct span bytes)
{
	struct backend_conn *bc = backend_conn_of(ex);
	struct proxy *proxy = ex->proxy;

	if (bc->conn.failed || bytes.len == 0)
		return; /* the response may still come: keep reading */
	if (bc->chunked && !bc->request_ended)
		h1_write_chunk(proxy_out(proxy, &bc->conn), bytes.len);
	proxy_out_bytes(proxy, &bc->conn, bytes);
	if (bc->chunked && !bc->request_ended)
		str_lit(proxy_out(proxy, &bc->conn), "\r\n");
	backend_conn_arm(bc, ex->is_tunnel ? ex->core->tunnel_idle_timeout_ms
			      : ex->route->timeouts.first_byte_ms);
}

static void
send_end(struct exchange *ex, struct http_fields *trailers)
{
	struct backend_conn *bc = backend_conn_of(ex);

	bc->request_ended = true;
	if (bc->chunked && !bc->conn.failed)
		h1_write_last_chunk(proxy_out(ex->proxy, &bc->conn),
		    trailers);
	backend_conn_arm(bc, ex->is_tunnel ? ex->core->tunnel_idle_timeout_ms
			      : ex->route->timeouts.first_byte_ms);
}

/* FIN, behind what still waits. */
static void
end_tunnel(struct exchange *ex)
{
	struct backend_conn *bc = backend_conn_of(ex);

	bc->tunnel_ended = true;
	proxy_send_out(ex->proxy);
	if (conn_pending(&bc->conn) == 0)
		conn_close_send(&bc->conn);
}

static size_t
room(struct exchange *ex)
{
	struct backend_conn *bc = backend_conn_of(ex);
	size_t pending = conn_pending(&bc->conn);
	size_t buffer = (size_t)ex->core->buffer;

	if (bc->conn.failed)
		return SIZE_MAX; /* read on and drop */
	if (pending == 0)
		return SIZE_MAX;
	return pending < buffer ? buffer - pending : 0;
}

static void
resume(struct exchange *ex)
{
	struct backend_conn *bc = backend_conn_of(ex);

	if (bc->is_reading || !bc->conn.readable || bc->task.is_queued)
		return;
	/* Not now: the scratch may be in use further up the stack. */
	loop_defer(ex->proxy->loop, &bc->task);
}

static void
abort_try(struct exchange *ex)
{
	backend_conn_drop(backend_conn_of(ex));
}

const struct backend_ops backend_conn_send_ops = {
	.send_head = send_head,
	.send_body = send_body,
	.send_end = send_end,
	.end_tunnel = end_tunnel,
	.room = room,
	.resume = resume,
	.abort = abort_try,
};

void
backend_conn_send_rest(struct backend_conn *bc)
{
	bool waited = conn_pending(&bc->conn) > 0;

	if (!waited || conn_flush(&bc->conn) != 0)
		return; /* a failure shows when reading */
	if (conn_pending(&bc->conn) > bc->ex->core->buffer / 2)
		return;
	if (bc->tunnel_ended &&
	    conn_pending(&bc->conn) == 0)
		conn_close_send(&bc->conn);
	backend_conn_arm(bc, bc->ex->is_tunnel
	    ? bc->ex->core->tunnel_idle_timeout_ms
	    : bc->ex->route->timeouts.first_byte_ms);
	relay_on_backend_writable(bc->ex);
}

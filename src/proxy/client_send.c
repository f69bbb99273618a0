/* SPDX-License-Identifier: BSD-2-Clause */
/* client_send - responses to a client, over HTTP/1. */
#include "proxy/client_send.h"

#include "http/date.h"
#include "http/h1_write.h"
#include "http/websocket.h"
#include "proxy/client_conn_private.h"
#include "proxy/relay.h"

static bool
response_has_body(const struct exchange *ex)
{
	return ex->req.method_id != HTTP_METHOD_HEAD &&
	    ex->res.status != 204 && ex->res.status != 304;
}

/* The last exchange of this connection? */
static bool
must_close(const struct client_conn *c, const struct exchange *ex)
{
	const struct core_conf *core = ex->core;

	return !ex->req.keep_alive || ex->force_close || c->proxy->draining ||
	    !ex->request_body.in_ended ||
	    (core->keepalive_requests != 0 &&
	    c->requests >= core->keepalive_requests);
}

/* How the end of this response will be known to the client. */
static void
choose_framing(struct client_conn *c, struct exchange *ex,
    struct h1_framing *framing)
{
	const struct http_response *res = &ex->res;
	bool changes = relay_changes_response(ex);

	c->no_body = !response_has_body(ex);
	framing->framing = (enum http_framing)res->framing;
	framing->content_length = res->content_length;
	if (ex->is_answered) {
		framing->framing = HTTP_FRAMING_LENGTH;
		framing->content_length = ex->answer.len;
	}
	if (res->status == 204)
		framing->framing = HTTP_FRAMING_NONE;
	/* It ended with its head, in HTTP/2: that has a length as well. */
	if (framing->framing == HTTP_FRAMING_NONE && !c->no_body)
		framing->framing = HTTP_FRAMING_LENGTH;
	if (framing->framing == HTTP_FRAMING_NONE || c->no_body)
		return;
	if (framing->framing == HTTP_FRAMING_LENGTH && !changes)
		return;
	framing->framing = ex->req.minor >= 1 ? HTTP_FRAMING_CHUNKED
					      : HTTP_FRAMING_CLOSE;
}

/* A backend over HTTP/2 knows nothing of the key: weir answers it. */
static void
answer_key(struct exchange *ex)
{
	struct http_fields *fields = &ex->res.fields;
	const struct http_field *key = http_fields_find(&ex->req.fields,
	    SPAN("Sec-WebSocket-Key"));
	char accept[WEBSOCKET_ACCEPT_BYTES + 1];

	if (key == NULL ||
	    http_fields_find(fields, SPAN("Sec-WebSocket-Accept")) != NULL)
		return;
	websocket_accept(http_field_value(key), accept);
	http_fields_add(fields, &ex->arena, SPAN("Sec-WebSocket-Accept"),
	    span_cstr(arena_strdup(&ex->arena, accept)));
}

void
client_send_head(struct exchange *ex)
{
	struct client_conn *c = client_conn_of(ex);
	struct h1_framing framing = { .framing = HTTP_FRAMING_NONE };
	struct http_response *res = &ex->res;

	if (ex->is_tunnel) {
		/* A failure ends with the idle timeout. */
		(void)client_conn_watch(c);
		framing.upgrade_websocket = true;
		c->close_after = true;
		answer_key(ex);
		h1_write_response(proxy_out(c->proxy, &c->conn), res,
		    &framing);
		return;
	}
	choose_framing(c, ex, &framing);
	c->close_after = must_close(c, ex) ||
	    framing.framing == HTTP_FRAMING_CLOSE;
	framing.close = c->close_after;
	framing.keep_alive = !c->close_after;
	c->chunked_out = framing.framing == HTTP_FRAMING_CHUNKED;
	c->until_close = framing.framing == HTTP_FRAMING_CLOSE;
	if (!http_fields_may_have(&res->fields, FIELD_DATE) ||
	    http_fields_get(&res->fields, FIELD_DATE) == NULL)
		http_fields_add_id(&res->fields, &ex->arena, FIELD_DATE,
		    date_now());
	h1_write_response(proxy_out(c->proxy, &c->conn), res, &framing);
}

void
client_send_interim(struct exchange *ex, const struct http_response *res)
{
	struct client_conn *c = client_conn_of(ex);
	struct h1_framing framing = { .framing = HTTP_FRAMING_NONE };

	h1_write_response(proxy_out(c->proxy, &c->conn), res, &framing);
	proxy_send_out(c->proxy);
}

void
client_send_body(struct exchange *ex, struct span bytes)
{
	struct client_conn *c = client_conn_of(ex);
	struct proxy *proxy = c->proxy;

	if (c->no_body || bytes.len == 0 || c->conn.failed)
		return;
	if (c->chunked_out)
		h1_write_chunk(proxy_out(proxy, &c->conn), bytes.len);
	proxy_out_bytes(proxy, &c->conn, bytes);
	if (c->chunked_out)
		str_lit(proxy_out(proxy, &c->conn), "\r\n");
	if (ex->is_tunnel)
		client_conn_arm(c, ex->core->tunnel_idle_timeout_ms);
	else if (conn_pending(&c->conn) > 0)
		client_wait_reader(&c->wait, ex, &c->conn.deadline,
		    c->conn.sent, false);
}

void
client_send_end(struct exchange *ex, struct http_fields *trailers)
{
	struct client_conn *c = client_conn_of(ex);

	if (c->chunked_out && !c->no_body && !ex->is_tunnel)
		h1_write_last_chunk(proxy_out(c->proxy, &c->conn), trailers);
	if (!ex->is_tunnel && (c->body_done || !c->close_after))
		return;
	/* Nothing more will be sent, though more may be received. */
	c->fin_wanted = true;
	proxy_send_out(c->proxy);
	if (conn_pending(&c->conn) == 0)
		conn_close_send(&c->conn);
	if (ex->is_tunnel)
		client_conn_arm(c, ex->core->client_write_timeout_ms);
}

size_t
client_send_room(struct exchange *ex)
{
	struct client_conn *c = client_conn_of(ex);
	size_t pending = conn_pending(&c->conn);
	size_t buffer = (size_t)ex->core->buffer;

	if (pending == 0)
		return SIZE_MAX;
	return pending < buffer ? buffer - pending : 0;
}

void
client_send_rest(struct client_conn *c)
{
	if (conn_pending(&c->conn) == 0 || !c->conn.writable)
		return;
	if (conn_flush(&c->conn) != 0) {
		if (c->ex != NULL)
			exchange_on_client_failed(c->ex, REASON_CLIENT_GONE,
			    "connection reset");
		else
			client_conn_drop(c, true);
		return;
	}
	if (c->state == STATE_LAST) {
		if (conn_pending(&c->conn) == 0)
			client_finish_last(c);
		else
			client_conn_arm(c, client_conn_service(c)->core->
			    client_write_timeout_ms);
		return;
	}
	if (c->ex == NULL)
		return;
	if (conn_pending(&c->conn) == 0) {
		c->wait.is_reader_slow = false;
		c->wait.since_ms = 0;
		c->wait.waited_ms = 0;
		if (c->fin_wanted)
			conn_close_send(&c->conn);
		else if (!c->ex->is_tunnel)
			deadline_clear(&c->conn.deadline);
	} else if (c->ex->is_tunnel) {
		client_conn_arm(c, c->ex->core->tunnel_idle_timeout_ms);
	} else {
		client_wait_reader(&c->wait, c->ex, &c->conn.deadline,
		    c->conn.sent, true);
	}
	if (conn_pending(&c->conn) <= c->ex->core->buffer / 2)
		relay_on_client_writable(c->ex);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * client_finish - the end of an exchange on a client's connection: the next
 * request, or the last answer and a close that resets nothing.
 */
#include "proxy/client_conn_private.h"

/* Everything was sent that will be: FIN, then read what still comes. */
static void
linger(struct client_conn *c)
{
	if (c->conn.peer_closed && !c->conn.readable) {
		client_conn_drop(c, false);
		return;
	}
	if (client_conn_watch(c) != 0) {
		client_conn_drop(c, false);
		return;
	}
	c->state = STATE_LINGER;
	c->wait.bytes = 0;
	conn_close_send(&c->conn);
	client_conn_arm(c, LINGER_MS);
	c->conn.readable = true;
	if (!c->task.is_queued)
		loop_defer(c->proxy->loop, &c->task);
}

/* The exchange is gone and said "close": flush, then FIN. */
void
client_finish_last(struct client_conn *c)
{
	c->state = STATE_LAST;
	proxy_send_out(c->proxy);
	if (c->conn.failed) {
		client_conn_drop(c, true);
		return;
	}
	if (conn_pending(&c->conn) > 0) {
		client_conn_arm(c, client_conn_service(c)->core->
		    client_write_timeout_ms);
		return;
	}
	if (c->was_cut && c->until_close) {
		/* Its end would look like the answer's. */
		client_conn_drop(c, true);
		return;
	}
	if (c->body_done && c->kept == NULL && !c->conn.readable) {
		/* Nothing of the client's is unread: no reset can follow. */
		client_conn_drop(c, false);
		return;
	}
	linger(c);
}

/* Bytes that were given out for sending, whether the kernel took them yet. */
static uint64_t
bytes_out(const struct client_conn *c)
{
	return conn_given(&c->conn) +
	    proxy_out_pending(c->proxy, &c->conn);
}

void
client_finish_book_bytes(struct exchange *ex)
{
	struct client_conn *c = client_conn_of(ex);
	uint64_t behind = c->kept != NULL && c->body_done ? c->kept->len : 0;
	uint64_t received = c->conn.received - behind;
	uint64_t out = bytes_out(c);

	ex->client_bytes_in = received - c->received_before;
	ex->client_bytes_out = out - c->sent_before;
	c->received_before = received;
	c->sent_before = out;
}

void
client_finish(struct exchange *ex)
{
	struct client_conn *c = client_conn_of(ex);
	bool keep = !c->close_after && !ex->force_close && !c->was_cut &&
	    !ex->client_gone && c->body_done && !ex->is_tunnel &&
	    ex->head_sent && !c->conn.failed;

	proxy_send_out(c->proxy);
	if (c->body != NULL)
		h1_body_fini(c->body);
	c->ex = NULL;
	c->body = NULL;
	c->wait.since_ms = 0;
	if (c->state == STATE_CLOSED)
		return;
	if (ex->client_gone || (ex->reason != REASON_NONE && !ex->head_sent)) {
		client_conn_drop(c, ex->reason == REASON_WRITE_TIMEOUT);
		return;
	}
	if (!keep) {
		client_finish_last(c);
		return;
	}
	client_conn_set_idle(c);
	if (conn_watch(&c->conn) != 0) {
		client_conn_drop(c, true);
		return;
	}
	/* What came behind the request is the next one. */
	if ((c->kept != NULL || c->conn.readable) && !c->is_reading &&
	    !c->task.is_queued)
		loop_defer(c->proxy->loop, &c->task);
}

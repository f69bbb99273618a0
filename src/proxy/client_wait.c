/* SPDX-License-Identifier: BSD-2-Clause */
/* client_wait - how long, and at which rate, a client may keep weir waiting. */
#include "proxy/client_wait.h"

#include "proxy/client_conn_private.h"

enum { RATE_CHECK_MS = 1000 };

/*
 * When the present wait for the client must end: by its limit, or to look at
 * the rate that is asked of it.
 */
static void
arm_wait(struct client_conn *c, uint64_t limit_ms)
{
	const struct core_conf *core = c->ex->core;
	uint64_t now = now_ms();
	uint64_t due = c->wait_since_ms + limit_ms;
	uint64_t waited = c->waited_ms + (now - c->wait_since_ms);
	uint64_t check = now + RATE_CHECK_MS;

	if (waited < core->client_body_min_rate_after_ms)
		check = now + core->client_body_min_rate_after_ms - waited;
	if (core->client_body_min_rate != 0 && check < due)
		due = check;
	deadline_set(c->proxy->loop, &c->conn.deadline, due);
}

/* Bytes moved in waited_ms are fewer than the least rate wants. */
static bool
is_too_slow(const struct client_conn *c, uint64_t bytes)
{
	const struct core_conf *core = c->ex->core;
	uint64_t waited = c->waited_ms + (c->wait_since_ms != 0
	    ? now_ms() - c->wait_since_ms : 0);

	return core->client_body_min_rate != 0 && waited != 0 &&
	    waited >= core->client_body_min_rate_after_ms &&
	    bytes * 1000 / waited < core->client_body_min_rate;
}

void
client_wait_reader(struct client_conn *c, bool progress)
{
	uint64_t now = now_ms();

	if (conn_pending(&c->conn) == 0)
		return;
	if (!c->is_reader_slow) {
		c->is_reader_slow = true;
		c->waited_ms = 0;
		c->wait_bytes = c->conn.sent;
		c->wait_since_ms = now;
	} else if (progress) {
		c->waited_ms += now - c->wait_since_ms;
		c->wait_since_ms = now;
	}
	arm_wait(c, c->ex->core->client_write_timeout_ms);
}

/* Silence that is allowed to the client's body at this time. */
static uint64_t
sender_limit(const struct client_conn *c)
{
	const struct core_conf *core = c->ex->core;

	return c->ex->head_sent || core->streaming
	    ? core->stream_idle_timeout_ms : core->client_body_timeout_ms;
}

static bool
sender_is_too_slow(const struct client_conn *c)
{
	return !c->ex->head_sent && !c->ex->core->streaming &&
	    is_too_slow(c, c->ex->request_body.bytes);
}

void
client_wait_sender(struct client_conn *c)
{
	if (c->ex->is_tunnel || c->is_reader_slow)
		return;
	if (sender_is_too_slow(c)) {
		exchange_on_client_failed(c->ex, REASON_BODY_TIMEOUT,
		    "below client_body_min_rate");
		return;
	}
	if (c->wait_since_ms == 0)
		c->wait_since_ms = now_ms();
	arm_wait(c, sender_limit(c));
}

void
client_wait_progressed(struct client_conn *c)
{
	if (c->wait_since_ms == 0 || c->is_reader_slow)
		return;
	c->waited_ms += now_ms() - c->wait_since_ms;
	c->wait_since_ms = 0;
}

void
client_wait_expired(struct client_conn *c)
{
	struct exchange *ex = c->ex;
	uint64_t waiting = now_ms() - c->wait_since_ms;

	if (ex->is_tunnel) {
		exchange_on_client_failed(ex, REASON_CLIENT_GONE,
		    "idle tunnel");
	} else if (c->wait_since_ms == 0) {
		return; /* nobody waits for the client now */
	} else if (c->is_reader_slow) {
		if (waiting >= ex->core->client_write_timeout_ms ||
		    is_too_slow(c, c->conn.sent - c->wait_bytes))
			exchange_on_client_failed(ex, REASON_WRITE_TIMEOUT,
			    NULL);
		else
			arm_wait(c, ex->core->client_write_timeout_ms);
	} else if (!c->body_done) {
		if (waiting >= sender_limit(c) || sender_is_too_slow(c))
			exchange_on_client_failed(ex, REASON_BODY_TIMEOUT,
			    NULL);
		else
			arm_wait(c, sender_limit(c));
	}
}

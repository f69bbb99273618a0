/* SPDX-License-Identifier: BSD-2-Clause */
/* client_wait - how long, and at which rate, a client may keep weir waiting. */
#include "proxy/client_wait.h"

#include "base/now.h"
#include "proxy/exchange.h"
#include "proxy/proxy_private.h"

enum { RATE_CHECK_MS = 1000 };

/*
 * When the present wait for the client must end: by its limit, or to look at
 * the rate that is asked of it.
 */
static void
arm_wait(const struct client_wait *w, const struct exchange *ex,
    struct deadline *d, uint64_t limit_ms)
{
	const struct core_conf *core = ex->core;
	uint64_t now = now_ms();
	uint64_t due = w->since_ms + limit_ms;
	uint64_t waited = w->waited_ms + (now - w->since_ms);
	uint64_t check = now + RATE_CHECK_MS;

	if (waited < core->client_body_min_rate_after_ms)
		check = now + core->client_body_min_rate_after_ms - waited;
	if (core->client_body_min_rate != 0 && check < due)
		due = check;
	deadline_set(ex->proxy->loop, d, due);
}

/* Bytes moved in waited_ms are fewer than the least rate wants. */
static bool
is_too_slow(const struct client_wait *w, const struct exchange *ex,
    uint64_t bytes)
{
	const struct core_conf *core = ex->core;
	uint64_t waited = w->waited_ms + (w->since_ms != 0
	    ? now_ms() - w->since_ms : 0);

	return core->client_body_min_rate != 0 && waited != 0 &&
	    waited >= core->client_body_min_rate_after_ms &&
	    bytes * 1000 / waited < core->client_body_min_rate;
}

void
client_wait_reader(struct client_wait *w, struct exchange *ex,
    struct deadline *d, uint64_t sent, bool progress)
{
	uint64_t now = now_ms();

	if (!w->is_reader_slow) {
		w->is_reader_slow = true;
		w->waited_ms = 0;
		w->bytes = sent;
		w->since_ms = now;
	} else if (progress) {
		w->waited_ms += now - w->since_ms;
		w->since_ms = now;
	}
	arm_wait(w, ex, d, ex->core->client_write_timeout_ms);
}

/* Silence that is allowed to the client's body at this time. */
static uint64_t
sender_limit(const struct exchange *ex)
{
	const struct core_conf *core = ex->core;

	return ex->head_sent || core->streaming
	    ? core->stream_idle_timeout_ms : core->client_body_timeout_ms;
}

static bool
sender_is_too_slow(const struct client_wait *w, const struct exchange *ex)
{
	return !ex->head_sent && !ex->core->streaming &&
	    is_too_slow(w, ex, ex->request_body.bytes);
}

void
client_wait_sender(struct client_wait *w, struct exchange *ex,
    struct deadline *d)
{
	if (ex->is_tunnel || w->is_reader_slow)
		return;
	if (sender_is_too_slow(w, ex)) {
		exchange_on_client_failed(ex, REASON_BODY_TIMEOUT,
		    "below client_body_min_rate");
		return;
	}
	if (w->since_ms == 0)
		w->since_ms = now_ms();
	arm_wait(w, ex, d, sender_limit(ex));
}

void
client_wait_progressed(struct client_wait *w)
{
	if (w->since_ms == 0 || w->is_reader_slow)
		return;
	w->waited_ms += now_ms() - w->since_ms;
	w->since_ms = 0;
}

void
client_wait_expired(struct client_wait *w, struct exchange *ex,
    struct deadline *d, uint64_t sent, bool body_done)
{
	uint64_t waiting = now_ms() - w->since_ms;

	if (ex->is_tunnel) {
		exchange_on_client_failed(ex, REASON_CLIENT_GONE,
		    "idle tunnel");
	} else if (w->since_ms == 0) {
		return; /* nobody waits for the client now */
	} else if (w->is_reader_slow) {
		if (waiting >= ex->core->client_write_timeout_ms ||
		    is_too_slow(w, ex, sent - w->bytes))
			exchange_on_client_failed(ex, REASON_WRITE_TIMEOUT,
			    NULL);
		else
			arm_wait(w, ex, d, ex->core->client_write_timeout_ms);
	} else if (!body_done) {
		if (waiting >= sender_limit(ex) || sender_is_too_slow(w, ex))
			exchange_on_client_failed(ex, REASON_BODY_TIMEOUT,
			    NULL);
		else
			arm_wait(w, ex, d, sender_limit(ex));
	}
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* relay - bodies on their way, in both directions. */
#include "proxy/relay.h"

#include <assert.h>

#include "proxy/exchange_private.h"
#include "proxy/proxy_private.h"
#include "proxy/relay_private.h"
#include "proxy/route.h"

/* retry_buffer is at most 1 MB, in blocks that are filled one by one. */
enum { REPLAY_RUNS_MAX = 1048576 / BLOCK_BYTES + 2 };
/* Room for what is no body: to see its end, or that it is too large. */
enum { COLLECT_SPARE = 4096 };

/* May another piece be received?  Else it is told once there is memory. */
static inline bool
has_memory(struct exchange *ex)
{
	if (block_pool_has_room(&ex->proxy->blocks))
		return true;
	relay_starved_note(ex);
	return false;
}

/* ---- sinks ---- */

/* Keep a copy for a retry as long as one is possible and it fits. */
static void
record(struct exchange *ex, struct span bytes)
{
	if (ex->replay_lost)
		return;
	if (ex->replay.len + bytes.len > ex->core->retry_buffer ||
	    (ex->up_accepted && !http_method_is_idempotent(
	    (enum http_method)ex->req.method_id))) {
		ex->replay_lost = true;
		pipe_fini(&ex->replay, &ex->proxy->blocks);
		return;
	}
	pipe_put(&ex->replay, &ex->proxy->blocks, bytes);
}

static void
end_request(struct exchange *ex)
{
	struct relay *r = &ex->request_body;

	r->out_ended = true;
	if (ex->backend_conn != NULL)
		ex->backend_ops->send_end(ex, r->trailers);
}

/* Beyond what buffer_request may collect. */
static void
fail_too_large(struct exchange *ex)
{
	if (ex->body_failed)
		return;
	exchange_note(ex, REASON_BODY_TOO_LARGE, EXCHANGE_TOO_LARGE);
	ex->body_failed = true;
}

static void
request_sink(struct exchange *ex, struct span bytes, bool is_end)
{
	struct relay *r = &ex->request_body;

	if (ex->discard_request) {
		r->out_ended |= is_end;
		return;
	}
	if (!ex->up_head_sent) {
		pipe_put(&r->waiting, &ex->proxy->blocks, bytes);
		r->waiting_end |= is_end;
		if (ex->core->buffer_request &&
		    r->waiting.len > ex->core->buffer_request_max &&
		    ex->state <= EXCHANGE_COLLECT)
			fail_too_large(ex);
		return;
	}
	if (bytes.len > 0) {
		record(ex, bytes);
		r->sent += bytes.len;
		if (ex->backend_conn != NULL)
			ex->backend_ops->send_body(ex, bytes);
	}
	if (is_end)
		end_request(ex);
}

static void
end_response(struct exchange *ex)
{
	struct relay *r = &ex->response_body;

	if ((ex->route->phases.used &
	    (PHASE_BIT(PHASE_UPSTREAM_RESPONSE_TRAILERS) |
	    PHASE_BIT(PHASE_RESPONSE_TRAILERS))) != 0 && !ex->is_tunnel &&
	    !relay_trailers_filter(ex))
		return;
	r->out_ended = true;
	if (!ex->client_gone)
		ex->client_ops->send_end(ex, r->trailers);
}

static void
response_sink(struct exchange *ex, struct span bytes, bool is_end)
{
	if (bytes.len > 0) {
		ex->response_body.sent += bytes.len;
		if (!ex->client_gone)
			ex->client_ops->send_body(ex, bytes);
	}
	if (is_end)
		end_response(ex);
}

void
relay_sink(struct exchange *ex, const struct relay_path *path, struct span in,
    bool is_end)
{
	if (path->is_request)
		request_sink(ex, in, is_end);
	else
		response_sink(ex, in, is_end);
}

/* ---- after handlers ---- */

void
relay_after_push(struct exchange *ex)
{
	if (!ex->body_failed)
		return;
	ex->body_failed = false;
	exchange_on_client_failed(ex, ex->reason, ex->detail);
}

void
relay_resume(struct exchange *ex)
{
	struct proxy *proxy = ex->proxy;

	relay_push_held(ex, &relay_push_request);
	relay_push_held(ex, &relay_push_response);
	if (ex->response_body.trailers_wait && !ex->body_failed) {
		ex->response_body.trailers_wait = false;
		end_response(ex);
	}
	if (ex->body_failed) {
		relay_after_push(ex);
		proxy_flush(proxy);
		return;
	}
	if (relay_wake(ex)) {
		proxy_flush(proxy);
		return;
	}
	if (!ex->request_body.in_ended)
		ex->client_ops->resume(ex);
	if (ex->backend_conn != NULL && !ex->response_body.in_ended)
		ex->backend_ops->resume(ex);
	exchange_settle(ex);
	proxy_flush(proxy);
}

/* ---- the request's body ---- */

bool
relay_wake(struct exchange *ex)
{
	if (ex->state != EXCHANGE_COLLECT || !ex->request_body.waiting_end)
		return false;
	exchange_walk(ex);
	return true;
}

/* More has come of a body that is collected; may end the exchange. */
static void
collect(struct exchange *ex)
{
	if (relay_wake(ex) || block_pool_has_room(&ex->proxy->blocks))
		return;
	/* Who collects too might wait for this one's memory. */
	exchange_on_client_failed(ex, REASON_OUT_OF_RESOURCES,
	    "body_memory is used up");
}

/* Body for which the route's handlers are not known yet. */
static void
put_early(struct exchange *ex, struct span bytes, bool is_end)
{
	struct relay *r = &ex->request_body;

	pipe_put(&r->waiting, &ex->proxy->blocks, bytes);
	r->in_ended |= is_end;
	r->waiting_end |= is_end;
}

void
relay_request_routed(struct exchange *ex)
{
	struct relay *r = &ex->request_body;
	struct pipe early = r->waiting;
	bool is_end = r->waiting_end;

	if ((ex->route->phases.used & PHASE_BIT(PHASE_REQUEST_BODY)) == 0)
		return;
	pipe_init(&r->waiting);
	r->waiting_end = false;
	relay_push_pipe(ex, &relay_push_request, 0, &early,
	    is_end ? BODY_END : 0);
}

bool
relay_request_collected(struct exchange *ex)
{
	struct relay *r = &ex->request_body;

	relay_push_full(ex, &relay_push_request);
	if (!r->waiting_end || ex->body_failed)
		return false;
	ex->is_collected = true;
	ex->replay = r->waiting;
	r->sent = r->waiting.len;
	pipe_init(&r->waiting);
	r->waiting_end = false;
	return true;
}

/* A collected body, from where this try is, as far as the backend takes it. */
static void
send_collected(struct exchange *ex)
{
	struct relay *r = &ex->request_body;

	while (ex->backend_conn != NULL && !r->out_ended) {
		size_t room = ex->backend_ops->room(ex);
		struct span run;

		if (room == 0)
			return;
		run = pipe_read(&ex->replay, &ex->replay_at, room);
		if (run.len > 0)
			ex->backend_ops->send_body(ex, run);
		else
			end_request(ex);
	}
}

void
relay_on_request_body(struct exchange *ex, struct span bytes, bool is_end,
    struct http_fields *trailers)
{
	struct relay *r = &ex->request_body;

	assert(ex->magic == EXCHANGE_MAGIC);
	r->bytes += bytes.len;
	if (trailers != NULL)
		r->trailers = trailers;
	if (ex->state <= EXCHANGE_REQUEST && !ex->discard_request) {
		put_early(ex, bytes, is_end);
		return;
	}
	if (ex->core->body_size_max != 0 && !ex->discard_request &&
	    r->bytes > ex->core->body_size_max) {
		exchange_on_client_failed(ex, REASON_BODY_TOO_LARGE, NULL);
		return;
	}
	r->in_ended |= is_end;
	if (ex->discard_request) {
		r->out_ended |= is_end;
		return;
	}
	relay_push_first(ex, &relay_push_request, bytes, is_end);
	if (ex->body_failed)
		relay_after_push(ex);
	else if (ex->state == EXCHANGE_COLLECT)
		collect(ex);
	else if (is_end && ex->response_body.out_ended)
		exchange_settle(ex);
}

void
relay_on_tunnel(struct exchange *ex, struct span bytes, bool is_end)
{
	assert(ex->magic == EXCHANGE_MAGIC && ex->is_tunnel);
	if (bytes.len > 0 && ex->backend_conn != NULL)
		ex->backend_ops->send_body(ex, bytes);
	if (!is_end || ex->tunnel_ended)
		return;
	ex->tunnel_ended = true;
	if (ex->backend_conn != NULL)
		ex->backend_ops->end_tunnel(ex);
	exchange_settle(ex);
}

void
relay_request_begin(struct exchange *ex)
{
	struct relay *r = &ex->request_body;
	struct pipe waiting = r->waiting;
	bool is_end = r->waiting_end;

	if (ex->is_collected) {
		ex->replay_at = (struct pipe_cursor){ .is_begun = false };
		r->out_ended = false;
		send_collected(ex);
		return;
	}
	/* What an earlier try has sent already. */
	if (ex->replay.len > 0) {
		struct span runs[REPLAY_RUNS_MAX];
		size_t count = pipe_peek_many(&ex->replay, runs,
		    REPLAY_RUNS_MAX);

		for (size_t i = 0; i < count && ex->backend_conn != NULL; i++)
			ex->backend_ops->send_body(ex, runs[i]);
	}
	if (r->out_ended && ex->backend_conn != NULL) {
		ex->backend_ops->send_end(ex, r->trailers);
		return;
	}
	pipe_init(&r->waiting);
	r->waiting_end = false;
	while (waiting.len > 0) {
		struct span run = pipe_peek(&waiting);

		request_sink(ex, run, is_end && run.len == waiting.len);
		is_end = is_end && run.len != waiting.len;
		pipe_drop(&waiting, &ex->proxy->blocks, run.len);
	}
	if (is_end)
		request_sink(ex, span_of(NULL, 0), true);
	relay_push_full(ex, &relay_push_request);
	if (ex->body_failed) {
		relay_after_push(ex);
		return;
	}
	if (!r->in_ended)
		ex->client_ops->resume(ex);
}

size_t
relay_request_room(struct exchange *ex)
{
	const struct relay *r = &ex->request_body;
	size_t held = r->waiting.len;

	if (ex->discard_request)
		return SIZE_MAX;
	if (r->stopped > 0)
		return 0;
	if (ex->state == EXCHANGE_COLLECT)
		return relay_waiting_max(ex) - held + COLLECT_SPARE;
	if (!has_memory(ex))
		return 0;
	if (held > 0 || !ex->up_head_sent) {
		size_t max = relay_waiting_max(ex);

		return held < max ? max - held : 0;
	}
	if (ex->backend_conn == NULL)
		return 0;
	return ex->backend_ops->room(ex);
}

void
relay_on_backend_writable(struct exchange *ex)
{
	if (ex->is_collected)
		send_collected(ex);
	relay_push_full(ex, &relay_push_request);
	if (ex->body_failed) {
		relay_after_push(ex);
		return;
	}
	if (ex->request_body.out_ended && ex->response_body.out_ended &&
	    !ex->is_tunnel) {
		exchange_settle(ex);
		return;
	}
	if (!ex->request_body.in_ended || ex->is_tunnel)
		ex->client_ops->resume(ex);
}

/* ---- the response's body ---- */

void
relay_on_response_body(struct exchange *ex, struct span bytes, bool is_end,
    struct http_fields *trailers)
{
	struct relay *r = &ex->response_body;

	assert(ex->magic == EXCHANGE_MAGIC);
	r->bytes += bytes.len;
	r->in_ended |= is_end;
	if (trailers != NULL)
		r->trailers = trailers;
	if (ex->state != EXCHANGE_STREAM) {
		pipe_put(&r->waiting, &ex->proxy->blocks, bytes);
		r->waiting_end |= is_end;
		return;
	}
	if (ex->is_tunnel)
		response_sink(ex, bytes, is_end);
	else
		relay_push_first(ex, &relay_push_response, bytes, is_end);
	if (ex->body_failed) {
		relay_after_push(ex);
		return;
	}
	if (is_end)
		exchange_settle(ex);
}

void
relay_response_begin(struct exchange *ex)
{
	struct relay *r = &ex->response_body;
	struct pipe waiting = r->waiting;
	bool is_end = r->waiting_end;

	if (ex->replay.len > 0 && ex->request_body.out_ended)
		/* There will be no other try. */
		pipe_fini(&ex->replay, &ex->proxy->blocks);
	pipe_init(&r->waiting);
	r->waiting_end = false;
	if (ex->is_answered) {
		pipe_fini(&waiting, &ex->proxy->blocks);
		r->trailers = NULL;
		r->in_ended = true;
		if (!r->out_ended)
			relay_push(ex, &relay_push_response, 0, ex->answer,
			    BODY_END);
	} else if (waiting.len > 0 || is_end) {
		relay_push_pipe(ex, &relay_push_response, 0, &waiting,
		    is_end ? BODY_END : 0);
	}
	if (ex->body_failed) {
		ex->body_failed = false;
		if (!ex->client_gone)
			ex->client_ops->cut(ex);
		exchange_drop_backend(ex);
		ex->state = EXCHANGE_DONE;
		return;
	}
	if (ex->backend_conn != NULL && !r->in_ended)
		ex->backend_ops->resume(ex);
	if (ex->is_tunnel)
		ex->client_ops->resume(ex);
	exchange_settle(ex);
}

bool
relay_changes_response(const struct exchange *ex)
{
	if ((ex->route->phases.used & PHASES_OF_RESPONSE_BODY) == 0)
		return false;
	for (unsigned i = 0; i < PHASE_COUNT; i++) {
		const struct phase_chain *chain =
		    relay_chain(ex, (enum phase)i);

		if ((PHASES_OF_RESPONSE_BODY & PHASE_BIT(i)) == 0)
			continue;
		for (uint32_t j = 0; j < chain->count; j++) {
			if (!relay_push_is_skipped(ex, &chain->items[j]))
				return true;
		}
	}
	return false;
}

size_t
relay_response_room(struct exchange *ex)
{
	const struct relay *r = &ex->response_body;
	size_t held = r->waiting.len;

	if (ex->client_gone)
		return SIZE_MAX;
	if (r->stopped > 0 || !has_memory(ex))
		return 0;
	if (ex->state != EXCHANGE_STREAM || held > 0) {
		size_t buffer = (size_t)ex->core->buffer;

		return held < buffer ? buffer - held : 0;
	}
	return ex->client_ops->room(ex);
}

void
relay_on_client_writable(struct exchange *ex)
{
	if (ex->response_body.full > 0) {
		relay_push_full(ex, &relay_push_response);
		if (ex->body_failed) {
			relay_after_push(ex);
			return;
		}
		if (ex->response_body.out_ended) {
			exchange_settle(ex);
			return;
		}
	}
	if (ex->backend_conn != NULL &&
	    (!ex->response_body.in_ended || ex->is_tunnel))
		ex->backend_ops->resume(ex);
}

static void
fini(struct relay *r, struct block_pool *pool)
{
	pipe_fini(&r->waiting, pool);
	for (uint32_t i = 0; i < r->stop_count; i++)
		pipe_fini(&r->stops[i].input, pool);
}

void
relay_fini(struct exchange *ex)
{
	struct block_pool *pool = &ex->proxy->blocks;

	if (ex->flush.is_queued)
		loop_cancel(ex->proxy->loop, &ex->flush);
	if (ex->is_starved)
		list_remove(&ex->starved);
	fini(&ex->request_body, pool);
	fini(&ex->response_body, pool);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * exchange_walk - the walk of one request through its phases.
 *
 * One state at a time; each has a function that does its work and names the
 * next.  exchange_walk() goes on until a state has to wait for a module, a
 * backend or a body.  Whatever happens, the walk ends in EXCHANGE_DONE, once.
 */
#include <assert.h>
#include <string.h>

#include "base/now.h"
#include "base/str.h"
#include "conf/template.h"
#include "proxy/backend_conn.h"
#include "proxy/exchange_private.h"
#include "proxy/grpc.h"
#include "proxy/queue.h"
#include "proxy/relay.h"
#include "proxy/value.h"
#include "upstream/lb_hash.h"

enum verdict
exchange_walk_chain(struct exchange *ex, const struct phase_chain *chain)
{
	struct serving *serving = ex->proxy->serving;
	enum verdict verdict = ex->resumed;

	ex->resumed = VERDICT_NEXT;
	while (verdict == VERDICT_NEXT && ex->hook_at < chain->count) {
		const struct phase_handler *h = &chain->items[ex->hook_at];

		ex->module_index = h->module_index;
		serving_call(serving, ex, ex->phase, h->module_index);
		verdict = h->fn.hook(ex, h->conf);
		if (verdict == VERDICT_NEXT)
			ex->hook_at++;
	}
	serving->module = 0;
	if (verdict == VERDICT_WAIT) {
		ex->is_waiting = true;
		ex->waiting_for = &chain->items[ex->hook_at];
		return verdict;
	}
	ex->hook_at = 0;
	return verdict;
}

/* What a verdict other than NEXT leads to, before the response. */
static enum flow
divert(struct exchange *ex, enum verdict verdict)
{
	switch (verdict) {
	case VERDICT_WAIT:
		return FLOW_STOP;
	case VERDICT_ANSWERED:
		exchange_drop_backend(ex);
		return exchange_walk_enter(ex, EXCHANGE_RESPONSE);
	case VERDICT_FAIL:
	case VERDICT_NEXT:
	default:
		if (ex->reason == REASON_NONE)
			exchange_note(ex, REASON_INTERNAL, "a module failed");
		exchange_drop_backend(ex);
		return exchange_walk_enter(ex, EXCHANGE_FAIL);
	}
}

enum flow
exchange_walk_fail(struct exchange *ex, enum reason reason, const char *detail)
{
	exchange_note(ex, reason, detail);
	return divert(ex, VERDICT_FAIL);
}

/* ---- from the request to the backend ---- */

static enum flow
step_early(struct exchange *ex)
{
	enum verdict verdict = exchange_walk_hooks(ex, PHASE_EARLY_REQUEST);
	struct route_request request;
	const struct route *route;
	uint32_t captures[2 * ROUTE_CAPTURES_MAX];
	enum reason reason;

	if (verdict != VERDICT_NEXT)
		return divert(ex, verdict);
	reason = exchange_request_prepare(ex);
	if (reason != REASON_NONE)
		return exchange_walk_fail(ex, reason, ex->detail);
	request = (struct route_request){ .req = &ex->req,
		.path = ex->match_path, .captures = captures };
	route = route_find(&ex->service->table, &request);
	if (route == NULL && request.other_count > 0) {
		ex->route = request.others[0];
		ex->core = ex->route->core;
		ex->allow = exchange_answer_allow(ex, request.others,
		    request.other_count);
		return exchange_walk_fail(ex, REASON_METHOD_REFUSED,
		    "no route takes it");
	}
	if (route == NULL)
		return exchange_walk_fail(ex, REASON_NO_ROUTE, NULL);
	ex->route = route;
	ex->proxy->serving->route = route->metric_index;
	ex->core = route->core;
	if (request.capture_count > 0) {
		size_t len = request.capture_count * 2 * sizeof(*captures);

		ex->captures = arena_alloc(&ex->arena, len);
		memcpy(ex->captures, captures, len);
		ex->capture_count = request.capture_count;
	}
	ex->group = route->group;
	return exchange_walk_enter(ex, EXCHANGE_ROUTE);
}

/* Of a body that came in pieces: what has come of it so far. */
static bool
is_body_too_large(const struct exchange *ex)
{
	return ex->core->body_size_max != 0 &&
	    ex->request_body.bytes > ex->core->body_size_max;
}

static enum flow
step_route(struct exchange *ex)
{
	enum verdict verdict = exchange_walk_hooks(ex, PHASE_ROUTE);

	if (verdict != VERDICT_NEXT)
		return divert(ex, verdict);
	if ((ex->core->body_size_max != 0 &&
	    ex->req.framing == HTTP_FRAMING_LENGTH &&
	    ex->req.content_length > ex->core->body_size_max) ||
	    is_body_too_large(ex))
		return exchange_walk_fail(ex, REASON_BODY_TOO_LARGE, NULL);
	return exchange_walk_enter(ex, EXCHANGE_REQUEST);
}

/* A handler of the request's body failed inside of the walk. */
static enum flow
body_failed(struct exchange *ex)
{
	ex->body_failed = false;
	return exchange_walk_fail(ex, ex->reason, ex->detail);
}

static enum flow
step_request(struct exchange *ex)
{
	enum verdict verdict = exchange_walk_hooks(ex, PHASE_REQUEST);

	/* All of it may have come while a module waited. */
	if (verdict == VERDICT_NEXT && is_body_too_large(ex))
		return exchange_walk_fail(ex, REASON_BODY_TOO_LARGE, NULL);
	if (verdict == VERDICT_NEXT && ex->route->action != ROUTE_UPSTREAM)
		verdict = exchange_answer_route(ex);
	if (verdict != VERDICT_NEXT)
		return divert(ex, verdict);
	if (ex->request_body.waiting_end || ex->request_body.waiting.len > 0) {
		relay_request_routed(ex);
		if (ex->body_failed)
			return body_failed(ex);
	}
	return exchange_walk_enter(ex, EXCHANGE_CACHE);
}

static enum flow
step_cache(struct exchange *ex)
{
	enum verdict verdict = exchange_walk_hooks(ex, PHASE_CACHE_LOOKUP);

	if (verdict != VERDICT_NEXT)
		return divert(ex, verdict);
	return exchange_walk_enter(ex, EXCHANGE_GATE);
}

static enum flow
step_gate(struct exchange *ex)
{
	enum verdict verdict = exchange_walk_hooks(ex, PHASE_UPSTREAM_GATE);
	uint64_t total_ms = grpc_total_ms(ex, ex->route->timeouts.total_ms);

	if (verdict != VERDICT_NEXT)
		return divert(ex, verdict);
	if (total_ms != 0)
		deadline_set(ex->proxy->loop, &ex->total,
		    ex->started_us / 1000 + total_ms);
	return exchange_walk_enter(ex, ex->core->buffer_request
	    ? EXCHANGE_COLLECT : EXCHANGE_SELECT);
}

static void
forget_expect(struct exchange *ex)
{
	if (!ex->req.expect_continue)
		return;
	ex->req.expect_continue = false;
	http_fields_remove_id(&ex->req.fields, FIELD_EXPECT);
}

/* The client waits for this before it sends its body: RFC 9110, 10.1.1. */
static void
ask_for_body(struct exchange *ex)
{
	const struct http_response res = { .status = 100, .minor = 1,
		.reason = http_status_phrase(100) };

	if (!ex->req.expect_continue || ex->request_body.bytes > 0)
		return;
	forget_expect(ex);
	exchange_on_interim(ex, &res);
}

/* buffer_request: no backend before the whole body has come. */
static enum flow
step_collect(struct exchange *ex)
{
	uint64_t max = ex->core->buffer_request_max;

	if ((ex->req.framing == HTTP_FRAMING_LENGTH &&
	    ex->req.content_length > max) ||
	    ex->request_body.waiting.len > max)
		return exchange_walk_fail(ex, REASON_BODY_TOO_LARGE,
		    EXCHANGE_TOO_LARGE);
	if (relay_request_collected(ex)) {
		forget_expect(ex);
		return exchange_walk_enter(ex, EXCHANGE_SELECT);
	}
	if (ex->body_failed)
		return body_failed(ex);
	if (ex->is_held)
		return FLOW_STOP; /* the body may have come with the head */
	if (!block_pool_has_room(&ex->proxy->blocks))
		return exchange_walk_fail(ex, REASON_OUT_OF_RESOURCES,
		    "body_memory is used up");
	ask_for_body(ex);
	ex->client_ops->resume(ex);
	return FLOW_STOP;
}

/* The key of a consistent hash, once an exchange. */
static void
find_hash(struct exchange *ex)
{
	const struct template *key = ex->group->conf->hash_key;
	char memory[VALUE_BYTES_MAX];
	struct str text;

	if (key == NULL)
		return;
	str_init(&text, memory, sizeof(memory));
	template_eval(key, ex, &text);
	ex->tries.hash = lb_hash_key(str_view(&text));
	ex->tries.has_hash = text.len > 0;
}

/* All that could serve have as many connections as they may. */
static enum flow
wait_for_room(struct exchange *ex)
{
	enum reason reason = queue_enter(ex);

	if (reason != REASON_NONE)
		return exchange_walk_fail(ex, reason, NULL);
	ex->retry_fresh = false;
	ex->state = EXCHANGE_QUEUE;
	return FLOW_STOP;
}

static enum flow
step_select(struct exchange *ex)
{
	enum verdict verdict = exchange_walk_hooks(ex, PHASE_UPSTREAM_SELECT);
	enum reason reason = REASON_NONE;

	if (verdict != VERDICT_NEXT)
		return divert(ex, verdict);
	if (!ex->budget_counted) {
		ex->budget_counted = true;
		retry_budget_request(group_budget(ex->group), now_ms());
		find_hash(ex);
	}
	if (!ex->retry_fresh || ex->backend == NULL) {
		const struct backend *backend =
		    group_pick(ex->group, &ex->tries);

		if (backend == NULL && ex->tries.is_full)
			return wait_for_room(ex);
		if (backend == NULL && ex->last_reason != REASON_NONE)
			return exchange_walk_fail(ex, ex->last_reason,
			    ex->last_detail);
		if (backend == NULL)
			return exchange_walk_fail(ex, REASON_NO_BACKEND, NULL);
		ex->backend = backend;
	}
	exchange_enter_backend(ex);
	ex->tenancy = backend_tenancy(ex->backend);
	ex->selected_us = now_us();
	ex->up_head_sent = false;
	ex->up_accepted = false;
	ex->reused = false;
	ex->attempts++;
	switch (backend_conn_open(ex, !ex->retry_fresh, &reason,
	    &ex->detail)) {
	case BACKEND_CONN_READY:
		queue_leave(ex);
		return exchange_walk_enter(ex, EXCHANGE_CONNECTED);
	case BACKEND_CONN_PENDING:
		queue_leave(ex);
		return exchange_walk_enter(ex, EXCHANGE_CONNECT);
	case BACKEND_CONN_FULL:
		ex->attempts--;
		group_unpick(&ex->tries);
		exchange_leave_backend(ex);
		return wait_for_room(ex);
	case BACKEND_CONN_FAILED:
	default:
		return exchange_retry(ex, reason, ex->detail);
	}
}

static enum flow
step_wait(struct exchange *ex)
{
	(void)ex;
	return FLOW_STOP;
}

static enum flow
step_connected(struct exchange *ex)
{
	enum verdict verdict =
	    exchange_walk_hooks(ex, PHASE_UPSTREAM_CONNECTED);

	if (verdict != VERDICT_NEXT)
		return divert(ex, verdict);
	ex->connected_us = now_us();
	if (exchange_request_compose(ex) != 0)
		return exchange_walk_fail(ex, REASON_INTERNAL, ex->detail);
	return exchange_walk_enter(ex, EXCHANGE_SEND);
}

static enum flow
step_send(struct exchange *ex)
{
	enum verdict verdict = exchange_walk_hooks(ex, PHASE_UPSTREAM_REQUEST);

	if (verdict != VERDICT_NEXT)
		return divert(ex, verdict);
	ex->state = EXCHANGE_AWAIT;
	ex->sent_us = now_us();
	ex->up_head_sent = true;
	ex->backend_ops->send_head(ex);
	relay_request_begin(ex);
	/* Sending may have failed, and the walk taken another turn. */
	return FLOW_ON;
}

/* ---- from the response to the client ---- */

static enum flow
step_received(struct exchange *ex)
{
	enum verdict verdict = exchange_walk_hooks(ex, PHASE_UPSTREAM_RESPONSE);

	if (verdict != VERDICT_NEXT)
		return divert(ex, verdict);
	return exchange_walk_enter(ex, EXCHANGE_STORE);
}

static enum flow
step_store(struct exchange *ex)
{
	enum verdict verdict = exchange_walk_hooks(ex, PHASE_CACHE_STORE);

	if (verdict != VERDICT_NEXT)
		return divert(ex, verdict);
	return exchange_walk_enter(ex, EXCHANGE_RESPONSE);
}

static enum flow
step_fail(struct exchange *ex)
{
	enum verdict verdict;

	queue_leave(ex);
	verdict = exchange_walk_hooks(ex, PHASE_FAIL);
	if (verdict == VERDICT_WAIT)
		return FLOW_STOP;
	if (reason_info(ex->reason)->status == 0 || ex->client_gone ||
	    ex->fail_silent)
		return exchange_walk_enter(ex, EXCHANGE_DONE);
	if (verdict != VERDICT_ANSWERED)
		exchange_answer_error(ex);
	return exchange_walk_enter(ex, EXCHANGE_RESPONSE);
}

static enum flow
step_response(struct exchange *ex)
{
	enum verdict verdict;

	if (ex->is_held)
		return FLOW_STOP;
	verdict = exchange_walk_hooks(ex, PHASE_RESPONSE);
	if (verdict == VERDICT_WAIT)
		return FLOW_STOP;
	if (verdict == VERDICT_FAIL && !ex->response_failed) {
		/* Once: the answer to this failure is not filtered again. */
		ex->response_failed = true;
		return divert(ex, verdict);
	}
	if (verdict == VERDICT_ANSWERED)
		exchange_drop_backend(ex);
	if (ex->is_answered && !ex->request_body.in_ended) {
		ex->discard_request = true;
		ex->force_close = true;
	}
	ex->head_sent = true;
	ex->state = EXCHANGE_STREAM;
	if (!ex->client_gone)
		ex->client_ops->send_head(ex);
	relay_response_begin(ex);
	return FLOW_ON;
}

static enum flow
step_done(struct exchange *ex)
{
	queue_leave(ex);
	exchange_drop_backend(ex);
	ex->hook_at = 0;
	ex->resumed = VERDICT_NEXT;
	ex->ended_us = now_us();
	ex->client_ops->book_bytes(ex);
	(void)exchange_walk_hooks(ex, PHASE_LOG);
	proxy_count_exchange(ex);
	ex->client_ops->finished(ex);
	ex->is_over = true;
	return FLOW_STOP;
}

static const struct {
	const char *name;
	enum flow (*run)(struct exchange *ex);
} states[EXCHANGE_STATE_COUNT] = {
	[EXCHANGE_EARLY] = { "early_request", step_early },
	[EXCHANGE_ROUTE] = { "route", step_route },
	[EXCHANGE_REQUEST] = { "request", step_request },
	[EXCHANGE_CACHE] = { "cache_lookup", step_cache },
	[EXCHANGE_GATE] = { "upstream_gate", step_gate },
	[EXCHANGE_COLLECT] = { "buffer_request", step_collect },
	[EXCHANGE_SELECT] = { "upstream_select", step_select },
	[EXCHANGE_QUEUE] = { "upstream_queue", step_wait },
	[EXCHANGE_CONNECT] = { "upstream_connect", step_wait },
	[EXCHANGE_CONNECTED] = { "upstream_connected", step_connected },
	[EXCHANGE_SEND] = { "upstream_request", step_send },
	[EXCHANGE_AWAIT] = { "upstream_await", step_wait },
	[EXCHANGE_RECEIVED] = { "upstream_response", step_received },
	[EXCHANGE_STORE] = { "cache_store", step_store },
	[EXCHANGE_FAIL] = { "fail", step_fail },
	[EXCHANGE_RESPONSE] = { "response", step_response },
	[EXCHANGE_STREAM] = { "response_body", step_wait },
	[EXCHANGE_DONE] = { "log", step_done },
};

const char *
exchange_walk_state_name(const struct exchange *ex)
{
	return states[ex->state].name;
}

void
exchange_walk(struct exchange *ex)
{
	enum flow flow;

	assert(ex->magic == EXCHANGE_MAGIC);
	if (ex->is_running || ex->is_waiting)
		return; /* the walk further up the stack goes on; or a module */
	ex->is_running = true;
	serving_enter(ex->proxy->serving, ex);
	do
		flow = states[ex->state].run(ex);
	while (flow == FLOW_ON);
	ex->is_running = false;
	if (ex->is_over)
		exchange_free(ex);
}

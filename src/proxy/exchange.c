/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * exchange - the walk of one request through its phases.
 *
 * One state at a time; each has a function that does its work and names the
 * next.  exchange_run() goes on until a state has to wait for a module, a
 * backend or a body.  Whatever happens, the walk ends in EXCHANGE_DONE, once.
 */
#include "proxy/exchange.h"

#include <assert.h>

#include "base/now.h"
#include "base/str.h"
#include "conf/template.h"
#include "proxy/backend_conn.h"
#include "proxy/client_addr.h"
#include "proxy/exchange_private.h"
#include "proxy/grpc.h"
#include "proxy/module_def.h"
#include "proxy/proxy_private.h"
#include "proxy/queue.h"
#include "proxy/relay.h"
#include "proxy/route.h"
#include "proxy/value.h"
#include "upstream/health.h"
#include "upstream/lb_hash.h"

enum flow { FLOW_ON, FLOW_STOP };

static void
log_prefix(const struct log_ctx *ctx, struct str *line)
{
	const struct exchange *ex = (const struct exchange *)(const void *)
	    ((const char *)ctx - offsetof(struct exchange, log));
	struct addr_ip peer = ex->client_ops->peer(ex);

	str_printf(line, "conn %llu ",
	    (unsigned long long)ex->client_ops->connection_id(ex));
	addr_ip_put(line, &peer);
	str_lit(line, " \"");
	str_escaped(line, ex->req.method);
	str_char(line, ' ');
	str_escaped(line, span_of(ex->req.target.p,
	    ex->req.target.len < 512 ? ex->req.target.len : 512));
	str_lit(line, "\" ");
	str_escaped(line, ex->req.host);
	if (ex->backend != NULL) {
		str_lit(line, " upstream ");
		str_span(line, ex->backend->name);
	}
	if (ex->request_id.len > 0) {
		str_lit(line, " id ");
		str_span(line, ex->request_id);
	}
	str_lit(line, ": ");
}

static void
on_total_timeout(struct deadline *d)
{
	struct exchange *ex = LIST_OF(d, struct exchange, total);
	struct proxy *proxy = ex->proxy;

	exchange_on_backend_failed(ex, REASON_TOTAL_TIMEOUT, NULL);
	proxy_flush(proxy);
}

struct exchange *
exchange_new(struct proxy *proxy, const struct service *service,
    const struct client_ops *ops, void *client, struct arena *arena,
    const struct http_request *req)
{
	struct exchange *ex = slab_get_zeroed(&proxy->exchanges);

	ex->magic = EXCHANGE_MAGIC;
	ex->proxy = proxy;
	ex->service = service;
	ex->route = &service->fallback;
	ex->core = service->core;
	ex->arena = *arena;
	ex->log.prefix = log_prefix;
	ex->client_ops = ops;
	ex->client = client;
	ex->is_secure = conn_is_secure(ops->conn(ex));
	ex->req = *req;
	ex->started_us = now_us();
	ex->is_held = true;
	client_addr_find(ex);
	serving_fill(proxy->serving, ex);
	deadline_init(&ex->total, on_total_timeout);
	counter_add(&proxy->stats[PROXY_STAT_ACTIVE], 1);
	return ex;
}

static void
exchange_free(struct exchange *ex)
{
	struct proxy *proxy = ex->proxy;

	assert(ex->backend_conn == NULL);
	deadline_stop(proxy->loop, &ex->total);
	relay_fini(ex);
	pipe_fini(&ex->replay, &proxy->blocks);
	arena_fini(&ex->arena);
	ex->magic = 0;
	counter_sub(&proxy->stats[PROXY_STAT_ACTIVE], 1);
	slab_put(&proxy->exchanges, ex);
}

void
exchange_note(struct exchange *ex, enum reason reason, const char *detail)
{
	ex->reason = reason;
	ex->detail = detail;
	ex->failed_in = exchange_state_name(ex);
}

void
exchange_enter_backend(struct exchange *ex)
{
	if (ex->counted == ex->backend)
		return;
	exchange_leave_backend(ex);
	backend_begin(ex->backend);
	ex->counted = ex->backend;
}

void
exchange_leave_backend(struct exchange *ex)
{
	if (ex->counted == NULL)
		return;
	backend_end(ex->counted);
	ex->counted = NULL;
}

void
exchange_drop_backend(struct exchange *ex)
{
	if (ex->backend_conn != NULL)
		ex->backend_ops->abort(ex);
	assert(ex->backend_conn == NULL);
	exchange_leave_backend(ex);
}

static enum verdict
run_hooks(struct exchange *ex, const struct phase_chain *chain)
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
		return verdict;
	}
	ex->hook_at = 0;
	return verdict;
}

/* Most phases of most routes have no handler: that costs a look. */
static inline enum verdict
hooks(struct exchange *ex, enum phase phase)
{
	const struct phase_table *phases = &ex->route->phases;

	ex->phase = phase;
	ex->proxy->serving->phase = (uint32_t)phase;
	if ((phases->used & PHASE_BIT(phase)) == 0 &&
	    ex->resumed == VERDICT_NEXT)
		return VERDICT_NEXT;
	return run_hooks(ex, &phases->chains[phase]);
}

static enum flow
enter(struct exchange *ex, enum exchange_state state)
{
	ex->state = state;
	return FLOW_ON;
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
		return enter(ex, EXCHANGE_RESPONSE);
	case VERDICT_FAIL:
	case VERDICT_NEXT:
	default:
		if (ex->reason == REASON_NONE)
			exchange_note(ex, REASON_INTERNAL, "a module failed");
		exchange_drop_backend(ex);
		return enter(ex, EXCHANGE_FAIL);
	}
}

static enum flow
fail(struct exchange *ex, enum reason reason, const char *detail)
{
	exchange_note(ex, reason, detail);
	return divert(ex, VERDICT_FAIL);
}

/* ---- from the request to the backend ---- */

static enum flow
step_early(struct exchange *ex)
{
	enum verdict verdict = hooks(ex, PHASE_EARLY_REQUEST);
	struct route_request request;
	const struct route *route;
	uint32_t captures[2 * ROUTE_CAPTURES_MAX];
	enum reason reason;

	if (verdict != VERDICT_NEXT)
		return divert(ex, verdict);
	reason = exchange_request_prepare(ex);
	if (reason != REASON_NONE)
		return fail(ex, reason, ex->detail);
	request = (struct route_request){ .req = &ex->req,
		.path = ex->match_path, .captures = captures };
	route = route_find(&ex->service->table, &request);
	if (route == NULL && request.other_count > 0) {
		ex->route = request.others[0];
		ex->core = ex->route->core;
		ex->allow = exchange_answer_allow(ex, request.others,
		    request.other_count);
		return fail(ex, REASON_METHOD_REFUSED, "no route takes it");
	}
	if (route == NULL)
		return fail(ex, REASON_NO_ROUTE, NULL);
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
	return enter(ex, EXCHANGE_ROUTE);
}

static enum flow
step_route(struct exchange *ex)
{
	enum verdict verdict = hooks(ex, PHASE_ROUTE);

	if (verdict != VERDICT_NEXT)
		return divert(ex, verdict);
	if (ex->req.framing == HTTP_FRAMING_LENGTH &&
	    ex->core->body_size_max != 0 &&
	    ex->req.content_length > ex->core->body_size_max)
		return fail(ex, REASON_BODY_TOO_LARGE, NULL);
	return enter(ex, EXCHANGE_REQUEST);
}

static enum flow
step_request(struct exchange *ex)
{
	enum verdict verdict = hooks(ex, PHASE_REQUEST);

	if (verdict == VERDICT_NEXT && ex->route->action != ROUTE_UPSTREAM)
		verdict = exchange_answer_route(ex);
	if (verdict != VERDICT_NEXT)
		return divert(ex, verdict);
	return enter(ex, EXCHANGE_CACHE);
}

static enum flow
step_cache(struct exchange *ex)
{
	enum verdict verdict = hooks(ex, PHASE_CACHE_LOOKUP);

	if (verdict != VERDICT_NEXT)
		return divert(ex, verdict);
	return enter(ex, EXCHANGE_GATE);
}

static enum flow
step_gate(struct exchange *ex)
{
	enum verdict verdict = hooks(ex, PHASE_UPSTREAM_GATE);
	uint64_t total_ms = grpc_total_ms(ex, ex->route->timeouts.total_ms);

	if (verdict != VERDICT_NEXT)
		return divert(ex, verdict);
	if (total_ms != 0)
		deadline_set(ex->proxy->loop, &ex->total,
		    ex->started_us / 1000 + total_ms);
	return enter(ex, EXCHANGE_SELECT);
}

/* Failures of a try that another may mend; the rest ends the exchange. */
static const struct {
	bool is_retryable;
	enum retry_cause cause;
} causes[REASON_COUNT] = {
	[REASON_CONNECT_TIMEOUT] = { true, RETRY_CONNECT_TIMEOUT },
	[REASON_CONNECT_REFUSED] = { true, RETRY_CONNECT_FAILED },
	[REASON_CONNECT_FAILED] = { true, RETRY_CONNECT_FAILED },
	[REASON_BACKEND_TLS_FAILED] = { true, RETRY_CONNECT_FAILED },
	[REASON_BACKEND_CERTIFICATE] = { true, RETRY_CONNECT_FAILED },
	[REASON_BACKEND_TLS_TIMEOUT] = { true, RETRY_CONNECT_TIMEOUT },
	[REASON_BACKEND_RESET] = { true, RETRY_BROKEN },
	[REASON_BACKEND_REFUSED] = { true, RETRY_BROKEN },
	[REASON_BACKEND_FIRST_BYTE_TIMEOUT] = { true, RETRY_TIMEOUT },
	[REASON_BACKEND_READ_TIMEOUT] = { true, RETRY_TIMEOUT },
	[REASON_BACKEND_WRITE_TIMEOUT] = { true, RETRY_TIMEOUT },
	[REASON_BACKEND_BAD_RESPONSE] = { true, RETRY_BAD_RESPONSE },
	[REASON_BACKEND_HEADER_TOO_LARGE] = { true, RETRY_BAD_RESPONSE },
};

/* A try has failed; where to now? */
static enum flow
try_failed(struct exchange *ex, enum reason reason, const char *detail)
{
	struct retry_attempt attempt = {
		.is_idempotent = http_method_is_idempotent(
		    (enum http_method)ex->req.method_id),
		.is_reused = ex->reused,
		.is_body_replayable = !ex->replay_lost,
		.accepted_bytes = ex->up_accepted ? 1 : 0,
		.retries = ex->retries,
		.retries_max = ex->route->retries,
	};
	bool connecting = ex->state == EXCHANGE_CONNECT ||
	    ex->state == EXCHANGE_SELECT;
	enum retry_verdict verdict = RETRY_NO;

	proxy_count_upstream(ex, UPSTREAM_STAT_FAILURES);
	attempt.cause = causes[reason].cause;
	ex->hook_at = 0;
	ex->resumed = VERDICT_NEXT;
	(void)hooks(ex, connecting ? PHASE_UPSTREAM_CONNECT_FAILED
					    : PHASE_UPSTREAM_FAILED);
	ex->hook_at = 0;
	if (causes[reason].is_retryable)
		verdict = retry_decide(&attempt);
	/* A kept connection that dies is no sign of trouble. */
	if (causes[reason].is_retryable && verdict != RETRY_FRESH)
		health_failed(ex->backend, reason_name(reason));
	if (verdict == RETRY_NEXT &&
	    !retry_budget_take(group_budget(ex->group), now_ms()))
		verdict = RETRY_NO;
	if (verdict == RETRY_NO)
		return fail(ex, reason, detail);
	log_info(&ex->log, "trying again: %s%s%s", reason_name(reason),
	    detail != NULL ? ": " : "", detail != NULL ? detail : "");
	counter_add(&ex->proxy->stats[PROXY_STAT_RETRIES], 1);
	ex->retry_fresh = verdict == RETRY_FRESH;
	if (verdict == RETRY_NEXT)
		ex->retries++;
	ex->last_reason = reason;
	ex->last_detail = detail;
	return enter(ex, EXCHANGE_SELECT);
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
		return fail(ex, reason, NULL);
	ex->retry_fresh = false;
	ex->state = EXCHANGE_QUEUE;
	return FLOW_STOP;
}

static enum flow
step_select(struct exchange *ex)
{
	enum verdict verdict = hooks(ex, PHASE_UPSTREAM_SELECT);
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
			return fail(ex, ex->last_reason, ex->last_detail);
		if (backend == NULL)
			return fail(ex, REASON_NO_BACKEND, NULL);
		ex->backend = backend;
	}
	exchange_enter_backend(ex);
	ex->selected_us = now_us();
	ex->up_head_sent = false;
	ex->up_accepted = false;
	ex->reused = false;
	ex->attempts++;
	switch (backend_conn_open(ex, !ex->retry_fresh, &reason,
	    &ex->detail)) {
	case BACKEND_CONN_READY:
		queue_leave(ex);
		return enter(ex, EXCHANGE_CONNECTED);
	case BACKEND_CONN_PENDING:
		queue_leave(ex);
		return enter(ex, EXCHANGE_CONNECT);
	case BACKEND_CONN_FULL:
		ex->attempts--;
		group_unpick(&ex->tries);
		exchange_leave_backend(ex);
		return wait_for_room(ex);
	case BACKEND_CONN_FAILED:
	default:
		return try_failed(ex, reason, ex->detail);
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
	enum verdict verdict = hooks(ex, PHASE_UPSTREAM_CONNECTED);

	if (verdict != VERDICT_NEXT)
		return divert(ex, verdict);
	ex->connected_us = now_us();
	if (exchange_request_compose(ex) != 0)
		return fail(ex, REASON_INTERNAL, ex->detail);
	return enter(ex, EXCHANGE_SEND);
}

static enum flow
step_send(struct exchange *ex)
{
	enum verdict verdict = hooks(ex, PHASE_UPSTREAM_REQUEST);

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
	enum verdict verdict = hooks(ex, PHASE_UPSTREAM_RESPONSE);

	if (verdict != VERDICT_NEXT)
		return divert(ex, verdict);
	return enter(ex, EXCHANGE_STORE);
}

static enum flow
step_store(struct exchange *ex)
{
	enum verdict verdict = hooks(ex, PHASE_CACHE_STORE);

	if (verdict != VERDICT_NEXT)
		return divert(ex, verdict);
	return enter(ex, EXCHANGE_RESPONSE);
}

static enum flow
step_fail(struct exchange *ex)
{
	enum verdict verdict;

	queue_leave(ex);
	verdict = hooks(ex, PHASE_FAIL);
	if (verdict == VERDICT_WAIT)
		return FLOW_STOP;
	if (reason_info(ex->reason)->status == 0 || ex->client_gone ||
	    ex->fail_silent)
		return enter(ex, EXCHANGE_DONE);
	if (verdict != VERDICT_ANSWERED)
		exchange_answer_error(ex);
	return enter(ex, EXCHANGE_RESPONSE);
}

static enum flow
step_response(struct exchange *ex)
{
	enum verdict verdict;

	if (ex->is_held)
		return FLOW_STOP;
	verdict = hooks(ex, PHASE_RESPONSE);
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
	(void)hooks(ex, PHASE_LOG);
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
exchange_state_name(const struct exchange *ex)
{
	return states[ex->state].name;
}

const char *
exchange_failed_in(const struct exchange *ex)
{
	return ex->failed_in != NULL ? ex->failed_in : "";
}

void
exchange_run(struct exchange *ex)
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

/* ---- what carriers and modules report ---- */

void
exchange_start(struct exchange *ex)
{
	exchange_run(ex);
}

void
exchange_start_failed(struct exchange *ex, enum reason reason,
    const char *detail)
{
	exchange_note(ex, reason, detail);
	ex->force_close = true;
	ex->discard_request = true;
	ex->state = EXCHANGE_FAIL;
	exchange_run(ex);
}

void
exchange_release(struct exchange *ex)
{
	ex->is_held = false;
	if (ex->state == EXCHANGE_RESPONSE)
		exchange_run(ex);
}

static void
fail_late(struct exchange *ex)
{
	enum reason reason = ex->late_reason;

	ex->late_reason = REASON_NONE;
	if (ex->late_client)
		exchange_on_client_failed(ex, reason, ex->late_detail);
	else
		exchange_on_backend_failed(ex, reason, ex->late_detail);
}

void
exchange_resume(struct exchange *ex, enum verdict verdict)
{
	struct proxy *proxy = ex->proxy;

	assert(ex->magic == EXCHANGE_MAGIC && ex->is_waiting);
	assert(verdict != VERDICT_WAIT);
	ex->is_waiting = false;
	if (ex->late_reason != REASON_NONE) {
		fail_late(ex);
		proxy_flush(proxy);
		return;
	}
	if (verdict == VERDICT_NEXT)
		ex->hook_at++;
	else
		ex->resumed = verdict;
	exchange_run(ex);
	proxy_flush(proxy);
}

/* Leave everything and log: nobody is there to be answered. */
static void
end_now(struct exchange *ex)
{
	ex->is_waiting = false;
	ex->resumed = VERDICT_NEXT;
	ex->state = EXCHANGE_DONE;
	exchange_run(ex);
}

void
exchange_settle(struct exchange *ex)
{
	if (ex->state != EXCHANGE_STREAM || !ex->response_body.out_ended)
		return;
	if (ex->is_tunnel && !ex->tunnel_ended && !ex->client_gone)
		return; /* half closed */
	/* A final answer in place of 100: the body will not come. */
	if (ex->req.expect_continue && ex->request_body.bytes == 0)
		ex->discard_request = true;
	if (!ex->request_body.out_ended && !ex->discard_request &&
	    ex->backend_conn != NULL && !ex->client_gone)
		return; /* full duplex: the upload goes on */
	ex->state = EXCHANGE_DONE;
	exchange_run(ex);
}

void
exchange_on_connected(struct exchange *ex, bool reused)
{
	assert(ex->state == EXCHANGE_CONNECT);
	ex->reused = reused;
	ex->state = EXCHANGE_CONNECTED;
	exchange_run(ex);
}

void
exchange_on_interim(struct exchange *ex, const struct http_response *res)
{
	if (ex->req.minor >= 1 && !ex->client_gone)
		ex->client_ops->send_interim(ex, res);
}

void
exchange_on_response(struct exchange *ex, const struct http_response *res)
{
	ex->res = *res;
	ex->up_status = res->status;
	ex->head_us = now_us();
	health_succeeded(ex->backend, ex->selected_us / 1000);
	ex->is_tunnel = res->status == 101;
	assert(ex->state == EXCHANGE_AWAIT);
	ex->state = EXCHANGE_RECEIVED;
	exchange_run(ex);
}

/* The response can no longer be whole: let the client see it. */
static void
cut(struct exchange *ex, enum reason reason, const char *detail)
{
	exchange_note(ex, reason, detail);
	exchange_drop_backend(ex);
	if (!ex->client_gone)
		ex->client_ops->cut(ex);
	end_now(ex);
}

/*
 * While a handler waits, a failure waits with it: the verdict that is still
 * to come must not meet another wait.  Only a client that has gone ends it.
 */
static bool
wait_first(struct exchange *ex, enum reason reason, const char *detail,
    bool is_client)
{
	if (!ex->is_waiting)
		return false;
	ex->late_reason = reason;
	ex->late_detail = detail;
	ex->late_client = is_client;
	return true;
}

void
exchange_on_backend_failed(struct exchange *ex, enum reason reason,
    const char *detail)
{
	assert(ex->magic == EXCHANGE_MAGIC);
	if (ex->state == EXCHANGE_STREAM && ex->response_body.out_ended &&
	    !ex->is_tunnel) {
		/* The answer is whole; only the upload was still going on. */
		exchange_drop_backend(ex);
		ex->discard_request = true;
		ex->force_close = true;
		exchange_settle(ex);
		return;
	}
	exchange_drop_backend(ex);
	if (wait_first(ex, reason, detail, false))
		return;
	if (ex->state == EXCHANGE_STREAM) {
		proxy_count_upstream(ex, UPSTREAM_STAT_FAILURES);
		cut(ex, reason, detail);
		return;
	}
	if (ex->state == EXCHANGE_DONE || ex->state == EXCHANGE_FAIL)
		return;
	ex->resumed = VERDICT_NEXT;
	ex->hook_at = 0;
	if (ex->state == EXCHANGE_CONNECT || ex->state == EXCHANGE_AWAIT ||
	    ex->state == EXCHANGE_CONNECTED || ex->state == EXCHANGE_SEND) {
		bool was_running = ex->is_running;

		/* Its hooks only look: no walk may begin inside. */
		ex->is_running = true;
		(void)try_failed(ex, reason, detail);
		ex->is_running = was_running;
	} else {
		exchange_note(ex, reason, detail);
		ex->state = EXCHANGE_FAIL;
	}
	exchange_run(ex);
}

void
exchange_on_client_failed(struct exchange *ex, enum reason reason,
    const char *detail)
{
	assert(ex->magic == EXCHANGE_MAGIC);
	if (ex->state == EXCHANGE_DONE)
		return;
	if (reason == REASON_CLIENT_GONE || reason == REASON_WRITE_TIMEOUT ||
	    reason == REASON_DRAIN_CUT) {
		ex->client_gone = true;
		exchange_note(ex, reason, detail);
		if (reason == REASON_CLIENT_GONE && ex->core->finish_on_abort &&
		    ex->backend_conn != NULL && !ex->is_tunnel &&
		    ex->request_body.in_ended)
			return; /* the backend may finish; we read and drop */
		exchange_drop_backend(ex);
		end_now(ex);
		return;
	}
	ex->force_close = true;
	ex->discard_request = true;
	if (wait_first(ex, reason, detail, true))
		return;
	if (ex->head_sent) {
		cut(ex, reason, detail);
		return;
	}
	exchange_drop_backend(ex);
	ex->resumed = VERDICT_NEXT;
	ex->hook_at = 0;
	exchange_note(ex, reason, detail);
	ex->state = EXCHANGE_FAIL;
	exchange_run(ex);
}

/* ---- for modules ---- */

struct addr_ip
exchange_client_ip(const struct exchange *ex)
{
	return ex->client_ip;
}

enum verdict
exchange_fail(struct exchange *ex, enum reason reason, const char *detail)
{
	exchange_note(ex, reason, detail);
	return VERDICT_FAIL;
}

void *
exchange_ctx(struct exchange *ex, size_t size)
{
	uint32_t at = ex->module_index;

	if (ex->module_ctx == NULL)
		ex->module_ctx = arena_zalloc(&ex->arena,
		    ex->proxy->module_count * sizeof(*ex->module_ctx));
	assert(at < ex->proxy->module_count);
	if (ex->module_ctx[at] == NULL)
		ex->module_ctx[at] = arena_zalloc(&ex->arena, size);
	return ex->module_ctx[at];
}

void
exchange_skip_body(struct exchange *ex)
{
	ex->body_skips |= UINT64_C(1) << ex->module_index;
}

struct loop *
exchange_loop(const struct exchange *ex)
{
	return ex->proxy->loop;
}

const struct module_worker *
exchange_worker(const struct exchange *ex)
{
	return &ex->proxy->module_worker;
}

_Atomic uint64_t *
exchange_counters(const struct exchange *ex)
{
	return ex->proxy->module_stats[ex->module_index];
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * exchange - one request and its response: its life, and what modules see.
 *
 * The walk is exchange_walk.c, what the carriers report exchange_on.c.
 */
#include "proxy/exchange.h"

#include <assert.h>

#include "base/digest.h"
#include "base/heap_alloc.h"
#include "base/now.h"
#include "base/str.h"
#include "os/helpers.h"
#include "proxy/client_addr.h"
#include "proxy/exchange_private.h"
#include "proxy/module_def.h"
#include "proxy/relay.h"

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
		backend_put_name(ex->backend, line);
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
	ex->is_early = conn_is_early(ops->conn(ex));
	ex->req = *req;
	ex->started_us = now_us();
	ex->is_held = true;
	client_addr_find(ex);
	serving_fill(proxy->serving, ex);
	deadline_init(&ex->total, on_total_timeout);
	counter_add(&proxy->stats[PROXY_STAT_ACTIVE], 1);
	return ex;
}

void
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
	ex->failed_in = exchange_walk_state_name(ex);
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

/* ---- from one walk to the next ---- */

void
exchange_start(struct exchange *ex)
{
	exchange_walk(ex);
}

void
exchange_start_failed(struct exchange *ex, enum reason reason,
    const char *detail)
{
	exchange_note(ex, reason, detail);
	ex->force_close = true;
	ex->discard_request = true;
	ex->state = EXCHANGE_FAIL;
	exchange_walk(ex);
}

void
exchange_release(struct exchange *ex)
{
	ex->is_held = false;
	if (ex->state == EXCHANGE_RESPONSE || ex->state == EXCHANGE_COLLECT)
		exchange_walk(ex);
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
	exchange_walk(ex);
	proxy_flush(proxy);
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
	exchange_walk(ex);
}

/* ---- for modules ---- */

const char *
exchange_failed_in(const struct exchange *ex)
{
	return ex->failed_in != NULL ? ex->failed_in : "";
}

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
exchange_show_target(struct exchange *ex, struct span target)
{
	ex->req.target = target;
	/* To be filled anew: it has the other one. */
	ex->proxy->serving->owner = 0;
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

void *
exchange_worker_memory(const struct exchange *ex, size_t size)
{
	void **memory = &ex->proxy->module_memory[ex->module_index];

	if (*memory == NULL)
		*memory = heap_alloc_zeroed(1, size);
	return *memory;
}

struct helpers *
exchange_helpers(const struct exchange *ex)
{
	struct proxy *p = ex->proxy;

	if (p->helpers == NULL)
		p->helpers = helpers_new(p->loop, p->boot.helper_threads,
		    p->boot.helper_queue);
	return p->helpers;
}

struct digest *
exchange_digest(const struct exchange *ex)
{
	struct proxy *p = ex->proxy;

	if (p->digest == NULL)
		p->digest = digest_new();
	return p->digest;
}

_Atomic uint64_t *
exchange_counters(const struct exchange *ex)
{
	return ex->proxy->module_stats[ex->module_index];
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * exchange_on - what the carriers report to an exchange.
 *
 * Each may end the exchange, and both connections with it.
 */
#include <assert.h>

#include "base/now.h"
#include "proxy/exchange_private.h"
#include "upstream/health.h"

void
exchange_on_connected(struct exchange *ex, bool reused)
{
	assert(ex->state == EXCHANGE_CONNECT);
	ex->reused = reused;
	ex->state = EXCHANGE_CONNECTED;
	exchange_walk(ex);
}

void
exchange_on_full(struct exchange *ex)
{
	assert(ex->state == EXCHANGE_CONNECT && ex->backend_conn == NULL);
	ex->attempts--;
	group_unpick(&ex->tries);
	exchange_leave_backend(ex);
	ex->retry_fresh = false;
	ex->state = EXCHANGE_SELECT;
	exchange_walk(ex);
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
	if (exchange_is_same_tenant(ex))
		health_succeeded(ex->backend, ex->selected_us / 1000);
	ex->is_tunnel = res->status == 101;
	assert(ex->state == EXCHANGE_AWAIT);
	ex->state = EXCHANGE_RECEIVED;
	exchange_walk(ex);
}

/* Leave everything and log: nobody is there to be answered. */
static void
end_now(struct exchange *ex)
{
	ex->is_waiting = false;
	ex->resumed = VERDICT_NEXT;
	ex->state = EXCHANGE_DONE;
	exchange_walk(ex);
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
 * While a handler waits, a failure waits with it, if the module cannot take
 * back what it waits for: the verdict that is still to come must not meet
 * another wait.  Only a client that has gone ends it in any case.
 */
static bool
wait_first(struct exchange *ex, enum reason reason, const char *detail,
    bool is_client)
{
	const struct phase_handler *h = ex->waiting_for;

	if (!ex->is_waiting)
		return false;
	if (ex->state == EXCHANGE_FAIL && !is_client)
		return true; /* an answer is under way already */
	if (h->cancel != NULL) {
		ex->module_index = h->module_index;
		if (h->cancel(ex, h->conf)) {
			ex->is_waiting = false;
			return false;
		}
	}
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
	if (ex->state == EXCHANGE_STREAM && !ex->is_tunnel &&
	    (ex->response_body.out_ended || (ex->response_body.in_ended &&
	    reason != REASON_TOTAL_TIMEOUT))) {
		/*
		 * The answer is whole, or will be once its handlers go on;
		 * only the upload was still going on.
		 */
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
		(void)exchange_retry(ex, reason, detail);
		ex->is_running = was_running;
	} else {
		exchange_note(ex, reason, detail);
		ex->state = EXCHANGE_FAIL;
	}
	exchange_walk(ex);
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
	exchange_walk(ex);
}

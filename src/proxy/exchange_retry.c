/* SPDX-License-Identifier: BSD-2-Clause */
/* exchange_retry - a try that has failed: another, or the end. */
#include "base/now.h"
#include "proxy/exchange_private.h"
#include "upstream/health.h"
#include "upstream/retry.h"

/* Failures of a try that another may mend; the rest ends the exchange. */
static const struct {
	bool is_retryable;
	enum retry_cause cause;
} causes[REASON_COUNT] = {
	[REASON_CONNECT_TIMEOUT] = { true, RETRY_CONNECT_TIMEOUT },
	[REASON_CONNECT_REFUSED] = { true, RETRY_CONNECT_FAILED },
	[REASON_CONNECT_FAILED] = { true, RETRY_CONNECT_FAILED },
	[REASON_VIA_FAILED] = { true, RETRY_CONNECT_FAILED },
	[REASON_VIA_TIMEOUT] = { true, RETRY_CONNECT_TIMEOUT },
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
enum flow
exchange_retry(struct exchange *ex, enum reason reason, const char *detail)
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
	(void)exchange_walk_hooks(ex, connecting ? PHASE_UPSTREAM_CONNECT_FAILED
					    : PHASE_UPSTREAM_FAILED);
	ex->hook_at = 0;
	if (causes[reason].is_retryable)
		verdict = retry_decide(&attempt);
	/* A kept connection that dies is no sign of trouble. */
	if (causes[reason].is_retryable && verdict != RETRY_FRESH &&
	    exchange_is_same_tenant(ex))
		health_failed(ex->backend, reason_name(reason));
	if (verdict == RETRY_NEXT &&
	    !retry_budget_take(group_budget(ex->group), now_ms()))
		verdict = RETRY_NO;
	if (verdict == RETRY_NO)
		return exchange_walk_fail(ex, reason, detail);
	log_info(&ex->log, "trying again: %s%s%s", reason_name(reason),
	    detail != NULL ? ": " : "", detail != NULL ? detail : "");
	counter_add(&ex->proxy->stats[PROXY_STAT_RETRIES], 1);
	ex->retry_fresh = verdict == RETRY_FRESH;
	if (verdict == RETRY_NEXT)
		ex->retries++;
	ex->last_reason = reason;
	ex->last_detail = detail;
	return exchange_walk_enter(ex, EXCHANGE_SELECT);
}

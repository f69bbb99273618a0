/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * retry - may a failed attempt be made again, where, and is there budget.
 *
 * retry_decide() is a pure function of what is known about the attempt.  The
 * budget keeps retries to a share of the requests of the last ten seconds, so
 * that an upstream in trouble is not buried under repetitions.  It is counted
 * by worker and group.
 */
#ifndef UPSTREAM_RETRY_H
#define UPSTREAM_RETRY_H

#include <stdbool.h>
#include <stdint.h>

#include "conf/item.h"

/* How an attempt ended. */
enum retry_cause {
	RETRY_CONNECT_FAILED,  /* refused, unreachable, no descriptor */
	RETRY_CONNECT_TIMEOUT,
	RETRY_BROKEN,          /* reset or closed before a response head */
	RETRY_BAD_RESPONSE,    /* what came is no HTTP, or too large a head */
	RETRY_TIMEOUT,         /* first byte, between bytes */
};

enum retry_verdict {
	RETRY_NO,    /* answer the client with an error */
	RETRY_FRESH, /* same backend, a new connection, not one of the pool */
	RETRY_NEXT,  /* ask group_pick() for another backend */
};

struct retry_attempt {
	enum retry_cause cause;
	bool is_idempotent;      /* method, RFC 9110, section 9.2.2 */
	bool is_reused;          /* the connection came from pool or lane */
	bool is_head_seen;       /* of the final response */
	bool is_body_replayable; /* what the client sent is kept whole */
	uint64_t accepted_bytes; /* of the request, that the kernel took */
	uint32_t retries;        /* RETRY_NEXT that were followed so far */
	uint32_t retries_max;
};

/*
 * What may be done.  RETRY_FRESH costs neither `retries` nor budget, because a
 * pooled connection that dies is no sign of trouble; it cannot repeat, since
 * the next attempt is not reused.  RETRY_NEXT still needs
 * retry_budget_take().
 */
enum retry_verdict retry_decide(const struct retry_attempt *attempt);

/* retry_budget = { … } */
struct retry_budget_conf {
	uint32_t percent;        /* of requests that may be retries */
	uint32_t min_per_second; /* allowed besides, in each worker */
};

extern const struct conf_table retry_budget_table;

enum { RETRY_WINDOW_SECONDS = 10 };

struct retry_budget {
	const struct retry_budget_conf *conf; /* borrowed */
	uint64_t ends_ms;       /* when the newest bucket does */
	uint32_t newest;        /* its place */
	uint32_t requests[RETRY_WINDOW_SECONDS];
	uint32_t retries[RETRY_WINDOW_SECONDS];
};

void retry_budget_init(struct retry_budget *b,
    const struct retry_budget_conf *conf);
/* Begin a new bucket and forget those that are older than the window. */
void retry_budget_advance(struct retry_budget *b, uint64_t now_ms);

/* Count one request; once an exchange, at its first attempt. */
static inline void
retry_budget_request(struct retry_budget *b, uint64_t now_ms)
{
	if (now_ms >= b->ends_ms)
		retry_budget_advance(b, now_ms);
	b->requests[b->newest]++;
}

/* True, and counted, if one more retry is within the budget. */
bool retry_budget_take(struct retry_budget *b, uint64_t now_ms);

#endif

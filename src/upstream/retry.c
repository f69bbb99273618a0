/* SPDX-License-Identifier: BSD-2-Clause */
/* retry - whether, where and how often a failed attempt is made again. */
#include "upstream/retry.h"

#include <stddef.h>

/* What was sent may be sent again without doing anything twice. */
static bool
is_repeatable(const struct retry_attempt *attempt)
{
	return attempt->accepted_bytes == 0 ||
	    (attempt->is_idempotent && attempt->is_body_replayable);
}

enum retry_verdict
retry_decide(const struct retry_attempt *attempt)
{
	bool is_same = false;
	bool is_safe = false;

	switch (attempt->cause) {
	case RETRY_CONNECT_FAILED:
	case RETRY_CONNECT_TIMEOUT:
		is_safe = true;
		break;
	case RETRY_BROKEN:
		is_same = attempt->is_reused;
		is_safe = is_repeatable(attempt);
		break;
	case RETRY_BAD_RESPONSE:
	case RETRY_TIMEOUT:
		is_safe = is_repeatable(attempt);
		break;
	}
	if (attempt->is_head_seen || !is_safe)
		return RETRY_NO;
	if (is_same)
		return RETRY_FRESH;
	return attempt->retries < attempt->retries_max ? RETRY_NEXT : RETRY_NO;
}

static const struct conf_item budget_items[] = {
	CONF_UINT("percent", struct retry_budget_conf, percent, 0, 100, "20",
	    NULL, 0, "share of the requests of the last 10 s that may be "
	    "retries"),
	CONF_UINT("min_per_second", struct retry_budget_conf, min_per_second,
	    0, 1000, "10", NULL, 0,
	    "retries per second that each worker may make besides"),
	CONF_END,
};

const struct conf_table retry_budget_table = {
	.name = "retry_budget",
	.items = budget_items,
	.struct_bytes = sizeof(struct retry_budget_conf),
};

void
retry_budget_init(struct retry_budget *b, const struct retry_budget_conf *conf)
{
	*b = (struct retry_budget){ .conf = conf };
}

void
retry_budget_advance(struct retry_budget *b, uint64_t now_ms)
{
	uint64_t ends_ms = (now_ms / 1000 + 1) * 1000;
	uint64_t passed = (ends_ms - b->ends_ms) / 1000;

	if (passed > RETRY_WINDOW_SECONDS)
		passed = RETRY_WINDOW_SECONDS;
	for (; passed > 0; passed--) {
		b->newest = (b->newest + 1) % RETRY_WINDOW_SECONDS;
		b->requests[b->newest] = 0;
		b->retries[b->newest] = 0;
	}
	b->ends_ms = ends_ms;
}

static uint64_t
sum(const uint32_t buckets[RETRY_WINDOW_SECONDS])
{
	uint64_t n = 0;

	for (size_t i = 0; i < RETRY_WINDOW_SECONDS; i++)
		n += buckets[i];
	return n;
}

bool
retry_budget_take(struct retry_budget *b, uint64_t now_ms)
{
	uint64_t allowed;

	if (now_ms >= b->ends_ms)
		retry_budget_advance(b, now_ms);
	allowed = sum(b->requests) * b->conf->percent / 100 +
	    (uint64_t)b->conf->min_per_second * RETRY_WINDOW_SECONDS;
	if (sum(b->retries) >= allowed)
		return false;
	b->retries[b->newest]++;
	return true;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* retry - whether, where and how often a failed attempt is made again. */
#include "upstream/retry.h"

#include <string.h>

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
retry_budget_advance(struct retry_budget *b, uint64_t second)
{
	uint64_t passed = second - b->second;

	if (second <= b->second)
		return;
	if (passed > RETRY_WINDOW_SECONDS)
		passed = RETRY_WINDOW_SECONDS;
	for (uint64_t i = 0; i < passed; i++) {
		size_t at = (size_t)((second - i) % RETRY_WINDOW_SECONDS);

		b->requests_sum -= b->requests[at];
		b->retries_sum -= b->retries[at];
		b->requests[at] = 0;
		b->retries[at] = 0;
	}
	b->second = second;
}

bool
retry_budget_take(struct retry_budget *b, uint64_t now_ms)
{
	uint64_t second = now_ms / 1000;
	uint64_t allowed;

	retry_budget_advance(b, second);
	allowed = (uint64_t)b->requests_sum * b->conf->percent / 100 +
	    (uint64_t)b->conf->min_per_second * RETRY_WINDOW_SECONDS;
	if (b->retries_sum >= allowed)
		return false;
	b->retries[second % RETRY_WINDOW_SECONDS]++;
	b->retries_sum++;
	return true;
}

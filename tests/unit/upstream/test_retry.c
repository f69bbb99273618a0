/* SPDX-License-Identifier: BSD-2-Clause */
/* Which failed attempt may be made again, and how many. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "upstream/retry.h"

/* i = idempotent, u = reused, h = head seen, b = body can be sent again */
struct decision {
	const char *name;
	enum retry_cause cause;
	const char *flags;
	uint64_t accepted;
	uint32_t retries;
	enum retry_verdict want;
};

static const struct decision decisions[] = {
	{ "refused", RETRY_CONNECT_FAILED, "ib", 0, 0, RETRY_NEXT },
	{ "refused, POST", RETRY_CONNECT_FAILED, "b", 0, 0, RETRY_NEXT },
	{ "refused, POST, nothing kept", RETRY_CONNECT_FAILED, "", 0, 0,
	  RETRY_NEXT },
	{ "refused, last retry", RETRY_CONNECT_FAILED, "ib", 0, 1,
	  RETRY_NEXT },
	{ "refused, no retries left", RETRY_CONNECT_FAILED, "ib", 0, 2,
	  RETRY_NO },
	{ "connect too slow, POST", RETRY_CONNECT_TIMEOUT, "b", 0, 0,
	  RETRY_NEXT },
	{ "stale, GET", RETRY_BROKEN, "iub", 100, 0, RETRY_FRESH },
	{ "stale, GET, no retries left", RETRY_BROKEN, "iub", 100, 2,
	  RETRY_FRESH },
	{ "stale, GET, body gone", RETRY_BROKEN, "iu", 100, 0, RETRY_NO },
	{ "stale, POST, nothing accepted", RETRY_BROKEN, "ub", 0, 0,
	  RETRY_FRESH },
	{ "stale, POST, a byte accepted", RETRY_BROKEN, "ub", 1, 0,
	  RETRY_NO },
	{ "broken, fresh, GET", RETRY_BROKEN, "ib", 100, 0, RETRY_NEXT },
	{ "broken, fresh, PUT, body gone", RETRY_BROKEN, "i", 70000, 0,
	  RETRY_NO },
	{ "broken, fresh, POST", RETRY_BROKEN, "b", 100, 0, RETRY_NO },
	{ "broken, fresh, POST, nothing accepted", RETRY_BROKEN, "b", 0, 0,
	  RETRY_NEXT },
	{ "broken after the head", RETRY_BROKEN, "iubh", 100, 0, RETRY_NO },
	{ "broken after the head, nothing accepted", RETRY_BROKEN, "iubh", 0,
	  0, RETRY_NO },
	{ "nonsense, GET", RETRY_BAD_RESPONSE, "ib", 100, 0, RETRY_NEXT },
	{ "nonsense, GET, reused", RETRY_BAD_RESPONSE, "iub", 100, 0,
	  RETRY_NEXT },
	{ "nonsense, POST", RETRY_BAD_RESPONSE, "ub", 100, 0, RETRY_NO },
	{ "nonsense, no retries left", RETRY_BAD_RESPONSE, "ib", 100, 2,
	  RETRY_NO },
	{ "too slow, GET", RETRY_TIMEOUT, "ib", 100, 0, RETRY_NEXT },
	{ "too slow, GET, reused", RETRY_TIMEOUT, "iub", 100, 0,
	  RETRY_NEXT },
	{ "too slow, POST", RETRY_TIMEOUT, "b", 100, 0, RETRY_NO },
	{ "too slow, PUT, body gone", RETRY_TIMEOUT, "i", 70000, 0,
	  RETRY_NO },
	{ "too slow after the head", RETRY_TIMEOUT, "ibh", 100, 0, RETRY_NO },
};

static bool
has(const char *flags, char c)
{
	for (; *flags != '\0'; flags++)
		if (*flags == c)
			return true;
	return false;
}

static void
test_decisions(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(decisions) / sizeof(decisions[0]); i++) {
		const struct decision *d = &decisions[i];
		struct retry_attempt attempt = {
			.cause = d->cause,
			.is_idempotent = has(d->flags, 'i'),
			.is_reused = has(d->flags, 'u'),
			.is_head_seen = has(d->flags, 'h'),
			.is_body_replayable = has(d->flags, 'b'),
			.accepted_bytes = d->accepted,
			.retries = d->retries,
			.retries_max = 2,
		};

		if (retry_decide(&attempt) != d->want)
			fail_msg("%s: got %d, want %d", d->name,
			    (int)retry_decide(&attempt), (int)d->want);
	}
}

static unsigned
take_all(struct retry_budget *b, uint64_t now_ms)
{
	unsigned n = 0;

	while (n < 100000 && retry_budget_take(b, now_ms))
		n++;
	return n;
}

struct budget {
	const char *name;
	uint32_t percent, min_per_second;
	unsigned requests;
	unsigned want;
};

static const struct budget budgets[] = {
	{ "nothing allowed", 0, 0, 1000, 0 },
	{ "a share", 20, 0, 1000, 200 },
	{ "rounded down", 20, 0, 9, 1 },
	{ "all", 100, 0, 7, 7 },
	{ "without requests the minimum", 20, 10, 0, 100 },
	{ "both", 20, 10, 1000, 300 },
};

static void
test_budget(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(budgets) / sizeof(budgets[0]); i++) {
		const struct budget *t = &budgets[i];
		struct retry_budget_conf conf = { t->percent,
			t->min_per_second };
		struct retry_budget b;
		unsigned got;

		retry_budget_init(&b, &conf);
		for (unsigned n = 0; n < t->requests; n++)
			retry_budget_request(&b, 5000000);
		got = take_all(&b, 5000000);
		if (got != t->want)
			fail_msg("%s: got %u, want %u", t->name, got, t->want);
	}
}

/* What was counted ten seconds ago counts no more, what is younger does. */
static void
test_window(void **state)
{
	struct retry_budget_conf conf = { 50, 0 };
	struct retry_budget b;

	(void)state;
	retry_budget_init(&b, &conf);
	for (int i = 0; i < 10; i++)
		retry_budget_request(&b, 1000000);
	for (int i = 0; i < 4; i++)
		retry_budget_request(&b, 1005000);
	assert_int_equal(take_all(&b, 1009999), 7);
	/* The ten requests leave, the seven retries of that second stay. */
	assert_int_equal(take_all(&b, 1010000), 0);
	for (int i = 0; i < 20; i++)
		retry_budget_request(&b, 1015000);
	assert_int_equal(take_all(&b, 1015000), 3);
	/* After a long silence everything is gone. */
	assert_int_equal(take_all(&b, 9000000), 0);
	conf.min_per_second = 1;
	assert_int_equal(take_all(&b, 9000000), 10);
	assert_int_equal(take_all(&b, 9009999), 0);
	assert_int_equal(take_all(&b, 9010000), 10);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_decisions),
		cmocka_unit_test(test_budget),
		cmocka_unit_test(test_window),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* The bucket of every latency is the first whose bound it does not exceed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/span.h"
#include "metrics/histogram.h"

static void
bounds_are_those_of_the_manual(void **state)
{
	static const struct {
		uint64_t us;
		const char *text;
	} want[] = {
		{ 500, "0.0005" }, { 1000, "0.001" }, { 2500, "0.0025" },
		{ 5000, "0.005" }, { 10000, "0.01" }, { 25000, "0.025" },
		{ 50000, "0.05" }, { 100000, "0.1" }, { 250000, "0.25" },
		{ 500000, "0.5" }, { 1000000, "1" }, { 2500000, "2.5" },
		{ 5000000, "5" }, { 10000000, "10" }, { 30000000, "30" },
		{ 60000000, "60" }, { UINT64_MAX, "+Inf" },
	};

	(void)state;
	assert_int_equal(HISTOGRAM_BUCKETS, sizeof(want) / sizeof(*want));
	assert_int_equal(METRIC_HISTOGRAM_WORDS, HISTOGRAM_SUM + 1);
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		assert_int_equal(histogram_bound_us(i), want[i].us);
		assert_string_equal(histogram_bound_text(i), want[i].text);
	}
}

/* What a loop over the bounds would say. */
static unsigned
slow_bucket(uint64_t us)
{
	unsigned i = 0;

	while (us > histogram_bound_us(i))
		i++;
	return i;
}

static void
bucket_is_that_of_a_search(void **state)
{
	(void)state;
	for (uint64_t us = 0; us < 70000; us++)
		assert_int_equal(histogram_bucket(us), slow_bucket(us));
	for (unsigned bit = 0; bit < 64; bit++) {
		for (int64_t off = -2; off <= 2; off++) {
			uint64_t us = ((uint64_t)1 << bit) + (uint64_t)off;

			assert_int_equal(histogram_bucket(us),
			    slow_bucket(us));
		}
	}
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		uint64_t us = histogram_bound_us(i);

		assert_int_equal(histogram_bucket(us), i);
		if (us != UINT64_MAX)
			assert_int_equal(histogram_bucket(us + 1), i + 1);
	}
}

static void
observe_counts_and_sums(void **state)
{
	_Atomic uint64_t h[METRIC_HISTOGRAM_WORDS] = { 0 };

	(void)state;
	histogram_observe(h, 0);
	histogram_observe(h, 400);
	histogram_observe(h, 26000);
	histogram_observe(h, 90000000);
	assert_int_equal(counter_get(h + 0), 2);
	assert_int_equal(counter_get(h + 6), 1);
	assert_int_equal(counter_get(h + 16), 1);
	assert_int_equal(counter_get(h + HISTOGRAM_SUM), 90026400);
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		if (i != 0 && i != 6 && i != 16)
			assert_int_equal(counter_get(h + i), 0);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bounds_are_those_of_the_manual),
		cmocka_unit_test(bucket_is_that_of_a_search),
		cmocka_unit_test(observe_counts_and_sums),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

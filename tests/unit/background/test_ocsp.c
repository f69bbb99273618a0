/* SPDX-License-Identifier: BSD-2-Clause */
/* When OCSP responses are fetched. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "background/ocsp.h"

/* Before half of its time is over, and not much before. */
static void
test_refresh(void **state)
{
	static const struct {
		int64_t left_s;
		uint64_t least_ms, most_ms;
	} cases[] = {
		{ 7 * 86400, 272160000, 302400000 },
		{ 3600, 1620000, 1800000 },
		{ 60, 27000, 30000 },
		/* Never in a hurry. */
		{ 10, 5000, 5000 }, { 1, 5000, 5000 },
		{ 0, 5000, 5000 }, { -86400, 5000, 5000 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		for (uint64_t random = 0; random < 100; random++) {
			uint64_t ms = ocsp_refresh_ms(1700000000,
			    1700000000 + cases[i].left_s,
			    random * 0x9e3779b97f4a7c15);

			assert_in_range(ms, cases[i].least_ms,
			    cases[i].most_ms);
		}
	}
	assert_int_not_equal(ocsp_refresh_ms(0, 86400, 1),
	    ocsp_refresh_ms(0, 86400, 2));
}

static void
test_retry(void **state)
{
	(void)state;
	assert_int_equal(ocsp_retry_ms(1, 0), 5000);
	assert_int_equal(ocsp_retry_ms(2, 0), 10000);
	assert_int_equal(ocsp_retry_ms(5, 0), 80000);
	assert_int_equal(ocsp_retry_ms(11, 0), 3600000);
	assert_int_equal(ocsp_retry_ms(4000000000U, 0), 3600000);
	for (uint64_t random = 0; random < 1000; random++)
		assert_in_range(ocsp_retry_ms(1, random), 4500, 5000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refresh),
		cmocka_unit_test(test_retry),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* The values of grpc-timeout. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "proxy/grpc.h"

static void
test_timeouts(void **state)
{
	static const struct {
		const char *value;
		uint64_t ms; /* 0 = it is none */
	} rows[] = {
		{ "1H", 3600000 }, { "2M", 120000 }, { "3S", 3000 },
		{ "4m", 4 }, { "5000u", 5 }, { "5001u", 6 }, { "1u", 1 },
		{ "6000000n", 6 }, { "1n", 1 }, { "99999999H",
		    UINT64_C(99999999) * 3600000 },
		{ "", 0 }, { "S", 0 }, { "1", 0 }, { "1s", 0 }, { "1 S", 0 },
		{ " 1S", 0 }, { "1S ", 0 }, { "-1S", 0 }, { "+1S", 0 },
		{ "1.5S", 0 }, { "123456789S", 0 }, { "0x1S", 0 },
		{ "1SS", 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		assert_int_equal(grpc_parse_timeout(span_cstr(rows[i].value)),
		    rows[i].ms);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_timeouts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* The registry of reasons: every row is whole, and no name is there twice. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/reason.h"

static void
test_rows(void **state)
{
	(void)state;
	for (unsigned i = REASON_NONE + 1; i < REASON_COUNT; i++) {
		const struct reason_info *info = reason_info((enum reason)i);

		assert_true(info->name[0] != '\0' && info->cause[0] != '\0' &&
		    info->advice[0] != '\0');
		assert_int_equal(strspn(info->name,
		    "abcdefghijklmnopqrstuvwxyz0123456789_"),
		    strlen(info->name));
		/* None, or an error that a client may be told. */
		assert_true(info->status == 0 ||
		    (info->status >= 400 && info->status < 600));
		for (unsigned j = REASON_NONE; j < i; j++)
			assert_string_not_equal(info->name,
			    reason_name((enum reason)j));
	}
}

static void
test_refusals(void **state)
{
	static const struct {
		enum h1_refusal refusal;
		enum reason want;
	} rows[] = {
		{ H1_REFUSAL_LINE_TOO_LONG, REASON_LINE_TOO_LONG },
		{ H1_REFUSAL_HEAD_TOO_LARGE, REASON_HEADER_TOO_LARGE },
		{ H1_REFUSAL_FIELDS_TOO_MANY, REASON_HEADER_TOO_LARGE },
		{ H1_REFUSAL_UNDERSCORE, REASON_BAD_REQUEST },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		assert_int_equal(reason_of_refusal(rows[i].refusal),
		    rows[i].want);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

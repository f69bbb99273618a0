/* SPDX-License-Identifier: BSD-2-Clause */
/* Texts of failures: cut, never lost. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"

static void
test_texts(void **state)
{
	struct error err;

	(void)state;
	assert_int_equal(error_set(&err, "opening %s: %d", "x", 1), -1);
	assert_string_equal(err.text, "opening x: 1");
	assert_int_equal(error_set_errno(&err, ENOENT, "opening %s", "y"), -1);
	assert_string_equal(err.text, "opening y: No such file or directory");
	/* A text may be put in front of itself. */
	error_set(&err, "a.conf:3: %s", err.text);
	assert_string_equal(err.text,
	    "a.conf:3: opening y: No such file or directory");
}

static void
test_too_long(void **state)
{
	static char name[3000];
	struct error err;

	(void)state;
	memset(name, 'n', sizeof(name) - 1);
	error_set(&err, "opening %s", name);
	assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
	assert_memory_equal(err.text, "opening nnn", 11);
	error_set_errno(&err, ENOENT, "opening %s", name);
	assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
	assert_non_null(strstr(err.text, "nnn: No such file or directory"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_too_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

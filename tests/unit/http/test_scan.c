/* SPDX-License-Identifier: BSD-2-Clause */
/* Classes of bytes against the grammars, scanners against plain loops. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "http/scan.h"

static bool
is_alnum(int c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
	    (c >= 'A' && c <= 'Z');
}

static bool
is_one_of(int c, const char *set)
{
	return c != 0 && strchr(set, c) != NULL;
}

static bool
is_value(int c)
{
	return c == '\t' || (c >= ' ' && c != 0x7f);
}

static bool
is_target(int c)
{
	return c > ' ' && c != 0x7f && c != '#';
}

static void
test_classes(void **state)
{
	(void)state;
	for (int c = 0; c < 256; c++) {
		assert_int_equal(chars_is((char)c, CHARS_TOKEN),
		    is_alnum(c) || is_one_of(c, "!#$%&'*+-.^_`|~"));
		assert_int_equal(chars_is((char)c, CHARS_VALUE), is_value(c));
		assert_int_equal(chars_is((char)c, CHARS_TARGET), is_target(c));
		assert_int_equal(chars_is((char)c, CHARS_UNRESERVED),
		    is_alnum(c) || is_one_of(c, "-._~"));
		assert_int_equal(chars_is((char)c, CHARS_HEX),
		    is_one_of(c, "0123456789abcdefABCDEF"));
		if (chars_is((char)c, CHARS_HEX)) {
			char digit[2] = { (char)c, '\0' };

			assert_int_equal(chars_hex((char)c),
			    strtoul(digit, NULL, 16));
		}
	}
}

enum { ROOM = 80 };

/* One odd byte at each place of a buffer, read from each place to each end. */
static void
check_byte(int odd)
{
	for (size_t size = 0; size <= ROOM; size += size < 36 ? 1 : 11) {
		char *p = malloc(size > 0 ? size : 1);

		assert_non_null(p);
		memset(p, 'x', size);
		for (size_t at = 0; at < size; at++) {
			p[at] = (char)odd;
			for (size_t from = 0; from <= size; from += 3) {
				const char *want = p + size;

				if (from <= at)
					want = p + at;
				assert_ptr_equal(scan_value(p + from, p + size,
				    p), is_value(odd) ? p + size : want);
				assert_ptr_equal(scan_target(p + from,
				    p + size, p), is_target(odd) &&
				    odd != '?' ? p + size : want);
			}
			p[at] = 'x';
		}
		free(p);
	}
}

static void
test_scan(void **state)
{
	(void)state;
	for (int c = 0; c < 256; c++)
		check_byte(c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_classes),
		cmocka_unit_test(test_scan),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* HTTP dates: the three forms, and years of all kinds. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "base/now.h"
#include "http/date.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

static const struct {
	const char *text;
	int64_t seconds;
} good[] = {
	{ "Sun, 06 Nov 1994 08:49:37 GMT", 784111777 },
	{ "Sunday, 06-Nov-94 08:49:37 GMT", 784111777 },
	{ "Sun Nov  6 08:49:37 1994", 784111777 },
	{ "Thu, 01 Jan 1970 00:00:00 GMT", 0 },
	{ "Wed, 31 Dec 1969 23:59:59 GMT", -1 },
	{ "Tue, 29 Feb 2000 00:00:00 GMT", 951782400 },
	{ "Wed Feb 28 23:59:59 2001", 983404799 },
	{ "Thu Feb 29 12:00:00 2024", 1709208000 },
	{ "Sat, 31 Dec 2016 23:59:60 GMT", 1483228800 },
	{ "Fri, 31 Dec 9999 23:59:59 GMT", 253402300799 },
	{ "Mon, 01 Jan 0001 00:00:00 GMT", -62135596800 },
	{ "Saturday, 01-Jan-00 00:00:00 GMT", 946684800 },
};

static const char *const bad[] = {
	"",
	"0",
	"Sun, 06 Nov 1994 08:49:37",
	"Sun, 06 Nov 1994 08:49:37 UTC",
	"Sun, 06 Nov 1994 08:49:37 GMT ",
	"Sun, 6 Nov 1994 08:49:37 GMT",
	"Sun, 06 nov 1994 08:49:37 GMT",
	"sun, 06 Nov 1994 08:49:37 GMT",
	"Sun,06 Nov 1994 08:49:37 GMT",
	"Sun, 06 Nov 94 08:49:37 GMT",
	"Sun, 00 Nov 1994 08:49:37 GMT",
	"Sun, 31 Nov 1994 08:49:37 GMT",
	"Wed, 29 Feb 2023 00:00:00 GMT",
	"Thu, 29 Feb 1900 00:00:00 GMT",
	"Sun, 06 Nov 1994 24:00:00 GMT",
	"Sun, 06 Nov 1994 08:60:37 GMT",
	"Sun, 06 Nov 1994 08:49:61 GMT",
	"Sun, 06 Nov 0000 08:49:37 GMT",
	"Sun, 06-Nov-94 08:49:37 GMT",
	"Sunday, 06-Nov-1994 08:49:37 GMT",
	"Sun Nov 06 08:49:37 94",
	"Sun Nov   6 08:49:37 1994",
	"Sun Nov  6 08:49:37 1994 GMT",
};

static void
test_parse(void **state)
{
	int64_t seconds;

	(void)state;
	for (size_t i = 0; i < COUNT(good); i++) {
		seconds = 0x5555555555;
		if (date_parse(span_cstr(good[i].text), &seconds) != 0 ||
		    seconds != good[i].seconds)
			fail_msg("%s: %lld", good[i].text, (long long)seconds);
	}
	for (size_t i = 0; i < COUNT(bad); i++) {
		if (date_parse(span_cstr(bad[i]), &seconds) == 0)
			fail_msg("%s is no date", bad[i]);
	}
}

/* Cut anywhere, a date is none, and nothing behind it is read. */
static void
test_cut(void **state)
{
	int64_t seconds;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		size_t whole = strlen(good[i].text);

		for (size_t len = 0; len < whole; len++) {
			char *p = malloc(len > 0 ? len : 1);

			assert_non_null(p);
			memcpy(p, good[i].text, len);
			assert_int_equal(date_parse(span_of(p, len), &seconds),
			    -1);
			free(p);
		}
	}
}

/* The C library agrees about each day of 400 years and more. */
static void
test_format(void **state)
{
	char text[DATE_BYTES + 1], want[64];

	(void)state;
	for (int64_t day = 0; day < 160000; day++) {
		time_t t = (time_t)(day * 86400 + day % 86400);
		struct tm tm;
		int64_t back;

		date_format(text, (uint64_t)t);
		text[DATE_BYTES] = '\0';
		assert_non_null(gmtime_r(&t, &tm));
		strftime(want, sizeof(want), "%a, %d %b %Y %H:%M:%S GMT", &tm);
		if (strcmp(text, want) != 0)
			fail_msg("%s, want %s", text, want);
		assert_int_equal(date_parse(span_of(text, DATE_BYTES), &back),
		    0);
		assert_int_equal(back, t);
	}
}

static void
test_now(void **state)
{
	struct span text;
	int64_t seconds;

	(void)state;
	now_update();
	text = date_now();
	assert_int_equal(text.len, DATE_BYTES);
	assert_int_equal(date_parse(text, &seconds), 0);
	assert_int_equal(seconds, now_wall_ms() / 1000);
	assert_ptr_equal(date_now().p, text.p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_format),
		cmocka_unit_test(test_now),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* Log lines: their form, their levels, and what is kept back. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/now.h"
#include "base/str.h"

static char last[8192];
static enum log_level last_level;
static unsigned lines;

static void
sink(void *arg, enum log_level level, const char *line, size_t len)
{
	assert_ptr_equal(arg, &lines);
	assert_true(len < sizeof(last));
	assert_int_equal(line[len - 1], '\n');
	assert_null(memchr(line, '\n', len - 1));
	memcpy(last, line, len);
	last[len - 1] = '\0';
	last_level = level;
	lines++;
}

static int
setup(void **state)
{
	(void)state;
	log_set_sink(sink, &lines);
	log_set_level(LOG_LEVEL_INFO);
	log_set_process("worker 3");
	lines = 0;
	return 0;
}

static void
put_prefix(const struct log_ctx *ctx, struct str *line)
{
	(void)ctx;
	str_lit(line, "conn 7: ");
}

static void
put_long_prefix(const struct log_ctx *ctx, struct str *line)
{
	(void)ctx;
	for (unsigned i = 0; i < 5000; i++)
		str_char(line, 'p');
}

static void
test_form(void **state)
{
	static const struct log_ctx ctx = { put_prefix };
	unsigned year, month, day, hour, minute, second, ms;
	char want[80];
	int end = 0;

	(void)state;
	log_notice(&ctx, "doing %s: %d", "this", 42);
	assert_int_equal(lines, 1);
	assert_int_equal(last_level, LOG_LEVEL_NOTICE);
	assert_int_equal(sscanf(last, "%4u-%2u-%2uT%2u:%2u:%2u.%3uZ%n", &year,
	    &month, &day, &hour, &minute, &second, &ms, &end), 7);
	assert_int_equal(end, 24);
	snprintf(want, sizeof(want), " worker 3[%ld] notice: conn 7: "
	    "doing this: 42", (long)getpid());
	assert_string_equal(last + end, want);
}

static void
test_level(void **state)
{
	enum log_level level;

	(void)state;
	log_debug(NULL, "x");
	assert_int_equal(lines, 0);
	log_set_level(LOG_LEVEL_DEBUG);
	log_debug(NULL, "x");
	assert_int_equal(lines, 1);
	log_set_level(LOG_LEVEL_ERROR);
	log_warn(NULL, "x");
	assert_int_equal(lines, 1);
	for (unsigned i = LOG_LEVEL_ERROR; i <= LOG_LEVEL_DEBUG; i++) {
		assert_int_equal(log_level_parse(
		    log_level_name((enum log_level)i), &level), 0);
		assert_int_equal(level, i);
	}
	assert_int_equal(log_level_parse("Warn", &level), -1);
	assert_int_equal(log_level_parse("", &level), -1);
}

static void
warn_here(unsigned i)
{
	log_warn(NULL, "line %u", i);
}

/* Waits until a new second of the cached clock has begun. */
static void
next_second(void)
{
	uint64_t second = now_ms() / 1000;

	do {
		usleep(2000);
		now_update();
	} while (now_ms() / 1000 == second);
}

static void
test_rate_limit(void **state)
{
	(void)state;
	next_second();
	for (unsigned i = 0; i < 25; i++)
		warn_here(i);
	assert_int_equal(lines, 10);
	/* Another place in the code is not held back by it. */
	log_warn(NULL, "elsewhere");
	assert_int_equal(lines, 11);
	/* Errors never are. */
	for (unsigned i = 0; i < 25; i++)
		log_error(NULL, "error");
	assert_int_equal(lines, 36);
	next_second();
	warn_here(25);
	assert_int_equal(lines, 37);
	assert_non_null(strstr(last, "line 25 (15 more like this "
	    "suppressed)"));
	warn_here(26);
	assert_null(strstr(last, "suppressed"));
}

static void
test_long_lines(void **state)
{
	static const struct log_ctx long_ctx = { put_long_prefix };
	static char text[6000];

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	log_notice(NULL, "%s", text);
	assert_int_equal(lines, 1);
	assert_true(strlen(last) > 3900 && strlen(last) < 4096);
	assert_int_equal(last[strlen(last) - 1], 'x');
	log_notice(&long_ctx, "text %d", 5);
	assert_int_equal(lines, 2);
	assert_non_null(strstr(last, "text 5"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_form, setup),
		cmocka_unit_test_setup(test_level, setup),
		cmocka_unit_test_setup(test_rate_limit, setup),
		cmocka_unit_test_setup(test_long_lines, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

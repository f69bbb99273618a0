/* SPDX-License-Identifier: BSD-2-Clause */
/* Findings: their form, their order, the caret under the column. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "printed.h"

#define ROWS(rows) (sizeof(rows) / sizeof((rows)[0]))

static void
test_forms(void **state)
{
	static const struct {
		const char *name;
		struct conf_place place;
		const char *want;
	} rows[] = {
		{ "no file", { NULL, NULL, 0, 0 }, "weir: error: no\n" },
		{ "file only", { "a.conf", NULL, 0, 0 },
		  "a.conf: error: no\n" },
		{ "without its line", { "a.conf", NULL, 3, 0 },
		  "a.conf:3:1: error: no\n" },
		{ "line", { "a.conf", "x = 1;", 3, 5 },
		  "a.conf:3:5: error: no\nx = 1;\n    ^\n" },
		{ "first column", { "a.conf", "x", 1, 1 },
		  "a.conf:1:1: error: no\nx\n^\n" },
		{ "behind the end", { "a.conf", "x", 1, 9 },
		  "a.conf:1:9: error: no\nx\n ^\n" },
		{ "empty line", { "a.conf", "", 1, 1 },
		  "a.conf:1:1: error: no\n\n^\n" },
		{ "tabs", { "a.conf", "\tx\t= 1;", 1, 4 },
		  "a.conf:1:4: error: no\n\tx\t= 1;\n\t \t^\n" },
		{ "umlauts", { "a.conf", "\xc3\xa4\xc3\xb6 b", 1, 6 },
		  "a.conf:1:6: error: no\n\xc3\xa4\xc3\xb6 b\n   ^\n" },
		{ "carriage return", { "a.conf", "x\r", 1, 1 },
		  "a.conf:1:1: error: no\nx\n^\n" },
		{ "escape sequence", { "a.conf", "\x1b[1mx", 1, 1 },
		  "a.conf:1:1: error: no\n?[1mx\n^\n" },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct conf_report *r = conf_report_new();
		char *text;

		conf_report_error(r, &rows[i].place, "%s", "no");
		text = printed_report(r);
		if (strcmp(text, rows[i].want) != 0)
			fail_msg("%s: %s", rows[i].name, text);
		free(text);
		conf_report_free(r);
	}
}

static void
test_order_of_file_line_and_column(void **state)
{
	struct conf_place b2 = { .file = "b", .line = 2, .column = 1 };
	struct conf_place b1 = { .file = "b", .line = 1, .column = 7 };
	struct conf_place b1_early = { .file = "b", .line = 1, .column = 2 };
	struct conf_place a = { .file = "a", .line = 9, .column = 1 };
	struct conf_report *r = conf_report_new();
	char *text;

	(void)state;
	conf_report_file(r, "b");
	conf_report_warning(r, &a, "five");
	conf_report_error(r, &b2, "three");
	conf_report_error(r, &b2, "four");
	conf_report_error(r, &b1, "two");
	conf_report_error(r, &b1_early, "one");
	conf_report_error(r, NULL, "zero");
	assert_int_equal(conf_report_errors(r), 5);
	assert_int_equal(conf_report_warnings(r), 1);
	text = printed_report(r);
	assert_string_equal(text, "weir: error: zero\n"
	    "b:1:2: error: one\nb:1:7: error: two\nb:2:1: error: three\n"
	    "b:2:1: error: four\na:9:1: warning: five\n");
	free(text);
	conf_report_free(r);
}

static void
test_the_same_is_printed_once(void **state)
{
	struct conf_place place = { .file = "a", .line = 1, .column = 1 };
	struct conf_report *r = conf_report_new();
	char *text;

	(void)state;
	conf_report_error(r, &place, "same");
	conf_report_error(r, &place, "same");
	conf_report_warning(r, &place, "same");
	text = printed_report(r);
	assert_string_equal(text,
	    "a:1:1: error: same\na:1:1: warning: same\n");
	free(text);
	conf_report_free(r);
}

/* Whatever the length and the column: the caret stands under its byte. */
static void
test_long_line_is_cut_around_the_column(void **state)
{
	static const struct {
		size_t len;
		unsigned column;
		bool is_cut_before, is_cut_behind;
	} rows[] = {
		{ 160, 1, false, false }, { 160, 160, false, false },
		{ 161, 1, false, true }, { 161, 161, true, false },
		{ 200, 80, false, true }, { 200, 81, false, true },
		{ 200, 82, true, true }, { 200, 121, true, false },
		{ 10000, 1, false, true }, { 10000, 5001, true, true },
		{ 10000, 9999, true, false }, { 10000, 10000, true, false },
	};
	static const char end_mark[] = "...\n";

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		char line[10001];
		struct conf_place place = { .file = "a", .line = 1,
			.column = rows[i].column, .source = line };
		struct conf_report *r = conf_report_new();
		char *text, *source, *caret;

		memset(line, '-', rows[i].len);
		line[rows[i].column - 1] = 'X';
		line[rows[i].len] = '\0';
		conf_report_error(r, &place, "no");
		memset(line, '?', rows[i].len);
		text = printed_report(r);
		source = strchr(text, '\n') + 1;
		caret = strchr(source, '\n') + 1;
		assert_true(caret - source <= 160 + 3 + 3 + 1);
		assert_true(caret - source >= 160 + 1);
		assert_int_equal(source[strchr(caret, '^') - caret], 'X');
		assert_int_equal(strncmp(source, end_mark, 3) == 0,
		    rows[i].is_cut_before);
		assert_int_equal(strncmp(caret - 4, end_mark, 4) == 0,
		    rows[i].is_cut_behind);
		free(text);
		conf_report_free(r);
	}
}

/* A character of several bytes is left out whole. */
static void
test_cut_between_characters(void **state)
{
	char line[1001];

	(void)state;
	for (unsigned column = 1; column < 1000; column += 2) {
		struct conf_place place = { .file = "a", .line = 1,
			.column = column, .source = line };
		struct conf_report *r = conf_report_new();
		char *text, *source, *end;

		for (size_t i = 0; i < 1000; i += 2)
			memcpy(line + i, "\xc3\xa4", 2);
		line[1000] = '\0';
		conf_report_error(r, &place, "no");
		text = printed_report(r);
		source = strchr(text, '\n') + 1;
		end = strchr(source, '\n');
		while (*source == '.')
			source++;
		while (end[-1] == '.')
			end--;
		assert_int_equal((end - source) % 2, 0);
		assert_true(end - source >= 156);
		free(text);
		conf_report_free(r);
	}
}

static void
test_nothing(void **state)
{
	struct conf_report *r = conf_report_new();
	char *text = printed_report(r);

	(void)state;
	assert_string_equal(text, "");
	free(text);
	conf_report_free(r);
	conf_report_free(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_order_of_file_line_and_column),
		cmocka_unit_test(test_the_same_is_printed_once),
		cmocka_unit_test(test_long_line_is_cut_around_the_column),
		cmocka_unit_test(test_cut_between_characters),
		cmocka_unit_test(test_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

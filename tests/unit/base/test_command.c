/* SPDX-License-Identifier: BSD-2-Clause */
/* Lines of the control socket: words, rows, arguments, answers. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/command.h"
#include "base/error.h"
#include "base/str.h"

static int
answer_args(struct command_call *call)
{
	json_array(call->json, "args");
	for (size_t i = 0; i < call->arg_count; i++)
		json_cstr(call->json, NULL, call->args[i]);
	json_close(call->json);
	assert_null(call->args[call->arg_count]);
	return *(int *)call->arg;
}

static int
refuse(struct command_call *call)
{
	return error_set(call->err, "no \"%s\" here", call->args[0]);
}

static int
flood(struct command_call *call)
{
	json_array(call->json, "flood");
	for (int i = 0; i < 100000; i++)
		json_cstr(call->json, NULL, "more");
	json_close(call->json);
	return 0;
}

static const struct command rows[] = {
	{ "up", NULL, "h", false, answer_args },
	{ "upstream", "NAME", "h", false, refuse },
	{ "upstream drain", "NAME [BACKEND]", "h", true, answer_args },
	{ "many", "NAME KEY...", "h", true, answer_args },
	{ "flood", NULL, "h", false, flood },
	{ .name = NULL },
};

/* The answer, or "split: " and the error; caller frees. */
static char *
ask(struct span line, int status)
{
	static struct command_words w;
	struct command_env env = { .arg = &status };
	const struct command *row;
	struct error err;
	struct str out;

	str_init(&out, malloc(65536), 65536);
	assert_non_null(out.p);
	if (command_split(&w, line, &err) != 0) {
		str_printf(&out, "split: %s", err.text);
	} else {
		assert_null(w.items[w.count]);
		row = command_find(rows, &w);
		if (row == NULL)
			str_printf(&out, "no row, %zu words", w.count);
		else if (!command_run(row, &w, &env, &out))
			str_lit(&out, "later");
	}
	str_terminate(&out);
	return out.p;
}

static void
test_lines(void **state)
{
	static const struct {
		const char *line;
		const char *want;
	} cases[] = {
		{ "up", "{\"ok\":true,\"result\":{\"args\":[]}}\n" },
		{ " \t up  ", "{\"ok\":true,\"result\":{\"args\":[]}}\n" },
		{ "up x", "{\"ok\":false,\"error\":\"too many arguments; "
		    "usage: up\",\"result\":{}}\n" },
		{ "upstream", "{\"ok\":false,\"error\":\"an argument "
		    "is missing; usage: upstream NAME\",\"result\":{}}\n" },
		{ "upstream a", "{\"ok\":false,\"error\":"
		    "\"no \\\"a\\\" here\",\"result\":{}}\n" },
		{ "upstream drain a",
		    "{\"ok\":true,\"result\":{\"args\":[\"a\"]}}\n" },
		{ "upstream \"drain\" \"a b\" \"\"",
		    "{\"ok\":true,\"result\":{\"args\":[\"a b\",\"\"]}}\n" },
		{ "upstream drain a b c", "{\"ok\":false,\"error\":\"too many arguments; usage: upstream drain NAME "
		    "[BACKEND]\",\"result\":{}}\n" },
		{ "many a", "{\"ok\":false,\"error\":\"an argument is "
		    "missing; usage: many NAME KEY...\",\"result\":{}}\n" },
		{ "many a b c d", "{\"ok\":true,\"result\":{\"args\":"
		    "[\"a\",\"b\",\"c\",\"d\"]}}\n" },
		{ "many \"q\\\"\\\\\" x\"y z\"",
		    "{\"ok\":true,\"result\":{\"args\":"
		    "[\"q\\\"\\\\\",\"xy z\"]}}\n" },
		{ "\"upstream drain\" a", "no row, 2 words" },
		{ "ups", "no row, 1 words" },
		{ "u", "no row, 1 words" },
		{ "UP", "no row, 1 words" },
		{ "\"\"", "no row, 1 words" },
		{ "", "split: the line is empty" },
		{ "  ", "split: the line is empty" },
		{ "up \"x", "split: a quote is not closed" },
		{ "up \"x\\", "split: a quote is not closed" },
		{ "up \x01", "split: byte 4 of the line is a control "
		    "character" },
		{ "flood", "{\"ok\":false,\"error\":\"the answer is too "
		    "long\",\"result\":{}}\n" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char *got = ask(span_cstr(cases[i].line), 0);

		assert_string_equal(got, cases[i].want);
		free(got);
	}
}

static void
test_limits(void **state)
{
	char line[COMMAND_LINE_MAX + 1];
	char *got;

	(void)state;
	memset(line, 'x', sizeof(line));
	got = ask(span_of(line, COMMAND_LINE_MAX), 0);
	assert_string_equal(got, "no row, 1 words");
	free(got);
	got = ask(span_of(line, COMMAND_LINE_MAX + 1), 0);
	assert_string_equal(got, "split: the line is longer than 2048 bytes");
	free(got);
	for (size_t i = 1; i < sizeof(line); i += 2)
		line[i] = ' ';
	got = ask(span_of(line, 2 * COMMAND_WORDS_MAX), 0);
	assert_string_equal(got, "no row, 32 words");
	free(got);
	got = ask(span_of(line, 2 * COMMAND_WORDS_MAX + 1), 0);
	assert_string_equal(got, "split: more than 32 words");
	free(got);
	got = ask(span_of("up\0x", 4), 0);
	assert_string_equal(got, "split: byte 3 of the line is a control "
	    "character");
	free(got);
}

static void
test_later(void **state)
{
	char *got = ask(SPAN("up"), COMMAND_LATER);

	(void)state;
	assert_string_equal(got, "later");
	free(got);
}

/* What was written before a failure is part of the answer. */
static void
test_failure_with_result(void **state)
{
	char *got = ask(SPAN("upstream drain a"), -1);

	(void)state;
	assert_string_equal(got, "{\"ok\":false,\"error\":\"it failed\","
	    "\"result\":{\"args\":[\"a\"]}}\n");
	free(got);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_later),
		cmocka_unit_test(test_failure_with_result),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

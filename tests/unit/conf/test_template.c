/* SPDX-License-Identifier: BSD-2-Clause */
/* Templates: values, defaults, bounds, and what is refused. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/str.h"
#include "conf/template.h"

#define ROWS(rows) (sizeof(rows) / sizeof((rows)[0]))

static bool
put_subject(const void *subject, struct span arg, struct str *out)
{
	(void)arg;
	str_cstr(out, subject);
	return true;
}

static bool
put_none(const void *subject, struct span arg, struct str *out)
{
	(void)subject;
	(void)arg;
	(void)out;
	return false;
}

/* Begins to write before it finds out. */
static bool
put_part(const void *subject, struct span arg, struct str *out)
{
	(void)subject;
	(void)arg;
	str_lit(out, "half");
	return false;
}

static bool
put_arg(const void *subject, struct span arg, struct str *out)
{
	(void)subject;
	str_char(out, '<');
	str_span(out, arg);
	str_char(out, '>');
	return true;
}

static int
check_number(const void *context, struct span arg, struct error *err)
{
	uint64_t n;

	(void)context;
	return span_u64(arg, &n) == 0 ? 0 :
	    error_set(err, "`%.*s` is no number", SPAN_ARG(arg));
}

static const struct template_var items[] = {
	{ "client.ip", put_subject, "", NULL },
	{ "request.path", put_subject, "", NULL },
	{ "error.reason", put_none, "", NULL },
	{ "part", put_part, "", NULL },
	{ "request.header.", put_arg, "", NULL },
	{ "request.headers", put_subject, "", NULL },
	{ "route.match.", put_arg, "", check_number },
};

static const struct template_vars vars = { .items = items,
	.count = ROWS(items) };

static void
test_measures(void **state)
{
	static const struct {
		const char *text, *want;
		bool is_constant;
	} rows[] = {
		{ "", "", true },
		{ "plain", "plain", true },
		{ "$$", "$", true },
		{ "a$$b$$$$c", "a$b$$c", true },
		{ "$${client.ip}", "${client.ip}", true },
		{ "}", "}", true },
		{ "{client.ip}", "{client.ip}", true },
		{ "${client.ip}", "S", false },
		{ "$$${client.ip}$$", "$S$", false },
		{ "a ${client.ip} b ${request.path} c", "a S b S c", false },
		{ "${client.ip}${client.ip}", "SS", false },
		{ "${error.reason}", "", false },
		{ "a${error.reason}b", "ab", false },
		{ "${error.reason:-}", "", false },
		{ "${error.reason:-none}", "none", false },
		{ "${error.reason:--}", "-", false },
		{ "${error.reason:-a:-b}", "a:-b", false },
		{ "${error.reason:-a$$b}", "a$b", false },
		{ "${error.reason:-{}", "{", false },
		{ "${client.ip:-none}", "S", false },
		{ "${part}", "", false },
		{ "${part:-whole}", "whole", false },
		{ "${request.header.x-api-key}", "<x-api-key>", false },
		{ "${request.header.a.b}", "<a.b>", false },
		{ "${request.header.a:-b}", "<a>", false },
		{ "${request.headers}", "S", false },
		{ "${route.match.1}", "<1>", false },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct span text = span_cstr(rows[i].text), constant;
		const struct template *t;
		struct arena a;
		struct error err;
		struct str out;
		char memory[100];

		arena_init(&a, NULL);
		t = template_compile(&a, text, &vars, &err);
		if (t == NULL)
			fail_msg("%s: %s", rows[i].text, err.text);
		str_init(&out, memory, sizeof(memory));
		template_eval(t, "S", &out);
		assert_string_equal(str_terminate(&out), rows[i].want);
		assert_true(span_eq(template_text(t), text));
		assert_int_equal(template_is_constant(t, &constant),
		    rows[i].is_constant);
		if (rows[i].is_constant)
			assert_true(span_eq(constant,
			    span_cstr(rows[i].want)));
		arena_fini(&a);
	}
}

static void
test_refused(void **state)
{
	static const struct {
		const char *text, *error;
	} rows[] = {
		{ "$", "a lone `$` at byte 1" },
		{ "cost: 5 $ each", "a lone `$` at byte 9" },
		{ "$client.ip", "a lone `$`" },
		{ "$$$", "a lone `$` at byte 3" },
		{ "${", "not closed" },
		{ "x ${client.ip", "`${client.ip` is not closed" },
		{ "${}", "names no variable" },
		{ "${:-x}", "names no variable" },
		{ "${client.iq}", "`${client.iq}`; did you mean "
		  "`${client.ip}`?" },
		{ "${Client.IP}", "did you mean `${client.ip}`?" },
		{ "${clientip}", "did you mean `${client.ip}`?" },
		{ "${zebra}", "unknown variable `${zebra}`" },
		{ "${request.heade.x}", "did you mean "
		  "`${request.header.NAME}`?" },
		{ "${request.header.}", "needs a name behind its last dot" },
		{ "${request.header}", "did you mean" },
		{ "${client.ip:x}", "a default is written behind `:-`" },
		{ "${ client.ip}", "no blanks" },
		{ "${client.ip }", "no blanks" },
		{ "${client${client.ip}}", "inside another's name" },
		{ "${client.ip:-${request.path}}", "cannot hold another" },
		{ "${client.ip:-a$b}", "dollar sign is written `$$`" },
		{ "${route.match.x}", "`x` is no number" },
		{ "${client.ip.}", "unknown variable" },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct arena a;
		struct error err = { "" };

		arena_init(&a, NULL);
		assert_null(template_compile(&a, span_cstr(rows[i].text),
		    &vars, &err));
		if (strstr(err.text, rows[i].error) == NULL)
			fail_msg("%s: %s", rows[i].text, err.text);
		arena_fini(&a);
	}
}

/* Whatever the room: never beyond it, and only too little room overflows. */
static void
test_bounds(void **state)
{
	static const char text[] =
	    "ab${client.ip}${error.reason:-none}${part}$$${part:-x}";
	static const char whole[] = "abSUBJECTnone$x";
	const struct template *t;
	struct arena a;
	struct error err;

	(void)state;
	arena_init(&a, NULL);
	t = template_compile(&a, span_cstr(text), &vars, &err);
	assert_non_null(t);
	for (size_t room = 0; room < sizeof(whole) + 4; room++) {
		char *memory = malloc(room > 0 ? room : 1);
		struct str out;

		str_init(&out, memory, room);
		template_eval(t, "SUBJECT", &out);
		assert_int_equal(out.overflow, room < strlen(whole));
		assert_true(span_starts(span_cstr(whole), str_view(&out)));
		if (!out.overflow)
			assert_int_equal(out.len, strlen(whole));
		free(memory);
	}
	arena_fini(&a);
}

static void
collect(void *arg, struct span name)
{
	str_span(arg, name);
	str_char(arg, ' ');
}

static void
test_each_var(void **state)
{
	const struct template *t;
	struct arena a;
	struct error err;
	struct str names;
	char memory[100];

	(void)state;
	arena_init(&a, NULL);
	t = template_compile(&a, SPAN("a ${route.match.2} $$ ${client.ip:-x}"),
	    &vars, &err);
	assert_non_null(t);
	str_init(&names, memory, sizeof(memory));
	template_each_var(t, collect, &names);
	assert_string_equal(str_terminate(&names),
	    "route.match.2 client.ip ");
	arena_fini(&a);
}

/* The text may go once it is compiled; without variables all are unknown. */
static void
test_text_is_copied(void **state)
{
	char text[] = "a${client.ip}", memory[10];
	const struct template *t;
	struct arena a;
	struct error err;
	struct str out;

	(void)state;
	arena_init(&a, NULL);
	t = template_compile(&a, span_cstr(text), &vars, &err);
	assert_non_null(t);
	memset(text, 'x', sizeof(text));
	str_init(&out, memory, sizeof(memory));
	template_eval(t, "S", &out);
	assert_string_equal(str_terminate(&out), "aS");
	assert_null(template_compile(&a, SPAN("${client.ip}"), NULL, &err));
	arena_fini(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_measures),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_each_var),
		cmocka_unit_test(test_text_is_copied),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* JSON texts, good and bad, written out again in one form. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/json.h"
#include "base/str.h"
#include "ctl/jsonread.h"

static void
put(struct json *j, const struct jsonread_value *v, const char *name)
{
	char memory[64];

	switch (v->type) {
	case JSONREAD_STRING:
		json_span(j, name, v->text);
		return;
	case JSONREAD_NULL:
	case JSONREAD_BOOL:
	case JSONREAD_NUMBER:
		json_raw(j, name, v->text);
		return;
	case JSONREAD_ARRAY:
		json_array(j, name);
		break;
	case JSONREAD_OBJECT:
		json_object(j, name);
		break;
	}
	for (const struct jsonread_value *m = v->first; m != NULL;
	     m = m->next) {
		struct str s;

		str_init(&s, memory, sizeof(memory));
		str_span(&s, m->name);
		put(j, m, v->type == JSONREAD_OBJECT ? str_terminate(&s)
		    : NULL);
	}
	json_close(j);
}

/* What was read, written again; "no" if it is not JSON. */
static void
assert_read(struct span text, const char *want)
{
	char *copy = malloc(text.len > 0 ? text.len : 1);
	struct jsonread_value *v;
	struct arena arena;
	char memory[512];
	struct json j;
	struct str s;

	assert_non_null(copy);
	if (text.len > 0)
		memcpy(copy, text.p, text.len);
	arena_init(&arena, NULL);
	str_init(&s, memory, sizeof(memory));
	json_init(&j, &s);
	v = jsonread_parse(&arena, span_of(copy, text.len));
	if (v == NULL)
		str_lit(&s, "no");
	else
		put(&j, v, NULL);
	assert_string_equal(str_terminate(&s), want);
	arena_fini(&arena);
	free(copy);
}

static void
test_texts(void **state)
{
	static const struct {
		const char *text;
		const char *want;
	} cases[] = {
		{ "{}", "{}" }, { " [ ] ", "[]" }, { "null", "null" },
		{ "true", "true" }, { "false", "false" },
		{ "-0.5e+10", "-0.5e+10" }, { "0", "0" }, { "10", "10" },
		{ "{\"a\" : [1 , {\"b\":null}], \"c\":\"\"}",
		    "{\"a\":[1,{\"b\":null}],\"c\":\"\"}" },
		{ "\"\\\"\\\\\\/\\n\\u0041\\u00e4\\u20AC\"",
		    "\"\\\"\\\\/\\u000aA\xc3\xa4\xe2\x82\xac\"" },
		{ "\"\\ud83d\\ude00\"", "\"\xf0\x9f\x98\x80\"" },
		{ "\"\\ud83d\"", "no" }, { "\"\\ude00\"", "no" },
		{ "\"\\ud83d\\u0041\"", "no" }, { "\"\\u00g0\"", "no" },
		{ "\"\\u00\"", "no" }, { "\"\\x\"", "no" },
		{ "\"\\", "no" }, { "\"a", "no" }, { "\"a\nb\"", "no" },
		{ "", "no" }, { "{", "no" }, { "[1,]", "no" },
		{ "{\"a\":1,}", "no" }, { "{a:1}", "no" },
		{ "{\"a\" 1}", "no" }, { "[1 2]", "no" }, { "01", "no" },
		{ "1.", "no" }, { "-", "no" }, { "+1", "no" },
		{ "1e", "no" }, { "nul", "no" }, { "truex", "no" },
		{ "{} {}", "no" }, { "]", "no" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		assert_read(span_cstr(cases[i].text), cases[i].want);
}

/* No part of a text is read beyond its end, nor is a part a whole. */
static void
test_parts(void **state)
{
	static const char text[] =
	    "{\"a\":[1,\"\\u20ac\\ud83d\\ude00\\n\",true,null],\"b\":{}}";

	(void)state;
	for (size_t len = 0; len < sizeof(text) - 1; len++)
		assert_read(span_of(text, len), "no");
}

static void
test_depth(void **state)
{
	char text[130];

	(void)state;
	memset(text, '[', 65);
	memset(text + 65, ']', 65);
	assert_read(span_of(text, 130), "no");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_parts),
		cmocka_unit_test(test_depth),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

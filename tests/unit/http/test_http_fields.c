/* SPDX-License-Identifier: BSD-2-Clause */
/* Known names, and finding and changing fields. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/arena.h"
#include "http/http_field_private.h"
#include "http/message.h"
#include "render.h"

static const struct {
	enum http_field_id id;
	struct span name;
} known[] = {
#define X(id, name) { FIELD_##id, { name, sizeof(name) - 1 } },
	HTTP_FIELD_LIST(X)
#undef X
};

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

static void
test_lookup(void **state)
{
	char name[64];

	(void)state;
	for (size_t i = 0; i < COUNT(known); i++) {
		size_t len = known[i].name.len;

		assert_true(len <= HTTP_FIELD_NAME_MAX);
		assert_int_equal(http_field_lookup(known[i].name),
		    known[i].id);
		assert_true(span_eq(http_field_spelling(known[i].id),
		    known[i].name));
		memcpy(name, known[i].name.p, len);
		for (size_t at = 0; at < len; at++) {
			char was = name[at];

			if (was != '-' && !(was >= '0' && was <= '9')) {
				name[at] = (char)(was ^ 0x20);
				assert_int_equal(http_field_lookup(
				    span_of(name, len)), known[i].id);
			}
			for (int c = 0; c < 256; c++) {
				if (span_lower((unsigned char)c) ==
				    span_lower((unsigned char)was))
					continue;
				name[at] = (char)c;
				assert_int_not_equal(http_field_lookup(
				    span_of(name, len)), known[i].id);
			}
			name[at] = was;
		}
		assert_int_not_equal(http_field_lookup(span_of(name, len - 1)),
		    known[i].id);
		name[len] = 'x';
		assert_int_not_equal(http_field_lookup(span_of(name, len + 1)),
		    known[i].id);
	}
	assert_int_equal(http_field_lookup(SPAN("")), FIELD_OTHER);
	assert_int_equal(http_field_lookup(SPAN("X-Other")), FIELD_OTHER);
	memset(name, 'x', sizeof(name));
	assert_int_equal(http_field_lookup(span_of(name, sizeof(name))),
	    FIELD_OTHER);
}

static void
test_grammar(void **state)
{
	static const struct {
		struct span s;
		bool is_token, is_value;
	} rows[] = {
		{ { "", 0 }, false, true },
		{ { "a", 1 }, true, true },
		{ { "!#$%&'*+-.^_`|~09azAZ", 21 }, true, true },
		{ { "a b", 3 }, false, true },
		{ { "a\tb", 3 }, false, true },
		{ { "a:", 2 }, false, true },
		{ { "\xe9", 1 }, false, true },
		{ { "a\0b", 3 }, false, false },
		{ { "a\r\n", 3 }, false, false },
		{ { "\x7f", 1 }, false, false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_int_equal(http_is_token(rows[i].s), rows[i].is_token);
		assert_int_equal(http_is_field_value(rows[i].s),
		    rows[i].is_value);
	}
}

struct list {
	struct arena arena;
	struct http_fields fields;
	char text[1024];
};

static int
setup(void **state)
{
	static struct list list;

	arena_init(&list.arena, NULL);
	list.fields = (struct http_fields){ .count = 0 };
	*state = &list;
	return 0;
}

static int
teardown(void **state)
{
	struct list *list = *state;

	arena_fini(&list->arena);
	return 0;
}

static void
add(struct list *l, const char *name, const char *value)
{
	http_fields_add(&l->fields, &l->arena, span_cstr(name),
	    span_cstr(value));
}

static void
check(struct list *l, const char *want)
{
	struct str out;

	str_init(&out, l->text, sizeof(l->text));
	render_fields(&out, &l->fields);
	assert_string_equal(str_terminate(&out), want);
}

static void
test_add_and_find(void **state)
{
	struct list *l = *state;
	const struct http_field *f;

	assert_null(http_fields_get(&l->fields, FIELD_HOST));
	assert_null(http_fields_find(&l->fields, SPAN("X")));
	add(l, "hOST", "a");
	add(l, "X-a", "1");
	assert_false(http_fields_may_have_underscore(&l->fields));
	add(l, "A_b", "2");
	assert_true(http_fields_may_have_underscore(&l->fields));
	add(l, "x-A", "3");
	add(l, "x-b", "");
	check(l, "|hOST=a|X-a=1|A_b_=2|x-A=3|x-b=");
	assert_true(http_fields_may_have(&l->fields, FIELD_HOST));
	assert_false(http_fields_may_have(&l->fields, FIELD_DATE));
	assert_ptr_equal(http_fields_get(&l->fields, FIELD_HOST),
	    &l->fields.items[0]);
	assert_ptr_equal(http_fields_find(&l->fields, SPAN("Host")),
	    &l->fields.items[0]);
	f = http_fields_find(&l->fields, SPAN("X-A"));
	assert_ptr_equal(f, &l->fields.items[1]);
	f = http_fields_next(&l->fields, f);
	assert_ptr_equal(f, &l->fields.items[3]);
	assert_null(http_fields_next(&l->fields, f));
	assert_null(http_fields_find(&l->fields, SPAN("X-")));
}

static void
test_add_id(void **state)
{
	struct list *l = *state;

	for (unsigned i = 0; i < 20; i++)
		http_fields_add_id(&l->fields, &l->arena, FIELD_VIA,
		    SPAN("x"));
	http_fields_add_id(&l->fields, &l->arena, FIELD_AGE, SPAN("1"));
	assert_int_equal(http_fields_remove(&l->fields, SPAN("via")), 20);
	check(l, "|Age=1");
	assert_non_null(http_fields_get(&l->fields, FIELD_AGE));
}

static void
test_grow(void **state)
{
	struct list *l = *state;

	for (unsigned i = 0; i < 1000; i++)
		add(l, i % 100 == 0 ? "Vary" : "X", "v");
	assert_int_equal(l->fields.count, 1000);
	assert_true(l->fields.size >= 1000);
	assert_int_equal(http_fields_remove_id(&l->fields, FIELD_VARY), 10);
	assert_int_equal(http_fields_remove(&l->fields, SPAN("x")), 990);
	check(l, "");
}

static void
test_set(void **state)
{
	struct list *l = *state;

	add(l, "Vary", "a");
	add(l, "X", "b");
	add(l, "vary", "c");
	add(l, "x", "d");
	http_fields_set(&l->fields, &l->arena, SPAN("VARY"), SPAN("e"));
	check(l, "|VARY=e|X=b|x=d");
	http_fields_set(&l->fields, &l->arena, SPAN("x"), SPAN("f"));
	check(l, "|VARY=e|x=f");
	http_fields_set(&l->fields, &l->arena, SPAN("Age"), SPAN("1"));
	check(l, "|VARY=e|x=f|Age=1");
	assert_non_null(http_fields_get(&l->fields, FIELD_AGE));
}

/* A field that was received in one line is no such line when it was set. */
static void
test_set_is_not_verbatim(void **state)
{
	struct list *l = *state;

	add(l, "X", "b");
	l->fields.items[0].flags |= HTTP_FIELD_VERBATIM;
	check(l, "|X: b");
	http_fields_set(&l->fields, &l->arena, SPAN("X"), SPAN("c"));
	check(l, "|X=c");
	l->fields.items[0].flags |= HTTP_FIELD_VERBATIM;
	http_fields_rename(&l->fields, SPAN("X"), SPAN("Y"));
	check(l, "|Y=c");
}

static void
test_remove(void **state)
{
	struct list *l = *state;

	add(l, "Via", "a");
	add(l, "X", "b");
	add(l, "via", "c");
	add(l, "x", "d");
	assert_int_equal(http_fields_remove(&l->fields, SPAN("VIA")), 2);
	check(l, "|X=b|x=d");
	assert_null(http_fields_get(&l->fields, FIELD_VIA));
	assert_int_equal(http_fields_remove_id(&l->fields, FIELD_VIA), 0);
	assert_int_equal(http_fields_remove(&l->fields, SPAN("X")), 2);
	assert_int_equal(http_fields_remove(&l->fields, SPAN("X")), 0);
	assert_int_equal(http_fields_remove(&l->fields, SPAN("Y")), 0);
	check(l, "");
}

static void
test_rename(void **state)
{
	struct list *l = *state;

	add(l, "X", "a");
	add(l, "Vary", "b");
	add(l, "x", "c");
	assert_int_equal(http_fields_rename(&l->fields, SPAN("x"),
	    SPAN("age")), 2);
	check(l, "|age=a|Vary=b|age=c");
	assert_string_equal(http_fields_get(&l->fields, FIELD_AGE)->value,
	    "a");
	assert_int_equal(http_fields_rename(&l->fields, SPAN("vary"),
	    SPAN("A_b")), 1);
	check(l, "|age=a|A_b_=b|age=c");
	assert_int_equal(http_fields_rename(&l->fields, SPAN("date"),
	    SPAN("B")), 0);
}

static void
test_media_type(void **state)
{
	static const struct {
		const char *value, *want;
	} rows[] = {
		{ "text/html", "text/html" },
		{ "text/html; charset=utf-8", "text/html" },
		{ "Text/HTML ;charset=utf-8;a=b", "Text/HTML" },
		{ "", "" },
		{ ";", "" },
	};
	struct list *l = *state;

	assert_int_equal(http_fields_media_type(&l->fields).len, 0);
	for (size_t i = 0; i < COUNT(rows); i++) {
		http_fields_set(&l->fields, &l->arena, SPAN("Content-Type"),
		    span_cstr(rows[i].value));
		assert_true(span_eq(http_fields_media_type(&l->fields),
		    span_cstr(rows[i].want)));
	}
}

static void
test_methods(void **state)
{
	static const struct {
		struct span name;
		enum http_method method;
		bool is_safe, is_idempotent;
	} rows[] = {
		{ { "GET", 3 }, HTTP_METHOD_GET, true, true },
		{ { "HEAD", 4 }, HTTP_METHOD_HEAD, true, true },
		{ { "POST", 4 }, HTTP_METHOD_POST, false, false },
		{ { "PUT", 3 }, HTTP_METHOD_PUT, false, true },
		{ { "DELETE", 6 }, HTTP_METHOD_DELETE, false, true },
		{ { "CONNECT", 7 }, HTTP_METHOD_CONNECT, false, false },
		{ { "OPTIONS", 7 }, HTTP_METHOD_OPTIONS, true, true },
		{ { "TRACE", 5 }, HTTP_METHOD_TRACE, true, true },
		{ { "PATCH", 5 }, HTTP_METHOD_PATCH, false, false },
		{ { "get", 3 }, HTTP_METHOD_OTHER, false, false },
		{ { "GETS", 4 }, HTTP_METHOD_OTHER, false, false },
		{ { "GE", 2 }, HTTP_METHOD_OTHER, false, false },
		{ { "BREW", 4 }, HTTP_METHOD_OTHER, false, false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		enum http_method m = rows[i].method;

		assert_int_equal(http_method_lookup(rows[i].name), m);
		assert_int_equal(http_method_is_safe(m), rows[i].is_safe);
		assert_int_equal(http_method_is_idempotent(m),
		    rows[i].is_idempotent);
	}
}

static void
test_phrases(void **state)
{
	static const struct {
		unsigned status;
		const char *phrase;
	} rows[] = {
		{ 0, "Unknown" }, { 99, "Unknown" }, { 100, "Continue" },
		{ 200, "OK" }, { 306, "Unknown" }, { 404, "Not Found" },
		{ 418, "Unknown" }, { 431, "Request Header Fields Too Large" },
		{ 504, "Gateway Timeout" },
		{ 511, "Network Authentication Required" }, { 512, "Unknown" },
		{ 599, "Unknown" }, { 4000000000, "Unknown" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		assert_true(span_eq(http_status_phrase(rows[i].status),
		    span_cstr(rows[i].phrase)));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lookup),
		cmocka_unit_test(test_grammar),
		cmocka_unit_test_setup_teardown(test_add_and_find, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_add_id, setup, teardown),
		cmocka_unit_test_setup_teardown(test_grow, setup, teardown),
		cmocka_unit_test_setup_teardown(test_set, setup, teardown),
		cmocka_unit_test_setup_teardown(test_set_is_not_verbatim,
		    setup, teardown),
		cmocka_unit_test_setup_teardown(test_remove, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rename, setup, teardown),
		cmocka_unit_test_setup_teardown(test_media_type, setup,
		    teardown),
		cmocka_unit_test(test_methods),
		cmocka_unit_test(test_phrases),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

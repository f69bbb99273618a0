/* SPDX-License-Identifier: BSD-2-Clause */
/* Module headers: its rules, their order, and what it refuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "loaded.h"

extern const struct module mod_headers;

static struct loaded loaded;

static int
setup(void **state)
{
	loaded_init(&loaded);
	*state = &loaded;
	return 0;
}

static int
teardown(void **state)
{
	loaded_fini(*state);
	return 0;
}

/* "Name: value|Name: value|" of the fields that are not dropped. */
static const char *
text_of(const struct http_fields *fields)
{
	static char text[4096];
	struct str s;

	str_init(&s, text, sizeof(text));
	for (uint32_t i = 0; i < fields->count; i++) {
		const struct http_field *f = &fields->items[i];

		if ((f->flags & HTTP_FIELD_DROPPED) != 0)
			continue;
		str_span(&s, http_field_name(f));
		str_lit(&s, ": ");
		str_span(&s, http_field_value(f));
		str_char(&s, '|');
	}
	return str_terminate(&s);
}

static void
run(struct loaded *l, enum phase phase, const char *text)
{
	const void *conf = loaded_conf(l, &mod_headers, text);

	if (conf == NULL)
		fail_msg("%s", l->errors);
	assert_true(mod_headers.is_active(conf));
	assert_int_equal(mod_headers.hooks[phase](&l->ex, conf),
	    VERDICT_NEXT);
}

static void
rules_do_what_they_say(void **state)
{
	static const struct {
		const char *rules;
		const char *want;
	} cases[] = {
		{ "remove = \"x-a\";", "X-B: 2|x-c: 3|" },
		{ "remove = [ \"X-A\", \"X-C\", \"X-None\" ];", "X-B: 2|" },
		{ "rename = { X-A = \"X-Z\"; };",
		    "X-Z: 1|X-B: 2|X-Z: 1b|x-c: 3|" },
		{ "set = { X-A = \"new\"; };", "X-A: new|X-B: 2|x-c: 3|" },
		{ "set = { X-New = \"n\"; };",
		    "X-A: 1|X-B: 2|X-A: 1b|x-c: 3|X-New: n|" },
		{ "add = { X-B = \"more\"; };",
		    "X-A: 1|X-B: 2|X-A: 1b|x-c: 3|X-B: more|" },
		{ "set = { X-A = \"\"; };", "X-B: 2|x-c: 3|" },
		{ "set = { X-A = \"${request.arg.none}\"; };",
		    "X-B: 2|x-c: 3|" },
		{ "add = { X-N = \"${request.arg.none}\"; };",
		    "X-A: 1|X-B: 2|X-A: 1b|x-c: 3|" },
		{ "set = { X-A = \"<${client.ip}>\"; };",
		    "X-A: <192.0.2.7>|X-B: 2|x-c: 3|" },
		{ "set = { X-A = \"  blanks \"; };",
		    "X-A: blanks|X-B: 2|x-c: 3|" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		static const enum phase phases[] = { PHASE_UPSTREAM_REQUEST,
			PHASE_RESPONSE };

		for (size_t p = 0; p < 2; p++) {
			struct http_fields *fields;
			char text[512];

			loaded_init(&loaded);
			fields = p == 0 ? &loaded.ex.up_req.fields
					: &loaded.ex.res.fields;
			loaded_add(&loaded, fields, "X-A", "1");
			loaded_add(&loaded, fields, "X-B", "2");
			loaded_add(&loaded, fields, "X-A", "1b");
			loaded_add(&loaded, fields, "x-c", "3");
			snprintf(text, sizeof(text),
			    "headers = { %s = { %s }; };",
			    p == 0 ? "request" : "response", cases[i].rules);
			run(&loaded, phases[p], text);
			assert_string_equal(text_of(fields), cases[i].want);
			loaded_fini(&loaded);
		}
	}
	loaded_init(&loaded);
}

/* Remove, rename, set, add: whatever the order they are written in. */
static void
rules_have_an_order(void **state)
{
	struct loaded *l = *state;
	struct http_fields *fields = &l->ex.res.fields;

	loaded_add(l, fields, "A", "removed");
	loaded_add(l, fields, "B", "renamed");
	run(l, PHASE_RESPONSE, "headers = { response = { "
	    "add = { A = \"added\"; }; set = { A = \"set\"; }; "
	    "rename = { B = \"A\"; }; remove = \"A\"; }; };");
	assert_string_equal(text_of(fields), "A: set|A: added|");
}

static void
responses_are_chosen_by_status(void **state)
{
	static const struct {
		unsigned status;
		const char *want;
	} cases[] = {
		{ 200, "X: y|" }, { 404, "X: y|" }, { 500, "" }, { 201, "" },
	};

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		loaded_init(&loaded);
		loaded.ex.res.status = (uint16_t)cases[i].status;
		run(&loaded, PHASE_RESPONSE, "headers = { response = { "
		    "set = { X = \"y\"; }; status = [ 200, 404 ]; }; };");
		assert_string_equal(text_of(&loaded.ex.res.fields),
		    cases[i].want);
		loaded_fini(&loaded);
	}
	loaded_init(&loaded);
}

static void
host_replaces_the_clients(void **state)
{
	struct loaded *l = *state;

	l->ex.up_host = SPAN("client.test");
	run(l, PHASE_UPSTREAM_REQUEST, "headers = { request = { "
	    "set = { Host = \"app.test:81\"; }; }; };");
	assert_true(span_eq(l->ex.up_host, SPAN("app.test:81")));
	assert_string_equal(text_of(&l->ex.up_req.fields), "");
	/* One that a client made and that is none leaves it as it was. */
	loaded_add(l, &l->ex.req.fields, "X-Host", "a b@c");
	run(l, PHASE_UPSTREAM_REQUEST, "headers = { request = { "
	    "set = { host = \"${request.header.x-host}\"; }; }; };");
	assert_true(span_eq(l->ex.up_host, SPAN("app.test:81")));
	assert_int_equal(counter_get(&l->stats[PROXY_STAT_SUPPRESSED_VALUES]),
	    1);
}

/* Whatever a variable is worth, no line ends inside of a field. */
static void
control_characters_drop_the_value(void **state)
{
	static const char *const values[] = { "a\r\nEvil: 1", "a\nb", "a\x01",
		"\x7f" };
	struct loaded *l = *state;
	char huge[VALUE_BYTES_MAX + 2];

	for (size_t i = 0; i < 4; i++)
		loaded_add(l, &l->ex.req.fields, "X-Bad", values[i]);
	run(l, PHASE_RESPONSE, "headers = { response = { "
	    "set = { A = \"${request.header.x-bad}\"; B = \"ok\"; }; "
	    "add = { C = \"x${request.header.x-bad}\"; }; }; };");
	assert_string_equal(text_of(&l->ex.res.fields), "B: ok|");
	assert_int_equal(counter_get(&l->stats[PROXY_STAT_SUPPRESSED_VALUES]),
	    2);
	memset(huge, 'h', sizeof(huge) - 1);
	huge[sizeof(huge) - 1] = '\0';
	loaded_add(l, &l->ex.req.fields, "X-Huge", huge);
	run(l, PHASE_RESPONSE, "headers = { response = { "
	    "set = { A = \"${request.header.x-huge}\"; }; }; };");
	assert_string_equal(text_of(&l->ex.res.fields), "B: ok|");
	assert_int_equal(counter_get(&l->stats[PROXY_STAT_SUPPRESSED_VALUES]),
	    3);
}

static void
bad_rules_are_refused(void **state)
{
	static const struct {
		const char *text;
		const char *error;
	} cases[] = {
		{ "request = { set = { Connection = \"x\"; }; };",
		    "test.conf:1:33: error: `Connection` frames" },
		{ "request = { set = { content-length = \"7\"; }; };",
		    "`content-length` frames" },
		{ "response = { add = { Transfer-Encoding = \"x\"; }; };",
		    "`Transfer-Encoding` frames" },
		{ "response = { remove = [ \"X\", \"Upgrade\" ]; };",
		    "`Upgrade` frames" },
		{ "request = { rename = { TE = \"X\"; }; };", "`TE` frames" },
		{ "request = { rename = { X = \"Trailer\"; }; };",
		    "`Trailer` frames" },
		{ "request = { rename = { X = \"a b\"; }; };",
		    "`a b` is no field name" },
		{ "request = { rename = { X = \"${client.ip}\"; }; };",
		    "new name of `X`" },
		{ "response = { set = { Host = \"a\"; }; };",
		    "`Host` can only be `set`, and in requests" },
		{ "request = { add = { Host = \"a\"; }; };",
		    "`Host` can only be `set`" },
		{ "request = { remove = \"host\"; };",
		    "`host` can only be `set`" },
		{ "request = { rename = { X = \"Host\"; }; };",
		    "`Host` can only be `set`" },
		{ "request = { set = { Host = \"a b\"; }; };",
		    "`a b` is no host" },
		{ "request = { set = { X = \"a\\nb\"; }; };",
		    "cannot stand in the value of a field" },
		{ "request = { set = { X = \"${nothing}\"; }; };",
		    "${nothing}" },
		{ "response = { status = [ 99 ]; };", "99" },
		{ "request = { status = [ 200 ]; };", "status" },
		{ "request = { remove = \"a b\"; };", "a b" },
	};
	struct loaded *l = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char text[256];

		snprintf(text, sizeof(text), "headers = { %s };",
		    cases[i].text);
		assert_null(loaded_conf(l, &mod_headers, text));
		if (strstr(l->errors, cases[i].error) == NULL)
			fail_msg("%s\ngave: %s", cases[i].text, l->errors);
	}
}

static void
no_rules_cost_nothing(void **state)
{
	const void *conf = loaded_conf(*state, &mod_headers,
	    "headers = { response = { status = 404; }; };");

	assert_non_null(conf);
	assert_false(mod_headers.is_active(conf));
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(rules_do_what_they_say),
		TEST(rules_have_an_order),
		TEST(responses_are_chosen_by_status),
		TEST(host_replaces_the_clients),
		TEST(control_characters_drop_the_value),
		TEST(bad_rules_are_refused),
		TEST(no_rules_cost_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

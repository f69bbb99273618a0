/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of routes: which one a host and a path find. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/error.h"
#include "conf/regex.h"
#include "conf/report.h"
#include "http/message.h"
#include "proxy/route.h"

/* A route as a configuration has it; its name is its number. */
static const struct {
	const char *host, *prefix, *exact, *regex, *method;
} confs[] = {
	{ NULL, NULL, NULL, NULL, NULL },
	{ "www.example.com", NULL, NULL, NULL, NULL },
	{ "www.example.com", "/a", NULL, NULL, NULL },
	{ "www.example.com", "/a/b/", NULL, NULL, NULL },
	{ "www.example.com", NULL, "/a/b", NULL, NULL },
	{ "www.example.com", NULL, NULL, "^/([a-z]+)/([0-9]*)$", NULL },
	{ "*.example.com", NULL, NULL, NULL, NULL },
	{ "*.deep.example.com", "/x", NULL, NULL, NULL },
	{ "posts.test", "/a", NULL, NULL, "POST" },
	{ "posts.test", "/a", NULL, NULL, "PUT" },
	{ "posts.test", "/", NULL, NULL, "GET" },
};

enum { CONFS = sizeof(confs) / sizeof(*confs) };

struct fixture {
	struct arena arena;
	struct route_table table;
	struct route routes[CONFS];
	const char *hosts[CONFS], *methods[CONFS];
	struct conf_regex *regexes;
};

static void
add(struct fixture *f, unsigned i, struct conf_report *report)
{
	struct route *r = &f->routes[i];
	struct error err;
	size_t offset;

	memset(r, 0, sizeof(*r));
	f->hosts[i] = confs[i].host;
	f->methods[i] = confs[i].method;
	r->hosts = (struct conf_strings){ &f->hosts[i],
		confs[i].host != NULL };
	r->methods = (struct conf_strings){ &f->methods[i],
		confs[i].method != NULL };
	r->path = confs[i].prefix;
	r->path_exact = confs[i].exact;
	if (confs[i].regex != NULL) {
		r->path_regex = conf_regex_compile(&f->arena,
		    span_cstr(confs[i].regex), &offset, &err);
		assert_non_null(r->path_regex);
		r->path_regex->next = NULL;
		f->regexes = r->path_regex;
	}
	route_table_add(&f->table, &f->arena, r, report);
}

static void
test_find(void **state)
{
	static const struct {
		const char *method, *host, *path;
		int want; /* -1 = none */
		unsigned others;
	} rows[] = {
		{ "GET", "www.example.com", "/", 1, 0 },
		{ "GET", "www.example.com", "/a", 2, 0 },
		{ "GET", "www.example.com", "/a/", 2, 0 },
		/* A prefix ends where a segment does. */
		{ "GET", "www.example.com", "/ab", 1, 0 },
		{ "GET", "www.example.com", "/a/b", 4, 0 },
		{ "GET", "www.example.com", "/a/b/", 3, 0 },
		{ "GET", "www.example.com", "/a/b/c", 3, 0 },
		{ "GET", "www.example.com", "/a/bc", 2, 0 },
		/* A prefix is stronger than a regular expression. */
		{ "GET", "www.example.com", "/a/1", 2, 0 },
		{ "GET", "www.example.com", "/z/12", 5, 0 },
		{ "GET", "www.example.com", "/Z/12", 1, 0 },
		{ "GET", "other.example.com", "/a", 6, 0 },
		{ "GET", "example.com", "/", 0, 0 },
		{ "GET", "wwwexample.com", "/", 0, 0 },
		{ "GET", "a.deep.example.com", "/x", 7, 0 },
		{ "GET", "a.deep.example.com", "/y", 6, 0 },
		{ "GET", "a.b.deep.example.com", "/x/y", 7, 0 },
		{ "GET", "posts.test", "/a", 10, 0 },
		{ "POST", "posts.test", "/a", 8, 0 },
		{ "PUT", "posts.test", "/a/b", 9, 0 },
		/* Who matches nowhere else is told where not. */
		{ "GET", "", "/", 0, 0 },
	};
	struct conf_report *report = conf_report_new();
	static struct fixture f;

	(void)state;
	arena_init(&f.arena, NULL);
	route_table_init(&f.table);
	for (unsigned i = 0; i < CONFS; i++)
		add(&f, i, report);
	assert_int_equal(conf_report_errors(report), 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		uint32_t captures[2 * ROUTE_CAPTURES_MAX];
		struct http_request req = {
			.method = span_cstr(rows[i].method),
			.host = span_cstr(rows[i].host),
			.path = span_cstr(rows[i].path) };
		struct route_request q = { .req = &req, .path = req.path,
			.captures = captures };
		const struct route *r = route_find(&f.table, &q);

		assert_int_equal(r == NULL ? -1 : r - f.routes, rows[i].want);
		if (rows[i].want == 5) {
			assert_int_equal(q.capture_count, 3);
			assert_int_equal(captures[4], 3);
			assert_int_equal(captures[5], 5);
		}
	}
	route_table_fini(&f.table);
	conf_regex_free_all(f.regexes);
	conf_report_free(report);
	arena_fini(&f.arena);
}

/* Only the routes of that place, and each once. */
static void
test_methods_that_would_do(void **state)
{
	struct conf_report *report = conf_report_new();
	static struct fixture f;
	struct http_request req = { .method = SPAN("DELETE"),
		.host = SPAN("posts.test"), .path = SPAN("/a") };
	struct route_request q = { .req = &req, .path = req.path };

	(void)state;
	arena_init(&f.arena, NULL);
	route_table_init(&f.table);
	for (unsigned i = 8; i < CONFS; i++)
		add(&f, i, report);
	assert_null(route_find(&f.table, &q));
	assert_true(q.other_count >= 2);
	assert_ptr_equal(q.others[0], &f.routes[8]);
	assert_ptr_equal(q.others[1], &f.routes[9]);
	route_table_fini(&f.table);
	conf_report_free(report);
	arena_fini(&f.arena);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_methods_that_would_do),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* Authorities, paths and queries; targets are in test_h1_parse.c too. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "http/message.h"
#include "http/uri.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))
#define TEN "0123456789"
#define FIFTY TEN TEN TEN TEN TEN

static const struct {
	const char *text;
	const char *host; /* NULL: no authority */
	unsigned port;    /* 7 where none is given */
} authorities[] = {
	{ "a", "a", 7 },
	{ "A.Example.ORG:8080", "a.example.org", 8080 },
	{ "a:", "a", 7 },
	{ "a:1", "a", 1 },
	{ "a:65535", "a", 65535 },
	{ "a:00080", "a", 80 },
	{ "a.", "a", 7 },
	{ "a.:81", "a", 81 },
	{ "a_b-c~d", "a_b-c~d", 7 },
	{ "127.0.0.1:80", "127.0.0.1", 80 },
	{ "[::1]", "[::1]", 7 },
	{ "[FE80::1:2]:443", "[fe80::1:2]", 443 },
	{ "[::ffff:127.0.0.1]:", "[::ffff:127.0.0.1]", 7 },
	{ FIFTY FIFTY FIFTY FIFTY FIFTY "abcde",
	    FIFTY FIFTY FIFTY FIFTY FIFTY "abcde", 7 },
	{ FIFTY FIFTY FIFTY FIFTY FIFTY "abcdef", NULL, 0 },
	{ "", NULL, 0 },
	{ ":80", NULL, 0 },
	{ ".", NULL, 0 },
	{ ".a", NULL, 0 },
	{ "a..b", NULL, 0 },
	{ "a..", NULL, 0 },
	{ "a b", NULL, 0 },
	{ "a,b", NULL, 0 },
	{ "a/b", NULL, 0 },
	{ "a\\b", NULL, 0 },
	{ "a?b", NULL, 0 },
	{ "a#b", NULL, 0 },
	{ "u@a", NULL, 0 },
	{ "a%2eb", NULL, 0 },
	{ "a<b", NULL, 0 },
	{ "http://a", NULL, 0 },
	{ "a\xff", NULL, 0 },
	{ "a:b", NULL, 0 },
	{ "a:0", NULL, 0 },
	{ "a:65536", NULL, 0 },
	{ "a:000080", NULL, 0 },
	{ "a:+80", NULL, 0 },
	{ "a:80 ", NULL, 0 },
	{ "a:1:2", NULL, 0 },
	{ "::1", NULL, 0 },
	{ "[::1", NULL, 0 },
	{ "[]", NULL, 0 },
	{ "[word]", NULL, 0 },
	{ "[127.0.0.1]", NULL, 0 },
	{ "[::1]x", NULL, 0 },
	{ "[::1%eth0]", NULL, 0 },
	{ "[::1%25eth0]", NULL, 0 },
	{ "[v1.a]", NULL, 0 },
	{ "[0000:0000:0000:0000:0000:0000:0000:0000:0000:0000]", NULL, 0 },
};

static void
test_authorities(void **state)
{
	char memory[512];

	(void)state;
	for (size_t i = 0; i < COUNT(authorities); i++) {
		struct span s = span_cstr(authorities[i].text);

		if (uri_is_authority(s) != (authorities[i].host != NULL))
			fail_msg("%s: is it an authority?",
			    authorities[i].text);
		if (authorities[i].host == NULL)
			continue;
		assert_true(span_eq(uri_host_of(s, memory),
		    span_cstr(authorities[i].host)));
		assert_int_equal(uri_port_of(s, 7), authorities[i].port);
	}
	assert_false(uri_is_authority(span_of("a\0b", 3)));
	assert_false(uri_is_authority(span_of("[::1\0]", 6)));
}

static void
test_same(void **state)
{
	static const struct {
		const char *a, *b;
		bool same;
	} rows[] = {
		{ "a", "A", true }, { "a:80", "a", true },
		{ "a:", "a", true }, { "a.", "a", true },
		{ "a", "b", false }, { "a:81", "a", false },
		{ "a:80", "a:080", true }, { "[::1]", "[::1]:80", true },
		{ "[::1]", "[::2]", false }, { "aa", "a", false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct span a = span_cstr(rows[i].a), b = span_cstr(rows[i].b);

		assert_int_equal(uri_same_authority(a, b, 80), rows[i].same);
		assert_int_equal(uri_same_authority(b, a, 80), rows[i].same);
	}
}

static void
test_split(void **state)
{
	static const struct {
		const char *target;
		enum http_method method;
		const char *want; /* "scheme authority path?query" or NULL */
	} rows[] = {
		{ "/", HTTP_METHOD_GET, "|| / -" },
		{ "/a?", HTTP_METHOD_GET, "|| /a ?" },
		{ "/a?b?c", HTTP_METHOD_GET, "|| /a ?b?c" },
		{ "//a", HTTP_METHOD_GET, "|| //a -" },
		{ "/http://a/", HTTP_METHOD_GET, "|| /http://a/ -" },
		{ "http://a", HTTP_METHOD_GET, "http|a| / -" },
		{ "HTTPS://a:1/b?c", HTTP_METHOD_GET, "https|a:1| /b ?c" },
		{ "http://a?", HTTP_METHOD_OPTIONS, "http|a| / ?" },
		{ "http://a", HTTP_METHOD_OPTIONS, "http|a| * -" },
		{ "*", HTTP_METHOD_OPTIONS, "|| * -" },
		{ "a:1", HTTP_METHOD_CONNECT, "|a:1|  -" },
		{ "", HTTP_METHOD_GET, NULL },
		{ "*", HTTP_METHOD_GET, NULL },
		{ "*?a", HTTP_METHOD_OPTIONS, NULL },
		{ "a", HTTP_METHOD_GET, NULL },
		{ "/a#b", HTTP_METHOD_GET, NULL },
		{ "/a?b#", HTTP_METHOD_GET, NULL },
		{ "/a b", HTTP_METHOD_GET, NULL },
		{ "/a?\x1f", HTTP_METHOD_GET, NULL },
		{ "/\x7f", HTTP_METHOD_GET, NULL },
		{ "http://", HTTP_METHOD_GET, NULL },
		{ "http:///", HTTP_METHOD_GET, NULL },
		{ "http://u@a/", HTTP_METHOD_GET, NULL },
		{ "http://a#b", HTTP_METHOD_GET, NULL },
		{ "http://a\\b/", HTTP_METHOD_GET, NULL },
		{ "http:/a", HTTP_METHOD_GET, NULL },
		{ "http:a", HTTP_METHOD_GET, NULL },
		{ "httpx://a", HTTP_METHOD_GET, NULL },
		{ "ws://a", HTTP_METHOD_GET, NULL },
		{ "a", HTTP_METHOD_CONNECT, NULL },
		{ "a:", HTTP_METHOD_CONNECT, NULL },
		{ "/", HTTP_METHOD_CONNECT, NULL },
		{ "http://a:1/", HTTP_METHOD_CONNECT, NULL },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct http_request req = { .method_id =
		    (uint8_t)rows[i].method };
		char text[128];
		struct str out;

		str_init(&out, text, sizeof(text));
		req.target = span_cstr(rows[i].target);
		if (uri_split_target(&req) != (rows[i].want != NULL))
			fail_msg("%s: is it a target?", rows[i].target);
		if (rows[i].want == NULL)
			continue;
		str_span(&out, req.scheme);
		str_lit(&out, "|");
		str_span(&out, req.authority);
		str_lit(&out, "| ");
		str_span(&out, req.path);
		str_cstr(&out, req.has_query ? " ?" : " -");
		str_span(&out, req.query);
		assert_string_equal(str_terminate(&out), rows[i].want);
	}
}

static const struct {
	const char *path;
	enum uri_path_state state;
	const char *decoded;
	const char *resolved;
} paths[] = {
	{ "*", URI_PATH_PLAIN, "*", "*" },
	{ "/", URI_PATH_PLAIN, "/", "/" },
	{ "/a/b.c", URI_PATH_PLAIN, "/a/b.c", "/a/b.c" },
	{ "/a//b/", URI_PATH_PLAIN, "/a//b/", "/a//b/" },
	{ "/.a/..b/c../...", URI_PATH_PLAIN, "/.a/..b/c../...",
	    "/.a/..b/c../..." },
	{ "/" FIFTY "/a", URI_PATH_PLAIN, "/" FIFTY "/a", "/" FIFTY "/a" },
	{ "/a%2Fb%2f%00%C3%a9%25", URI_PATH_PLAIN, "/a%2Fb%2f%00%C3%a9%25",
	    "/a%2Fb%2f%00%C3%a9%25" },
	{ "/a%62%7E%2d%5f", URI_PATH_ENCODED, "/ab~-_", "/a%62%7E%2d%5f" },
	{ "/a%2eb", URI_PATH_ENCODED, "/a.b", "/a.b" },
	{ "/%2e%2e%2e", URI_PATH_ENCODED, "/...", "/..." },
	{ "/%252e", URI_PATH_PLAIN, "/%252e", "/%252e" },
	{ "/.", URI_PATH_DOTS, "/.", "/" },
	{ "/./", URI_PATH_DOTS, "/./", "/" },
	{ "/..", URI_PATH_DOTS, "/..", "/" },
	{ "/../a", URI_PATH_DOTS, "/../a", "/a" },
	{ "/a/./b", URI_PATH_DOTS, "/a/./b", "/a/b" },
	{ "/a/.", URI_PATH_DOTS, "/a/.", "/a/" },
	{ "/a/..", URI_PATH_DOTS, "/a/..", "/" },
	{ "/a/b/../c", URI_PATH_DOTS, "/a/b/../c", "/a/c" },
	{ "/a/b/../../../c", URI_PATH_DOTS, "/a/b/../../../c", "/c" },
	{ "/a//../b", URI_PATH_DOTS, "/a//../b", "/a/b" },
	{ "/a/%2e%2E/b", URI_PATH_DOTS, "/a/../b", "/b" },
	{ "/a/.%2e/b", URI_PATH_DOTS, "/a/../b", "/b" },
	{ "/a/%2e./b", URI_PATH_DOTS, "/a/../b", "/b" },
	{ "/a/%2e", URI_PATH_DOTS, "/a/.", "/a/" },
	{ "/a/%2e%2e%2fb", URI_PATH_ENCODED, "/a/..%2fb", "/a/..%2fb" },
	{ "/" FIFTY "/../a", URI_PATH_DOTS, "/" FIFTY "/../a", "/a" },
	{ "/a/../%62", URI_PATH_DOTS, "/a/../b", "/%62" },
	{ "/%62/..", URI_PATH_DOTS, "/b/..", "/" },
	{ "/%", URI_PATH_INVALID, NULL, NULL },
	{ "/%2", URI_PATH_INVALID, NULL, NULL },
	{ "/%2/", URI_PATH_INVALID, NULL, NULL },
	{ "/%zz", URI_PATH_INVALID, NULL, NULL },
	{ "/%2g", URI_PATH_INVALID, NULL, NULL },
	{ "/../%", URI_PATH_INVALID, NULL, NULL },
	{ "/%62%", URI_PATH_INVALID, NULL, NULL },
};

static void
test_paths(void **state)
{
	char text[256];
	struct str out;

	(void)state;
	for (size_t i = 0; i < COUNT(paths); i++) {
		size_t len = strlen(paths[i].path);
		char *copy = malloc(len);
		struct span path = span_of(copy, len);

		assert_non_null(copy);
		memcpy(copy, paths[i].path, len);
		if (uri_path_check(path) != paths[i].state)
			fail_msg("%s: is %d", paths[i].path,
			    (int)uri_path_check(path));
		if (paths[i].decoded != NULL) {
			str_init(&out, text, sizeof(text));
			uri_path_decode(path, &out);
			assert_string_equal(str_terminate(&out),
			    paths[i].decoded);
			str_init(&out, text, sizeof(text));
			uri_path_resolve(path, &out);
			assert_string_equal(str_terminate(&out),
			    paths[i].resolved);
			assert_int_not_equal(uri_path_check(str_view(&out)),
			    URI_PATH_DOTS);
		}
		free(copy);
	}
}

/* What does not fit is an overflow, not a write beyond. */
static void
test_small_memory(void **state)
{
	char text[4];
	struct str out;

	(void)state;
	str_init(&out, text, sizeof(text));
	uri_path_resolve(SPAN("/abc/def/.."), &out);
	assert_true(out.overflow);
	str_init(&out, text, sizeof(text));
	uri_path_decode(SPAN("/%61%62%63%64"), &out);
	assert_true(out.overflow);
	/* Room for the longest stage is enough. */
	str_init(&out, text, sizeof(text));
	uri_path_resolve(SPAN("/a/../b/../c"), &out);
	assert_false(out.overflow);
	assert_true(span_eq(str_view(&out), SPAN("/c")));
}

static void
test_query(void **state)
{
	static const struct {
		const char *query, *name, *want;
	} rows[] = {
		{ "a=1&b=2", "a", "1" },
		{ "a=1&b=2", "b", "2" },
		{ "a=1&a=2", "a", "1" },
		{ "ab=1&a=2", "a", "2" },
		{ "a", "a", "" },
		{ "a=", "a", "" },
		{ "a==b", "a", "=b" },
		{ "&&a=1&", "a", "1" },
		{ "a=%41+", "a", "%41+" },
		{ "=1", "", "1" },
		{ "", "a", NULL },
		{ "A=1", "a", NULL },
		{ "b=a=1", "a", NULL },
		{ "&&", "", NULL },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct span value;
		bool found = uri_query_get(span_cstr(rows[i].query),
		    span_cstr(rows[i].name), &value);

		if (found != (rows[i].want != NULL))
			fail_msg("%s in %s", rows[i].name, rows[i].query);
		if (found)
			assert_true(span_eq(value, span_cstr(rows[i].want)));
	}
}

static void
test_query_bytes(void **state)
{
	static const struct {
		const char *from, *want;
	} rows[] = {
		{ "", "" },
		{ "a+b", "a b" },
		{ "%41%2b%2B+", "A++ " },
		{ "%", "%" },
		{ "%4", "%4" },
		{ "%4g%g4", "%4g%g4" },
		{ "%%41", "%A" },
		{ "%25%", "%%" },
		{ "a%ff", "a\xff" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct span from = span_cstr(rows[i].from);
		char memory[16];
		size_t len = 0, at = 0;

		while (at < from.len)
			memory[len++] = uri_query_byte(from, &at);
		assert_int_equal(at, from.len);
		if (!span_eq(span_of(memory, len), span_cstr(rows[i].want)))
			fail_msg("%s: %.*s", rows[i].from, (int)len, memory);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_authorities),
		cmocka_unit_test(test_same),
		cmocka_unit_test(test_split),
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_small_memory),
		cmocka_unit_test(test_query),
		cmocka_unit_test(test_query_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* Fields of HTTP/2 become messages, or are refused (RFC 9113, section 8). */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/arena.h"
#include "http/h2_head.h"
#include "render.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))
#define REQ ":method=GET\1:scheme=http\1:path=/\1:authority=a\1"

static const struct h2_head_limits limits = {
	.bytes_max = 1000, .line_max = 100, .fields_max = 10
};

/* "name=value" with \1 behind each. */
static void
feed(struct h2_head *h, const char *text)
{
	while (*text != '\0') {
		const char *end = strchr(text, 1);
		const char *at = memchr(text, '=', (size_t)(end - text));

		h2_head_add(h, span_of(text, (size_t)(at - text)),
		    span_of(at + 1, (size_t)(end - at - 1)), 0);
		text = end + 1;
	}
}

struct row {
	const char *name;
	const char *fields;
	bool is_end;
	const char *want;
};

static void
check(const struct row *row, struct str *out)
{
	str_terminate(out);
	if (strcmp(out->p, row->want) != 0)
		fail_msg("%s:\n  is   %s\n  want %s", row->name, out->p,
		    row->want);
}

static const struct row requests[] = {
	{ "plain", REQ, true,
	    "GET / 1.1 authority=a keep|host: a" },
	{ "fields", REQ "x-a=b\1te=trailers\1expect=100-continue\1", true,
	    "GET / 1.1 authority=a keep expect te|x-a: b|"
	    "te: trailers|expect: 100-continue|host: a" },
	{ "query", ":method=GET\1:scheme=https\1:path=/p?q=1\1"
	    ":authority=A.b:443\1", true,
	    "GET /p?q=1 1.1 authority=A.b:443 host=a.b path=/p query=q=1 "
	    "keep|host: A.b:443" },
	{ "host alone", ":method=GET\1:scheme=http\1:path=/\1host=a\1", true,
	    "GET / 1.1 authority=a keep|host: a" },
	{ "host agrees", REQ "host=A:80\1", true,
	    "GET / 1.1 authority=a keep|host: A:80" },
	{ "host contradicts", REQ "host=b\1", true,
	    "400 Host contradicts the target" },
	{ "host twice", REQ "host=a\1host=a\1", true,
	    "400 repeated Host field" },
	{ "no host", ":method=GET\1:scheme=http\1:path=/\1", true,
	    "400 no Host field" },
	{ "cookies", REQ "cookie=a=1\1x=y\1cookie=b=2\1", true,
	    "GET / 1.1 authority=a keep|cookie: a=1; b=2|"
	    "x: y|host: a" },
	{ "length", REQ "content-length=5\1", false,
	    "GET / 1.1 authority=a length=5 keep|"
	    "content-length: 5|host: a" },
	{ "no length", REQ, false,
	    "GET / 1.1 authority=a chunked keep|host: a" },
	{ "length and no body", REQ "content-length=5\1", true,
	    "400 Content-Length contradicts the frames" },
	{ "length zero", REQ "content-length=0\1", true,
	    "GET / 1.1 authority=a length=0 keep|"
	    "content-length: 0|host: a" },
	{ "length repeated", REQ "content-length=5\1content-length=5\1",
	    false, "400 repeated Content-Length" },
	{ "length signed", REQ "content-length=+5\1", false,
	    "400 invalid Content-Length" },
	{ "length empty", REQ "content-length=\1", false,
	    "400 invalid Content-Length" },
	{ "length large", REQ "content-length=99999999999999999999\1",
	    false, "400 invalid Content-Length" },
	{ "upper case", REQ "X-A=b\1", true, "400 invalid field name" },
	{ "no token", REQ "x a=b\1", true, "400 invalid field name" },
	{ "empty name", REQ "=b\1", true, "400 invalid field name" },
	{ "LF", REQ "x=a\nb\1", true, "400 control character" },
	{ "CR", REQ "x=a\rb\1", true, "400 control character" },
	{ "DEL", REQ "x=a\177b\1", true, "400 control character" },
	{ "blank before", REQ "x= a\1", true,
	    "400 blanks around a field value in HTTP/2" },
	{ "tab behind", REQ "x=a\t\1", true,
	    "400 blanks around a field value in HTTP/2" },
	{ "connection", REQ "connection=x\1", true,
	    "400 connection-specific field in HTTP/2" },
	{ "keep-alive", REQ "keep-alive=5\1", true,
	    "400 connection-specific field in HTTP/2" },
	{ "upgrade", REQ "upgrade=x\1", true,
	    "400 connection-specific field in HTTP/2" },
	{ "coding", REQ "transfer-encoding=chunked\1", false,
	    "400 connection-specific field in HTTP/2" },
	{ "te", REQ "te=gzip\1", true,
	    "400 connection-specific field in HTTP/2" },
	{ "twice", REQ ":path=/\1", true, "400 invalid pseudo-header field" },
	{ "late", ":method=GET\1:scheme=http\1x=y\1:path=/\1:authority=a\1",
	    true, "400 invalid pseudo-header field" },
	{ "unknown", REQ ":x=y\1", true, "400 invalid pseudo-header field" },
	{ "of responses", REQ ":status=200\1", true,
	    "400 invalid pseudo-header field" },
	{ "no method", ":scheme=http\1:path=/\1:authority=a\1", true,
	    "400 invalid method" },
	{ "no scheme", ":method=GET\1:path=/\1:authority=a\1", true,
	    "400 invalid pseudo-header field" },
	{ "no path", ":method=GET\1:scheme=http\1:authority=a\1", true,
	    "400 invalid request target" },
	{ "empty path", ":method=GET\1:scheme=http\1:path=\1:authority=a\1",
	    true, "400 invalid pseudo-header field" },
	{ "relative path",
	    ":method=GET\1:scheme=http\1:path=a\1:authority=a\1", true,
	    "400 invalid request target" },
	{ "absolute path",
	    ":method=GET\1:scheme=http\1:path=http://a/\1:authority=a\1",
	    true, "400 invalid request target" },
	{ "fragment", ":method=GET\1:scheme=http\1:path=/#\1:authority=a\1",
	    true, "400 invalid request target" },
	{ "space", ":method=GET\1:scheme=http\1:path=/ a\1:authority=a\1",
	    true, "400 invalid request target" },
	{ "asterisk", ":method=OPTIONS\1:scheme=http\1:path=*\1"
	    ":authority=a\1", true,
	    "OPTIONS * 1.1 authority=a keep|host: a" },
	{ "asterisk of GET", ":method=GET\1:scheme=http\1:path=*\1"
	    ":authority=a\1", true, "400 invalid request target" },
	{ "userinfo", ":method=GET\1:scheme=http\1:path=/\1"
	    ":authority=a@b\1", true, "400 invalid authority or Host" },
	{ "WebSocket", ":method=CONNECT\1:protocol=websocket\1:scheme=http\1"
	    ":path=/\1:authority=a\1", false,
	    "GET / 1.1 authority=a keep websocket|host: a" },
	{ "other protocol", ":method=CONNECT\1:protocol=x\1:scheme=http\1"
	    ":path=/\1:authority=a\1", false,
	    "400 invalid pseudo-header field" },
	{ "protocol of GET", REQ ":protocol=websocket\1", false,
	    "400 invalid pseudo-header field" },
	{ "CONNECT with a path", ":method=CONNECT\1:path=/\1"
	    ":authority=a:1\1", false, "400 invalid pseudo-header field" },
	{ "too long", ":method=GET\1:scheme=http\1:path=/aaaaaaaaaaaaaaaaaaaa"
	    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	    "aaaaaaaaaaaaaaaaaaaa\1:authority=a\1", true,
	    "414 request line too long" },
	{ "too many", REQ "a=b\1c=d\1e=f\1g=h\1i=j\1k=l\1m=n\1o=p\1q=r\1"
	    "s=t\1u=v\1", true, "431 too many fields" },
	{ "malformed wins", REQ "a=b\1c=d\1e=f\1g=h\1i=j\1k=l\1m=n\1o=p\1"
	    "q=r\1s=t\1u=v\1X=y\1", true, "400 invalid field name" },
	{ "expectation", REQ "expect=tea\1", true,
	    "417 unknown expectation" },
};

static void
test_requests(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(requests); i++) {
		const struct row *row = &requests[i];
		struct http_request req;
		struct arena arena;
		struct h2_head h;
		enum h1_refusal refusal;
		char text[1024];
		struct str out;

		arena_init(&arena, NULL);
		h2_head_begin(&h, H2_HEAD_REQUEST, &arena, &limits);
		feed(&h, row->fields);
		refusal = h2_head_end_request(&h, row->is_end, &req);
		str_init(&out, text, sizeof(text));
		if (refusal != H1_REFUSAL_NONE)
			str_printf(&out, "%u %s", h1_refusal_status(refusal),
			    h1_refusal_text(refusal));
		else
			render_request(&out, &req);
		check(row, &out);
		arena_fini(&arena);
	}
}

static const struct row responses[] = {
	{ "plain", ":status=200\1x=y\1", false,
	    "200 OK 1.1 chunked keep|x: y" },
	{ "length", ":status=200\1content-length=3\1", false,
	    "200 OK 1.1 length=3 keep|content-length: 3" },
	{ "end", ":status=200\1", true, "200 OK 1.1 keep" },
	{ "length and end", ":status=200\1content-length=3\1", true,
	    "400 Content-Length contradicts the frames" },
	{ "304", ":status=304\1content-length=3\1", true,
	    "304 Not Modified 1.1 keep|content-length: 3" },
	{ "interim", ":status=103\1x=y\1", false,
	    "103 Early Hints 1.1 keep|x: y" },
	{ "interim and end", ":status=103\1", true,
	    "502 invalid status line" },
	{ "101", ":status=101\1", false, "502 invalid status line" },
	{ "none", "x=y\1", false, "502 invalid status line" },
	{ "twice", ":status=200\1:status=200\1", false,
	    "502 invalid status line" },
	{ "short", ":status=20\1", false, "502 invalid status line" },
	{ "large", ":status=600\1", false, "502 invalid status line" },
	{ "of requests", ":status=200\1:path=/\1", false,
	    "400 invalid pseudo-header field" },
	{ "late", "x=y\1:status=200\1", false,
	    "400 invalid pseudo-header field" },
	{ "connection", ":status=200\1connection=close\1", false,
	    "400 connection-specific field in HTTP/2" },
};

static void
test_responses(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(responses); i++) {
		const struct row *row = &responses[i];
		const struct h2_head_asked asked = {
			.method = HTTP_METHOD_GET };
		struct http_response res;
		struct arena arena;
		struct h2_head h;
		enum h1_refusal refusal;
		char text[1024];
		struct str out;

		arena_init(&arena, NULL);
		h2_head_begin(&h, H2_HEAD_RESPONSE, &arena, &limits);
		feed(&h, row->fields);
		refusal = h2_head_end_response(&h, row->is_end, &asked, &res);
		str_init(&out, text, sizeof(text));
		if (refusal != H1_REFUSAL_NONE)
			str_printf(&out, "%u %s", h1_refusal_status(refusal),
			    h1_refusal_text(refusal));
		else
			render_response(&out, &res);
		check(row, &out);
		arena_fini(&arena);
	}
}

static void
test_websocket_is_told_as_101(void **state)
{
	const struct h2_head_asked asked = { .upgrade_websocket = true,
		.method = HTTP_METHOD_GET };
	struct http_response res;
	struct arena arena;
	struct h2_head h;

	(void)state;
	arena_init(&arena, NULL);
	h2_head_begin(&h, H2_HEAD_RESPONSE, &arena, &limits);
	feed(&h, ":status=200\1");
	assert_int_equal(h2_head_end_response(&h, false, &asked, &res),
	    H1_REFUSAL_NONE);
	assert_int_equal(res.status, 101);
	assert_true(res.upgrade_websocket);
	arena_fini(&arena);
}

/* Without an arena nothing is kept, and all is checked and counted. */
static void
test_nothing_is_kept_without_an_arena(void **state)
{
	struct h2_head h;

	(void)state;
	h2_head_begin(&h, H2_HEAD_TRAILERS, NULL, &limits);
	feed(&h, "a=b\1c=d\1");
	assert_int_equal(h.fields.count, 0);
	assert_int_equal(h.decoded, 2 * 34);
	assert_int_equal(h.refusal, H1_REFUSAL_NONE);
	feed(&h, ":path=/\1");
	assert_int_equal(h.refusal, H1_REFUSAL_H2_PSEUDO);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_responses),
		cmocka_unit_test(test_websocket_is_told_as_101),
		cmocka_unit_test(test_nothing_is_kept_without_an_arena),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

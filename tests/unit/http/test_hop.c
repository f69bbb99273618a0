/* SPDX-License-Identifier: BSD-2-Clause */
/* What is not forwarded, and what Connection and trailers must not name. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "http/hop.h"
#include "render.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

static const struct h1_limits limits = {
	.head_max = 32768, .line_max = 8192, .fields_max = 100
};

/* The fields that stay, or the refusal. */
struct row {
	const char *name;
	const char *fields;
	const char *want;
};

static void
check(const struct row *row, const struct http_fields *fields,
    enum h1_refusal refusal)
{
	char text[2048];
	struct str out;

	str_init(&out, text, sizeof(text));
	if (refusal != H1_REFUSAL_NONE)
		str_cstr(&out, h1_refusal_text(refusal));
	else
		render_fields(&out, fields);
	str_terminate(&out);
	if (strcmp(text, row->want) != 0)
		fail_msg("%s:\n  is   %s\n  want %s", row->name, text,
		    row->want);
}

static const struct row requests[] = {
	{ "nothing", "Host: a\r\nAccept: b\r\n", "|Host: a|Accept: b" },
	{ "hop-by-hop (pingora 238)",
	    "Host: a\r\nKeep-Alive: b\r\nProxy-Connection: b\r\nTE: b\r\n"
	    "Trailer: b\r\nUpgrade: b\r\nHTTP2-Settings: b\r\n"
	    "Proxy-Authenticate: b\r\nProxy-Authorization: b\r\n"
	    "Transfer-Encoding: chunked\r\nConnection: close\r\nX: c\r\n",
	    "|Host: a|X: c" },
	{ "length", "Host: a\r\nContent-Length: 1\r\n", "|Host: a" },
	{ "Proxy", "Host: a\r\nPROXY: b\r\n", "|Host: a" },
	{ "Expect stays", "Host: a\r\nExpect: 100-continue\r\n",
	    "|Host: a|Expect: 100-continue" },
	{ "named (pingora 237)",
	    "Host: a\r\nX-Secret: v\r\nConnection: x-secret\r\nX-B: c\r\n",
	    "|Host: a|X-B: c" },
	{ "named later and twice",
	    "Host: a\r\nConnection: X-B, close\r\nX-B: c\r\nx-b: d\r\n",
	    "|Host: a" },
	{ "known and named", "Host: a\r\nConnection: accept\r\nAccept: b\r\n",
	    "|Host: a" },
	{ "named but absent", "Host: a\r\nConnection: X-C\r\n", "|Host: a" },
	{ "options only",
	    "Host: a\r\nConnection: ,keep-alive ,, Upgrade,TE\r\n",
	    "|Host: a" },
	{ "empty", "Host: a\r\nConnection:\r\n", "|Host: a" },
	{ "tchar quotes (pingora 237)",
	    "Host: a\r\nX-Forwarded-For: b\r\nConnection: 'X-Forwarded-For'"
	    "\r\n", "|Host: a|X-Forwarded-For: b" },
	{ "nine", "Host: a\r\nConnection: close,a,b,c,d,e,f,g,h,i\r\n",
	    "|Host: a" },
	{ "ten (pingora 237)",
	    "Host: a\r\nConnection: a,b,c,d,e,f,g,h,i,j\r\n",
	    "Connection names a protected field" },
	{ "ten in two",
	    "Host: a\r\nConnection: a,b,c,d,e\r\nConnection: f,g,h,i,j\r\n",
	    "Connection names a protected field" },
	{ "Host (pingora 237)", "Host: a\r\nConnection: close, HOST\r\n",
	    "Connection names a protected field" },
	{ "Content-Length", "Host: a\r\nConnection: Content-Length\r\n",
	    "Connection names a protected field" },
	{ "Transfer-Encoding", "Host: a\r\nConnection: transfer-encoding\r\n",
	    "Connection names a protected field" },
	{ "X-Forwarded-For (pingora 237)",
	    "Host: a\r\nConnection: x-forwarded-for\r\n",
	    "Connection names a protected field" },
	{ "X-Forwarded-anything",
	    "Host: a\r\nConnection: X-Forwarded-Port\r\n",
	    "Connection names a protected field" },
	{ "Forwarded", "Host: a\r\nConnection: Forwarded\r\n",
	    "Connection names a protected field" },
	{ "pseudo-header (pingora 237)",
	    "Host: a\r\nConnection: :authority\r\n",
	    "Connection names a protected field" },
	{ "no token (pingora 237)", "Host: a\r\nConnection: bad token\r\n",
	    "Connection names a protected field" },
	{ "quoted (pingora 237)",
	    "Host: a\r\nConnection: \"X-Forwarded-For\"\r\n",
	    "Connection names a protected field" },
};

static void
test_requests(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(requests); i++) {
		struct h1_state head = { .checked = 0 };
		struct http_request req;
		char text[2048];
		struct str in;
		size_t used;

		str_init(&in, text, sizeof(text));
		str_lit(&in, "GET / HTTP/1.1\r\n");
		str_cstr(&in, requests[i].fields);
		/* Only one of the two can be in a request. */
		if (strstr(requests[i].fields, "chunked") != NULL)
			assert_null(strstr(requests[i].fields,
			    "Content-Length: "));
		str_lit(&in, "\r\n");
		assert_int_equal(h1_parse_request(&head, in.p, in.len, &limits,
		    &req, &used), H1_DONE);
		check(&requests[i], &req.fields, hop_strip_request(&req));
	}
}

/* An expectation of HTTP/1.0 is ignored (RFC 9110, section 10.1.1). */
static void
test_expect_in_1_0(void **state)
{
	static const struct row row = { "1.0", NULL, "|A: b" };
	struct span in = SPAN("GET / HTTP/1.0\r\nExpect: 100-continue\r\n"
	    "A: b\r\n\r\n");
	struct h1_state head = { .checked = 0 };
	struct http_request req;
	size_t used;

	(void)state;
	assert_int_equal(h1_parse_request(&head, in.p, in.len, &limits, &req,
	    &used), H1_DONE);
	check(&row, &req.fields, hop_strip_request(&req));
}

static const struct {
	struct row row;
	enum http_method method;
	unsigned status;
} responses[] = {
	{ { "nothing", "Server: a\r\n", "|Server: a" },
	    HTTP_METHOD_GET, 200 },
	{ { "hop-by-hop", "Connection: keep-alive\r\nKeep-Alive: b\r\n"
	    "Proxy-Connection: b\r\nTrailer: b\r\nUpgrade: b\r\n"
	    "Proxy-Authenticate: b\r\nTransfer-Encoding: chunked\r\nX: c\r\n",
	    "|X: c" }, HTTP_METHOD_GET, 200 },
	{ { "length", "Content-Length: 1\r\nX: c\r\n", "|X: c" },
	    HTTP_METHOD_GET, 200 },
	{ { "length of HEAD", "Content-Length: 1\r\n", "|Content-Length: 1" },
	    HTTP_METHOD_HEAD, 200 },
	{ { "length of 304", "Content-Length: 1\r\n", "|Content-Length: 1" },
	    HTTP_METHOD_GET, 304 },
	{ { "length of 204", "Content-Length: 1\r\n", "" },
	    HTTP_METHOD_HEAD, 204 },
	{ { "length of 103", "Content-Length: 1\r\n", "" },
	    HTTP_METHOD_GET, 103 },
	{ { "named", "Connection: Server, X\r\nX: a\r\nServer: b\r\nY: c\r\n",
	    "|Y: c" }, HTTP_METHOD_GET, 200 },
	{ { "named host", "Connection: host, x-forwarded-for\r\nHost: b\r\n",
	    "" }, HTTP_METHOD_GET, 200 },
	{ { "no token", "Connection: a b\r\n",
	    "Connection names a protected field" }, HTTP_METHOD_GET, 200 },
	{ { "ten", "Connection: a,b,c,d,e,f,g,h,i,j\r\n",
	    "Connection names a protected field" }, HTTP_METHOD_GET, 200 },
};

static void
test_responses(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(responses); i++) {
		struct h1_expected expected = {
			.method = responses[i].method };
		struct h1_state head = { .checked = 0 };
		struct http_response res;
		char text[2048];
		struct str in;
		size_t used;

		str_init(&in, text, sizeof(text));
		str_printf(&in, "HTTP/1.1 %u x\r\n%s\r\n",
		    responses[i].status, responses[i].row.fields);
		assert_int_equal(h1_parse_response(&head, in.p, in.len,
		    &limits, &expected, &res, &used), H1_DONE);
		check(&responses[i].row, &res.fields,
		    hop_strip_response(&res));
	}
}

static void
test_trailers(void **state)
{
	static const char *const good[] = { "ETag", "Server-Timing",
		"grpc-status", "Digest", "X-Forward" };
	static const char *const bad[] = { "Transfer-Encoding",
		"Content-Length", "Host", "Connection", "Keep-Alive",
		"Proxy-Connection", "TE", "Trailer", "Upgrade", "Forwarded",
		"X-Forwarded-For", "x-forwarded-port", "Via", "Authorization",
		"Proxy-Authorization", "WWW-Authenticate",
		"Proxy-Authenticate", "Cookie", "Set-Cookie",
		"Content-Encoding", "Content-Type", "Content-Range", "Expect",
		"proxy" };

	(void)state;
	for (size_t i = 0; i < COUNT(good) + COUNT(bad); i++) {
		bool is_good = i < COUNT(good);
		struct h1_state head = { .checked = 0 };
		struct http_fields fields;
		char text[128];
		struct str in;
		size_t used;

		str_init(&in, text, sizeof(text));
		str_printf(&in, "A: b\r\n%s: c\r\n\r\n",
		    is_good ? good[i] : bad[i - COUNT(good)]);
		assert_int_equal(h1_parse_trailers(&head, in.p, in.len,
		    &limits, &fields, &used), H1_DONE);
		assert_int_equal(hop_check_trailers(&fields), is_good ?
		    H1_REFUSAL_NONE : H1_REFUSAL_TRAILER_INVALID);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_expect_in_1_0),
		cmocka_unit_test(test_responses),
		cmocka_unit_test(test_trailers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

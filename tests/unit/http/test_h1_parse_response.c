/* SPDX-License-Identifier: BSD-2-Clause */
/* Response heads: framing, keep-alive, and what of a backend is refused. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "heads.h"
#include "render.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

static const struct h1_limits limits = {
	.head_max = 32768, .line_max = 8192, .fields_max = 100
};
static struct h1_expected expected;

static enum h1_result
parse_response(struct h1_state *state, const char *p, size_t len,
    const struct h1_limits *l, struct str *out, size_t *used)
{
	struct http_response res;
	enum h1_result result = h1_parse_response(state, p, len, l, &expected,
	    &res, used);

	if (result == H1_DONE)
		render_response(out, &res);
	return result;
}

static void
run(const struct head_row *rows, size_t count, enum http_method method,
    bool upgrade_websocket)
{
	expected.method = method;
	expected.upgrade_websocket = upgrade_websocket;
	heads_run(rows, count, &limits, parse_response);
}

#define OK "HTTP/1.1 200 OK\r\n"
#define END "\r\n"

static const struct head_row lines[] = {
	HEAD_ROW("until close", OK END, "200 OK 1.1 until-close"),
	HEAD_ROW("own phrase", "HTTP/1.1 299 My \t\xe9 phrase\r\n\r\nbody",
	    "299 My \t\xe9 phrase 1.1 until-close +4"),
	HEAD_ROW("no phrase", "HTTP/1.1 200 \r\n\r\n",
	    "200  1.1 until-close"),
	HEAD_ROW("no space", "HTTP/1.1 200\r\n\r\n", "200  1.1 until-close"),
	HEAD_ROW("599", "HTTP/1.1 599 x\r\n\r\n", "599 x 1.1 until-close"),
	HEAD_ROW("minor 5", "HTTP/1.5 200 OK\r\nContent-Length: 1\r\n\r\n",
	    "200 OK 1.1 length=1 keep|Content-Length: 1"),
	HEAD_ROW("protocol", "HTP/1.1 200 OK\r\n\r\n",
	    "502 invalid status line @2"),
	HEAD_ROW("ICY", "ICY 200 OK\r\n\r\n", "502 invalid status line @0"),
	HEAD_ROW("empty line first", "\r\n" OK END,
	    "502 invalid status line @0"),
	HEAD_ROW("major 2", "HTTP/2.0 200 OK\r\n\r\n",
	    "502 invalid status line @5"),
	HEAD_ROW("no minor", "HTTP/1 200 OK\r\n\r\n",
	    "502 invalid status line @6"),
	HEAD_ROW("two spaces", "HTTP/1.1  200 OK\r\n\r\n",
	    "502 invalid status line @9"),
	HEAD_ROW("tab", "HTTP/1.1\t200 OK\r\n\r\n",
	    "502 invalid status line @8"),
	HEAD_ROW("two digits", "HTTP/1.1 20 OK\r\n\r\n",
	    "502 invalid status line @11"),
	HEAD_ROW("four digits", "HTTP/1.1 2000 OK\r\n\r\n",
	    "502 invalid status line @12"),
	HEAD_ROW("099", "HTTP/1.1 099 OK\r\n\r\n",
	    "502 invalid status line @9"),
	HEAD_ROW("600", "HTTP/1.1 600 OK\r\n\r\n",
	    "502 invalid status line @9"),
	HEAD_ROW("sign", "HTTP/1.1 +20 OK\r\n\r\n",
	    "502 invalid status line @9"),
	HEAD_ROW("no status", "HTTP/1.1\r\n\r\n",
	    "502 invalid status line @8"),
	HEAD_ROW("control in the phrase", "HTTP/1.1 200 O\x01K\r\n\r\n",
	    "400 control character @14"),
	HEAD_ROW("CR in the phrase", "HTTP/1.1 200 O\rK\r\n\r\n",
	    "400 CR without LF @14"),
	HEAD_ROW("bare LF", "HTTP/1.1 200 OK\n\n", "400 LF without CR @15"),
	HEAD_ROW("bare LF after the status", "HTTP/1.1 200\n\n",
	    "400 LF without CR @12"),
	HEAD_ROW("space before the colon", OK "Server : x\r\n\r\n",
	    "400 space before the colon @23"),
	HEAD_ROW("obs-fold", OK "A: b\r\n c\r\n\r\n",
	    "400 folded field (obs-fold) @23"),
	HEAD_ROW("semicolon line", OK ";\r\n\r\n",
	    "400 invalid field name @17"),
	HEAD_ROW("two digits before fields",
	    "HTTP/1.1 20x OK\r\nServer: 0123456789abcdef\r\n\r\n",
	    "502 invalid status line @11"),
	HEAD_ROW("600 before fields",
	    "HTTP/1.1 600 OK\r\nServer: 0123456789abcdef\r\n\r\n",
	    "502 invalid status line @9"),
	HEAD_ROW("a long phrase with NUL",
	    "HTTP/1.1 200 0123456789abcdef0123456789abcdef\0\r\n\r\n",
	    "400 control character @45"),
	HEAD_ROW("a long phrase with a tab",
	    "HTTP/1.0 200 0123456789abcdef\t0123456789abcdef\r\n\r\n",
	    "200 0123456789abcdef\t0123456789abcdef 1.0 until-close"),
	HEAD_ROW("text for a head", "<html>", "502 invalid status line @0"),
};

static const struct head_row framings[] = {
	HEAD_ROW("length", OK "Content-Length: 5\r\n\r\n",
	    "200 OK 1.1 length=5 keep|Content-Length: 5"),
	HEAD_ROW("length 0", OK "Content-Length: 0\r\n\r\n",
	    "200 OK 1.1 length=0 keep|Content-Length: 0"),
	HEAD_ROW("chunked", OK "Transfer-Encoding: chunked\r\n\r\n",
	    "200 OK 1.1 chunked keep|Transfer-Encoding: chunked"),
	HEAD_ROW("length and coding",
	    OK "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
	    "400 Content-Length with Transfer-Encoding @55"),
	HEAD_ROW("coding and length",
	    OK "Transfer-Encoding: chunked\r\nContent-Length: abc\r\n\r\n",
	    "400 Content-Length with Transfer-Encoding @61"),
	HEAD_ROW("two lengths",
	    OK "Content-Length: 5\r\nContent-Length: 5\r\n\r\n",
	    "400 repeated Content-Length @52"),
	HEAD_ROW("bad length", OK "Content-Length: +5\r\n\r\n",
	    "400 invalid Content-Length @33"),
	HEAD_ROW("list of lengths", OK "Content-Length: 5, 5\r\n\r\n",
	    "400 invalid Content-Length @33"),
	HEAD_ROW("coding in 1.0",
	    "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
	    "400 Transfer-Encoding in HTTP/1.0 @36"),
	HEAD_ROW("chunked not final",
	    OK "Transfer-Encoding: chunked, gzip\r\n\r\n",
	    "400 invalid Transfer-Encoding @36"),
	HEAD_ROW("unknown coding", OK "Transfer-Encoding: gzip\r\n\r\n",
	    "400 invalid Transfer-Encoding @36"),
	HEAD_ROW("unknown, chunked",
	    OK "Transfer-Encoding: gzip, chunked\r\n\r\n",
	    "501 unknown transfer coding @36"),
	HEAD_ROW("204", "HTTP/1.1 204 No Content\r\n\r\nGET",
	    "204 No Content 1.1 keep +3"),
	HEAD_ROW("204 with length",
	    "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
	    "204 No Content 1.1 keep|Content-Length: 0"),
	HEAD_ROW("304 with length",
	    "HTTP/1.1 304 x\r\nContent-Length: 5\r\n\r\n",
	    "304 x 1.1 keep|Content-Length: 5"),
	HEAD_ROW("304 with a bad length",
	    "HTTP/1.1 304 x\r\nContent-Length: 5x\r\n\r\n",
	    "400 invalid Content-Length @32"),
	HEAD_ROW("100", "HTTP/1.1 100 Continue\r\n\r\n" OK END,
	    "100 Continue 1.1 keep +19"),
	HEAD_ROW("103", "HTTP/1.1 103 x\r\nLink: </a>\r\n\r\n",
	    "103 x 1.1 keep|Link: </a>"),
	HEAD_ROW("101 unasked", "HTTP/1.1 101 x\r\nUpgrade: websocket\r\n"
	    "Connection: Upgrade\r\n\r\n",
	    "502 101 that nobody asked for @59"),
};

static const struct head_row keeping[] = {
	HEAD_ROW("1.0", "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
	    "200 OK 1.0 length=0|Content-Length: 0"),
	HEAD_ROW("1.0 keeps", "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n"
	    "Connection: keep-alive\r\nKeep-Alive: max=9 , TimeOut = 5\r\n\r\n",
	    "200 OK 1.0 length=0 keep keep-alive=5|Content-Length: 0"
	    "|Connection: keep-alive|Keep-Alive: max=9 , TimeOut = 5"),
	HEAD_ROW("1.0 keeps nothing without a length",
	    "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n",
	    "200 OK 1.0 until-close|Connection: keep-alive"),
	HEAD_ROW("close", OK "Content-Length: 0\r\nconnection: foo,CLOSE\r\n"
	    END, "200 OK 1.1 length=0|Content-Length: 0"
	    "|connection: foo,CLOSE"),
	HEAD_ROW("other options", OK "Content-Length: 0\r\nConnection: foo\r\n"
	    END, "200 OK 1.1 length=0 keep|Content-Length: 0|Connection: foo"),
	HEAD_ROW("timeout too large", OK "Content-Length: 0\r\n"
	    "Keep-Alive: timeout=99999999999\r\n" END,
	    "200 OK 1.1 length=0 keep keep-alive=4294967295|Content-Length: 0"
	    "|Keep-Alive: timeout=99999999999"),
	HEAD_ROW("timeout of letters", OK "Content-Length: 0\r\n"
	    "Keep-Alive: timeout=x, max\r\n" END,
	    "200 OK 1.1 length=0 keep|Content-Length: 0"
	    "|Keep-Alive: timeout=x, max"),
	HEAD_ROW("request fields mean nothing", OK "Content-Length: 0\r\n"
	    "Host: @\r\nHost: @\r\nExpect: x\r\n" END,
	    "200 OK 1.1 length=0 keep|Content-Length: 0|Host: @|Host: @"
	    "|Expect: x"),
};

static const struct head_row heads_of_head[] = {
	HEAD_ROW("length", OK "Content-Length: 100\r\n\r\n",
	    "200 OK 1.1 keep|Content-Length: 100"),
	HEAD_ROW("none", OK END, "200 OK 1.1 keep"),
	HEAD_ROW("chunked", OK "Transfer-Encoding: chunked\r\n\r\n",
	    "200 OK 1.1 keep|Transfer-Encoding: chunked"),
	HEAD_ROW("two lengths", OK "Content-Length: 1\r\nContent-Length: 1\r\n"
	    END, "400 repeated Content-Length @52"),
};

static const struct head_row connects[] = {
	HEAD_ROW("tunnel", OK "Content-Length: 5\r\n\r\n",
	    "200 OK 1.1 keep|Content-Length: 5"),
	HEAD_ROW("refused", "HTTP/1.1 405 x\r\nContent-Length: 5\r\n\r\n",
	    "405 x 1.1 length=5 keep|Content-Length: 5"),
};

static const struct head_row upgrades[] = {
	HEAD_ROW("101", "HTTP/1.1 101 x\r\nUpgrade: WebSocket\r\n"
	    "Connection: Upgrade\r\n\r\n\x81\x01x",
	    "101 x 1.1 keep websocket|Upgrade: WebSocket|Connection: Upgrade"
	    " +3"),
	HEAD_ROW("no Upgrade", "HTTP/1.1 101 x\r\nConnection: Upgrade\r\n\r\n",
	    "502 101 that nobody asked for @39"),
	HEAD_ROW("no Connection",
	    "HTTP/1.1 101 x\r\nUpgrade: websocket\r\n\r\n",
	    "502 101 that nobody asked for @38"),
	HEAD_ROW("h2c", "HTTP/1.1 101 x\r\nUpgrade: h2c\r\n"
	    "Connection: Upgrade\r\n\r\n",
	    "502 101 that nobody asked for @53"),
	HEAD_ROW("1.0", "HTTP/1.0 101 x\r\nUpgrade: websocket\r\n"
	    "Connection: Upgrade\r\n\r\n",
	    "502 101 that nobody asked for @59"),
	HEAD_ROW("refused", "HTTP/1.1 403 x\r\nContent-Length: 1\r\n\r\n",
	    "403 x 1.1 length=1 keep|Content-Length: 1"),
};

static void
test_responses(void **state)
{
	(void)state;
	run(lines, COUNT(lines), HTTP_METHOD_GET, false);
	run(framings, COUNT(framings), HTTP_METHOD_GET, false);
	run(keeping, COUNT(keeping), HTTP_METHOD_POST, false);
	run(heads_of_head, COUNT(heads_of_head), HTTP_METHOD_HEAD, false);
	run(connects, COUNT(connects), HTTP_METHOD_CONNECT, false);
	run(upgrades, COUNT(upgrades), HTTP_METHOD_GET, true);
}

static void
test_limits(void **state)
{
	static const struct h1_limits small = {
		.head_max = 64, .line_max = 20, .fields_max = 1
	};
	static const struct head_row rows[] = {
		HEAD_ROW("line of 20", "HTTP/1.1 200 0123456\r\n\r\n",
		    "200 0123456 1.1 until-close"),
		HEAD_ROW("line of 21", "HTTP/1.1 200 01234567\r\n\r\n",
		    "414 request line too long @21"),
		HEAD_ROW("a long line",
		    "HTTP/1.1 200 0123456789abcdef0123456789abcdef\r\n\r\n",
		    "414 request line too long @21"),
		HEAD_ROW("two fields", OK "A: a\r\nB: b\r\n\r\n",
		    "431 too many fields @23"),
		HEAD_ROW("65 bytes", OK
		    "A: 0123456789012345678901234567890123456789 \r\n\r\n",
		    "431 header block too large @64"),
	};

	(void)state;
	expected = (struct h1_expected){ .method = HTTP_METHOD_GET };
	heads_run(rows, COUNT(rows), &small, parse_response);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_responses),
		cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* Request heads and trailer sections: what is read how, what is refused. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "heads.h"
#include "http/scan.h"
#include "render.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

static const struct h1_limits limits = {
	.head_max = 32768, .line_max = 8192, .fields_max = 100
};

static enum h1_result
parse_request(struct h1_state *state, const char *p, size_t len,
    const struct h1_limits *l, struct str *out, size_t *used)
{
	struct http_request req;
	enum h1_result result = h1_parse_request(state, p, len, l, &req, used);

	if (result == H1_DONE)
		render_request(out, &req);
	return result;
}

static enum h1_result
parse_trailers(struct h1_state *state, const char *p, size_t len,
    const struct h1_limits *l, struct str *out, size_t *used)
{
	struct http_fields fields;
	enum h1_result result = h1_parse_trailers(state, p, len, l, &fields,
	    used);

	if (result == H1_DONE)
		render_fields(out, &fields);
	return result;
}

#define GET "GET / HTTP/1.1\r\n"
#define POST "POST / HTTP/1.1\r\n"
#define HOST "Host: a\r\n"
#define END "\r\n"

static const struct head_row good_lines[] = {
	HEAD_ROW("plain", GET HOST END, "GET / 1.1 authority=a keep|Host: a"),
	HEAD_ROW("1.0 without fields", "GET / HTTP/1.0\r\n\r\n", "GET / 1.0"),
	HEAD_ROW("minor 2 is 1", "GET / HTTP/1.2\r\n" HOST END,
	    "GET / 1.1 authority=a keep|Host: a"),
	HEAD_ROW("minor 9 is 1", "GET / HTTP/1.9\r\n" HOST END,
	    "GET / 1.1 authority=a keep|Host: a"),
	HEAD_ROW("query", "GET /a?b=c?d HTTP/1.1\r\n" HOST END,
	    "GET /a?b=c?d 1.1 authority=a path=/a query=b=c?d keep|Host: a"),
	HEAD_ROW("empty query", "GET /a? HTTP/1.1\r\n" HOST END,
	    "GET /a? 1.1 authority=a path=/a query= keep|Host: a"),
	HEAD_ROW("long query",
	    "GET /0123456789abcdef?0123456789abcdef0123456789abcdef HTTP/1.1"
	    "\r\n" HOST END,
	    "GET /0123456789abcdef?0123456789abcdef0123456789abcdef 1.1 "
	    "authority=a path=/0123456789abcdef "
	    "query=0123456789abcdef0123456789abcdef keep|Host: a"),
	HEAD_ROW("bytes above 127",
	    "GET /\xf0\x90\x80?\xff HTTP/1.1\r\n" HOST END,
	    "GET /\xf0\x90\x80?\xff 1.1 authority=a path=/\xf0\x90\x80 "
	    "query=\xff keep|Host: a"),
	HEAD_ROW("what browsers leave", "GET /a\"<>\\^`{|}[] HTTP/1.1\r\n" HOST
	    END, "GET /a\"<>\\^`{|}[] 1.1 authority=a keep|Host: a"),
	HEAD_ROW("absolute", "GET http://a/b?c HTTP/1.1\r\n" HOST END,
	    "GET http://a/b?c 1.1 scheme=http authority=a path=/b query=c "
	    "keep|Host: a"),
	HEAD_ROW("absolute, other case",
	    "GET hTtP://A:80/b HTTP/1.1\r\n" HOST END,
	    "GET hTtP://A:80/b 1.1 scheme=http authority=A:80 host=a path=/b "
	    "keep|Host: a"),
	HEAD_ROW("absolute https", "GET https://a HTTP/1.1\r\nHost: a:443\r\n"
	    END, "GET https://a 1.1 scheme=https authority=a path=/ keep"
	    "|Host: a:443"),
	HEAD_ROW("absolute, query alone",
	    "GET http://a?b HTTP/1.1\r\n" HOST END,
	    "GET http://a?b 1.1 scheme=http authority=a path=/ query=b keep"
	    "|Host: a"),
	HEAD_ROW("absolute in 1.0 without Host",
	    "GET http://a/ HTTP/1.0\r\n" END,
	    "GET http://a/ 1.0 scheme=http authority=a path=/"),
	HEAD_ROW("asterisk", "OPTIONS * HTTP/1.1\r\n" HOST END,
	    "OPTIONS * 1.1 authority=a keep|Host: a"),
	HEAD_ROW("absolute asterisk", "OPTIONS http://a HTTP/1.1\r\n" HOST END,
	    "OPTIONS http://a 1.1 scheme=http authority=a path=* keep"
	    "|Host: a"),
	HEAD_ROW("CONNECT", "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n" END,
	    "CONNECT a:443 1.1 authority=a:443 host=a path= keep|Host: a"),
	HEAD_ROW("TRACE", "TRACE / HTTP/1.1\r\n" HOST END,
	    "TRACE / 1.1 authority=a keep|Host: a"),
	HEAD_ROW("POST with a query",
	    "POST /a!b\"c?d!e?f HTTP/1.1\r\n" HOST END,
	    "POST /a!b\"c?d!e?f 1.1 authority=a path=/a!b\"c query=d!e?f keep"
	    "|Host: a"),
	HEAD_ROW("1.0 with a query", "GET /a?b HTTP/1.0\r\n" HOST END,
	    "GET /a?b 1.0 authority=a path=/a query=b|Host: a"),
	HEAD_ROW("odd method", "!#$%&'*+-.^_`|~09az / HTTP/1.1\r\n" HOST END,
	    "!#$%&'*+-.^_`|~09az / 1.1 authority=a keep|Host: a"),
	HEAD_ROW("empty lines before", "\r\n\r\n\r\n\r\n" GET HOST END,
	    "GET / 1.1 authority=a keep|Host: a"),
	HEAD_ROW("bytes behind", GET HOST END "\0next",
	    "GET / 1.1 authority=a keep|Host: a +5"),
	HEAD_ROW("incomplete", GET HOST "X: b", "more"),
	HEAD_ROW("incomplete at CR", GET HOST "\r", "more"),
};

static const struct head_row bad_lines[] = {
	HEAD_ROW("protocol", "GET / HTP/1.1\r\n" HOST END,
	    "400 invalid version @8"),
	HEAD_ROW("protocol in lower case", "GET / http/1.1\r\n" HOST END,
	    "400 invalid version @6"),
	HEAD_ROW("major 2", "GET / HTTP/2.0\r\n" HOST END,
	    "505 unsupported major version @11"),
	HEAD_ROW("major 0", "GET / HTTP/0.9\r\n" HOST END,
	    "505 unsupported major version @11"),
	HEAD_ROW("HTTP/2's preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
	    "505 unsupported major version @11"),
	HEAD_ROW("two digits", "GET / HTTP/1.10\r\n" HOST END,
	    "400 invalid version @14"),
	HEAD_ROW("no minor", "GET / HTTP/1\r\n" HOST END,
	    "400 invalid version @12"),
	HEAD_ROW("sign", "GET / HTTP/+1.1\r\n" HOST END,
	    "400 invalid version @11"),
	HEAD_ROW("HTTP/0.9's line", "GET /\r\n",
	    "400 invalid request target @5"),
	HEAD_ROW("no target", "GET HTTP/1.1\r\n" HOST END,
	    "400 invalid request target @12"),
	HEAD_ROW("two spaces", "GET  / HTTP/1.1\r\n",
	    "400 invalid request target @4"),
	HEAD_ROW("two spaces later", "GET /  HTTP/1.1\r\n",
	    "400 invalid version @6"),
	HEAD_ROW("space at the end", "GET / HTTP/1.1 \r\n",
	    "400 invalid version @14"),
	HEAD_ROW("tab", "GET\t/ HTTP/1.1\r\n", "400 invalid method @3"),
	HEAD_ROW("leading space", " GET / HTTP/1.1\r\n",
	    "400 invalid method @0"),
	HEAD_ROW("no method", "\r\n / HTTP/1.1\r\n", "400 invalid method @2"),
	HEAD_ROW("method alone", "GET\r\n", "400 invalid method @3"),
	HEAD_ROW("method no token", "G(T / HTTP/1.1\r\n",
	    "400 invalid method @1"),
	HEAD_ROW("method with NUL", "G\0T / HTTP/1.1\r\n",
	    "400 control character @1"),
	HEAD_ROW("method above 127", "G\xc9T / HTTP/1.1\r\n",
	    "400 invalid method @1"),
	HEAD_ROW("TLS", "\x16\x03\x01\x02\0\x01", "400 control character @0"),
	HEAD_ROW("five empty lines", "\r\n\r\n\r\n\r\n\r\n" GET HOST END,
	    "400 invalid method @8"),
	HEAD_ROW("bare LF before", "\n" GET HOST END,
	    "400 LF without CR @0"),
	HEAD_ROW("bare CR before", "\r" GET HOST END,
	    "400 CR without LF @0"),
	HEAD_ROW("bare LF after the line", "GET / HTTP/1.1\n" HOST "\n",
	    "400 LF without CR @14"),
	HEAD_ROW("bare CR after the line", "GET / HTTP/1.1\r" HOST END,
	    "400 CR without LF @14"),
	HEAD_ROW("CR CR LF", "GET / HTTP/1.1\r\r\n" HOST END,
	    "400 CR without LF @14"),
	HEAD_ROW("CR in the target", "GET /\r/ HTTP/1.1\r\n",
	    "400 CR without LF @5"),
	HEAD_ROW("LF in the target", "GET /\n/ HTTP/1.1\r\n",
	    "400 LF without CR @5"),
	HEAD_ROW("NUL in the target", "GET /a\0b HTTP/1.1\r\n",
	    "400 control character @6"),
	HEAD_ROW("NUL in a long target",
	    "GET /0123456789abcdef0123456789\0b HTTP/1.1\r\n",
	    "400 control character @31"),
	HEAD_ROW("tab in the target", "GET /a\tb HTTP/1.1\r\n",
	    "400 invalid request target @6"),
	HEAD_ROW("DEL in the target", "GET /\x7f HTTP/1.1\r\n",
	    "400 control character @5"),
	HEAD_ROW("control in the target", "GET /?\x1f HTTP/1.1\r\n",
	    "400 control character @6"),
	HEAD_ROW("space in the query", "GET /a?q=b c HTTP/1.1\r\n",
	    "400 invalid version @11"),
	HEAD_ROW("fragment", "GET /a#b HTTP/1.1\r\n" HOST END,
	    "400 invalid request target @6"),
	HEAD_ROW("fragment after the query", "GET /a?b#c HTTP/1.1\r\n" HOST END,
	    "400 invalid request target @8"),
	HEAD_ROW("relative", "GET a HTTP/1.1\r\n" HOST END,
	    "400 invalid request target @4"),
	HEAD_ROW("query alone", "GET ?a HTTP/1.1\r\n" HOST END,
	    "400 invalid request target @4"),
	HEAD_ROW("asterisk with GET", "GET * HTTP/1.1\r\n" HOST END,
	    "400 invalid request target @4"),
	HEAD_ROW("authority with GET", "GET a:80 HTTP/1.1\r\n" HOST END,
	    "400 invalid request target @4"),
	HEAD_ROW("CONNECT without port", "CONNECT a HTTP/1.1\r\n" HOST END,
	    "400 invalid request target @8"),
	HEAD_ROW("CONNECT to a path", "CONNECT /a HTTP/1.1\r\n" HOST END,
	    "400 invalid request target @8"),
	HEAD_ROW("scheme", "GET ftp://a/ HTTP/1.1\r\n" HOST END,
	    "400 invalid request target @4"),
	HEAD_ROW("userinfo", "GET http://u@a/ HTTP/1.1\r\n" HOST END,
	    "400 invalid request target @4"),
	HEAD_ROW("user and password", "GET http://u:p@a/ HTTP/1.1\r\n" HOST END,
	    "400 invalid request target @4"),
	HEAD_ROW("no authority", "GET http:///a HTTP/1.1\r\n" HOST END,
	    "400 invalid request target @4"),
	HEAD_ROW("one slash", "GET http:/a HTTP/1.1\r\n" HOST END,
	    "400 invalid request target @4"),
	HEAD_ROW("backslash", "GET http:/\\a/ HTTP/1.1\r\n" HOST END,
	    "400 invalid request target @4"),
	HEAD_ROW("no slashes", "GET http:a/ HTTP/1.1\r\n" HOST END,
	    "400 invalid request target @4"),
};

static const struct head_row good_fields[] = {
	HEAD_ROW("no blank", GET HOST "X:b\r\n" END,
	    "GET / 1.1 authority=a keep|Host: a|X=b"),
	HEAD_ROW("blanks", GET HOST "X:  \t b c \t \r\n" END,
	    "GET / 1.1 authority=a keep|Host: a|X=b c"),
	HEAD_ROW("tab for the space", GET HOST "X:\tb\r\n" END,
	    "GET / 1.1 authority=a keep|Host: a|X=b"),
	HEAD_ROW("blank behind", GET HOST "X: b \r\n" END,
	    "GET / 1.1 authority=a keep|Host: a|X=b"),
	HEAD_ROW("empty", GET HOST "X:\r\n" END,
	    "GET / 1.1 authority=a keep|Host: a|X="),
	HEAD_ROW("empty with space", GET HOST "X: \r\n" END,
	    "GET / 1.1 authority=a keep|Host: a|X: "),
	HEAD_ROW("empty with spaces", GET HOST "X:  \t\r\n" END,
	    "GET / 1.1 authority=a keep|Host: a|X="),
	HEAD_ROW("tab inside", GET HOST "X: b\tc\r\n" END,
	    "GET / 1.1 authority=a keep|Host: a|X: b\tc"),
	HEAD_ROW("tabs inside", GET HOST
	    "X: 0123456789abcdef\t0123456789abcdef\t\t0123456789abcdef\r\n" END,
	    "GET / 1.1 authority=a keep|Host: a|X: 0123456789abcdef\t"
	    "0123456789abcdef\t\t0123456789abcdef"),
	HEAD_ROW("above 127", GET HOST "X: \xc3\xa9\x80\xff\r\n" END,
	    "GET / 1.1 authority=a keep|Host: a|X: \xc3\xa9\x80\xff"),
	HEAD_ROW("all of token", GET HOST "!#$%&'*+-.^`|~09azAZ: b\r\n" END,
	    "GET / 1.1 authority=a keep|Host: a|!#$%&'*+-.^`|~09azAZ: b"),
	HEAD_ROW("underscore", GET HOST "A_b: c\r\n" END,
	    "GET / 1.1 authority=a keep|Host: a|A_b_: c"),
	HEAD_ROW("underscore in a long name", GET HOST
	    "Abcdefghijklmnopqrstuvwxyz0123456789_b: c\r\n" END,
	    "GET / 1.1 authority=a keep|Host: a"
	    "|Abcdefghijklmnopqrstuvwxyz0123456789_b_: c"),
	HEAD_ROW("long names", GET HOST "Abcdefghijklmno: b\r\n"
	    "Abcdefghijklmnop: b\r\nAbcdefghijklmnopqrstuvwxyzabcde: b\r\n"
	    "Abcdefghijklmnopqrstuvwxyzabcdef: b\r\n"
	    "Abcdefghijklmnopqrstuvwxyzabcdefg: b\r\n" END,
	    "GET / 1.1 authority=a keep|Host: a|Abcdefghijklmno: b"
	    "|Abcdefghijklmnop: b|Abcdefghijklmnopqrstuvwxyzabcde: b"
	    "|Abcdefghijklmnopqrstuvwxyzabcdef: b"
	    "|Abcdefghijklmnopqrstuvwxyzabcdefg: b"),
	HEAD_ROW("long known names", GET HOST
	    "if-MODIFIED-since: b\r\nProxy-Authorization: c\r\n"
	    "Transfer-Encodings: d\r\nX-Forwarded-Proto: e\r\n" END,
	    "GET / 1.1 authority=a keep|Host: a|if-MODIFIED-since: b"
	    "|Proxy-Authorization: c|Transfer-Encodings: d"
	    "|X-Forwarded-Proto: e"),
	HEAD_ROW("long names of odd bytes", GET HOST
	    "A!cdefghijklmnopqrs: b\r\nAbcdefghijklmnopq!s: c\r\n"
	    "X: 0123456789abcdef0123456789abcdef\r\n" END,
	    "GET / 1.1 authority=a keep|Host: a|A!cdefghijklmnopqrs: b"
	    "|Abcdefghijklmnopq!s: c|X: 0123456789abcdef0123456789abcdef"),
	HEAD_ROW("colons in the value", GET HOST "X: :b:\r\n" END,
	    "GET / 1.1 authority=a keep|Host: a|X: :b:"),
	HEAD_ROW("quotes", GET HOST "X: \"\\\"\r\n" END,
	    "GET / 1.1 authority=a keep|Host: a|X: \"\\\""),
};

static const struct head_row bad_fields[] = {
	HEAD_ROW("obs-fold", GET HOST "X: b\r\n c\r\n" END,
	    "400 folded field (obs-fold) @31"),
	HEAD_ROW("obs-fold with tab", GET HOST "X: b\r\n\tc\r\n" END,
	    "400 folded field (obs-fold) @31"),
	HEAD_ROW("obs-fold of nothing", GET HOST "X: b\r\n \r\n" END,
	    "400 folded field (obs-fold) @31"),
	HEAD_ROW("first line folded", GET " " HOST END,
	    "400 folded field (obs-fold) @16"),
	HEAD_ROW("space before the colon", GET HOST "X : b\r\n" END,
	    "400 space before the colon @26"),
	HEAD_ROW("tab before the colon", GET "Host\t: a\r\n" END,
	    "400 space before the colon @20"),
	HEAD_ROW("space in a name", GET HOST "X Y: b\r\n" END,
	    "400 space before the colon @26"),
	HEAD_ROW("no colon", GET HOST "X\r\n" END,
	    "400 field without a colon @26"),
	HEAD_ROW("no colon, long", GET HOST
	    "X-0123456789abcdef0123456789abcdef\r\nY: b\r\n" END,
	    "400 field without a colon @59"),
	HEAD_ROW("no name", GET HOST ": b\r\n" END,
	    "400 invalid field name @25"),
	HEAD_ROW("parenthesis", GET HOST "X(Y): b\r\n" END,
	    "400 invalid field name @26"),
	HEAD_ROW("semicolon", GET HOST ";\r\n" END,
	    "400 invalid field name @25"),
	HEAD_ROW("quote", GET HOST "\"X\": b\r\n" END,
	    "400 invalid field name @25"),
	HEAD_ROW("above 127 in a name", GET HOST "X\xc3\xa9: b\r\n" END,
	    "400 invalid field name @26"),
	HEAD_ROW("NUL in a name", GET HOST "X\0: b\r\n" END,
	    "400 control character @26"),
	HEAD_ROW("space in a long name", GET HOST
	    "Abcdefghijklmnopqr : b\r\n" END,
	    "400 space before the colon @43"),
	HEAD_ROW("CR in a long name", GET HOST
	    "Transfer\rEncoding: chunked\r\nX: 0123456789abcdef\r\n" END,
	    "400 CR without LF @33"),
	HEAD_ROW("no colon before a long line", GET HOST
	    "X\r\nAbcdefgh: 0123456789abcdef0123456789abcdef\r\n" END,
	    "400 field without a colon @26"),
	HEAD_ROW("colon first", GET HOST
	    ": 0123456789abcdef0123456789abcdef:\r\n" END,
	    "400 invalid field name @25"),
	HEAD_ROW("DEL in a name", GET HOST "X\x7f: b\r\n" END,
	    "400 control character @26"),
	HEAD_ROW("CR in a name", GET HOST "X\rY: b\r\n" END,
	    "400 CR without LF @26"),
	HEAD_ROW("LF in a name", GET HOST "X\nY: b\r\n" END,
	    "400 LF without CR @26"),
	/* 0x0d and 0x12 are '-' and '2' but for the bit of lower case. */
	HEAD_ROW("CR for a dash", GET HOST "User\rAgent: b\r\n" END,
	    "400 CR without LF @29"),
	HEAD_ROW("0x12 for a 2", GET HOST "HTTP\x12-Settings: b\r\n" END,
	    "400 control character @29"),
	HEAD_ROW("NUL in a value", GET HOST "X: a\0b\r\n" END,
	    "400 control character @29"),
	HEAD_ROW("NUL first", GET HOST "X: \0\r\n" END,
	    "400 control character @28"),
	HEAD_ROW("NUL in a long value", GET HOST
	    "X: 0123456789abcdef0123456789abcdef\0\r\n" END,
	    "400 control character @60"),
	HEAD_ROW("control in a value", GET HOST "X: a\x0b\r\n" END,
	    "400 control character @29"),
	HEAD_ROW("escape in a value", GET HOST "X: a\x1b[0m\r\n" END,
	    "400 control character @29"),
	HEAD_ROW("DEL in a value", GET HOST "X: a\x7f\r\n" END,
	    "400 control character @29"),
	HEAD_ROW("control after a tab", GET HOST "X: a\tb\x1f\r\n" END,
	    "400 control character @31"),
	HEAD_ROW("LF in a value", GET HOST "X: a\nY: b\r\n" END,
	    "400 LF without CR @29"),
	HEAD_ROW("CR in a value", GET HOST "X: a\rb\r\n" END,
	    "400 CR without LF @29"),
	HEAD_ROW("CR CR LF after a value", GET HOST "X: a\r\r\n" END,
	    "400 CR without LF @29"),
	HEAD_ROW("bare LF ends the head", GET HOST "\n",
	    "400 LF without CR @25"),
	HEAD_ROW("bare CR ends the head", GET HOST "\rx\r\n",
	    "400 CR without LF @25"),
	HEAD_ROW("CR CR LF ends the head", GET HOST "\r\r\n",
	    "400 CR without LF @25"),
};

static const struct head_row hosts[] = {
	HEAD_ROW("port", GET "Host: a:8080\r\n" END,
	    "GET / 1.1 authority=a:8080 host=a keep|Host: a:8080"),
	HEAD_ROW("case and dot", GET "hOST: Ex.ORG.:80\r\n" END,
	    "GET / 1.1 authority=Ex.ORG.:80 host=ex.org keep"
	    "|hOST: Ex.ORG.:80"),
	HEAD_ROW("empty port", GET "Host: a:\r\n" END,
	    "GET / 1.1 authority=a: host=a keep|Host: a:"),
	HEAD_ROW("IPv4", GET "Host: 127.0.0.1:80\r\n" END,
	    "GET / 1.1 authority=127.0.0.1:80 host=127.0.0.1 keep"
	    "|Host: 127.0.0.1:80"),
	HEAD_ROW("IPv6", GET "Host: [::FF]:80\r\n" END,
	    "GET / 1.1 authority=[::FF]:80 host=[::ff] keep"
	    "|Host: [::FF]:80"),
	HEAD_ROW("16 bytes", GET "Host: a.example:8080\r\n" END,
	    "GET / 1.1 authority=a.example:8080 host=a.example keep"
	    "|Host: a.example:8080"),
	HEAD_ROW("long", GET "Host: a-long-name.example.org:65535\r\n" END,
	    "GET / 1.1 authority=a-long-name.example.org:65535 "
	    "host=a-long-name.example.org keep"
	    "|Host: a-long-name.example.org:65535"),
	HEAD_ROW("long, no port", GET "Host: a-long-name.example.org\r\n" END,
	    "GET / 1.1 authority=a-long-name.example.org keep"
	    "|Host: a-long-name.example.org"),
	HEAD_ROW("long, empty port", GET "Host: a-long-name.example.org:\r\n"
	    END, "GET / 1.1 authority=a-long-name.example.org: "
	    "host=a-long-name.example.org keep"
	    "|Host: a-long-name.example.org:"),
	HEAD_ROW("long, case and dot", GET
	    "Host: a-long-NAME.example.org.\r\n" END,
	    "GET / 1.1 authority=a-long-NAME.example.org. "
	    "host=a-long-name.example.org keep"
	    "|Host: a-long-NAME.example.org."),
	HEAD_ROW("zeros before the port", GET "Host: a:0080\r\n" END,
	    "GET / 1.1 authority=a:0080 host=a keep|Host: a:0080"),
	HEAD_ROW("long, port of letters", GET
	    "Host: a-long-name.example.org:8o\r\n" END,
	    "400 invalid authority or Host @22"),
	HEAD_ROW("long, port 65536", GET
	    "Host: a-long-name.example.org:65536\r\n" END,
	    "400 invalid authority or Host @22"),
	HEAD_ROW("long, two dots", GET "Host: a-long-name.example..org\r\n"
	    END, "400 invalid authority or Host @22"),
	HEAD_ROW("dots at 16", GET "Host: 0123456789abcde..org\r\n" END,
	    "400 invalid authority or Host @22"),
	HEAD_ROW("dot first", GET "Host: .a\r\n" END,
	    "400 invalid authority or Host @22"),
	HEAD_ROW("long, dot first", GET "Host: .a-long-name.example\r\n" END,
	    "400 invalid authority or Host @22"),
	HEAD_ROW("dots before the port", GET "Host: a..:1\r\n" END,
	    "400 invalid authority or Host @22"),
	HEAD_ROW("port 0", GET "Host: a:0\r\n" END,
	    "400 invalid authority or Host @22"),
	HEAD_ROW("in 1.0", "GET / HTTP/1.0\r\nHost: A\r\n" END,
	    "GET / 1.0 authority=A host=a|Host: A"),
	HEAD_ROW("missing", GET END, "400 no Host field @18"),
	HEAD_ROW("missing, absolute", "GET http://a/ HTTP/1.1\r\n" END,
	    "400 no Host field @26"),
	HEAD_ROW("repeated", GET HOST "host: a\r\n" END,
	    "400 repeated Host field @31"),
	HEAD_ROW("repeated in 1.0", "GET / HTTP/1.0\r\n" HOST HOST END,
	    "400 repeated Host field @31"),
	HEAD_ROW("empty", GET "Host:\r\n" END,
	    "400 invalid authority or Host @21"),
	HEAD_ROW("empty in 1.0", "GET / HTTP/1.0\r\nHost:\r\n" END,
	    "400 invalid authority or Host @21"),
	HEAD_ROW("list", GET "Host: a, b\r\n" END,
	    "400 invalid authority or Host @22"),
	HEAD_ROW("userinfo", GET "Host: u@a\r\n" END,
	    "400 invalid authority or Host @22"),
	HEAD_ROW("path", GET "Host: a/b\r\n" END,
	    "400 invalid authority or Host @22"),
	HEAD_ROW("contradicts", "GET http://a/ HTTP/1.1\r\nHost: b\r\n" END,
	    "400 Host contradicts the target @30"),
	HEAD_ROW("port contradicts",
	    "GET http://a/ HTTP/1.1\r\nHost: a:81\r\n" END,
	    "400 Host contradicts the target @30"),
	HEAD_ROW("scheme contradicts",
	    "GET https://a/ HTTP/1.1\r\nHost: a:80\r\n" END,
	    "400 Host contradicts the target @31"),
	HEAD_ROW("CONNECT contradicts",
	    "CONNECT a:443 HTTP/1.1\r\nHost: a:444\r\n" END,
	    "400 Host contradicts the target @30"),
};

static const struct head_row framings[] = {
	HEAD_ROW("length", POST HOST "Content-Length: 5\r\n" END,
	    "POST / 1.1 authority=a length=5 keep|Host: a|Content-Length: 5"),
	HEAD_ROW("length in 1.0", "POST / HTTP/1.0\r\ncontent-length: 5\r\n"
	    END, "POST / 1.0 length=5|content-length: 5"),
	HEAD_ROW("length 0", POST HOST "Content-Length: 0\r\n" END,
	    "POST / 1.1 authority=a length=0 keep|Host: a|Content-Length: 0"),
	HEAD_ROW("leading zeros", POST HOST
	    "Content-Length: 0000000000000000003\r\n" END,
	    "POST / 1.1 authority=a length=3 keep|Host: a"
	    "|Content-Length: 0000000000000000003"),
	HEAD_ROW("63 bits", POST HOST
	    "Content-Length: 9223372036854775807\r\n" END,
	    "POST / 1.1 authority=a length=9223372036854775807 keep|Host: a"
	    "|Content-Length: 9223372036854775807"),
	HEAD_ROW("64 bits", POST HOST
	    "Content-Length: 9223372036854775808\r\n" END,
	    "400 invalid Content-Length @42"),
	HEAD_ROW("20 digits", POST HOST
	    "Content-Length: 00000000000000000003\r\n" END,
	    "400 invalid Content-Length @42"),
	HEAD_ROW("plus", POST HOST "Content-Length: +5\r\n" END,
	    "400 invalid Content-Length @42"),
	HEAD_ROW("minus", POST HOST "Content-Length: -1\r\n" END,
	    "400 invalid Content-Length @42"),
	HEAD_ROW("word", POST HOST "Content-Length: abc\r\n" END,
	    "400 invalid Content-Length @42"),
	HEAD_ROW("fraction", POST HOST "Content-Length: 1.5\r\n" END,
	    "400 invalid Content-Length @42"),
	HEAD_ROW("hexadecimal", POST HOST "Content-Length: 0x5\r\n" END,
	    "400 invalid Content-Length @42"),
	HEAD_ROW("tail", POST HOST "Content-Length: 123abc\r\n" END,
	    "400 invalid Content-Length @42"),
	HEAD_ROW("inner space", POST HOST "Content-Length: 1 2\r\n" END,
	    "400 invalid Content-Length @42"),
	HEAD_ROW("list", POST HOST "Content-Length: 5, 5\r\n" END,
	    "400 invalid Content-Length @42"),
	HEAD_ROW("empty", POST HOST "Content-Length:\r\n" END,
	    "400 invalid Content-Length @41"),
	HEAD_ROW("blanks", POST HOST "Content-Length:  \r\n" END,
	    "400 invalid Content-Length @43"),
	HEAD_ROW("CR CR LF", POST HOST "Content-Length: 3\r\r\n" END,
	    "400 CR without LF @43"),
	HEAD_ROW("repeated", POST HOST "Content-Length: 5\r\n"
	    "Content-Length: 5\r\n" END, "400 repeated Content-Length @61"),
	HEAD_ROW("chunked", POST HOST "Transfer-Encoding: chunked\r\n" END,
	    "POST / 1.1 authority=a chunked keep|Host: a"
	    "|Transfer-Encoding: chunked"),
	HEAD_ROW("chunked, case and blanks", POST HOST
	    "TRANSFER-encoding:\tChunKed \r\n" END,
	    "POST / 1.1 authority=a chunked keep|Host: a"
	    "|TRANSFER-encoding=ChunKed"),
	HEAD_ROW("unknown, chunked", POST HOST
	    "Transfer-Encoding: gzip, chunked\r\n" END,
	    "501 unknown transfer coding @45"),
	HEAD_ROW("unknown, chunked in two", POST HOST
	    "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n" END,
	    "501 unknown transfer coding @45"),
	HEAD_ROW("identity, chunked", POST HOST
	    "Transfer-Encoding: identity, chunked\r\n" END,
	    "501 unknown transfer coding @45"),
	HEAD_ROW("chunked, unknown", POST HOST
	    "Transfer-Encoding: chunked, gzip\r\n" END,
	    "400 invalid Transfer-Encoding @45"),
	HEAD_ROW("chunked, identity in two", POST HOST
	    "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n"
	    END, "400 invalid Transfer-Encoding @45"),
	HEAD_ROW("chunked twice", POST HOST
	    "Transfer-Encoding: chunked, chunked\r\n" END,
	    "400 invalid Transfer-Encoding @45"),
	HEAD_ROW("chunked in two", POST HOST
	    "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n" END,
	    "400 invalid Transfer-Encoding @45"),
	HEAD_ROW("no chunked", POST HOST "Transfer-Encoding: gzip\r\n" END,
	    "400 invalid Transfer-Encoding @45"),
	HEAD_ROW("xchunked", POST HOST "Transfer-Encoding: xchunked\r\n" END,
	    "400 invalid Transfer-Encoding @45"),
	HEAD_ROW("parameter", POST HOST "Transfer-Encoding: chunked;a=b\r\n"
	    END, "400 invalid Transfer-Encoding @45"),
	HEAD_ROW("no coding", POST HOST "Transfer-Encoding:\r\n" END,
	    "400 invalid Transfer-Encoding @44"),
	HEAD_ROW("comma", POST HOST "Transfer-Encoding: ,\r\n" END,
	    "400 invalid Transfer-Encoding @45"),
	HEAD_ROW("comma before", POST HOST "Transfer-Encoding: ,chunked\r\n"
	    END, "400 invalid Transfer-Encoding @45"),
	HEAD_ROW("comma behind", POST HOST "Transfer-Encoding: chunked,\r\n"
	    END, "400 invalid Transfer-Encoding @45"),
	HEAD_ROW("quoted", POST HOST "Transfer-Encoding: \"chunked\"\r\n" END,
	    "400 invalid Transfer-Encoding @45"),
	HEAD_ROW("vertical tab", POST HOST
	    "Transfer-Encoding: \x0b" "chunked\r\n" END,
	    "400 control character @45"),
	HEAD_ROW("1.0", "POST / HTTP/1.0\r\n" HOST
	    "Transfer-Encoding: chunked\r\n" END,
	    "400 Transfer-Encoding in HTTP/1.0 @45"),
	HEAD_ROW("length and coding", POST HOST
	    "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n" END,
	    "400 Content-Length with Transfer-Encoding @64"),
	HEAD_ROW("coding and length", POST HOST
	    "Transfer-Encoding: chunked\r\ncontent-length: 0\r\n" END,
	    "400 Content-Length with Transfer-Encoding @70"),
};

static const struct head_row connections[] = {
	HEAD_ROW("close", GET HOST "Connection: close\r\n" END,
	    "GET / 1.1 authority=a|Host: a|Connection: close"),
	HEAD_ROW("close in a list", GET HOST "Connection: x,\t, CLOSE , y\r\n"
	    END, "GET / 1.1 authority=a|Host: a|Connection: x,\t, CLOSE , y"),
	HEAD_ROW("close wins", GET HOST "Connection: close\r\n"
	    "Connection: keep-alive\r\n" END,
	    "GET / 1.1 authority=a|Host: a|Connection: close"
	    "|Connection: keep-alive"),
	HEAD_ROW("closed is not close", GET HOST "Connection: closed\r\n" END,
	    "GET / 1.1 authority=a keep|Host: a|Connection: closed"),
	HEAD_ROW("1.0 keeps", "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n"
	    END, "GET / 1.0 keep|Connection: Keep-Alive"),
	HEAD_ROW("1.0 closes", "GET / HTTP/1.0\r\n"
	    "Connection: keep-alive, close\r\n" END,
	    "GET / 1.0|Connection: keep-alive, close"),
	HEAD_ROW("expect", POST HOST "Expect: 100-Continue\r\n"
	    "Content-Length: 1\r\n" END,
	    "POST / 1.1 authority=a length=1 keep expect|Host: a"
	    "|Expect: 100-Continue|Content-Length: 1"),
	HEAD_ROW("expect in 1.0", "GET / HTTP/1.0\r\nExpect: 100-continue\r\n"
	    END, "GET / 1.0|Expect: 100-continue"),
	HEAD_ROW("other expectation", GET HOST "Expect: wonders\r\n" END,
	    "417 unknown expectation @33"),
	HEAD_ROW("te", GET HOST "TE: deflate;q=0.5, Trailers\r\n" END,
	    "GET / 1.1 authority=a keep te|Host: a"
	    "|TE: deflate;q=0.5, Trailers"),
	HEAD_ROW("websocket", GET HOST "Connection: keep-alive, Upgrade\r\n"
	    "Upgrade: WebSocket\r\n" END,
	    "GET / 1.1 authority=a keep websocket|Host: a"
	    "|Connection: keep-alive, Upgrade|Upgrade: WebSocket"),
	HEAD_ROW("no Connection", GET HOST "Upgrade: websocket\r\n" END,
	    "GET / 1.1 authority=a keep|Host: a|Upgrade: websocket"),
	HEAD_ROW("h2c", GET HOST "Connection: upgrade\r\nUpgrade: h2c\r\n" END,
	    "GET / 1.1 authority=a keep|Host: a|Connection: upgrade"
	    "|Upgrade: h2c"),
	HEAD_ROW("websocket and h2c", GET HOST "Connection: upgrade\r\n"
	    "Upgrade: websocket, h2c\r\n" END,
	    "GET / 1.1 authority=a keep|Host: a|Connection: upgrade"
	    "|Upgrade: websocket, h2c"),
	HEAD_ROW("two Upgrades", GET HOST "Connection: upgrade\r\n"
	    "Upgrade: h2c\r\nUpgrade: websocket\r\n" END,
	    "GET / 1.1 authority=a keep|Host: a|Connection: upgrade"
	    "|Upgrade: h2c|Upgrade: websocket"),
	HEAD_ROW("websocket by POST (pingora 148)", POST HOST
	    "Connection: upgrade\r\nUpgrade: websocket\r\n" END,
	    "POST / 1.1 authority=a keep websocket|Host: a"
	    "|Connection: upgrade|Upgrade: websocket"),
	HEAD_ROW("websocket in 1.0", "GET / HTTP/1.0\r\n"
	    "Connection: upgrade\r\nUpgrade: websocket\r\n" END,
	    "GET / 1.0|Connection: upgrade|Upgrade: websocket"),
};

static void
test_requests(void **state)
{
	(void)state;
	heads_run(good_lines, COUNT(good_lines), &limits, parse_request);
	heads_run(bad_lines, COUNT(bad_lines), &limits, parse_request);
	heads_run(good_fields, COUNT(good_fields), &limits, parse_request);
	heads_run(bad_fields, COUNT(bad_fields), &limits, parse_request);
	heads_run(hosts, COUNT(hosts), &limits, parse_request);
	heads_run(framings, COUNT(framings), &limits, parse_request);
	heads_run(connections, COUNT(connections), &limits, parse_request);
}

static void
test_limits(void **state)
{
	static const struct h1_limits small = {
		.head_max = 64, .line_max = 20, .fields_max = 3
	};
	static const struct head_row rows[] = {
		HEAD_ROW("line of 20", "GET /0123456 HTTP/1.0\r\n\r\n",
		    "414 request line too long @21"),
		HEAD_ROW("line of 19", "GET /01234 HTTP/1.0\r\n\r\n",
		    "GET /01234 1.0"),
		HEAD_ROW("line of 20 is right", "GET /012345 HTTP/1.0\r\n\r\n",
		    "GET /012345 1.0"),
		HEAD_ROW("line without end", "GET /01234567890123456789",
		    "414 request line too long @21"),
		HEAD_ROW("method without end", "GETGETGETGETGETGETGETGETGET",
		    "414 request line too long @21"),
		HEAD_ROW("empty lines do not count",
		    "\r\n\r\n\r\nGET /012345 HTTP/1.0\r\n\r\n",
		    "GET /012345 1.0"),
		HEAD_ROW("control beyond the line",
		    "GET /01234567890123456\0\0",
		    "414 request line too long @21"),
		HEAD_ROW("three fields",
		    "GET / HTTP/1.0\r\nA: a\r\nB: b\r\nC: c\r\n\r\n",
		    "GET / 1.0|A: a|B: b|C: c"),
		HEAD_ROW("four fields",
		    "GET / HTTP/1.0\r\nA: a\r\nB: b\r\nC: c\r\nD: d\r\n\r\n",
		    "431 too many fields @34"),
		HEAD_ROW("four fields, incomplete",
		    "GET / HTTP/1.0\r\nA: a\r\nB: b\r\nC: c\r\nD",
		    "431 too many fields @34"),
		HEAD_ROW("64 bytes", "GET / HTTP/1.0\r\nA: "
		    "01234567890123456789012345678901234567890\r\n\r\n",
		    "GET / 1.0|A: 01234567890123456789012345678901234567890"),
		HEAD_ROW("65 bytes", "GET / HTTP/1.0\r\nA: "
		    "012345678901234567890123456789012345678901\r\n\r\n",
		    "431 header block too large @64"),
		HEAD_ROW("field without end", "GET / HTTP/1.0\r\nA: "
		    "01234567890123456789012345678901234567890123456789",
		    "431 header block too large @64"),
		HEAD_ROW("name without end", "GET / HTTP/1.0\r\n"
		    "01234567890123456789012345678901234567890123456789",
		    "431 header block too large @64"),
		HEAD_ROW("control beyond the head", "GET / HTTP/1.0\r\nA: "
		    "012345678901234567890123456789012345678901234\0",
		    "431 header block too large @64"),
		HEAD_ROW("64 bytes and a body", "GET / HTTP/1.0\r\nA: "
		    "01234567890123456789012345678901234567890\r\n\r\nbody",
		    "GET / 1.0|A: 01234567890123456789012345678901234567890"
		    " +4"),
	};

	(void)state;
	heads_run(rows, COUNT(rows), &small, parse_request);
}

/* A name's length has 16 bits. */
static void
test_long_name(void **state)
{
	static const struct h1_limits large = {
		.head_max = 200000, .line_max = 100, .fields_max = 10
	};
	static char head[100000];
	struct http_request req;

	(void)state;
	for (size_t n = 65535; n <= 65536; n++) {
		struct h1_state whole = { .checked = 0 };
		size_t len, used;

		len = (size_t)sprintf(head, "GET / HTTP/1.0\r\n");
		memset(head + len, 'x', n);
		len += n;
		len += (size_t)sprintf(head + len, ": a\r\n\r\n");
		if (n == 65535) {
			assert_int_equal(h1_parse_request(&whole, head, len,
			    &large, &req, &used), H1_DONE);
			assert_int_equal(req.fields.items[0].name_len, n);
		} else {
			assert_int_equal(h1_parse_request(&whole, head, len,
			    &large, &req, &used), H1_REFUSED);
			assert_int_equal(whole.refusal,
			    H1_REFUSAL_HEAD_TOO_LARGE);
		}
	}
}

/* The default limits, and values as long as they allow. */
static void
test_long(void **state)
{
	static char head[40000];
	static const size_t sizes[] = { 1, 15, 16, 17, 255, 4096, 32000 };
	struct http_request req;

	(void)state;
	for (size_t i = 0; i < COUNT(sizes); i++) {
		struct h1_state whole = { .checked = 0 };
		struct h1_state pieces = { .checked = 0 };
		size_t len = 0, used = 0;

		len += (size_t)sprintf(head, "GET / HTTP/1.0\r\nX: ");
		memset(head + len, 'x', sizes[i]);
		len += sizes[i];
		len += (size_t)sprintf(head + len, "\r\n\r\n");
		assert_int_equal(h1_parse_request(&whole, head, len, &limits,
		    &req, &used), H1_DONE);
		assert_int_equal(used, len);
		assert_int_equal(req.fields.items[0].value_len, sizes[i]);
		for (size_t n = 0; n < len; n += sizes[i] / 64 + 1)
			assert_int_equal(h1_parse_request(&pieces, head, n,
			    &limits, &req, &used), H1_MORE);
		assert_int_equal(h1_parse_request(&pieces, head, len, &limits,
		    &req, &used), H1_DONE);
		assert_int_equal(req.fields.items[0].value_len, sizes[i]);
	}
}

/* A mark at each place of paths of each length, and none. */
static void
test_plain_paths(void **unused)
{
	char head[128];

	(void)unused;
	for (int len = 1; len <= 40; len++) {
		for (int at = 1; at <= len; at++) {
			struct h1_state state = { .checked = 0 };
			struct http_request req;
			char *p = head + sizeof("GET ") - 1;
			size_t used;

			snprintf(head, sizeof(head), "GET /%0*d?.%% HTTP/1.1"
			    "\r\nHost: a\r\nAccept: */*\r\n\r\n", len - 1,
			    0);
			if (len == 1)
				memmove(p + 1, p + 2, strlen(p + 1));
			if (at < len)
				p[at] = at % 2 != 0 ? '.' : '%';
			assert_int_equal(h1_parse_request(&state, head,
			    strlen(head), &limits, &req, &used), H1_DONE);
			assert_int_equal(req.path.len, len);
			/* The plain loops do not look for it. */
			if (req.path_is_plain != (at == len && SCAN_SSE2))
				fail_msg("length %d, mark at %d", len, at);
		}
	}
}

static void
test_trailers(void **state)
{
	static const struct h1_limits small = {
		.head_max = 40, .fields_max = 2
	};
	static const struct head_row rows[] = {
		HEAD_ROW("none", "\r\n", ""),
		HEAD_ROW("two", "abc: hi\r\ndef:bye\r\n\r\nX",
		    "|abc: hi|def=bye +1"),
		HEAD_ROW("framing is not looked at",
		    "Host: @\r\nContent-Length: x\r\n\r\n",
		    "|Host: @|Content-Length: x"),
		HEAD_ROW("end", "r\r\n", "400 field without a colon @1"),
		HEAD_ROW("bare LF", "\n", "400 LF without CR @0"),
		HEAD_ROW("bare CR", "abc: hi\rn\r\n", "400 CR without LF @7"),
		HEAD_ROW("colon first", ": 0123456789012345678901234567890123",
		    "400 invalid field name @0"),
		HEAD_ROW("three", "a: b\r\nc: d\r\ne: f\r\n\r\n",
		    "431 too many fields @12"),
		HEAD_ROW("41 bytes",
		    "a: 0123456789012345678901234567890123\r\n\r\n",
		    "431 header block too large @40"),
	};

	(void)state;
	heads_run(rows, COUNT(rows), &small, parse_trailers);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_long),
		cmocka_unit_test(test_long_name),
		cmocka_unit_test(test_plain_paths),
		cmocka_unit_test(test_trailers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

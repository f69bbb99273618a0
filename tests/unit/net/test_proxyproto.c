/* SPDX-License-Identifier: BSD-2-Clause */
/* Heads of the PROXY protocol, whole and byte by byte. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/str.h"
#include "net/proxyproto.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))
#define SIG "\r\n\r\n\0\r\nQUIT\n"
#define IP4 "\300\0\2\1\300\0\2\2\4\322\0\120"
#define BYTES(literal) { (literal), sizeof(literal) - 1 }

static const struct row {
	const char *name;
	struct span in;
	const char *want;
} rows[] = {
	{ "TCP4", BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 1234 80\r\n"),
	    "192.0.2.1 1234 192.0.2.2 80 @40" },
	{ "TCP6", BYTES("PROXY TCP6 2001:db8::1 ::1 1 65535\r\nGET"),
	    "2001:db8::1 1 ::1 65535 @36" },
	{ "UNKNOWN", BYTES("PROXY UNKNOWN\r\n"), "local @15" },
	{ "UNKNOWN with words", BYTES("PROXY UNKNOWN a b c\r\n"),
	    "local @21" },
	{ "no CR", BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 1234 80\n"), "bad" },
	{ "other family", BYTES("PROXY TCP4 ::1 ::1 1 2\r\n"), "bad" },
	{ "TCP6 of IPv4",
	    BYTES("PROXY TCP6 ::ffff:192.0.2.1 ::ffff:192.0.2.2 1 2\r\n"),
	    "192.0.2.1 1 192.0.2.2 2 @50" },
	{ "TCP4 as IPv6",
	    BYTES("PROXY TCP4 ::ffff:192.0.2.1 ::ffff:192.0.2.2 1 2\r\n"),
	    "bad" },
	{ "mixed", BYTES("PROXY TCP6 ::1 192.0.2.1 1 2\r\n"), "bad" },
	{ "two spaces", BYTES("PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n"),
	    "bad" },
	{ "space at the end",
	    BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n"), "bad" },
	{ "no port", BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n"), "bad" },
	{ "large port", BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n"),
	    "bad" },
	{ "leading zero", BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n"),
	    "bad" },
	{ "UDP", BYTES("PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n"), "bad" },
	{ "nothing", BYTES("PROXY \r\n"), "bad" },
	{ "too long", BYTES("PROXY UNKNOWN aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
	    "bad" },
	{ "HTTP", BYTES("GET / HTTP/1.1\r\n"), "bad" },
	{ "PRI", BYTES("PRI * HTTP/2.0\r\n"), "bad" },
	{ "part", BYTES("PROXY TC"), "more" },
	{ "v2", BYTES(SIG "\x21\x11\0\14" IP4),
	    "192.0.2.1 1234 192.0.2.2 80 @28" },
	{ "v2 LOCAL", BYTES(SIG "\x20\0\0\0"), "local @16" },
	{ "v2 LOCAL with more", BYTES(SIG "\x20\0\0\2ab"), "local @18" },
	{ "v2 unspecified", BYTES(SIG "\x21\0\0\1a"), "local @17" },
	{ "v2 ALPN", BYTES(SIG "\x21\x11\0\23" IP4 "\1\0\4h2h2"),
	    "192.0.2.1 1234 192.0.2.2 80 @35 alpn=h2h2" },
	{ "v2 authority, unknown, id", BYTES(SIG "\x21\x11\0\37" IP4
	    "\2\0\3a.b\356\0\1x\5\0\6\0\1\2\3\4\5"),
	    "192.0.2.1 1234 192.0.2.2 80 @47 authority=a.b id=6" },
	{ "v2 empty ALPN", BYTES(SIG "\x21\x11\0\17" IP4 "\1\0\0"),
	    "192.0.2.1 1234 192.0.2.2 80 @31" },
	{ "v2 ALPN twice", BYTES(SIG "\x21\x11\0\24" IP4
	    "\1\0\1a\1\0\1a"), "bad" },
	{ "v2 authority twice", BYTES(SIG "\x21\x11\0\24" IP4
	    "\2\0\1a\2\0\1a"), "bad" },
	{ "v2 id twice", BYTES(SIG "\x21\x11\0\24" IP4
	    "\5\0\1a\5\0\1a"), "bad" },
	{ "v2 line break in a name", BYTES(SIG "\x21\x11\0\21" IP4
	    "\2\0\2a\n"), "bad" },
	{ "v2 NUL in ALPN", BYTES(SIG "\x21\x11\0\20" IP4 "\1\0\1\0"),
	    "bad" },
	{ "v2 TLV too long", BYTES(SIG "\x21\x11\0\23" IP4 "\1\0\5h2h2"),
	    "bad" },
	{ "v2 TLV cut", BYTES(SIG "\x21\x11\0\16" IP4 "\1\0"), "bad" },
	{ "v2 short", BYTES(SIG "\x21\x11\0\13" IP4), "bad" },
	{ "v2 version", BYTES(SIG "\x31\x11\0\14" IP4), "bad" },
	{ "v2 command", BYTES(SIG "\x22\x11\0\14" IP4), "bad" },
	{ "v2 datagrams", BYTES(SIG "\x21\x12\0\14" IP4), "bad" },
	{ "v2 Unix", BYTES(SIG "\x21\x31\0\1a"), "bad" },
	{ "v2 large", BYTES(SIG "\x21\x11\377\377"), "bad" },
	{ "v2 signature", BYTES("\r\n\r\n\1"), "bad" },
	{ "v2 part", BYTES("\r\n\r\n"), "more" },
};

static void
render(struct span in, struct str *out)
{
	struct proxyproto p;
	enum proxyproto_result result = proxyproto_read(in, &p);

	out->len = 0;
	if (result == PROXYPROTO_BAD) {
		str_lit(out, "bad");
	} else if (result == PROXYPROTO_MORE) {
		str_lit(out, "more");
	} else if (p.is_local) {
		str_printf(out, "local @%zu", p.used);
	} else {
		addr_ip_put(out, &p.client);
		str_printf(out, " %u ", p.client.port);
		addr_ip_put(out, &p.server);
		str_printf(out, " %u @%zu", p.server.port, p.used);
		if (p.authority.len > 0)
			str_printf(out, " authority=%.*s",
			    SPAN_ARG(p.authority));
		if (p.alpn.len > 0)
			str_printf(out, " alpn=%.*s", SPAN_ARG(p.alpn));
		if (p.unique_id.len > 0)
			str_printf(out, " id=%zu", p.unique_id.len);
	}
	str_terminate(out);
}

static void
test_read(void **state)
{
	char text[256];
	struct str out;

	(void)state;
	str_init(&out, text, sizeof(text));
	for (size_t i = 0; i < COUNT(rows); i++) {
		render(rows[i].in, &out);
		if (strcmp(text, rows[i].want) != 0)
			fail_msg("%s:\n  is   %s\n  want %s", rows[i].name,
			    text, rows[i].want);
		/* Byte by byte: more, until it is what it is. */
		for (size_t len = 1; len < rows[i].in.len; len++) {
			render(span_of(rows[i].in.p, len), &out);
			if (strcmp(text, "more") == 0)
				continue;
			assert_string_equal(text, rows[i].want);
			break;
		}
	}
}

/* Taken as wanted, the head is taken to its end and no further. */
static void
test_wanted(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		char taken[256];
		char waiting[512];
		struct proxyproto p;
		size_t len = 0, all = rows[i].in.len + 20;

		memcpy(waiting, rows[i].in.p, rows[i].in.len);
		memset(waiting + rows[i].in.len, 'x', 20);
		if (proxyproto_read(span_of(waiting, all), &p) !=
		    PROXYPROTO_DONE)
			continue;
		while (proxyproto_read(span_of(taken, len), &p) ==
		    PROXYPROTO_MORE) {
			size_t n = proxyproto_wanted(span_of(taken, len),
			    span_of(waiting + len, all - len));

			assert_true(n > 0 && len + n <= sizeof(taken));
			memcpy(taken + len, waiting + len, n);
			len += n;
		}
		assert_int_equal(len, p.used);
	}
}

static void
make(struct addr_ip *ip, const char *text, uint16_t port)
{
	memset(ip, 0, sizeof(*ip));
	ip->family = AF_UNIX;
	if (strcmp(text, "unix") == 0)
		return;
	assert_int_equal(addr_ip_parse(span_cstr(text), ip), 0);
	ip->port = port;
}

static void
test_write(void **state)
{
	static const char *const pairs[][3] = {
		{ "192.0.2.1", "192.0.2.2", "192.0.2.1 7 192.0.2.2 8 @" },
		{ "2001:db8::1", "::1", "2001:db8::1 7 ::1 8 @" },
		{ "192.0.2.1", "::1", "192.0.2.1 7 ::1 8 @" },
		{ "2001:db8::1", "192.0.2.2",
		    "2001:db8::1 7 192.0.2.2 8 @" },
		{ "192.0.2.1", "unix", "192.0.2.1 7 0.0.0.0 0 @" },
		{ "2001:db8::1", "unix", "2001:db8::1 7 :: 0 @" },
		{ "unix", "192.0.2.2", "local @" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(pairs); i++) {
		for (unsigned version = 1; version <= 2; version++) {
			struct addr_ip client, server;
			char memory[128], text[128];
			struct str out, told;

			make(&client, pairs[i][0], 7);
			make(&server, pairs[i][1], 8);
			str_init(&out, memory, sizeof(memory));
			proxyproto_write(&out, version, &client, &server);
			str_init(&told, text, sizeof(text));
			render(str_view(&out), &told);
			assert_memory_equal(text, pairs[i][2],
			    strlen(pairs[i][2]));
			assert_int_equal(strtoul(strchr(text, '@') + 1, NULL,
			    10), out.len);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read),
		cmocka_unit_test(test_wanted),
		cmocka_unit_test(test_write),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

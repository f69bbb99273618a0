/* SPDX-License-Identifier: BSD-2-Clause */
/* Addresses: what is read, what is refused, and how they are written. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/str.h"
#include "os/addr.h"

#define DIGITS_60 "123456789012345678901234567890123456789012345678901234567890"
#define LONG_PATH "unix:/" DIGITS_60 DIGITS_60

static const struct {
	const char *input;
	uint16_t default_port;
	const char *want; /* the address, or "name PORT" */
} good[] = {
	{ "192.0.2.1:80", 0, "192.0.2.1:80" },
	{ "0.0.0.0:65535", 0, "0.0.0.0:65535" },
	{ "192.0.2.1", 443, "192.0.2.1:443" },
	{ "192.0.2.1:80", 443, "192.0.2.1:80" },
	{ "[2001:db8::1]:80", 0, "[2001:db8::1]:80" },
	{ "[2001:db8::1]", 81, "[2001:db8::1]:81" },
	{ "[::]:1", 0, "[::]:1" },
	{ "[::ffff:192.0.2.1]:80", 0, "192.0.2.1:80" },
	{ "[fe80::1%1]:80", 0, "[fe80::1%1]:80" },
	{ "[fe80::1%lo]:80", 0, "[fe80::1%1]:80" },
	{ ":8080", 0, "[::]:8080" },
	{ "unix:/run/a b.sock", 0, "unix:/run/a b.sock" },
	{ "unix:/", 80, "unix:/" },
	{ "app.internal:80", 0, "app.internal 80" },
	{ "app", 8080, "app 8080" },
	{ "a_b-c.Example.:1", 0, "a_b-c.Example. 1" },
	{ "1a.2b:1", 0, "1a.2b 1" },
	{ "1.2.3.4.example:1", 0, "1.2.3.4.example 1" },
};

static const struct {
	const char *input;
	uint16_t default_port;
	const char *error; /* a part of the text */
} bad[] = {
	{ "", 80, "empty" },
	{ "192.0.2.1", 0, "the port is missing" },
	{ "app", 0, "the port is missing" },
	{ "192.0.2.1:", 0, "from 1 to 65535" },
	{ "192.0.2.1:0", 0, "from 1 to 65535" },
	{ "192.0.2.1:65536", 0, "from 1 to 65535" },
	{ "192.0.2.1:+80", 0, "from 1 to 65535" },
	{ "192.0.2.1:80x", 0, "from 1 to 65535" },
	{ "192.0.2.256:80", 0, "neither an IPv4 address" },
	{ "192.0.2:80", 0, "neither an IPv4 address" },
	{ "8080", 80, "neither an IPv4 address" },
	{ "2001:db8::1:80", 0, "in brackets" },
	{ "[2001:db8::1:80", 0, "\"]\" is missing" },
	{ "[2001:db8::1]80", 0, "after \"]\"" },
	{ "[]:80", 0, "not an IPv6 address" },
	{ "[192.0.2.1]:80", 0, "not an IPv6 address" },
	{ "[fe80::1%]:80", 0, "not an IPv6 address" },
	{ "[fe80::1%nonesuch0]:80", 0, "not an IPv6 address" },
	{ "a..b:80", 0, "neither" },
	{ ".a:80", 0, "neither" },
	{ "a b:80", 0, "neither" },
	{ "a/b:80", 0, "neither" },
	{ "*:80", 0, "neither" },
	{ "http://a:80", 0, "brackets" },
	{ DIGITS_60 "1234.a:80", 0, "neither" },
	{ "unix:", 0, "absolute path" },
	{ "unix:run/a", 0, "absolute path" },
	{ LONG_PATH, 0, "at most 107" },
};

static void
test_parse(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		struct addr_spec spec;
		struct error err;
		struct str s;
		char memory[300];

		assert_int_equal(addr_parse(span_cstr(good[i].input),
		    good[i].default_port, &spec, &err), 0);
		str_init(&s, memory, sizeof(memory));
		if (spec.is_name)
			str_printf(&s, "%s %u", spec.host, spec.port);
		else
			addr_put(&s, &spec.addr);
		assert_string_equal(str_terminate(&s), good[i].want);
		assert_int_equal(spec.is_any, good[i].input[0] == ':');
	}
}

static void
test_refuse(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct addr_spec spec;
		struct error err;

		if (addr_parse(span_cstr(bad[i].input), bad[i].default_port,
		    &spec, &err) == 0)
			fail_msg("\"%s\" was taken", bad[i].input);
		if (strstr(err.text, bad[i].error) == NULL)
			fail_msg("\"%s\": %s", bad[i].input, err.text);
	}
	{
		static const char with_nul[] = "unix:/a\0b";
		struct addr_spec spec;
		struct error err;

		assert_int_equal(addr_parse(span_of(with_nul,
		    sizeof(with_nul) - 1), 0, &spec, &err), -1);
	}
}

static void
test_unix(void **state)
{
	struct addr a = { .len = sizeof(sa_family_t) };
	struct str s;
	char memory[200];

	(void)state;
	a.u.sa.sa_family = AF_UNIX;
	str_init(&s, memory, sizeof(memory));
	addr_put(&s, &a);
	assert_string_equal(str_terminate(&s), "unix:");
}

static void
test_equal(void **state)
{
	static const struct {
		const char *a, *b;
		bool want;
	} rows[] = {
		{ "1.2.3.4:5", "1.2.3.4:5", true },
		{ "1.2.3.4:5", "1.2.3.4:6", false },
		{ "1.2.3.4:5", "1.2.3.5:5", false },
		{ "[::1]:5", "[0::1]:5", true },
		{ "[::1]:5", "[::2]:5", false },
		{ "[::]:5", "0.0.0.0:5", false },
		{ "[fe80::1%1]:5", "[fe80::1]:5", false },
		{ "unix:/a", "unix:/a", true },
		{ "unix:/a", "unix:/ab", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct addr_spec a, b;
		struct error err;

		assert_int_equal(addr_parse(span_cstr(rows[i].a), 0, &a,
		    &err), 0);
		assert_int_equal(addr_parse(span_cstr(rows[i].b), 0, &b,
		    &err), 0);
		if (addr_equal(&a.addr, &b.addr) != rows[i].want)
			fail_msg("%s and %s", rows[i].a, rows[i].b);
	}
}

static void
test_ip(void **state)
{
	static const struct {
		const char *input;
		const char *want; /* NULL = refused */
		int family;
	} rows[] = {
		{ "192.0.2.1", "192.0.2.1", AF_INET },
		{ "2001:DB8::0:1", "2001:db8::1", AF_INET6 },
		{ "::ffff:192.0.2.1", "192.0.2.1", AF_INET },
		{ "::", "::", AF_INET6 },
		{ "", NULL, 0 },
		{ "192.0.2.1:80", NULL, 0 },
		{ "[::1]", NULL, 0 },
		{ "192.0.2.01", NULL, 0 },
		{ "fe80::1%lo", NULL, 0 },
		{ " 192.0.2.1", NULL, 0 },
		{ "unknown", NULL, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct addr_ip ip;
		struct str s;
		char memory[64];
		int got = addr_ip_parse(span_cstr(rows[i].input), &ip);

		if ((got == 0) != (rows[i].want != NULL))
			fail_msg("\"%s\"", rows[i].input);
		if (got != 0)
			continue;
		str_init(&s, memory, sizeof(memory));
		addr_ip_put(&s, &ip);
		assert_string_equal(str_terminate(&s), rows[i].want);
		assert_int_equal(ip.family, rows[i].family);
		assert_int_equal(ip.port, 0);
	}
	{
		static const char with_nul[] = "1.2.3.4\0";
		struct addr_ip ip;

		assert_int_equal(addr_ip_parse(span_of(with_nul, 8), &ip),
		    -1);
	}
}

static void
test_range(void **state)
{
	static const struct {
		const char *range;
		const char *ip;
		bool want;
	} rows[] = {
		{ "192.0.2.0/24", "192.0.2.255", true },
		{ "192.0.2.0/24", "192.0.3.0", false },
		{ "192.0.2.128/25", "192.0.2.127", false },
		{ "192.0.2.128/25", "192.0.2.128", true },
		{ "192.0.2.1", "192.0.2.1", true },
		{ "192.0.2.1", "192.0.2.2", false },
		{ "192.0.2.1/32", "192.0.2.1", true },
		{ "0.0.0.0/0", "8.8.8.8", true },
		{ "0.0.0.0/0", "2001:db8::1", false },
		{ "::/0", "8.8.8.8", true },
		{ "2001:db8::/32", "2001:db8:ffff::", true },
		{ "2001:db8::/32", "2001:db9::", false },
		{ "2001:db8::/33", "2001:db8:8000::", false },
		{ "::1", "::1", true },
		{ "::ffff:192.0.2.0/120", "192.0.2.7", true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct addr_range range;
		struct addr_ip ip;
		struct error err;

		assert_int_equal(addr_range_parse(span_cstr(rows[i].range),
		    &range, &err), 0);
		assert_int_equal(addr_ip_parse(span_cstr(rows[i].ip), &ip), 0);
		if (addr_range_has(&range, &ip) != rows[i].want)
			fail_msg("%s and %s", rows[i].range, rows[i].ip);
	}
	{
		struct addr_ip local = { .family = AF_UNIX };
		struct addr_range all = { .bits = 0 };

		assert_false(addr_range_has(&all, &local));
	}
}

static void
test_range_refused(void **state)
{
	static const struct {
		const char *input;
		const char *error;
	} rows[] = {
		{ "", "no address range" },
		{ "/8", "no address range" },
		{ "192.0.2.0/", "from 0 to 32" },
		{ "192.0.2.0/33", "from 0 to 32" },
		{ "192.0.2.0/-1", "from 0 to 32" },
		{ "2001:db8::/129", "from 0 to 128" },
		{ "192.0.2.1/24", "the range is 192.0.2.0/24" },
		{ "2001:db8::1/64", "the range is 2001:db8::/64" },
		{ "localhost", "no address range" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct addr_range range;
		struct error err;

		if (addr_range_parse(span_cstr(rows[i].input), &range,
		    &err) == 0)
			fail_msg("\"%s\" was taken", rows[i].input);
		if (strstr(err.text, rows[i].error) == NULL)
			fail_msg("\"%s\": %s", rows[i].input, err.text);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_refuse),
		cmocka_unit_test(test_unix),
		cmocka_unit_test(test_equal),
		cmocka_unit_test(test_ip),
		cmocka_unit_test(test_range),
		cmocka_unit_test(test_range_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

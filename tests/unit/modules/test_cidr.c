/* SPDX-License-Identifier: BSD-2-Clause */
/* Module access: sets of address ranges, and the files they come from. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include <stdlib.h>

#include "../../../modules/access/packed.h"

struct fixture {
	struct arena arena;
	struct cidr_list list;
	struct cidr set;
	unsigned errors;
	unsigned line, column; /* of the first */
	char text[2048];
};

static void
note_error(void *arg, unsigned line, unsigned column, struct span text,
    const struct error *err)
{
	struct fixture *f = arg;

	if (f->errors++ > 0)
		return;
	f->line = line;
	f->column = column;
	snprintf(f->text, sizeof(f->text), "%.*s|%s", SPAN_ARG(text),
	    err->text);
}

static void
read_text(struct fixture *f, const char *text)
{
	size_t wrong;

	memset(f, 0, sizeof(*f));
	arena_init(&f->arena, NULL);
	wrong = cidr_parse(span_cstr(text), &f->list, note_error, f);
	assert_int_equal(wrong, f->errors);
	cidr_build(&f->set, &f->arena, &f->list);
}

static void
done(struct fixture *f)
{
	cidr_list_fini(&f->list);
	arena_fini(&f->arena);
}

static bool
has(const struct fixture *f, const char *text)
{
	struct addr_ip ip;

	assert_int_equal(addr_ip_parse(span_cstr(text), &ip), 0);
	return cidr_has(&f->set, &ip);
}

static void
addresses_are_found(void **state)
{
	static const struct {
		const char *text, *ip;
		bool want;
	} cases[] = {
		{ "10.0.0.0/8", "10.0.0.0", true },
		{ "10.0.0.0/8", "10.255.255.255", true },
		{ "10.0.0.0/8", "9.255.255.255", false },
		{ "10.0.0.0/8", "11.0.0.0", false },
		{ "192.0.2.1", "192.0.2.1", true },
		{ "192.0.2.1", "192.0.2.2", false },
		{ "0.0.0.0/0", "255.255.255.255", true },
		{ "0.0.0.0/0", "::1", false },
		{ "::/0", "2001:db8::1", true },
		{ "::/0", "192.0.2.1", true },
		{ "::1", "::1", true }, { "::1", "::2", false },
		{ "2001:db8::/32", "2001:db8:ffff::1", true },
		{ "2001:db8::/32", "2001:db9::", false },
		{ "2001:db8::/65", "2001:db8::7fff:0:0:0", true },
		{ "2001:db8::/65", "2001:db8::8000:0:0:0", false },
		{ "2001:db8::/64", "2001:db8::ffff:0:0:0", true },
		{ "::ffff:0:0/96", "192.0.2.1", true },
		{ "::ffff:192.0.2.0/120", "192.0.2.200", true },
		{ "", "192.0.2.1", false },
		/* Ranges in each other, side by side, and twice. */
		{ "10.0.0.0/8\n10.1.0.0/16\n", "10.2.0.0", true },
		{ "10.1.0.0/16\n10.0.0.0/8\n", "10.2.0.0", true },
		{ "10.0.0.0/9\n10.128.0.0/9\n", "10.128.0.0", true },
		{ "10.0.0.0/9\n10.0.0.0/9\n", "10.128.0.0", false },
		{ "255.255.255.255\n255.255.255.254", "255.255.255.255",
		    true },
		{ "2001:db8::/33\n2001:db8:8000::/33\n2001:db8::/48",
		    "2001:db8:9000::", true },
		/* What else may stand in a line. */
		{ "# all\r\n\r\n \t192.0.2.0/24 \t# net\r\n", "192.0.2.9",
		    true },
		{ "; spamhaus\n192.0.2.0/24 ; SBL1\n", "192.0.2.9", true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct fixture f;

		read_text(&f, cases[i].text);
		assert_int_equal(f.errors, 0);
		if (has(&f, cases[i].ip) != cases[i].want)
			fail_msg("%s %s", cases[i].text, cases[i].ip);
		done(&f);
	}
}

static void
unix_clients_are_in_no_range(void **state)
{
	const struct addr_ip ip = { .family = AF_UNIX };
	struct fixture f;

	(void)state;
	read_text(&f, "::/0\n0.0.0.0/0\n");
	assert_false(cidr_has(&f.set, &ip));
	done(&f);
}

static void
wrong_lines_are_named(void **state)
{
	static const struct {
		const char *text;
		unsigned errors, line, column;
		const char *want;
	} cases[] = {
		{ "192.0.2.0/24\n  192.0.2\n::1\n", 1, 2, 3,
		    "  192.0.2|\"192.0.2\" is no address range, as "
		    "192.0.2.0/24 or 2001:db8::/32" },
		{ "192.0.2.1/24", 1, 1, 1, "192.0.2.1/24|\"192.0.2.1/24\": "
		    "the address has bits behind its prefix; the range is "
		    "192.0.2.0/24" },
		{ "\n\nx\ny\n", 2, 3, 1, "x|\"x\" is no address range, as "
		    "192.0.2.0/24 or 2001:db8::/32" },
		{ "192.0.2.0/33", 1, 1, 1, "192.0.2.0/33|\"192.0.2.0/33\": "
		    "the prefix length must be a number from 0 to 32" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct fixture f;

		read_text(&f, cases[i].text);
		assert_int_equal(f.errors, cases[i].errors);
		assert_int_equal(f.line, cases[i].line);
		assert_int_equal(f.column, cases[i].column);
		assert_string_equal(f.text, cases[i].want);
		done(&f);
	}
}

static uint64_t
next(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

/* A range or an address in a small part of the space, so that they meet. */
static void
draw(uint64_t *x, struct addr_range *range, struct addr_ip *ip)
{
	bool is_v4 = next(x) % 2 == 0;

	memset(ip, 0, sizeof(*ip));
	ip->family = is_v4 ? AF_INET : AF_INET6;
	if (is_v4) {
		memset(ip->bytes + 10, 0xff, 2);
		ip->bytes[12] = (uint8_t)(next(x) % 3 + 100);
		ip->bytes[13] = (uint8_t)next(x);
		ip->bytes[14] = (uint8_t)next(x);
		ip->bytes[15] = (uint8_t)next(x);
		range->bits = (uint8_t)(96 + 8 + next(x) % 25);
	} else {
		ip->bytes[0] = 0x20;
		ip->bytes[7] = (uint8_t)(next(x) % 4);
		ip->bytes[8] = (uint8_t)next(x);
		ip->bytes[15] = (uint8_t)(next(x) % 4);
		range->bits = (uint8_t)(56 + next(x) % 73);
	}
	memcpy(range->bytes, ip->bytes, 16);
	for (unsigned i = range->bits; i < 128; i++)
		range->bytes[i / 8] &= (uint8_t)~(0x80 >> i % 8);
}

/* The same answer as of looking at each range, for sets of all sizes. */
static void
sets_know_what_ranges_know(void **state)
{
	uint64_t x = 88172645463325252U;
	unsigned found = 0, looks = 0;

	(void)state;
	for (unsigned size = 1; size <= 1000; size = size * 2 + 1) {
		struct fixture f;
		struct addr_range range;
		struct addr_ip ip;

		memset(&f, 0, sizeof(f));
		arena_init(&f.arena, NULL);
		for (unsigned i = 0; i < size; i++) {
			draw(&x, &range, &ip);
			cidr_list_add(&f.list, &range);
		}
		cidr_build(&f.set, &f.arena, &f.list);
		for (unsigned i = 0; i < 2000; i++) {
			bool want = false;

			draw(&x, &range, &ip);
			for (unsigned j = 0; j < size; j++)
				want |= addr_range_has(&f.list.items[j], &ip);
			assert_int_equal(cidr_has(&f.set, &ip), want);
			found += want;
			looks++;
		}
		done(&f);
	}
	assert_in_range(found, looks / 20, looks - looks / 20);
}

/* What other processes get; of every length, and with each byte another. */
static void
packed_sets_are_checked(void **state)
{
	uint64_t x = 88172645463325252U;
	struct fixture f;
	struct addr_range range;
	struct addr_ip ip;
	struct cidr set;
	struct error err;
	char *bytes;
	size_t len;

	(void)state;
	memset(&f, 0, sizeof(f));
	arena_init(&f.arena, NULL);
	/* Addresses: ranges so wide would all be joined. */
	for (unsigned i = 0; i < 600; i++) {
		draw(&x, &range, &ip);
		memcpy(range.bytes, ip.bytes, sizeof(range.bytes));
		range.bits = 128;
		cidr_list_add(&f.list, &range);
	}
	cidr_build(&f.set, &f.arena, &f.list);
	assert_non_null(f.set.v4_index);
	assert_non_null(f.set.v6_index);
	packed_make(&f.set, &bytes, &len);
	assert_int_equal(packed_open(&set, span_of(bytes, len), &err), 0);
	for (unsigned i = 0; i < 2000; i++) {
		draw(&x, &range, &ip);
		assert_int_equal(cidr_has(&set, &ip), cidr_has(&f.set, &ip));
	}
	for (size_t i = 0; i < len; i += i < 64 ? 1 : 997)
		assert_int_equal(packed_open(&set, span_of(bytes, i), &err),
		    -1);
	/* Whatever is accepted can be searched. */
	for (size_t i = 0; i < len; i += i < 64 ? 1 : 911) {
		bytes[i] = (char)~bytes[i];
		if (packed_open(&set, span_of(bytes, len), &err) == 0) {
			for (unsigned j = 0; j < 50; j++) {
				draw(&x, &range, &ip);
				(void)cidr_has(&set, &ip);
			}
		}
		bytes[i] = (char)~bytes[i];
	}
	/* An index that leads outside. */
	memset(bytes + len - 4, 0xff, 4);
	assert_int_equal(packed_open(&set, span_of(bytes, len), &err), -1);
	free(bytes);
	done(&f);
	/* Of nothing. */
	read_text(&f, "");
	packed_make(&f.set, &bytes, &len);
	assert_int_equal(packed_open(&set, span_of(bytes, len), &err), 0);
	assert_false(cidr_has(&set, &ip));
	free(bytes);
	done(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_are_found),
		cmocka_unit_test(unix_clients_are_in_no_range),
		cmocka_unit_test(wrong_lines_are_named),
		cmocka_unit_test(sets_know_what_ranges_know),
		cmocka_unit_test(packed_sets_are_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

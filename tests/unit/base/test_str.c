/* SPDX-License-Identifier: BSD-2-Clause */
/* The string builder: never beyond its memory, nothing after an overflow. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/str.h"

static void
test_bounds(void **state)
{
	char memory[8 + 4] = "........###";
	struct str s;

	(void)state;
	str_init(&s, memory, 8);
	str_lit(&s, "12345678");
	assert_false(s.overflow);
	str_put(&s, "", 0);
	assert_false(s.overflow);
	str_char(&s, '9');
	assert_true(s.overflow);
	assert_int_equal(s.len, 8);
	assert_memory_equal(memory, "12345678###", 11);

	str_init(&s, memory, 8);
	str_lit(&s, "abc");
	str_lit(&s, "123456");
	assert_true(s.overflow);
	/* What would fit is dropped too: no text with a hole in it. */
	str_lit(&s, "d");
	str_u64(&s, 1);
	str_printf(&s, "%d", 1);
	assert_true(span_eq(str_view(&s), SPAN("abc")));
	assert_memory_equal(memory + 8, "###", 3);

	str_init(&s, memory, 8);
	str_printf(&s, "%s", "much more than there is room for");
	assert_true(s.overflow);
	assert_int_equal(s.len, 0);
	assert_memory_equal(memory + 8, "###", 3);
}

static void
test_terminate(void **state)
{
	char memory[4];
	struct str s;

	(void)state;
	str_init(&s, memory, sizeof(memory));
	str_lit(&s, "ab");
	assert_string_equal(str_terminate(&s), "ab");
	str_lit(&s, "cd");
	assert_string_equal(str_terminate(&s), "abc");
	str_init(&s, memory, 0);
	assert_string_equal(str_terminate(&s), "");
}

static void
test_numbers(void **state)
{
	char memory[128];
	struct str s;

	(void)state;
	str_init(&s, memory, sizeof(memory));
	str_u64(&s, 0);
	str_char(&s, ' ');
	str_u64(&s, UINT64_MAX);
	str_char(&s, ' ');
	str_hex(&s, 0);
	str_char(&s, ' ');
	str_hex(&s, 0xdeadbeef01U);
	str_char(&s, ' ');
	str_hex(&s, UINT64_MAX);
	assert_string_equal(str_terminate(&s),
	    "0 18446744073709551615 0 deadbeef01 ffffffffffffffff");
	str_init(&s, memory, sizeof(memory));
	str_seconds(&s, 0);
	str_char(&s, ' ');
	str_seconds(&s, 7);
	str_char(&s, ' ');
	str_seconds(&s, 1234);
	str_char(&s, ' ');
	str_seconds(&s, 3600050);
	str_printf(&s, " %s=%d", "x", -5);
	assert_string_equal(str_terminate(&s),
	    "0.000 0.007 1.234 3600.050 x=-5");
}

/* A span in a static table. */
#define BYTES(literal) { (literal), sizeof(literal) - 1 }

static void
test_escaped(void **state)
{
	static const struct {
		struct span input;
		const char *want;
	} rows[] = {
		{ BYTES("plain ~text!"), "plain ~text!" },
		{ BYTES(""), "" },
		{ BYTES("a\r\nb"), "a\\x0d\\x0ab" },
		{ BYTES("\0\x1f\x7f\x80\xff"), "\\x00\\x1f\\x7f\\x80\\xff" },
		{ BYTES("\"\\\""), "\\x22\\x5c\\x22" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		char memory[128];
		struct str s;

		str_init(&s, memory, sizeof(memory));
		str_escaped(&s, rows[i].input);
		assert_string_equal(str_terminate(&s), rows[i].want);
	}
}

/* Eight bytes are looked at together: each byte value at each place. */
static void
test_escapes_at_every_place(void **state)
{
	(void)state;
	for (unsigned c = 0; c < 256; c++) {
		for (size_t at = 0; at < 19; at++) {
			char input[19], want[64], memory[128];
			bool is_plain = c >= 0x20 && c < 0x7f && c != '"' &&
			    c != '\\';
			struct str s;

			memset(input, 'x', sizeof(input));
			input[at] = (char)c;
			snprintf(want, sizeof(want), is_plain ? "%.*s%c%.*s"
			    : "%.*s\\x%02x%.*s", (int)at, input, c,
			    (int)(18 - at), input + at + 1);
			str_init(&s, memory, sizeof(memory));
			str_escaped(&s, span_of(input, sizeof(input)));
			assert_string_equal(str_terminate(&s), want);
			str_init(&s, memory, sizeof(memory));
			str_json(&s, span_of(input, sizeof(input)));
			if (is_plain || c == 0x7f)
				assert_memory_equal(memory, input, 19);
			else
				assert_memory_equal(memory, input, at);
			assert_memory_equal(memory + s.len - (18 - at),
			    input + at + 1, 18 - at);
		}
	}
}

#define BAD "\xef\xbf\xbd"

static void
test_json(void **state)
{
	static const struct {
		struct span input;
		const char *want;
	} rows[] = {
		{ BYTES("a\"b\\c/"), "a\\\"b\\\\c/" },
		{ BYTES("\0\t\n\x1f\x7f"), "\\u0000\\u0009\\u000a\\u001f\x7f" },
		{ BYTES("\xc3\xa4\xe2\x82\xac\xf0\x9f\x99\x82"),
		    "\xc3\xa4\xe2\x82\xac\xf0\x9f\x99\x82" },
		{ BYTES("\xc3"), BAD },
		{ BYTES("\xc3" "a"), BAD "a" },
		{ BYTES("\xa4"), BAD },
		{ BYTES("\xc0\x80"), BAD BAD },          /* overlong */
		{ BYTES("\xe0\x80\x80"), BAD BAD BAD },  /* overlong */
		{ BYTES("\xed\xa0\x80"), BAD BAD BAD },  /* surrogate */
		{ BYTES("\xf4\x90\x80\x80"), BAD BAD BAD BAD },
		{ BYTES("\xf0\x8f\xbf\xbf"), BAD BAD BAD BAD },
		{ BYTES("\xf8\x88\x80\x80\x80"), BAD BAD BAD BAD BAD },
		{ BYTES("\xef\xbf\xbf"), "\xef\xbf\xbf" },
		{ BYTES("\xf4\x8f\xbf\xbf"), "\xf4\x8f\xbf\xbf" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		char memory[128];
		struct str s;

		str_init(&s, memory, sizeof(memory));
		str_json(&s, rows[i].input);
		assert_string_equal(str_terminate(&s), rows[i].want);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_terminate),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_escaped),
		cmocka_unit_test(test_escapes_at_every_place),
		cmocka_unit_test(test_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

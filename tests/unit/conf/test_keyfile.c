/* SPDX-License-Identifier: BSD-2-Clause */
/* Lines of files of API keys: what is read, what is refused, byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/str.h"
#include "conf/keyfile.h"

#define HASH "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define KEY "sha256:" HASH

static void
lines_are_read(void **state)
{
	static const struct {
		const char *line;
		int want;
		unsigned column; /* of the error */
		const char *identity, *scopes;
		uint64_t expires_s;
	} cases[] = {
		{ "", 0, 0, NULL, NULL, 0 }, { " \t ", 0, 0, NULL, NULL, 0 },
		{ "# al " KEY, 0, 0, NULL, NULL, 0 },
		{ "  # al", 0, 0, NULL, NULL, 0 },
		{ "al " KEY, 1, 0, "al", "", 0 },
		{ "\tal\t" KEY "  ", 1, 0, "al", "", 0 },
		{ "al " KEY " # x scopes=a", 1, 0, "al", "", 0 },
		{ "a#l " KEY, 1, 0, "a#l", "", 0 },
		{ "zo\xc3\xab@x:y " KEY, 1, 0, "zo\xc3\xab@x:y", "", 0 },
		{ "al " KEY " scopes=a", 1, 0, "al", "a", 0 },
		{ "al " KEY " scopes=a,b:c/d expires=2027-01-31", 1, 0, "al",
		    "a,b:c/d", 1801353600 },
		{ "al " KEY " expires=2027-01-31T12:34:56Z scopes=a", 1, 0,
		    "al", "a", 1801398896 },
		{ "al", -1, 1, NULL, NULL, 0 },
		{ "al # " KEY, -1, 1, NULL, NULL, 0 },
		{ "al sha256:", -1, 4, NULL, NULL, 0 },
		{ "al " HASH, -1, 4, NULL, NULL, 0 },
		{ "al SHA256:" HASH, -1, 4, NULL, NULL, 0 },
		{ "al " KEY "0", -1, 4, NULL, NULL, 0 },
		{ "al sha256:0123456789ABCDEF0123456789abcdef0123456789abcdef"
		    "0123456789abcdef", -1, 4, NULL, NULL, 0 },
		{ "al " KEY " scope=a", -1, 76, NULL, NULL, 0 },
		{ "al " KEY " scopes=", -1, 76, NULL, NULL, 0 },
		{ "al " KEY " scopes=a,", -1, 76, NULL, NULL, 0 },
		{ "al " KEY " scopes=,a", -1, 76, NULL, NULL, 0 },
		{ "al " KEY " scopes=a\"", -1, 76, NULL, NULL, 0 },
		{ "al " KEY " scopes=a scopes=b", -1, 85, NULL, NULL, 0 },
		{ "al " KEY " expires=2027-01-31 expires=2027-01-31", -1, 95,
		    NULL, NULL, 0 },
		{ "al " KEY " expires=soon", -1, 76, NULL, NULL, 0 },
		{ "a\x01l " KEY, -1, 1, NULL, NULL, 0 },
		{ "a\x7fl " KEY, -1, 1, NULL, NULL, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct keyfile_entry e;
		struct error err;
		unsigned column = 0;
		int got = keyfile_parse(span_cstr(cases[i].line), &e, &column,
		    &err);

		if (got != cases[i].want ||
		    (got < 0 && column != cases[i].column))
			fail_msg("%s: %d at %u", cases[i].line, got, column);
		if (got != 1)
			continue;
		assert_true(span_eq(e.identity, span_cstr(cases[i].identity)));
		assert_true(span_eq(e.scopes, span_cstr(cases[i].scopes)));
		assert_int_equal(e.expires_s, cases[i].expires_s);
		assert_int_equal(e.hash[0], 0x01);
		assert_int_equal(e.hash[31], 0xef);
	}
}

static void
names_have_bounds(void **state)
{
	char name[KEYFILE_NAME_MAX + 2];

	(void)state;
	memset(name, 'a', sizeof(name));
	assert_true(keyfile_is_identity(span_of(name, KEYFILE_NAME_MAX)));
	assert_false(keyfile_is_identity(span_of(name,
	    KEYFILE_NAME_MAX + 1)));
	assert_true(keyfile_is_scopes(span_of(name, KEYFILE_NAME_MAX)));
	assert_false(keyfile_is_scopes(span_of(name, KEYFILE_NAME_MAX + 1)));
	for (unsigned c = 0; c < 256; c++) {
		char byte = (char)c;
		bool is_name = c > ' ' && c != 0x7f && c != '#';
		bool is_scope = c > ' ' && c < 0x7f && c != '"' &&
		    c != '\\' && c != ',';

		assert_int_equal(keyfile_is_identity(span_of(&byte, 1)),
		    is_name);
		assert_int_equal(keyfile_is_scopes(span_of(&byte, 1)),
		    is_scope);
	}
}

static void
times_are_days_and_seconds(void **state)
{
	static const struct {
		const char *text;
		uint64_t want; /* 0 = none */
	} cases[] = {
		{ "1971-01-01", 31536000 },
		{ "2024-02-29", 1709164800 }, { "2023-02-29", 0 },
		{ "2027-01-31T00:00:00Z", 1801353600 },
		{ "2027-01-31T23:59:59Z", 1801439999 },
		{ "2027-01-31T24:00:00Z", 0 }, { "2027-01-31T00:60:00Z", 0 },
		{ "2027-01-31T00:00:60Z", 0 }, { "2027-13-01", 0 },
		{ "2027-00-01", 0 }, { "2027-01-00", 0 }, { "2027-04-31", 0 },
		{ "2027-1-31", 0 }, { "27-01-31", 0 }, { "", 0 },
		{ "2027-01-31T00:00:00", 0 }, { "2027-01-31 00:00:00Z", 0 },
		{ "2027-01-31T00:00:00Zx", 0 }, { "1970-01-01", 0 },
		{ "2027-01-31T00:00:00+00:00", 0 }, { "+027-01-31", 0 },
		{ "9999-12-31", 253402214400 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		uint64_t seconds = 0;
		int got = keyfile_parse_time(span_cstr(cases[i].text),
		    &seconds);

		if (got != (cases[i].want != 0 ? 0 : -1) ||
		    (got == 0 && seconds != cases[i].want))
			fail_msg("%s: %llu", cases[i].text,
			    (unsigned long long)seconds);
	}
}

static void
what_is_written_is_read(void **state)
{
	struct keyfile_entry e = { .identity = SPAN("al"),
		.scopes = SPAN("a,b"), .expires_s = 1801353601 }, same;
	char memory[512];
	struct span text, line;
	struct error err;
	struct str out;
	unsigned column;

	(void)state;
	memset(e.hash, 0xa5, sizeof(e.hash));
	str_init(&out, memory, sizeof(memory));
	keyfile_put(&out, &e);
	e.scopes.len = 0;
	e.expires_s = 0;
	keyfile_put(&out, &e);
	text = str_view(&out);
	assert_true(keyfile_next_line(&text, &line));
	assert_int_equal(keyfile_parse(line, &same, &column, &err), 1);
	assert_int_equal(same.expires_s, 1801353601);
	assert_true(span_eq(same.scopes, SPAN("a,b")));
	assert_memory_equal(same.hash, e.hash, sizeof(e.hash));
	assert_true(keyfile_next_line(&text, &line));
	assert_int_equal(keyfile_parse(line, &same, &column, &err), 1);
	assert_int_equal(same.expires_s, 0);
	assert_false(keyfile_next_line(&text, &line));
}

static void
lines_end_in_three_ways(void **state)
{
	struct span text = SPAN("a\nb\r\n\nc"), line;
	static const char *const want[] = { "a", "b", "", "c" };

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		assert_true(keyfile_next_line(&text, &line));
		assert_true(span_eq(line, span_cstr(want[i])));
	}
	assert_false(keyfile_next_line(&text, &line));
}

/* In memory of just that size, so that a sanitizer sees a step too far. */
static void
each_byte_counts(void **state)
{
	static const char line[] =
	    "al " KEY " scopes=a,b expires=2027-01-31T00:00:00Z";
	struct keyfile_entry e;
	struct error err;
	unsigned column;

	(void)state;
	for (size_t len = 0; len < sizeof(line); len++) {
		char *copy = malloc(len + 1);

		memcpy(copy, line, len);
		(void)keyfile_parse(span_of(copy, len), &e, &column, &err);
		free(copy);
	}
	/* No other byte in the hash makes the same key of it. */
	for (size_t i = 10; i < 10 + 64; i++) {
		char copy[sizeof(line)];

		memcpy(copy, line, sizeof(line));
		for (unsigned c = 0; c < 256; c++) {
			copy[i] = (char)c;
			if (keyfile_parse(span_of(copy, sizeof(line) - 1), &e,
			    &column, &err) == 1)
				assert_true(c == (unsigned char)line[i] ||
				    (e.hash[(i - 10) / 2] >>
				    (i % 2 == 0 ? 4 : 0) & 15) !=
				    (line[i] <= '9' ? line[i] - '0'
				    : line[i] - 'a' + 10));
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_are_read),
		cmocka_unit_test(names_have_bounds),
		cmocka_unit_test(times_are_days_and_seconds),
		cmocka_unit_test(what_is_written_is_read),
		cmocka_unit_test(lines_end_in_three_ways),
		cmocka_unit_test(each_byte_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

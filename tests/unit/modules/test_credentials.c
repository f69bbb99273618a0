/* SPDX-License-Identifier: BSD-2-Clause */
/* Module auth: credentials in fields, cookies and queries, byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../../../modules/auth/credentials.h"

enum { NONE = CREDENTIALS_NONE, FOUND = CREDENTIALS_FOUND,
	BAD = CREDENTIALS_BAD, MANY = CREDENTIALS_MANY };

static void
basic_has_one_reading(void **state)
{
	static const struct {
		const char *value;
		int want;
		const char *user, *password;
	} cases[] = {
		{ "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", FOUND, "Aladdin",
		    "open sesame" },
		{ "Basic dGVzdDoxMjPCow==", FOUND, "test", "123\xc2\xa3" },
		{ "basic YTpi", FOUND, "a", "b" },
		{ "BASIC   YTpi", FOUND, "a", "b" },
		{ "Basic YTo=", FOUND, "a", "" },
		{ "Basic YTpiOmM6", FOUND, "a", "b:c:" },
		{ "Basic YTog", FOUND, "a", " " },
		{ "", NONE, NULL, NULL }, { "Basi", NONE, NULL, NULL },
		{ "Basicx YTpi", NONE, NULL, NULL },
		{ "Basic\tYTpi", NONE, NULL, NULL },
		{ "Bearer YTpi", NONE, NULL, NULL },
		{ "Basic", BAD, NULL, NULL }, { "Basic ", BAD, NULL, NULL },
		{ "Basic YTpi YTpi", BAD, NULL, NULL },
		{ "Basic YTpi\t", BAD, NULL, NULL },
		{ "Basic YTp", BAD, NULL, NULL },
		{ "Basic YT", BAD, NULL, NULL },
		{ "Basic YTo", BAD, NULL, NULL },   /* without padding */
		{ "Basic YTp=", BAD, NULL, NULL },  /* bits left over */
		{ "Basic YTo==", BAD, NULL, NULL },
		{ "Basic ====", BAD, NULL, NULL },
		{ "Basic =YTp", BAD, NULL, NULL },
		{ "Basic YTo=YTpi", BAD, NULL, NULL },
		{ "Basic YT-_", BAD, NULL, NULL },  /* of another alphabet */
		{ "Basic Og==", BAD, NULL, NULL },  /* ":" */
		{ "Basic OmI=", BAD, NULL, NULL },  /* ":b" */
		{ "Basic YWI=", BAD, NULL, NULL },  /* "ab" */
		{ "Basic YTpiAA==", BAD, NULL, NULL }, /* "a:b\0" */
		{ "Basic YQA6Yg==", BAD, NULL, NULL }, /* "a\0:b" */
		{ "Basic YTpiCg==", BAD, NULL, NULL }, /* "a:b\n" */
		{ "Basic YTpifw==", BAD, NULL, NULL }, /* "a:b\x7f" */
	};
	char memory[CREDENTIALS_PAIR_MAX + 1];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct span user, password;
		int got = (int)credentials_basic(span_cstr(cases[i].value), memory,
		    &user, &password);

		if (got != cases[i].want)
			fail_msg("%s: %d", cases[i].value, got);
		if (got != FOUND)
			continue;
		assert_true(span_eq(user, span_cstr(cases[i].user)));
		assert_true(span_eq(password, span_cstr(cases[i].password)));
		assert_int_equal(password.p[password.len], '\0');
	}
}

/* Each length, in memory of just that size; each byte in each place. */
static void
basic_byte_by_byte(void **state)
{
	static const char value[] = "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==";
	char memory[CREDENTIALS_PAIR_MAX + 1];
	struct span user, password;
	unsigned found = 0;

	(void)state;
	for (size_t len = 0; len < sizeof(value) - 1; len++) {
		char *copy = malloc(len + 1);
		int got;

		memcpy(copy, value, len);
		got = (int)credentials_basic(span_of(copy, len), memory, &user,
		    &password);
		/* A whole group of four ends in the password. */
		assert_int_equal(got, len < 5 ? NONE : len >= 18 &&
		    (len - 6) % 4 == 0 ? FOUND : BAD);
		free(copy);
	}
	for (size_t at = 6; at < sizeof(value) - 1; at++) {
		char copy[sizeof(value)];

		memcpy(copy, value, sizeof(value));
		for (unsigned c = 0; c < 256; c++) {
			copy[at] = (char)c;
			found += credentials_basic(span_of(copy,
			    sizeof(value) - 1), memory, &user, &password) ==
			    CREDENTIALS_FOUND;
		}
	}
	/* Of 26 places with 64 digits many make another name or password. */
	assert_true(found > 26 && found < 27 * 64);
}

static void
basic_has_bounds(void **state)
{
	/* base64 of "a:" and then xxx...: "YTp4" "eHh4" ... */
	char value[2048] = "Basic YTp4", memory[CREDENTIALS_PAIR_MAX + 1];
	struct span user, password;

	(void)state;
	for (size_t bytes = 3; bytes < 1500; bytes += 3) {
		size_t len = 6 + bytes / 3 * 4;
		int got;

		if (bytes > 3)
			memcpy(value + len - 4, "eHh4", 4);
		got = (int)credentials_basic(span_of(value, len), memory, &user,
		    &password);
		assert_int_equal(got, bytes - 2 <= 511 ? FOUND : BAD);
	}
}

static void
schemes(void **state)
{
	static const struct {
		const char *value, *scheme;
		int want;
		const char *rest;
	} cases[] = {
		{ "Bearer abc", "Bearer", FOUND, "abc" },
		{ "bEARER  a b", "Bearer", FOUND, "a b" },
		{ "Bearer", "Bearer", BAD, NULL },
		{ "Bearer ", "Bearer", BAD, NULL },
		{ "Bearerabc", "Bearer", NONE, NULL },
		{ "Bear", "Bearer", NONE, NULL }, { "", "Bearer", NONE, NULL },
		{ "abc", "", FOUND, "abc" }, { "", "", BAD, NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct span rest;

		assert_int_equal(credentials_scheme(span_cstr(cases[i].value),
		    span_cstr(cases[i].scheme), &rest), cases[i].want);
		if (cases[i].want == FOUND)
			assert_true(span_eq(rest, span_cstr(cases[i].rest)));
	}
}

static void
cookies(void **state)
{
	static const struct {
		const char *field;
		int want;
		const char *value, *dropped;
	} cases[] = {
		{ "k=v", FOUND, "v", "" }, { "a=b; k=v", FOUND, "v", "a=b" },
		{ "k=v; a=b", FOUND, "v", "a=b" },
		{ "a=b;k=v;c=d", FOUND, "v", "a=b; c=d" },
		{ " k = v ", FOUND, "v", "" }, { "k=\"v\"", FOUND, "v", "" },
		{ "k=a=b", FOUND, "a=b", "" }, { "k=\"", FOUND, "\"", "" },
		{ "k=", BAD, NULL, "" }, { "k=\"\"", BAD, NULL, "" },
		{ "k", NONE, NULL, "k" }, { "K=v", NONE, NULL, "K=v" },
		{ "kk=v", NONE, NULL, "kk=v" }, { "", NONE, NULL, "" },
		{ ";;", NONE, NULL, "" }, { "a=k=v", NONE, NULL, "a=k=v" },
		{ "k=v; k=v", MANY, NULL, "" },
		{ "k=v; a; k=", MANY, NULL, "a" },
		{ "a=\"b;k=v\"", FOUND, "v\"", "a=\"b" },
	};
	char memory[128];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct span value, field = span_cstr(cases[i].field);
		int got = (int)credentials_cookie(field, SPAN("k"), &value);
		struct str out;

		if (got != cases[i].want)
			fail_msg("%s: %d", cases[i].field, got);
		if (got == FOUND)
			assert_true(span_eq(value,
			    span_cstr(cases[i].value)));
		str_init(&out, memory, sizeof(memory));
		credentials_drop_cookie(&out, field, SPAN("k"));
		if (!span_eq(str_view(&out), span_cstr(cases[i].dropped)))
			fail_msg("%s: %.*s", cases[i].field,
			    SPAN_ARG(str_view(&out)));
	}
}

static void
arguments(void **state)
{
	static const struct {
		const char *query;
		int want;
		const char *value, *dropped, *hidden; /* NULL: as it is */
	} cases[] = {
		{ "k=v", FOUND, "v", "", "k=***" },
		{ "a&k=v&b=c", FOUND, "v", "a&b=c", "a&k=***&b=c" },
		{ "%6b=%76%2B+%", FOUND, "v+ %", "", "%6b=***" },
		{ "k=%zz%4", FOUND, "%zz%4", "", "k=***" },
		{ "k=a=b", FOUND, "a=b", "", "k=***" },
		{ "k", BAD, NULL, "", NULL }, { "k=", BAD, NULL, "", NULL },
		{ "", NONE, NULL, "", NULL }, { "&&", NONE, NULL, "&&", NULL },
		{ "kk=v", NONE, NULL, "kk=v", NULL },
		{ "K=v", NONE, NULL, "K=v", NULL },
		{ "a=k=v", NONE, NULL, "a=k=v", NULL },
		{ "%6=v", NONE, NULL, "%6=v", NULL },
		{ "k%00=v", NONE, NULL, "k%00=v", NULL },
		{ "k=v&%6B=w", MANY, NULL, "", "k=***&%6B=***" },
		{ "k=v&k", MANY, NULL, "", "k=***&k" },
	};
	char memory[CREDENTIALS_KEY_MAX], text[256];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct span value, query = span_cstr(cases[i].query);
		int got = (int)credentials_arg(query, SPAN("k"), memory, &value);
		struct str out;
		bool has;

		if (got != cases[i].want)
			fail_msg("%s: %d", cases[i].query, got);
		if (got == FOUND)
			assert_true(span_eq(value,
			    span_cstr(cases[i].value)));
		str_init(&out, text, sizeof(text));
		credentials_drop_arg(&out, query, SPAN("k"));
		assert_true(span_eq(str_view(&out),
		    span_cstr(cases[i].dropped)));
		out.len = 0;
		has = credentials_hide_arg(&out, query, SPAN("k"));
		assert_int_equal(has, cases[i].hidden != NULL);
		assert_true(span_eq(str_view(&out), has
		    ? span_cstr(cases[i].hidden) : query));
	}
}

static void
long_keys_are_none(void **state)
{
	char query[CREDENTIALS_KEY_MAX + 3], memory[CREDENTIALS_KEY_MAX];
	struct span value;

	(void)state;
	memset(query, 'x', sizeof(query));
	memcpy(query, "k=", 2);
	assert_int_equal(credentials_arg(span_of(query, sizeof(query)),
	    SPAN("k"), memory, &value), BAD);
	assert_int_equal(credentials_arg(span_of(query, sizeof(query) - 1),
	    SPAN("k"), memory, &value), FOUND);
	assert_int_equal(value.len, CREDENTIALS_KEY_MAX);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(basic_has_one_reading),
		cmocka_unit_test(basic_byte_by_byte),
		cmocka_unit_test(basic_has_bounds),
		cmocka_unit_test(schemes),
		cmocka_unit_test(cookies),
		cmocka_unit_test(arguments),
		cmocka_unit_test(long_keys_are_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

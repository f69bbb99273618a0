/* SPDX-License-Identifier: BSD-2-Clause */
/* Accept-Encoding: what it says of one coding, and which of several wins. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../modules/compress/negotiate.h"
#include "base/arena.h"

static void
fill(struct arena *a, struct http_fields *f, const char *const *values)
{
	*f = (struct http_fields){ .count = 0 };
	for (size_t i = 0; i < 2 && values[i] != NULL; i++)
		http_fields_add_id(f, a, FIELD_ACCEPT_ENCODING,
		    span_cstr(values[i]));
}

static void
weights(void **state)
{
	static const struct {
		const char *values[2];
		const char *coding;
		int want;
	} cases[] = {
		{ { NULL }, "gzip", NEGOTIATE_Q_NONE },
		{ { "" }, "gzip", NEGOTIATE_Q_NONE },
		{ { "gzip" }, "gzip", 1000 },
		{ { "GZIP" }, "gzip", 1000 },
		{ { "x-gzip" }, "gzip", 1000 },
		{ { "gzip" }, "x-gzip", 1000 },
		{ { "gzip;q=0.5" }, "gzip", 500 },
		{ { "gzip;Q=0.123" }, "gzip", 123 },
		{ { " gzip ; q=0.5 , br" }, "gzip", 500 },
		{ { "gzip;q=0" }, "gzip", 0 },
		{ { "gzip;q=0." }, "gzip", 0 },
		{ { "gzip;q=1.000" }, "gzip", 1000 },
		{ { "gzip;q=1.001" }, "gzip", NEGOTIATE_Q_NONE },
		{ { "gzip;q=0.1234" }, "gzip", NEGOTIATE_Q_NONE },
		{ { "gzip;q=2" }, "gzip", NEGOTIATE_Q_NONE },
		{ { "gzip;q=" }, "gzip", NEGOTIATE_Q_NONE },
		{ { "gzip;q=-1" }, "gzip", NEGOTIATE_Q_NONE },
		{ { "gzip;q=0,5" }, "gzip", 0 },
		{ { "gzip;level=9" }, "gzip", NEGOTIATE_Q_NONE },
		{ { "*" }, "gzip", 1000 },
		{ { "*;q=0.2" }, "gzip", 200 },
		{ { "*, gzip;q=0.3" }, "gzip", 300 },
		{ { "gzip;q=0.3, *" }, "gzip", 300 },
		{ { "br", "gzip;q=0.4" }, "gzip", 400 },
		{ { "br", "deflate" }, "gzip", NEGOTIATE_Q_NONE },
		{ { "*;q=0" }, "identity", 0 },
		{ { "identity;q=0.5, *;q=0" }, "identity", 500 },
		{ { ",,;,gzip" }, "gzip", 1000 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct http_fields f;
		struct arena a;

		arena_init(&a, NULL);
		fill(&a, &f, cases[i].values);
		if (negotiate_weight(&f, span_cstr(cases[i].coding)) !=
		    cases[i].want)
			fail_msg("case %zu: %s", i, cases[i].values[0]);
		arena_fini(&a);
	}
}

static void
choices(void **state)
{
	static const enum coder_kind kinds[] = { CODER_ZSTD, CODER_BROTLI,
		CODER_GZIP };
	static const struct {
		const char *value;
		const char *want;
	} cases[] = {
		{ "gzip, br, zstd", "zstd" }, { "gzip, br", "br" },
		{ "gzip, br;q=0.9", "gzip" }, { "*", "zstd" },
		{ "zstd;q=0, *", "br" }, { "identity", NULL },
		{ "identity, gzip", "gzip" }, { "identity, gzip;q=0.9", NULL },
		{ "identity;q=0.5, gzip;q=0.6", "gzip" },
		{ "identity;q=0", NULL }, { "*;q=0", NULL },
		{ "*;q=0.5, gzip", "gzip" }, { "", NULL }, { "deflate", NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const char *values[2] = { cases[i].value, NULL };
		enum coder_kind kind = CODER_KIND_COUNT;
		struct http_fields f;
		struct arena a;
		bool chosen;

		arena_init(&a, NULL);
		fill(&a, &f, values);
		chosen = negotiate_choose(&f, kinds, 3, &kind);
		if (chosen != (cases[i].want != NULL))
			fail_msg("%s", cases[i].value);
		if (chosen)
			assert_string_equal(coder_name(kind), cases[i].want);
		arena_fini(&a);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(weights),
		cmocka_unit_test(choices),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

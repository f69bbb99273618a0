/* SPDX-License-Identifier: BSD-2-Clause */
/* Module grpcweb: base64 in pieces. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../../modules/grpcweb/base64.h"

/* In pieces of that size, into an output of that size; false: refused. */
static bool
decode(struct span in, size_t piece, size_t cap, struct str *out)
{
	struct base64_decoder d = { 0 };

	while (in.len > 0) {
		struct span part = span_of(in.p,
		    piece < in.len ? piece : in.len);

		in = span_of(in.p + part.len, in.len - part.len);
		while (part.len > 0) {
			char memory[64];
			struct str some;

			str_init(&some, memory, cap);
			if (base64_decode(&d, &part, &some) != 0)
				return false;
			assert_false(some.overflow);
			str_span(out, str_view(&some));
		}
	}
	return base64_is_complete(&d);
}

static void
decoding(void **state)
{
	static const struct {
		const char *in, *want; /* NULL = refused */
	} cases[] = {
		{ "", "" }, { "Zg==", "f" }, { "Zm8=", "fo" },
		{ "Zm9v", "foo" }, { "Zm9vYmFy", "foobar" },
		{ "Zg==Zm8=Zm9v", "ffofoo" }, { "+/+/", "\xfb\xff\xbf" },
		{ "Z", NULL }, { "Zg", NULL }, { "Zg=", NULL },
		{ "Zm9", NULL }, { "=", NULL }, { "Z===", NULL },
		{ "====", NULL }, { "Zg=a", NULL }, { "Zg==Z", NULL },
		{ "Zh==", NULL }, { "Zm9=", NULL }, { "Zm9v\n", NULL },
		{ "Zm 9v", NULL }, { "Zm-_", NULL }, { "Zm9\xff", NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct span in = span_cstr(cases[i].in);

		for (size_t piece = 1; piece < 9; piece++) {
			for (size_t cap = 3; cap < 9; cap++) {
				char memory[64];
				struct str out;
				bool ok;

				str_init(&out, memory, sizeof(memory));
				ok = decode(in, piece, cap, &out);
				if (ok != (cases[i].want != NULL) || (ok &&
				    !span_eq(str_view(&out),
				    span_cstr(cases[i].want))))
					fail_msg("%s in pieces of %zu",
					    cases[i].in, piece);
			}
		}
	}
}

static void
encoding(void **state)
{
	static const struct {
		const char *in, *want;
	} cases[] = {
		{ "", "" }, { "f", "Zg==" }, { "fo", "Zm8=" },
		{ "foo", "Zm9v" }, { "foob", "Zm9vYg==" },
		{ "fooba", "Zm9vYmE=" }, { "foobar", "Zm9vYmFy" },
		{ "\xfb\xff\xbf", "+/+/" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		for (size_t cap = 8; cap < 20; cap++) {
			struct base64_encoder e = { 0 };
			struct span in = span_cstr(cases[i].in);
			char memory[64], piece[20];
			struct str out, some;

			str_init(&out, memory, sizeof(memory));
			while (in.len > 0) {
				struct span byte = span_of(in.p, 1);

				str_init(&some, piece, cap);
				base64_encode(&e, &byte, &some);
				in = span_of(in.p + 1 - byte.len,
				    in.len - 1 + byte.len);
				str_span(&out, str_view(&some));
			}
			base64_encode_end(&e, &out);
			base64_encode_end(&e, &out); /* nothing more */
			assert_false(out.overflow);
			if (!span_eq(str_view(&out), span_cstr(cases[i].want)))
				fail_msg("%s", cases[i].in);
		}
	}
}

/* With as little room as there may be, the end still finds its place. */
static void
the_end_has_room(void **state)
{
	for (size_t len = 0; len < 30; len++) {
		struct base64_encoder e = { 0 };
		struct span in = span_of("012345678901234567890123456789", len);
		char memory[16];
		struct str out;

		(void)state;
		do {
			str_init(&out, memory, sizeof(memory));
			base64_encode(&e, &in, &out);
		} while (in.len > 0);
		base64_encode_end(&e, &out);
		assert_false(out.overflow);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(decoding),
		cmocka_unit_test(encoding),
		cmocka_unit_test(the_end_has_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

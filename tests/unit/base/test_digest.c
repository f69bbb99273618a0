/* SPDX-License-Identifier: BSD-2-Clause */
/* SHA-256 and HMAC against published vectors, in one piece and in many. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/digest.h"

static const char *
hex(const uint8_t bytes[DIGEST_SHA256_BYTES])
{
	static char text[2 * DIGEST_SHA256_BYTES + 1];

	for (size_t i = 0; i < DIGEST_SHA256_BYTES; i++)
		snprintf(text + 2 * i, 3, "%02x", bytes[i]);
	return text;
}

static void
sha256_is_that_of_fips_180(void **state)
{
	static const struct { const char *input, *want; } cases[] = {
		{ "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca49599"
		    "1b7852b855" },
		{ "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb41"
		    "0ff61f20015ad" },
		{ "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
		    "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd41"
		    "9db06c1" },
	};
	struct digest *d = digest_new();
	uint8_t out[DIGEST_SHA256_BYTES];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct span whole = span_cstr(cases[i].input);

		digest_sha256(d, &whole, 1, out);
		assert_string_equal(hex(out), cases[i].want);
		for (size_t cut = 0; cut <= whole.len; cut++) {
			const struct span pieces[2] = {
				span_of(whole.p, cut),
				span_of(whole.p + cut, whole.len - cut) };

			digest_sha256(d, pieces, 2, out);
			assert_string_equal(hex(out), cases[i].want);
		}
	}
	digest_free(d);
	digest_free(NULL);
}

/* RFC 4231, test cases 1 and 2: shorter keys are filled up with zeros. */
static void
hmac_is_that_of_rfc_4231(void **state)
{
	const struct span data[2] = { SPAN("what do ya want "),
		SPAN("for nothing?") };
	const struct span hi = SPAN("Hi There");
	uint8_t key[DIGEST_SHA256_BYTES] = { 0 }, out[DIGEST_SHA256_BYTES];
	struct digest *d = digest_new();

	(void)state;
	memset(key, 0x0b, 20);
	digest_hmac(d, key, &hi, 1, out);
	assert_string_equal(hex(out), "b0344c61d8db38535ca8afceaf0bf12b881dc"
	    "200c9833da726e9376c2e32cff7");
	memset(key, 0, sizeof(key));
	memcpy(key, "Jefe", 4);
	digest_hmac(d, key, data, 2, out);
	assert_string_equal(hex(out), "5bdcc146bf60754e6a042426089575c75a003"
	    "f089d2739839dec58b964ec3843");
	digest_free(d);
}

static void
comparing_and_wiping(void **state)
{
	uint8_t a[8] = { 1, 2, 3 }, b[8] = { 1, 2, 3 };
	static const uint8_t zero[8];

	(void)state;
	assert_true(digest_is_equal(a, b, 8));
	for (size_t i = 0; i < 8; i++) {
		b[i] ^= 0x80;
		assert_false(digest_is_equal(a, b, 8));
		b[i] ^= 0x80;
	}
	digest_wipe(a, sizeof(a));
	assert_memory_equal(a, zero, sizeof(a));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sha256_is_that_of_fips_180),
		cmocka_unit_test(hmac_is_that_of_rfc_4231),
		cmocka_unit_test(comparing_and_wiping),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

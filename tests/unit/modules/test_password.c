/* SPDX-License-Identifier: BSD-2-Clause */
/* Module auth: hashes as openssl, htpasswd and mkpasswd made them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../../modules/auth/apr1.h"
#include "../../../modules/auth/password.h"
#include "../../../modules/auth/unixcrypt.h"

#define LONG "a rather long password that is longer than two blocks of md5"
#define BCRYPT "$2y$04$PvOopN4n/Il9FbkIn76RP.4p2tmw1zKJsD3gKAhHo6STjVuXX1/Xa"
#define SHA512 "$6$785TgjBQFT11P60X$u2luzr7tHzRYUKhU2b/s1.yPH50772JdCLPudNL" \
    "XuouOiQ.Xg./Cc/RKIpQv.YO.TmGxbBlT1WG25AX.6Ngj6."
#define YESCRYPT "$y$j75$i.GuOn89CPNw9ORfQuJDa1$gnxWNQ7bX6WlO25kNE7hlhg392R" \
    "qYCEn1vFnGI4DxE6"

static void
apr1_is_that_of_openssl(void **state)
{
	static const struct { const char *salt, *password, *want; } cases[] = {
		{ "abcdefgh", "", "L.PT565ESX4Tp2bqNs7Ie." },
		{ "abcdefgh", "a", "G8IsPsylW5ROvIKsQMRG61" },
		{ "abcdefgh", "secret", "h9FWgUz3n9YxylKLlR5SQ/" },
		{ "abcdefgh", "0123456789abcdef", "sxHfOFLANAYXeGF./FBFh." },
		{ "abcdefgh", "0123456789abcdefg", "1EmOoQBtUQ/xoE6y2eLUr/" },
		{ "abcdefgh", LONG, "6Bws0HQ/CL8StQY1giIfg0" },
		{ "x", "p\xc3\xa4ss:w\xc3\xb6rd", "/Kb8eqrmLx1AVR4XZA54T." },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char text[APR1_TEXT_BYTES];

		assert_int_equal(apr1_hash(span_cstr(cases[i].salt),
		    span_cstr(cases[i].password), text), 0);
		assert_memory_equal(text, cases[i].want, APR1_TEXT_BYTES);
	}
}

/* All of "secret". */
static const char *const hashes[] = {
	"$apr1$ql7E8ZUg$.qSoFjCR32NzYeacz2QLk.",
	BCRYPT,
	"$2b$05$JJYu4EsO1dqLzH/ny02ijeqD37SSSwTSur8qXF/RnohBh7DuPOnoW",
	"$5$FlFxpMK4zrGIzpia$sCaWBm5D21Xl5hrM2Wqs7tIdmrBCAgO1LzuEMYL2Xi1",
	SHA512,
	YESCRYPT,
	"$7$BU..../....D0H6xBrwT0RUZZeVGNlPX.$sBesVzbjHQGtT.wm9IGITmNvHw/tsp"
	    "tAyCm3KJEr0r0",
	"$gy$j75$r3ojNV48xuAolNbIEco0R.$aCUr4cL62gVcwUyWceSQA8ALdCa9GdaJCwy1"
	    "qZQg4I1",
};

static void
all_kinds_are_checked(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(hashes) / sizeof(*hashes); i++) {
		const char *fault = password_fault(span_cstr(hashes[i]));

		if (i > 0 && !unixcrypt_is_there()) {
			assert_non_null(strstr(fault, "libcrypt"));
			continue;
		}
		if (fault != NULL)
			fail_msg("%s: %s", hashes[i], fault);
		assert_true(password_check(hashes[i], "secret"));
		assert_false(password_check(hashes[i], "Secret"));
		assert_false(password_check(hashes[i], ""));
		assert_false(password_check(hashes[i], "secret "));
	}
}

static void
what_is_not_whole_is_refused(void **state)
{
	static const char *const bad[] = {
		"", "*", "x", "secret", "$", "$$", "$apr1$", "$2y$",
		"{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", "rqXexS6ZhobKA",
		"$1$abcdefgh$1EmOoQBtUQ/xoE6y2eLUr/",
		"$apr1$abcdefghi$h9FWgUz3n9YxylKLlR5SQ/",
		"$apr1$abcdefgh$h9FWgUz3n9YxylKLlR5SQ/x",
		"$apr1$ab$cdefgh$h9FWgUz3n9YxylKLlR5SQ/",
		"$apr1$abcde gh$h9FWgUz3n9YxylKLlR5SQ/",
		"$apr1$abcdefgh$h9FWgUz3n9YxylKLlR5S=/",
		"$2x$04$PvOopN4n/Il9FbkIn76RP.4p2tmw1zKJsD3gKAhHo6STjVuXX1/Xa",
		"$5$sCaWBm5D21Xl5hrM2Wqs7tIdmrBCAgO1LzuEMYL2Xi1",
	};
	char text[PASSWORD_HASH_MAX + 2];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		if (password_fault(span_cstr(bad[i])) == NULL)
			fail_msg("%s is taken", bad[i]);
	}
	memset(text, 'a', sizeof(text));
	memcpy(text, "$5$", 3);
	text[100] = '$';
	assert_non_null(password_fault(span_of(text, sizeof(text))));
}

static void
no_hash_is_taken_when_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(hashes) / sizeof(*hashes); i++) {
		struct span hash = span_cstr(hashes[i]);

		for (size_t len = 0; len < hash.len; len++)
			assert_non_null(password_fault(span_of(hash.p, len)));
		for (size_t at = 0; at < hash.len; at++) {
			char copy[PASSWORD_HASH_MAX];

			memcpy(copy, hash.p, hash.len);
			copy[at] = '\0';
			assert_non_null(password_fault(span_of(copy,
			    hash.len)));
			copy[at] = '\n';
			assert_non_null(password_fault(span_of(copy,
			    hash.len)));
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(apr1_is_that_of_openssl),
		cmocka_unit_test(all_kinds_are_checked),
		cmocka_unit_test(what_is_not_whole_is_refused),
		cmocka_unit_test(no_hash_is_taken_when_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

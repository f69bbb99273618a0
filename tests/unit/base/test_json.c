/* SPDX-License-Identifier: BSD-2-Clause */
/* The writer of JSON: commas, names, escapes, and no byte beyond its memory. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/json.h"
#include "base/str.h"

static void
assert_text(const struct str *s, const char *want)
{
	assert_int_equal(s->len, strlen(want));
	assert_memory_equal(s->p, want, s->len);
}

static void
test_structure(void **state)
{
	char memory[512];
	struct str s;
	struct json j;

	(void)state;
	str_init(&s, memory, sizeof(memory));
	json_init(&j, &s);
	json_object(&j, NULL);
	json_u64(&j, "n", UINT64_MAX);
	json_i64(&j, "least", INT64_MIN);
	json_object(&j, "empty");
	json_close(&j);
	json_array(&j, "list");
	json_bool(&j, NULL, true);
	json_object(&j, NULL);
	json_null(&j, "x");
	json_close(&j);
	json_array(&j, NULL);
	json_close(&j);
	json_bool(&j, NULL, false);
	json_close(&j);
	json_printf(&j, "text", "%s \"%d\"", "a", 5);
	json_cstr(&j, "none", NULL);
	json_raw(&j, "raw", SPAN("[1,2]"));
	json_close(&j);
	assert_false(s.overflow);
	assert_int_equal(j.depth, 0);
	assert_text(&s, "{\"n\":18446744073709551615,"
	    "\"least\":-9223372036854775808,\"empty\":{},"
	    "\"list\":[true,{\"x\":null},[],false],"
	    "\"text\":\"a \\\"5\\\"\",\"none\":null,\"raw\":[1,2]}");
}

static void
test_strings(void **state)
{
	static const struct {
		struct span value;
		const char *want;
	} rows[] = {
		{ { "", 0 }, "\"\"" },
		{ { "a\"b\\c", 5 }, "\"a\\\"b\\\\c\"" },
		{ { "\0\n\x1f", 3 }, "\"\\u0000\\u000a\\u001f\"" },
		{ { "\xc3\xa4", 2 }, "\"\xc3\xa4\"" },
		{ { "\xff" "a", 2 }, "\"\xef\xbf\xbd" "a\"" },
		{ { "</script>", 9 }, "\"</script>\"" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		char memory[64];
		struct str s;
		struct json j;

		str_init(&s, memory, sizeof(memory));
		json_init(&j, &s);
		json_span(&j, NULL, rows[i].value);
		assert_text(&s, rows[i].want);
	}
}

/* A name is escaped like any other string. */
static void
test_name(void **state)
{
	char memory[64];
	struct str s;
	struct json j;

	(void)state;
	str_init(&s, memory, sizeof(memory));
	json_init(&j, &s);
	json_object(&j, NULL);
	json_u64(&j, "a\"b", 1);
	json_close(&j);
	assert_text(&s, "{\"a\\\"b\":1}");
}

static void
test_bounds(void **state)
{
	char memory[] = "........#";

	(void)state;
	for (size_t cap = 0; cap < 8; cap++) {
		struct str s;
		struct json j;

		str_init(&s, memory, cap);
		json_init(&j, &s);
		json_object(&j, NULL);
		json_cstr(&j, "k", "vvvvvv");
		json_close(&j);
		assert_true(s.overflow);
		assert_true(s.len <= cap);
		assert_int_equal(memory[8], '#');
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_structure),
		cmocka_unit_test(test_strings),
		cmocka_unit_test(test_name),
		cmocka_unit_test(test_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

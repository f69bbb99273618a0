/* SPDX-License-Identifier: BSD-2-Clause */
/* Module requestid: what is a traceparent, and what is sent on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "../../../modules/requestid/trace.h"

#define ID "4bf92f3577b34da6a3ce929d0e0e4736"
#define PARENT "00f067aa0ba902b7"

static void
only_valid_ones_are_continued(void **state)
{
	static const struct {
		const char *value;
		bool want;
	} cases[] = {
		{ "00-" ID "-" PARENT "-01", true },
		{ "00-" ID "-" PARENT "-00", true },
		{ "00-" ID "-" PARENT "-ff", true },
		{ "01-" ID "-" PARENT "-01", true },
		{ "cc-" ID "-" PARENT "-01-what-the-future-brings", true },
		{ "cc-" ID "-" PARENT "-01.what", false },
		{ "00-" ID "-" PARENT "-01-", false },
		{ "00-" ID "-" PARENT "-011", false },
		{ "00-" ID "-" PARENT "-0", false },
		{ "ff-" ID "-" PARENT "-01", false },
		{ "0-" ID "-" PARENT "-01x", false },
		{ "00-00000000000000000000000000000000-" PARENT "-01", false },
		{ "00-" ID "-0000000000000000-01", false },
		{ "00-4BF92F3577B34DA6A3CE929D0E0E4736-" PARENT "-01", false },
		{ "00-" ID "-" PARENT "-0G", false },
		{ "00_" ID "-" PARENT "-01", false },
		{ "00-" ID "_" PARENT "-01", false },
		{ "00-" ID "-" PARENT "_01", false },
		{ "", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct span value = span_cstr(cases[i].value);

		if (trace_is_valid(value) != cases[i].want)
			fail_msg("%s", cases[i].value);
		/* No beginning of it is one, but for that of a later one. */
		for (size_t len = 0; len < value.len && len != TRACE_LEN;
		     len++)
			assert_false(trace_is_valid(span_of(value.p, len)));
	}
}

static void
compose(char out[TRACE_LEN + 1], const char *from, bool is_sampled,
    uint64_t a, uint64_t b, uint64_t c)
{
	const uint64_t random[3] = { a, b, c };

	trace_compose(out, span_cstr(from), is_sampled, random);
	out[TRACE_LEN] = '\0';
}

static void
ids_go_on_and_parents_are_new(void **state)
{
	char out[TRACE_LEN + 1];

	(void)state;
	compose(out, "00-" ID "-" PARENT "-01", false, 0, 0,
	    0x1111111111111111);
	assert_string_equal(out, "00-" ID "-1111111111111111-01");
	compose(out, "00-" ID "-" PARENT "-fe", true, 0, 0,
	    0x2222222222222222);
	assert_string_equal(out, "00-" ID "-2222222222222222-00");
	compose(out, "cd-" ID "-" PARENT "-03-more", true, 0, 0,
	    0x2222222222222222);
	assert_string_equal(out, "00-" ID "-2222222222222222-01");
}

static void
new_traces_are_random_and_valid(void **state)
{
	char out[TRACE_LEN + 1];

	(void)state;
	compose(out, "", true, 0xabababababababab, 0xcdcdcdcdcdcdcdcd,
	    0x1212121212121212);
	assert_string_equal(out,
	    "00-ababababababababcdcdcdcdcdcdcdcd-1212121212121212-01");
	compose(out, "", false, 0, 0, 0);
	assert_true(trace_is_valid(span_cstr(out)));
	assert_string_equal(out + TRACE_FLAGS_AT, "00");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_valid_ones_are_continued),
		cmocka_unit_test(ids_go_on_and_parents_are_new),
		cmocka_unit_test(new_traces_are_random_and_valid),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

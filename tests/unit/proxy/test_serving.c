/* SPDX-License-Identifier: BSD-2-Clause */
/* The record that a dead worker leaves: read without belief. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "proxy/phase.h"
#include "proxy/serving.h"

static const char *
module_name(const void *arg, uint32_t index)
{
	(void)arg;
	return index == 2 ? "limits" : NULL;
}

static const char *
route_name(const void *arg, uint32_t index)
{
	(void)arg;
	return index == 7 ? "web/1" : NULL;
}

static const struct serving_names names = { module_name, route_name, NULL };

static const char *
described(const struct serving *s)
{
	static char memory[1024];
	struct str out;

	str_init(&out, memory, sizeof(memory));
	serving_describe(s, &names, &out);
	return str_terminate(&out);
}

static struct serving
record(uint32_t what, const char *method, const char *target)
{
	struct serving s = { .what = what, .phase = PHASE_REQUEST,
		.module = 3, .route = 7 };

	s.client = (struct addr_ip){ .family = AF_INET, .bytes = {
		0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 192, 0, 2, 1 } };
	s.method_len = (uint8_t)strlen(method);
	s.target_len = (uint8_t)strlen(target);
	memcpy(s.method, method, s.method_len);
	memcpy(s.target, target, s.target_len);
	return s;
}

static void
test_words(void **state)
{
	static const struct {
		uint32_t what;
		const char *method, *target, *want;
	} cases[] = {
		{ SERVING_NOTHING, "GET", "/", "" },
		{ SERVING_HEAD, "GET", "/", "the head of a request" },
		{ 77, "GET", "/", "" },
		{ SERVING_EXCHANGE, "GET", "/x?y", "GET /x?y for 192.0.2.1 in "
		    "phase request, module limits, route web/1" },
		{ SERVING_EXCHANGE, "", "", "a request for 192.0.2.1 in "
		    "phase request, module limits, route web/1" },
		{ SERVING_EXCHANGE, "G\n", "/\"\x7f", "G\\x0a /\\x22\\x7f "
		    "for 192.0.2.1 in phase request, module limits, route "
		    "web/1" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct serving s = record(cases[i].what, cases[i].method,
		    cases[i].target);

		assert_string_equal(described(&s), cases[i].want);
	}
}

static void
test_wrong_numbers(void **state)
{
	struct serving s = record(SERVING_EXCHANGE, "GET", "/");

	(void)state;
	s.phase = PHASE_COUNT;
	s.module = UINT32_MAX;
	s.route = UINT32_MAX;
	assert_string_equal(described(&s), "GET / for 192.0.2.1");
}

/* Any bytes at all: an end, one line, nothing beyond the record read. */
static void
test_any_bytes(void **state)
{
	uint32_t x = 1;

	(void)state;
	for (unsigned i = 0; i < 2000; i++) {
		struct serving *s = malloc(sizeof(*s));
		const char *text;

		for (size_t j = 0; j < sizeof(*s); j++) {
			x = x * 1103515245 + 12345;
			((unsigned char *)s)[j] = (unsigned char)(x >> 16);
		}
		s->what = SERVING_EXCHANGE;
		text = described(s);
		for (; *text != '\0'; text++)
			assert_in_range(*text, 32, 126);
		free(s);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_wrong_numbers),
		cmocka_unit_test(test_any_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* Results as lines and tables. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/arena.h"
#include "ctl/jsonread.h"
#include "ctl/show.h"

static void
test_results(void **state)
{
	static const struct {
		const char *json;
		const char *want;
	} cases[] = {
		{ "{}", "" },
		{ "{\"text\":\"a = 1;\\n\\tb\\n\"}", "a = 1;\n\tb\n" },
		{ "{\"a\":1,\"long\":\"x\",\"yes\":true,\"no\":false,"
		    "\"nil\":null,\"e\":\"\",\"l\":[1,\"b\"],\"n\":[]}",
		    "a:    1\nlong: x\nyes:  yes\nno:   no\nnil:  -\n"
		    "e:    -\nl:    1, b\nn:    none\n" },
		{ "{\"s\":\"\\u001b[2J\\n\"}", "s: \\x1b[2J\\x0a\n" },
		{ "{\"list\":[{\"name\":\"a\",\"n\":5},"
		    "{\"name\":\"\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\","
		    "\"n\":100,\"x\":[]},{\"n\":null}]}",
		    "list:\n  name     n  x\n  a        5  -\n"
		    "  \xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4  100  ...\n"
		    "  -        -  -\n" },
		{ "{\"g\":1,\"changes\":[\"added x\",\"y\\u0007\"]}",
		    "g: 1\n\nchanges:\n  added x\n  y\\x07\n" },
		{ "{\"a\":1,\"o\":{\"b\":2},\"t\":[{\"c\":\"d\"}]}",
		    "a: 1\n\no:\nb: 2\n\nt:\n  c\n  d\n" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct jsonread_value *v;
		struct arena arena;
		char *text = NULL;
		size_t len = 0;
		FILE *out = open_memstream(&text, &len);

		assert_non_null(out);
		arena_init(&arena, NULL);
		v = jsonread_parse(&arena, span_cstr(cases[i].json));
		assert_non_null(v);
		show(v, out);
		fclose(out);
		assert_string_equal(text, cases[i].want);
		arena_fini(&arena);
		free(text);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_results),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

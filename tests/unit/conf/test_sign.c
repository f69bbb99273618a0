/* SPDX-License-Identifier: BSD-2-Clause */
/* Signs: the same for what means the same, another for any other value. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/arena.h"
#include "conf/sign.h"
#include "thing.h"

static uint64_t
sign_of(const char *text)
{
	struct arena arena;
	struct conf_ctx ctx = { .arena = &arena, .vars = &thing_vars,
		.report = conf_report_new() };
	struct thing thing;
	struct conf_part part = { &thing_table, &thing };
	uint64_t sign;

	/* What lies between the members must not count. */
	memset(&thing, (int)strlen(text), sizeof(thing));
	thing.mode = 0;
	thing.has_maybe = false;
	arena_init(&arena, NULL);
	conf_defaults(&ctx, &thing_table, &thing);
	assert_int_equal(conf_apply(&ctx, conf_tree_parse(&arena, "t",
	    span_cstr(text), ctx.report), &part, 1), 0);
	sign = conf_sign_table(&thing_table, &thing);
	conf_regex_free_all(ctx.regexes);
	conf_report_free(ctx.report);
	arena_fini(&arena);
	return sign;
}

static const char *const same[][2] = {
	{ "", "number = 10;" },
	{ "time = 60000;", "time = \"1m\"; # a comment" },
	{ "names = [ \"a\", \"b\" ];", "" },
	{ "limits = { };", "limits = { count = 7; };" },
	{ "address = \"127.0.0.1:80\";", "address = \"127.0.0.1:080\";" },
};

/* Each differs from all others. */
static const char *const others[] = {
	"", "yes = false;", "number = 11;", "workers = 3;",
	"level = \"warn\";", "size = \"8KB\";", "time = \"31s\";",
	"text = \"\";", "text = \"a\";", "text = \"b\";",
	"password = \"a\";", "password = \"b\";", "field = \"A\";",
	"greeting = \"bye\";", "names = [ ];", "names = [ \"ab\" ];",
	"names = [ \"b\", \"a\" ];", "statuses = [ 404, 500 ];",
	"statuses = [ 500, 404 ];", "ranges = \"10.0.0.0/8\";",
	"ranges = \"10.0.0.0/9\";", "ranges = \"11.0.0.0/8\";",
	"address = \"127.0.0.1:80\";", "address = \"127.0.0.1:81\";",
	"address = \"a.example:80\";", "address = \"b.example:80\";",
	"address = \"b.example:81\";", "regex = \"a\";", "regex = \"b\";",
	"fields = { A = \"1\"; };", "fields = { B = \"1\"; };",
	"fields = { A = \"2\"; };", "fields = { A = \"1\"; B = \"1\"; };",
	"limits = { count = 8; };", "maybe = { };", "maybe = { count = 8; };",
	"mode = 5;", "other = \"1s\";",
	"backends = ( { address = \"127.0.0.1:80\"; } );",
	"backends = ( { address = \"127.0.0.1:80\"; weight = 2; } );",
	("backends = ( { address = \"127.0.0.1:80\"; }, "
	    "{ address = \"127.0.0.1:80\"; } );"),
};

enum {
	SAME_COUNT = sizeof(same) / sizeof(*same),
	OTHER_COUNT = sizeof(others) / sizeof(*others),
};

static void
what_means_the_same(void **state)
{
	(void)state;
	for (size_t i = 0; i < SAME_COUNT; i++) {
		if (sign_of(same[i][0]) != sign_of(same[i][1]))
			fail_msg("%s | %s", same[i][0], same[i][1]);
	}
}

static void
what_does_not(void **state)
{
	uint64_t signs[OTHER_COUNT];

	(void)state;
	for (size_t i = 0; i < OTHER_COUNT; i++) {
		signs[i] = sign_of(others[i]);
		for (size_t j = 0; j < i; j++) {
			if (signs[i] == signs[j])
				fail_msg("%s | %s", others[i], others[j]);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_means_the_same),
		cmocka_unit_test(what_does_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* Suggestions for misspelt names. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "conf/item.h"

static const char *const names[] = {
	"workers", "user", "group", "upstreams", "upstream_keepalive_pool_size",
	"keepalive_timeout", "keepalive_requests", "listen", "timeouts",
	"X-Forwarded-For", "m", NULL,
};

static void
test_nearest(void **state)
{
	static const struct {
		const char *word, *want;
	} rows[] = {
		{ "worker", "workers" },
		{ "wrokers", "workers" },
		{ "Workers", "workers" },
		{ "wokrers", "workers" },
		{ "usr", "user" },
		{ "gruop", "group" },
		{ "upstream", "upstreams" },
		{ "keepalive-timeout", "keepalive_timeout" },
		{ "keep_alive_timeout", "keepalive_timeout" },
		{ "keepalive_request", "keepalive_requests" },
		{ "lisetn", "listen" },
		{ "upstream_keepalive_poolsize",
		  "upstream_keepalive_pool_size" },
		{ "n", "m" },
		{ "nm", "m" },
		{ "", NULL },
		{ "zzzzzz", NULL },
		{ "working_directory", NULL },
		{ "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *found = conf_nearest(rows[i].word, names);

		if (rows[i].want == NULL) {
			if (found != NULL)
				fail_msg("%s: %s", rows[i].word, found);
			continue;
		}
		if (found == NULL)
			fail_msg("%s: nothing", rows[i].word);
		assert_string_equal(found, rows[i].want);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nearest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* Whose turn it is, which address is asked, what the options check. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fixture.h"
#include "clock.h"

#include "base/str.h"
#include "conf/report.h"
#include "conf/template.h"
#include "conf/tree.h"
#include "upstream/lb.h"

static struct backend_zone *zone;

static int
setup(void **state)
{
	struct error err;

	(void)state;
	zone = backend_zone_new(64, &err);
	return zone != NULL ? 0 : -1;
}

static int
teardown(void **state)
{
	(void)state;
	backend_zone_free(zone);
	return 0;
}

static void
begin(struct fixture *f, const char *backends)
{
	struct error err;

	fixture_init(f, "app", backends);
	assert_int_equal(group_bind(f->group, zone, &err), 0);
	atomic_store(&f->group->backends[0].shared->turns, 0);
	group_start(f->group, NULL);
}

static void
end(struct fixture *f)
{
	group_unbind(f->group, zone);
	fixture_fini(f);
}

static char
pick(struct group *g)
{
	struct group_tries tries = { .count = 0 };
	const struct backend *b = group_pick(g, &tries);

	return b != NULL ? (char)('a' + b->index) : '-';
}

/* Every row is the whole cycle twice. */
static void
test_sequence(void **state)
{
	static const struct {
		const char *backends;
		const char *want;
	} rows[] = {
		{ "127.0.0.1:1", "aa" },
		{ "127.0.0.1:1 127.0.0.1:2 127.0.0.1:3", "abcabc" },
		{ "127.0.0.1:1=5 127.0.0.1:2=1 127.0.0.1:3=1",
		  "aabacaa" "aabacaa" },
		{ "127.0.0.1:1=1 127.0.0.1:2=2 127.0.0.1:3=3",
		  "cbacbc" "cbacbc" },
		{ "127.0.0.1:1=4 127.0.0.1:2=3 127.0.0.1:3=2",
		  "abcabacba" "abcabacba" },
		/* in lowest terms */
		{ "127.0.0.1:1=200 127.0.0.1:2=100", "aba" "aba" },
		{ "127.0.0.1:1=7 127.0.0.1:2=7", "abab" },
		{ "127.0.0.1:1=1000 127.0.0.1:2=999 127.0.0.1:3=1", "abab" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char got[32] = "";
		struct fixture f;

		begin(&f, rows[i].backends);
		for (size_t n = 0; n < strlen(rows[i].want); n++)
			got[n] = pick(f.group);
		assert_string_equal(got, rows[i].want);
		end(&f);
	}
}

/* A whole cycle gives every backend exactly its weight. */
static void
test_shares(void **state)
{
	struct fixture f;
	unsigned counts[4] = { 0 };

	(void)state;
	begin(&f, "127.0.0.1:1=1000 127.0.0.1:2=999 127.0.0.1:3=1 "
	    "127.0.0.1:4=37");
	for (unsigned i = 0; i < 2037; i++) {
		counts[pick(f.group) - 'a']++;
		clock_ms += i % 3 == 0;
	}
	assert_int_equal(counts[0], 1000);
	assert_int_equal(counts[1], 999);
	assert_int_equal(counts[2], 1);
	assert_int_equal(counts[3], 37);
	end(&f);
}

/* Two workers at a quiet time: one rotation, not two. */
static void
test_workers(void **state)
{
	struct fixture f;
	struct group other;
	char got[9] = "";

	(void)state;
	begin(&f, "127.0.0.1:1 127.0.0.1:2 127.0.0.1:3");
	other = *f.group;
	other.state = NULL;
	for (uint32_t i = 0; i < other.backend_count; i++)
		assert_ptr_equal(other.backends, f.group->backends);
	group_start(&other, NULL);
	for (int i = 0; i < 8; i++) {
		got[i] = pick(i % 3 == 1 ? &other : f.group);
		clock_ms += 5;
	}
	assert_string_equal(got, "abcabcab");
	group_stop(&other);
	end(&f);
}

static void
test_tries(void **state)
{
	struct group_tries tries = { .count = 0 };
	struct fixture f;
	unsigned seen = 0;

	(void)state;
	begin(&f, "127.0.0.1:1=9 127.0.0.1:2 127.0.0.1:3");
	for (int i = 0; i < 3; i++) {
		const struct backend *b = group_pick(f.group, &tries);

		assert_non_null(b);
		assert_int_equal(seen & 1U << b->index, 0);
		seen |= 1U << b->index;
	}
	assert_null(group_pick(f.group, &tries));
	assert_int_equal(tries.count, 3);
	tries.count = 0;
	assert_non_null(group_pick(f.group, &tries));
	end(&f);
}

static void
publish(struct group *g, uint32_t index, const char *addresses)
{
	struct backend_addresses list;

	fixture_addresses(&list, addresses);
	assert_int_equal(backend_publish(&g->backends[index], &list), 0);
}

/* The share of one that is down goes to all others alike. */
static void
test_down(void **state)
{
	unsigned counts[4] = { 0 };
	struct fixture f;

	(void)state;
	begin(&f, "127.0.0.1:1 gone.test:2 127.0.0.1:3 127.0.0.1:4");
	for (int i = 0; i < 300; i++) {
		counts[pick(f.group) - 'a']++;
		clock_ms++;
	}
	assert_int_equal(counts[0], 100);
	assert_int_equal(counts[1], 0);
	assert_int_equal(counts[2], 100);
	assert_int_equal(counts[3], 100);
	publish(f.group, 1, "192.0.2.1");
	memset(counts, 0, sizeof(counts));
	for (int i = 0; i < 400; i++)
		counts[pick(f.group) - 'a']++;
	assert_int_equal(counts[1], 100);
	end(&f);
}

static void
test_all_down(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, "gone.test:1=1000 away.test:2 lost.test:3");
	assert_int_equal(pick(f.group), '-');
	publish(f.group, 2, "192.0.2.1");
	assert_int_equal(pick(f.group), 'c');
	assert_int_equal(pick(f.group), 'c');
	end(&f);
}

static const char *
next_address(struct fixture *f, unsigned *seen)
{
	static char text[64];
	struct addr a;
	struct str out;

	if (group_address(f->group, &f->group->backends[0], seen, &a) != 0)
		return "none";
	str_init(&out, text, sizeof(text));
	addr_put(&out, &a);
	return str_terminate(&out);
}

static void
test_literal_address(void **state)
{
	static const char *const rows[] = { "127.0.0.1:80", "[::1]:81",
		"unix:/run/app.sock" };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct fixture f;
		unsigned seen = 0;

		begin(&f, rows[i]);
		assert_string_equal(next_address(&f, &seen), rows[i]);
		assert_string_equal(next_address(&f, &seen), "none");
		end(&f);
	}
}

/* In turn among the preferred family; the other one is what is left. */
static void
test_addresses(void **state)
{
	struct fixture f;
	unsigned seen = 0;

	(void)state;
	begin(&f, "app.test:80");
	assert_string_equal(next_address(&f, &seen), "none");
	publish(f.group, 0, "192.0.2.1 192.0.2.2 2001:db8::1");
	assert_string_equal(next_address(&f, &seen), "192.0.2.2:80");
	assert_string_equal(next_address(&f, &seen), "192.0.2.1:80");
	assert_string_equal(next_address(&f, &seen), "[2001:db8::1]:80");
	assert_string_equal(next_address(&f, &seen), "none");
	seen = 0;
	assert_string_equal(next_address(&f, &seen), "192.0.2.1:80");
	seen = 0;
	assert_string_equal(next_address(&f, &seen), "192.0.2.2:80");
	end(&f);
}

static void
fail_address(struct fixture *f, const char *text)
{
	struct addr_spec spec;
	struct error err;

	assert_int_equal(addr_parse(span_cstr(text), 0, &spec, &err), 0);
	group_address_failed(f->group, &f->group->backends[0], &spec.addr);
}

/* One that refused comes last for ten seconds. */
static void
test_refused_address(void **state)
{
	struct fixture f;
	unsigned seen;

	(void)state;
	begin(&f, "localhost:80");
	publish(f.group, 0, "127.0.0.1 ::1");
	for (int i = 0; i < 4; i++) {
		seen = 0;
		assert_string_equal(next_address(&f, &seen), "127.0.0.1:80");
	}
	fail_address(&f, "127.0.0.1:80");
	/* In the same go the other one is next, then nothing. */
	assert_string_equal(next_address(&f, &seen), "[::1]:80");
	assert_string_equal(next_address(&f, &seen), "none");
	seen = 0;
	assert_string_equal(next_address(&f, &seen), "[::1]:80");
	assert_string_equal(next_address(&f, &seen), "127.0.0.1:80");
	/* Both refused: all are asked. */
	fail_address(&f, "[::1]:80");
	seen = 0;
	assert_string_equal(next_address(&f, &seen), "127.0.0.1:80");
	/* In time both are forgotten, and then one alone. */
	clock_ms += 10000;
	fail_address(&f, "127.0.0.1:80");
	clock_ms += 9999;
	seen = 0;
	assert_string_equal(next_address(&f, &seen), "[::1]:80");
	clock_ms += 1;
	seen = 0;
	assert_string_equal(next_address(&f, &seen), "127.0.0.1:80");
	/* A new answer forgets what the old one's places were. */
	fail_address(&f, "127.0.0.1:80");
	publish(f.group, 0, "192.0.2.1 ::1");
	seen = 0;
	assert_string_equal(next_address(&f, &seen), "192.0.2.1:80");
	end(&f);
}

/* Hundreds of weights that have no common divisor: rounded, still a plan. */
static void
test_many_weights(void **state)
{
	enum { COUNT = 3000 };
	struct arena arena;
	struct group_conf conf = { .name = "big" };
	struct addr_spec spec;
	struct backend_conf *backends = calloc(COUNT, sizeof(*backends));
	unsigned *counts = calloc(COUNT, sizeof(*counts));
	struct error err;
	struct group *g;

	(void)state;
	arena_init(&arena, NULL);
	assert_int_equal(addr_parse(SPAN("127.0.0.1:80"), 0, &spec, &err), 0);
	for (uint32_t i = 0; i < COUNT; i++) {
		backends[i].address = &spec;
		backends[i].weight = 1 + i % 1000;
	}
	conf.backends.items = backends;
	conf.backends.count = COUNT;
	g = group_new(&arena, &conf);
	group_start(g, NULL);
	for (int i = 0; i < 100000; i++) {
		struct group_tries tries = { .count = 0 };

		counts[group_pick(g, &tries)->index]++;
	}
	for (uint32_t i = 0; i < COUNT; i++)
		assert_true(counts[i] > 0);
	assert_in_range(counts[999], 1.6 * counts[499], 2.4 * counts[499]);
	group_stop(g);
	arena_fini(&arena);
	free(backends);
	free(counts);
}

struct check {
	const char *text;
	const char *want; /* in the report; NULL = valid */
};

static const struct check checks[] = {
	{ "name = \"a\"; backends = ( { address = \"127.0.0.1:80\"; } );",
	  NULL },
	{ "name = \"a\"; backends = ( { address = \"app.test:80\"; weight = 3;"
	  " }, { address = \"unix:/run/a\"; } ); retries = 0; balance = "
	  "\"round_robin\"; host = \"${x}\"; timeouts = { connect = \"1s\"; };",
	  "unknown" },
	{ "backends = ( { address = \"127.0.0.1:80\"; } );", "name" },
	{ "name = \"a\";", "backends" },
	{ "name = \"a\"; backends = ( );", "no backends" },
	{ "name = \"\"; backends = ( { address = \"127.0.0.1:80\"; } );",
	  "empty" },
	{ "name = \"a\"; backends = ( { address = \":80\"; } );",
	  "needs a host" },
	{ "name = \"a\"; backends = ( { address = \"127.0.0.1\"; } );",
	  "port" },
	{ "name = \"a\"; backends = ( { address = \"x.test:80\"; weight = 0; "
	  "} );", "weight" },
	{ "name = \"a\"; backends = ( { address = \"x.test:80\"; }, "
	  "{ address = \"X.test:80\"; } );", "listed twice" },
	{ "name = \"a\"; backends = ( { address = \"x.test:80\"; } ); "
	  "retries = 17;", "retries" },
	{ "name = \"a\"; backends = ( { address = \"x.test:80\"; } ); "
	  "timeouts = { connect = \"0\"; };", "connect" },
	{ "name = \"a\"; backends = ( { address = \"x.test:80\"; } ); "
	  "balance = \"robin\";", "round_robin" },
};

static void
load(const char *text, struct group_conf *conf, struct arena *arena,
    char *report_text, size_t size)
{
	static const struct template_vars no_vars;
	struct conf_report *report = conf_report_new();
	struct conf_ctx ctx = { .arena = arena, .report = report,
		.vars = &no_vars };
	struct conf_part part = { &group_conf_table, conf };
	FILE *out = fmemopen(report_text, size, "w");
	struct conf_node *node = conf_tree_parse(arena, "t.conf",
	    span_cstr(text), report);

	assert_non_null(out);
	assert_non_null(node);
	memset(conf, 0, sizeof(*conf));
	conf_defaults(&ctx, &group_conf_table, conf);
	(void)conf_apply(&ctx, node, &part, 1);
	conf_report_print(report, out);
	fclose(out);
	conf_report_free(report);
}

static void
test_checks(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
		char report[4096] = "";
		struct group_conf conf;
		struct arena arena;

		arena_init(&arena, NULL);
		load(checks[i].text, &conf, &arena, report, sizeof(report));
		if (checks[i].want == NULL ? report[0] != '\0' :
		    strstr(report, checks[i].want) == NULL)
			fail_msg("%s\ngot: %s", checks[i].text, report);
		arena_fini(&arena);
	}
}

static void
test_defaults(void **state)
{
	char report[4096] = "";
	struct group_conf conf;
	struct arena arena;

	(void)state;
	arena_init(&arena, NULL);
	load("name = \"a\"; backends = ( { address = \"x.test:80\"; } );",
	    &conf, &arena, report, sizeof(report));
	assert_string_equal(report, "");
	assert_int_equal(conf.timeouts.connect_ms, 5000);
	assert_int_equal(conf.timeouts.first_byte_ms, 60000);
	assert_int_equal(conf.timeouts.between_bytes_ms, 60000);
	assert_int_equal(conf.timeouts.total_ms, 0);
	assert_int_equal(conf.retries, 2);
	assert_int_equal(conf.retry_budget.percent, 20);
	assert_int_equal(conf.retry_budget.min_per_second, 10);
	assert_int_equal(conf.keepalive.idle_timeout_ms, 60000);
	assert_int_equal(conf.keepalive.idle_max, 256);
	assert_int_equal(conf.keepalive.requests_max, 0);
	assert_int_equal(conf.pool_share_after_ms, 100);
	assert_int_equal(conf.response_header_max_bytes, 32768);
	assert_int_equal(conf.response_fields_max, 100);
	assert_int_equal(conf.interim_responses_max, 16);
	assert_int_equal(((struct backend_conf *)conf.backends.items)->weight,
	    1);
	arena_fini(&arena);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sequence),
		cmocka_unit_test(test_shares),
		cmocka_unit_test(test_workers),
		cmocka_unit_test(test_tries),
		cmocka_unit_test(test_down),
		cmocka_unit_test(test_all_down),
		cmocka_unit_test(test_literal_address),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_refused_address),
		cmocka_unit_test(test_many_weights),
		cmocka_unit_test(test_checks),
		cmocka_unit_test(test_defaults),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}

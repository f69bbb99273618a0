/* SPDX-License-Identifier: BSD-2-Clause */
/* The zone of counters: layout, names, one writer a slot, deaths. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "metrics/histogram.h"
#include "metrics/metrics.h"

enum { SITE_STARTS, SITE_OPEN, SITE_ROWS };
enum { ROUTE_REQUESTS, METRIC_SPACE(ROUTE_TIME), ROUTE_NOW, ROUTE_ROWS };
enum { BACKEND_TRIES, BACKEND_ROWS };

static const struct metric site_rows[SITE_ROWS] = {
	[SITE_STARTS] = { .name = "starts_total", .help = "Starts." },
	[SITE_OPEN] = { .name = "open", .help = "Open.",
	    .type = METRIC_GAUGE },
};
static const struct metric route_rows[ROUTE_ROWS] = {
	[ROUTE_REQUESTS] = { .name = "requests_total", .help = "Requests." },
	[ROUTE_TIME] = { .name = "duration_seconds", .help = "Time.",
	    .type = METRIC_HISTOGRAM },
	[ROUTE_NOW] = { .name = "active", .help = "Now.",
	    .type = METRIC_GAUGE },
};
static const struct metric backend_rows[BACKEND_ROWS] = {
	[BACKEND_TRIES] = { .name = "tries_total", .help = "Tries." },
};
static const struct metric_set site_set =
    METRIC_SET("site", METRIC_SCOPE_PROCESS, site_rows);
static const struct metric_set route_set =
    METRIC_SET("route", METRIC_SCOPE_ROUTE, route_rows);
static const struct metric_set backend_set =
    METRIC_SET("backend", METRIC_SCOPE_BACKEND, backend_rows);
static const struct metric_set *const all_sets[] = {
	&site_set, &route_set, &backend_set,
};
static const struct metrics_config config = {
	.sets = all_sets, .set_count = 3, .process_slots = 3,
	.routes_max = 4, .upstreams_max = 2, .backends_max = 3,
};

static int
setup(void **state)
{
	static struct metrics m;
	struct error err;

	if (metrics_open(&m, &config, &err) != 0) {
		print_error("%s\n", err.text);
		return -1;
	}
	*state = &m;
	return 0;
}

static int
teardown(void **state)
{
	metrics_close(*state);
	return 0;
}

static uint32_t
route(struct metrics *m, const char *service, const char *name)
{
	return metrics_register(m, METRIC_SCOPE_ROUTE, span_cstr(service),
	    span_cstr(name));
}

/* Give each word of a block the next number, or see that it has it still. */
static uint64_t
number_block(struct metrics *m, size_t set, uint32_t slot, uint32_t index,
    uint64_t number, bool is_check)
{
	_Atomic uint64_t *b = metrics_block(m, all_sets[set], slot, index);
	uintptr_t data = (uintptr_t)m->zone.data;

	assert_true((uintptr_t)b >= data);
	assert_true((uintptr_t)(b + all_sets[set]->count) <=
	    data + m->zone.data_bytes);
	assert_int_equal((uintptr_t)b % 64, 0);
	for (size_t row = 0; row < all_sets[set]->count; row++, number++) {
		if (is_check)
			assert_int_equal(counter_get(b + row), number);
		else
			counter_set(b + row, number);
	}
	return number;
}

static void
number_blocks(struct metrics *m, bool is_check)
{
	uint64_t number = 1;

	for (uint32_t slot = 0; slot < 3; slot++) {
		for (size_t set = 0; set < 3; set++) {
			enum metric_scope scope = all_sets[set]->scope;

			for (uint32_t i = 0; i < m->layout.names_max[scope];
			     i++)
				number = number_block(m, set, slot, i, number,
				    is_check);
		}
	}
}

static void
blocks_do_not_overlap(void **state)
{
	struct metrics *m = *state;

	number_blocks(m, false);
	number_blocks(m, true);
	/* Nor do they lie on the directories. */
	assert_int_equal(route(m, "s", "a"), 0);
	assert_int_equal(route(m, "s", "b"), 1);
	number_blocks(m, true);
}

static void
names_keep_their_numbers(void **state)
{
	struct metrics *m = *state;
	struct metrics_label label;

	assert_int_equal(route(m, "web", "a"), 0);
	assert_int_equal(route(m, "web", "b"), 1);
	assert_int_equal(route(m, "api", "a"), 2);
	assert_int_equal(route(m, "web", "b"), 1);
	assert_true(metrics_label(m, METRIC_SCOPE_ROUTE, 2, &label));
	assert_string_equal(label.parent, "api");
	assert_string_equal(label.name, "a");
	assert_false(metrics_label(m, METRIC_SCOPE_ROUTE, 3, &label));
}

static void
too_many_names_share_other(void **state)
{
	struct metrics *m = *state;
	struct metrics_label label;

	for (unsigned i = 0; i < 20; i++) {
		char name[16];

		snprintf(name, sizeof(name), "r%u", i);
		assert_int_equal(route(m, "web", name), i < 3 ? i : 3);
	}
	assert_int_equal(route(m, "web", "r1"), 1);
	assert_true(metrics_label(m, METRIC_SCOPE_ROUTE, 3, &label));
	assert_string_equal(label.parent, "");
	assert_string_equal(label.name, "other");
}

static void
an_upstream_named_other_is_the_last(void **state)
{
	struct metrics *m = *state;

	assert_int_equal(metrics_register(m, METRIC_SCOPE_UPSTREAM,
	    span_of(NULL, 0), SPAN("other")), 1);
	assert_int_equal(metrics_register(m, METRIC_SCOPE_UPSTREAM,
	    span_of(NULL, 0), SPAN("a")), 0);
	assert_int_equal(metrics_register(m, METRIC_SCOPE_UPSTREAM,
	    span_of(NULL, 0), SPAN("b")), 1);
}

static void
long_names_are_cut_but_stay_apart(void **state)
{
	struct metrics *m = *state;
	struct metrics_label label;
	char a[300], b[300];

	memset(a, 'x', sizeof(a) - 1);
	a[sizeof(a) - 1] = '\0';
	memcpy(b, a, sizeof(b));
	b[290] = 'y';
	assert_int_equal(route(m, a, a), 0);
	assert_int_equal(route(m, a, b), 1);
	assert_int_equal(route(m, b, a), 2);
	assert_int_equal(route(m, a, b), 1);
	assert_true(metrics_label(m, METRIC_SCOPE_ROUTE, 0, &label));
	assert_int_equal(strlen(label.parent), METRICS_PARENT_MAX);
	assert_int_equal(strlen(label.name), METRICS_NAME_MAX);
}

static void
release_folds_into_other_and_frees(void **state)
{
	struct metrics *m = *state;
	struct metrics_label label;
	uint32_t a = route(m, "web", "a");
	_Atomic uint64_t *one = metrics_block(m, &route_set, 1, a);
	_Atomic uint64_t *two = metrics_block(m, &route_set, 2, a);

	assert_int_equal(route(m, "web", "a"), a);
	counter_add(one + ROUTE_REQUESTS, 5);
	counter_add(two + ROUTE_REQUESTS, 7);
	counter_add(two + ROUTE_NOW, 3);
	histogram_observe(two + ROUTE_TIME, 1000);
	metrics_release(m, METRIC_SCOPE_ROUTE, a, 0);
	assert_true(metrics_label(m, METRIC_SCOPE_ROUTE, a, &label));
	assert_int_equal(metrics_sum(m, &route_set, 3, ROUTE_REQUESTS), 0);

	metrics_release(m, METRIC_SCOPE_ROUTE, a, 0);
	assert_false(metrics_label(m, METRIC_SCOPE_ROUTE, a, &label));
	assert_int_equal(metrics_sum(m, &route_set, a, ROUTE_REQUESTS), 0);
	assert_int_equal(metrics_sum(m, &route_set, 3, ROUTE_REQUESTS), 12);
	assert_int_equal(metrics_value(m, &route_set, 0, 3, ROUTE_REQUESTS),
	    12);
	assert_int_equal(metrics_sum(m, &route_set, 3, ROUTE_NOW), 0);
	assert_int_equal(metrics_sum(m, &route_set, 3, ROUTE_TIME + 1), 1);
	assert_int_equal(
	    metrics_sum(m, &route_set, 3, ROUTE_TIME + HISTOGRAM_SUM), 1000);
	/* The number is free, and starts from 0. */
	assert_int_equal(route(m, "web", "z"), a);
	assert_int_equal(metrics_sum(m, &route_set, a, ROUTE_NOW), 0);
}

static void
sums_are_over_all_processes(void **state)
{
	struct metrics *m = *state;

	counter_add(metrics_block(m, &site_set, 0, 0) + SITE_STARTS, 1);
	counter_add(metrics_block(m, &site_set, 2, 0) + SITE_STARTS, 40);
	assert_int_equal(metrics_sum(m, &site_set, 0, SITE_STARTS), 41);
	assert_true(metrics_has_counted(m, &site_set, 2));
	assert_false(metrics_has_counted(m, &site_set, 1));
	assert_false(metrics_has_counted(m, &route_set, 2));
}

/* Counts in slot 1 until it is killed. */
static void
count_until_killed(struct metrics *m, int ready)
{
	_Atomic uint64_t *b = metrics_block(m, &site_set, 1, 0);

	counter_add(b + SITE_OPEN, 1);
	for (;;) {
		counter_add(b + SITE_STARTS, 1);
		if (ready >= 0 && write(ready, "", 1) == 1)
			ready = -1;
	}
}

static void
counters_outlive_their_process(void **state)
{
	struct metrics *m = *state;
	uint64_t before = 0;

	for (int i = 0; i < 5; i++) {
		uint64_t now;
		int fds[2];
		char c;
		pid_t pid;

		assert_int_equal(pipe(fds), 0);
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			count_until_killed(m, fds[1]);
			_exit(1);
		}
		assert_int_equal(read(fds[0], &c, 1), 1);
		assert_int_equal(kill(pid, SIGKILL), 0);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		close(fds[0]);
		close(fds[1]);
		now = metrics_sum(m, &site_set, 0, SITE_STARTS);
		assert_true(now > before);
		before = now;
		assert_int_equal(metrics_sum(m, &site_set, 0, SITE_OPEN), 1);
		metrics_reset_gauges(m, 1);
		assert_int_equal(metrics_sum(m, &site_set, 0, SITE_OPEN), 0);
	}
	assert_int_equal(metrics_sum(m, &site_set, 0, SITE_STARTS), before);
}

static void
gauges_of_one_slot_are_reset(void **state)
{
	struct metrics *m = *state;
	uint32_t a = route(m, "web", "a"), b = route(m, "web", "b");

	counter_add(metrics_block(m, &route_set, 1, a) + ROUTE_NOW, 2);
	counter_add(metrics_block(m, &route_set, 1, b) + ROUTE_NOW, 3);
	counter_add(metrics_block(m, &route_set, 2, b) + ROUTE_NOW, 4);
	counter_add(metrics_block(m, &route_set, 1, b) + ROUTE_REQUESTS, 9);
	histogram_observe(metrics_block(m, &route_set, 1, b) + ROUTE_TIME, 1);
	metrics_reset_gauges(m, 1);
	assert_int_equal(metrics_sum(m, &route_set, a, ROUTE_NOW), 0);
	assert_int_equal(metrics_sum(m, &route_set, b, ROUTE_NOW), 4);
	assert_int_equal(metrics_sum(m, &route_set, b, ROUTE_REQUESTS), 9);
	assert_int_equal(metrics_sum(m, &route_set, b, ROUTE_TIME), 1);
}

static void
a_successor_finds_names_and_counts(void **state)
{
	struct metrics *m = *state;
	struct metrics_config other = config;
	struct metrics successor;
	struct error err;
	uint32_t b;

	route(m, "web", "a");
	b = route(m, "web", "b");
	counter_add(metrics_block(m, &route_set, 1, b) + ROUTE_REQUESTS, 6);
	assert_int_equal(metrics_adopt(&successor, dup(m->zone.fd), &config,
	    &err), 0);
	assert_int_equal(route(&successor, "web", "b"), b);
	assert_int_equal(route(&successor, "web", "c"), 2);
	assert_int_equal(metrics_sum(&successor, &route_set, b,
	    ROUTE_REQUESTS), 6);
	metrics_close(&successor);

	other.set_count = 2;
	assert_int_equal(metrics_adopt(&successor, dup(m->zone.fd), &other,
	    &err), -1);
	other = config;
	other.routes_max = 3;
	other.upstreams_max = 3;
	assert_int_equal(metrics_adopt(&successor, dup(m->zone.fd), &other,
	    &err), -1);
}

static void
wrong_tables_are_refused(void **state)
{
	static const struct metric histogram_alone[] = {
		{ .name = "a_seconds", .help = "A.",
		    .type = METRIC_HISTOGRAM },
	};
	static const struct metric no_total[] = {
		{ .name = "requests", .help = "A." },
	};
	static const struct metric bad_name[] = {
		{ .name = "a-b_total", .help = "A." },
	};
	static const struct metric twice[] = {
		{ .name = "a_total", .help = "A." },
		{ .name = "a_total", .help = "A." },
	};
	static const struct metric same_label[] = {
		{ .name = "a_total", .help = "A.", .label = "x=\"1\"" },
		{ .name = "a_total", .label = "x=\"1\"" },
	};
	static const struct metric apart[] = {
		{ .name = "a_total", .help = "A.", .label = "x=\"1\"" },
		{ .name = "b_total", .help = "B." },
		{ .name = "a_total", .help = "A.", .label = "x=\"2\"" },
	};
	static const struct metric two_types[] = {
		{ .name = "a_total", .help = "A.", .label = "x=\"1\"" },
		{ .name = "a_total", .type = METRIC_GAUGE,
		    .label = "x=\"2\"" },
	};
	static const struct metric no_help[] = { { .name = "a_total" } };
	static const struct metric bad_label[] = {
		{ .name = "a_total", .help = "A.", .label = "x" },
	};
	static const struct metric long_label[] = {
		{ .name = "a_total", .help = "A.", .label = "x=\""
		    "0123456789012345678901234567890123456789012345678901234567"
		    "0123456789012345678901234567890123456789012345678901234567"
		    "01234567890123456789\"" },
	};
	static const struct metric good[] = {
		{ .name = "a_total", .help = "A.", .label = "x=\"1\"" },
		{ .name = "a_total", .label = "x=\"2\"" },
		{ .name = "b", .help = "B.", .type = METRIC_GAUGE },
	};
	static const struct metric_set sets[] = {
		METRIC_SET("x", METRIC_SCOPE_PROCESS, good),
		METRIC_SET("x", METRIC_SCOPE_PROCESS, histogram_alone),
		METRIC_SET("x", METRIC_SCOPE_PROCESS, no_total),
		METRIC_SET("x", METRIC_SCOPE_PROCESS, bad_name),
		METRIC_SET("x", METRIC_SCOPE_PROCESS, twice),
		METRIC_SET("x", METRIC_SCOPE_PROCESS, same_label),
		METRIC_SET("x", METRIC_SCOPE_PROCESS, apart),
		METRIC_SET("x", METRIC_SCOPE_PROCESS, two_types),
		METRIC_SET("x", METRIC_SCOPE_PROCESS, no_help),
		METRIC_SET("x", METRIC_SCOPE_PROCESS, bad_label),
		METRIC_SET("x", METRIC_SCOPE_PROCESS, long_label),
		METRIC_SET("X", METRIC_SCOPE_PROCESS, good),
	};
	static const struct metric_set again = METRIC_SET("x",
	    METRIC_SCOPE_ROUTE, good);

	(void)state;
	for (size_t i = 0; i < sizeof(sets) / sizeof(*sets); i++) {
		const struct metric_set *one[] = { &sets[i] };
		struct metrics_config c = config;
		struct metrics_layout l;
		struct error err;

		c.sets = one;
		c.set_count = 1;
		assert_int_equal(metrics_layout(&l, &c, &err), i == 0 ? 0 : -1);
	}
	{
		const struct metric_set *two[] = { &sets[0], &again };
		struct metrics_config c = config;
		struct metrics_layout l;
		struct error err;

		c.sets = two;
		c.set_count = 2;
		assert_int_equal(metrics_layout(&l, &c, &err), -1);
		assert_non_null(strstr(err.text, "x_a_total"));
	}
}

/* A row renamed, or moved to another type or place, is another layout. */
static void
version_follows_the_rows(void **state)
{
	static const struct metric a[] = {
		{ .name = "a_total", .help = "A." },
		{ .name = "b_total", .help = "B." },
	};
	static const struct metric swapped[] = {
		{ .name = "b_total", .help = "B." },
		{ .name = "a_total", .help = "A." },
	};
	static const struct metric gauge[] = {
		{ .name = "a_total", .help = "A.", .type = METRIC_GAUGE },
		{ .name = "b_total", .help = "B." },
	};
	static const struct metric helped[] = {
		{ .name = "a_total", .help = "Other words." },
		{ .name = "b_total", .help = "B." },
	};
	static const struct metric_set sets[] = {
		METRIC_SET("x", METRIC_SCOPE_PROCESS, a),
		METRIC_SET("x", METRIC_SCOPE_PROCESS, helped),
		METRIC_SET("x", METRIC_SCOPE_PROCESS, swapped),
		METRIC_SET("x", METRIC_SCOPE_PROCESS, gauge),
		METRIC_SET("x", METRIC_SCOPE_ROUTE, a),
		METRIC_SET("y", METRIC_SCOPE_PROCESS, a),
	};
	uint32_t versions[6];

	(void)state;
	for (size_t i = 0; i < 6; i++) {
		const struct metric_set *one[] = { &sets[i] };
		struct metrics_config c = config;
		struct metrics_layout l;
		struct error err;

		c.sets = one;
		c.set_count = 1;
		assert_int_equal(metrics_layout(&l, &c, &err), 0);
		versions[i] = l.version;
	}
	assert_int_equal(versions[0], versions[1]);
	for (size_t i = 2; i < 6; i++)
		assert_int_not_equal(versions[0], versions[i]);
}

/* 10,000 names must not cost a search through all for each. */
static void
many_names_are_found_fast(void **state)
{
	struct metrics_config c = config;
	struct metrics m;
	struct error err;

	(void)state;
	c.backends_max = 65536;
	assert_int_equal(metrics_open(&m, &c, &err), 0);
	for (int pass = 0; pass < 2; pass++) {
		for (uint32_t i = 0; i < 60000; i++) {
			char name[16];

			snprintf(name, sizeof(name), "b%u", (unsigned)i);
			assert_int_equal(metrics_register(&m,
			    METRIC_SCOPE_BACKEND, SPAN("u"), span_cstr(name)),
			    i);
		}
	}
	metrics_close(&m);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(blocks_do_not_overlap),
		TEST(names_keep_their_numbers),
		TEST(too_many_names_share_other),
		TEST(an_upstream_named_other_is_the_last),
		TEST(long_names_are_cut_but_stay_apart),
		TEST(release_folds_into_other_and_frees),
		TEST(sums_are_over_all_processes),
		TEST(counters_outlive_their_process),
		TEST(gauges_of_one_slot_are_reset),
		TEST(a_successor_finds_names_and_counts),
		cmocka_unit_test(wrong_tables_are_refused),
		cmocka_unit_test(version_follows_the_rows),
		cmocka_unit_test(many_names_are_found_fast),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Counters of a zone of another layout: by name, again and again, and what is
 * left when the other one has gone.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "metrics/histogram.h"
#include "metrics/metrics.h"
#include "metrics/metrics_inherit.h"

/* ---- an earlier version ---- */

enum { OLD_STARTS, OLD_OPEN, OLD_ENDED, OLD_SITE_ROWS };
enum { OLD_REQUESTS, METRIC_SPACE(OLD_TIME), OLD_2XX, OLD_5XX, OLD_ROWS };

static const struct metric old_site_rows[OLD_SITE_ROWS] = {
	[OLD_STARTS] = { .name = "starts_total", .help = "Starts." },
	[OLD_OPEN] = { .name = "open", .help = "Open.",
	    .type = METRIC_GAUGE },
	[OLD_ENDED] = { .name = "forgotten_total", .help = "Gone later." },
};
static const struct metric old_route_rows[OLD_ROWS] = {
	[OLD_REQUESTS] = { .name = "requests_total", .help = "Requests." },
	[OLD_TIME] = { .name = "duration_seconds", .help = "Time.",
	    .type = METRIC_HISTOGRAM },
	[OLD_2XX] = { .name = "answers_total", .help = "Answers.",
	    .label = "code=\"2xx\"" },
	[OLD_5XX] = { .name = "answers_total", .label = "code=\"5xx\"" },
};
static const struct metric_set old_site =
    METRIC_SET("site", METRIC_SCOPE_PROCESS, old_site_rows);
static const struct metric_set old_route =
    METRIC_SET("route", METRIC_SCOPE_ROUTE, old_route_rows);
static const struct metric_set *const old_sets[] = { &old_site, &old_route };
static const struct metrics_config old_config = {
	.sets = old_sets, .set_count = 2, .process_slots = 3,
	.routes_max = 4, .upstreams_max = 2, .backends_max = 3,
};

/* ---- a later one: other rows, in another order ---- */

enum { NEW_OPEN, NEW_MORE, NEW_STARTS, NEW_SITE_ROWS };
enum { NEW_5XX, NEW_4XX, NEW_2XX, METRIC_SPACE(NEW_TIME), NEW_REQUESTS,
	NEW_ROWS };

static const struct metric new_site_rows[NEW_SITE_ROWS] = {
	[NEW_OPEN] = { .name = "open", .help = "Open.",
	    .type = METRIC_GAUGE },
	[NEW_MORE] = { .name = "more_total", .help = "More." },
	[NEW_STARTS] = { .name = "starts_total", .help = "Starts." },
};
static const struct metric new_route_rows[NEW_ROWS] = {
	[NEW_5XX] = { .name = "answers_total", .help = "Answers.",
	    .label = "code=\"5xx\"" },
	[NEW_4XX] = { .name = "answers_total", .label = "code=\"4xx\"" },
	[NEW_2XX] = { .name = "answers_total", .label = "code=\"2xx\"" },
	[NEW_TIME] = { .name = "duration_seconds", .help = "Time.",
	    .type = METRIC_HISTOGRAM },
	[NEW_REQUESTS] = { .name = "requests_total", .help = "Requests." },
};
static const struct metric_set new_site =
    METRIC_SET("site", METRIC_SCOPE_PROCESS, new_site_rows);
static const struct metric_set new_route =
    METRIC_SET("route", METRIC_SCOPE_ROUTE, new_route_rows);
static const struct metric_set *const new_sets[] = { &new_route, &new_site };

enum { SHOWN_IN = 4 }; /* the process slot */

static struct metrics before, after;
static struct metrics_heir *heir;

static void
open_both(uint32_t routes_max)
{
	const struct metrics_config config = {
		.sets = new_sets, .set_count = 2, .process_slots = 7,
		.routes_max = routes_max, .upstreams_max = 2,
		.backends_max = 3,
	};
	struct error err;

	assert_int_equal(metrics_open(&before, &old_config, &err), 0);
	assert_int_equal(metrics_open(&after, &config, &err), 0);
}

static void
inherit(void)
{
	char *text = metrics_inherit_describe(&before);
	struct error err;

	heir = metrics_inherit_open(&after, dup(before.zone.fd),
	    before.zone.version, before.zone.data_bytes, span_cstr(text),
	    &err);
	assert_non_null(heir);
	free(text);
}

static void
close_both(void)
{
	metrics_close(&after);
	metrics_close(&before);
}

static uint32_t
route(struct metrics *m, const char *name)
{
	return metrics_register(m, METRIC_SCOPE_ROUTE, SPAN("web"),
	    span_cstr(name));
}

static void
count(uint32_t process, uint32_t index, size_t row, uint64_t n)
{
	counter_add(metrics_block(&before, &old_route, process, index) + row,
	    n);
}

static uint64_t
sum(const char *name, size_t row)
{
	uint32_t index = route(&after, name);
	uint64_t n = metrics_sum(&after, &new_route, index, row);

	metrics_release(&after, METRIC_SCOPE_ROUTE, index, 0);
	return n;
}

static uint64_t
site_sum(size_t row)
{
	return metrics_sum(&after, &new_site, 0, row);
}

static void
test_by_name(void **state)
{
	uint32_t a, b;

	(void)state;
	open_both(16);
	a = route(&before, "a");
	b = route(&before, "b");
	/* Another number than the old one has. */
	route(&after, "z");
	route(&after, "b");
	count(1, a, OLD_REQUESTS, 5);
	count(2, a, OLD_REQUESTS, 2);
	count(2, a, OLD_5XX, 3);
	count(2, b, OLD_2XX, 4);
	histogram_observe(metrics_block(&before, &old_route, 1, b) + OLD_TIME,
	    1000);
	counter_add(metrics_block(&before, &old_site, 1, 0) + OLD_STARTS, 9);
	counter_add(metrics_block(&before, &old_site, 2, 0) + OLD_OPEN, 6);
	inherit();
	metrics_inherit_sync(heir, SHOWN_IN);
	assert_int_equal(sum("a", NEW_REQUESTS), 7);
	assert_int_equal(sum("a", NEW_5XX), 3);
	assert_int_equal(sum("a", NEW_4XX), 0);
	assert_int_equal(sum("b", NEW_2XX), 4);
	assert_int_equal(sum("b", NEW_TIME + METRIC_HISTOGRAM_WORDS - 1),
	    1000);
	assert_int_equal(sum("z", NEW_REQUESTS), 0);
	assert_int_equal(site_sum(NEW_STARTS), 9);
	assert_int_equal(site_sum(NEW_OPEN), 6);
	assert_int_equal(site_sum(NEW_MORE), 0);

	/* It drains and counts on; so do we. */
	count(1, a, OLD_REQUESTS, 1);
	counter_sub(metrics_block(&before, &old_site, 2, 0) + OLD_OPEN, 6);
	counter_add(metrics_block(&after, &new_route, 1, route(&after, "a")) +
	    NEW_REQUESTS, 100);
	metrics_inherit_sync(heir, SHOWN_IN);
	metrics_inherit_sync(heir, SHOWN_IN);
	assert_int_equal(sum("a", NEW_REQUESTS), 108);
	assert_int_equal(site_sum(NEW_OPEN), 0);
	metrics_inherit_close(heir, SHOWN_IN, true);
	assert_int_equal(sum("a", NEW_REQUESTS), 108);
	assert_int_equal(site_sum(NEW_STARTS), 9);
	close_both();
}

/* A name that only the predecessor had stays until it has gone. */
static void
test_names_that_end(void **state)
{
	struct metrics_label label;
	uint32_t a;

	(void)state;
	open_both(16);
	a = route(&before, "a");
	count(1, a, OLD_REQUESTS, 5);
	inherit();
	metrics_inherit_sync(heir, SHOWN_IN);
	assert_int_equal(sum("a", NEW_REQUESTS), 5);
	assert_int_equal(sum("a", NEW_REQUESTS), 5);
	metrics_inherit_close(heir, SHOWN_IN, true);
	assert_int_equal(sum("a", NEW_REQUESTS), 0);
	assert_true(metrics_label(&after, METRIC_SCOPE_ROUTE, 15, &label));
	assert_string_equal(label.name, "other");
	assert_int_equal(metrics_sum(&after, &new_route, 15, NEW_REQUESTS),
	    5);
	close_both();
}

/* Fewer names than before: what has no number counts as "other", together. */
static void
test_fewer_names(void **state)
{
	static const char *const names[] = { "a", "b", "c" };

	(void)state;
	open_both(2);
	for (uint32_t i = 0; i < 3; i++)
		count(1, route(&before, names[i]), OLD_REQUESTS, 10 + i);
	/* The fourth is "other" there as well. */
	count(1, route(&before, "d"), OLD_REQUESTS, 100);
	inherit();
	for (int i = 0; i < 3; i++)
		metrics_inherit_sync(heir, SHOWN_IN);
	assert_int_equal(metrics_sum(&after, &new_route, 0, NEW_REQUESTS),
	    10);
	assert_int_equal(metrics_sum(&after, &new_route, 1, NEW_REQUESTS),
	    11 + 12 + 100);
	metrics_inherit_close(heir, SHOWN_IN, true);
	assert_int_equal(metrics_sum(&after, &new_route, 1, NEW_REQUESTS),
	    10 + 11 + 12 + 100);
	close_both();
}

static void
test_bad_descriptions(void **state)
{
	static const struct {
		const char *name, *text, *want;
	} rows[] = {
		{ "nothing", "", "was not described" },
		{ "no line", "zone 1 3 4096 4096", "inside of a line" },
		{ "a later format", "zone 2 3 4096 4096\n", "no sense" },
		{ "no process", "zone 1 0 4096 4096\n", "no sense" },
		{ "outside", "zone 1 3 4096 99999999999\n", "no sense" },
		{ "names outside", "names 1 1000000 4096\n", "no sense" },
		{ "a set outside", "zone 1 1 4096 4096\nnames 0 1 512\n"
		    "set 0 4096 64 a\n", "no sense" },
		{ "a row of no set", "row 0 0 0 a_total \n", "no sense" },
		{ "a row outside", "zone 1 1 4096 4096\nnames 0 1 512\n"
		    "set 0 0 64 a\nrow 0 8 0 a_total \n", "no sense" },
		{ "a row far outside", "zone 1 1 4096 4096\nnames 0 1 512\n"
		    "set 0 0 64 a\nrow 0 2305843009213693951 0 a_total \n",
		    "no sense" },
		{ "a set before its names", "zone 1 1 4096 4096\n"
		    "set 0 0 64 a\nnames 0 65 512\n", "set 0 is outside" },
		{ "a set before its zone", "set 0 4096 64 a\nnames 0 1 512\n"
		    "zone 1 1 4096 4096\n", "set 0 is outside" },
		{ "a set that wraps", "zone 1 1 4096 4096\nnames 0 2 512\n"
		    "set 0 0 9223372036854775808 a\n", "set 0 is outside" },
		{ "names twice", "zone 1 1 4096 4096\nnames 0 1 512\n"
		    "names 0 2 512\n", "no sense: names 0 2" },
		{ "a zone twice", "zone 1 1 4096 4096\n"
		    "zone 1 1 4096 64\n", "no sense: zone 1 1 4096 64" },
		{ "no zone", "names 0 1 0\nnames 1 1 0\nnames 2 1 0\n"
		    "names 3 1 0\nnames 4 1 0\n", "was not described" },
		{ "other words", "hello\n", "no sense" },
	};

	(void)state;
	open_both(16);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct error err;

		heir = metrics_inherit_open(&after, dup(before.zone.fd),
		    before.zone.version, before.zone.data_bytes,
		    span_cstr(rows[i].text), &err);
		if (heir != NULL || strstr(err.text, rows[i].want) == NULL)
			fail_msg("%s: %s", rows[i].name, err.text);
	}
	close_both();
}

/* Cut anywhere it is refused, or is less; never anything else. */
static void
test_cut_description(void **state)
{
	char *text;

	(void)state;
	open_both(16);
	count(1, route(&before, "a"), OLD_REQUESTS, 5);
	text = metrics_inherit_describe(&before);
	for (size_t len = 0; len < strlen(text); len++) {
		struct error err;

		heir = metrics_inherit_open(&after, dup(before.zone.fd),
		    before.zone.version, before.zone.data_bytes,
		    span_of(text, len), &err);
		if (heir == NULL)
			continue;
		metrics_inherit_sync(heir, SHOWN_IN);
		metrics_inherit_close(heir, SHOWN_IN, true);
	}
	free(text);
	close_both();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_by_name),
		cmocka_unit_test(test_names_that_end),
		cmocka_unit_test(test_fewer_names),
		cmocka_unit_test(test_bad_descriptions),
		cmocka_unit_test(test_cut_description),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* The counters as Prometheus text: form, order, escapes, bounded pieces. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/str.h"
#include "metrics/histogram.h"
#include "metrics/metrics.h"
#include "metrics/render.h"

enum { SITE_STARTS, SITE_OPEN, SITE_CPU, SITE_ROWS };
enum { ROUTE_2XX, ROUTE_5XX, METRIC_SPACE(ROUTE_TIME), ROUTE_BYTES,
	ROUTE_ROWS };
enum { BACKEND_TRIES, BACKEND_ROWS };

static const struct metric site_rows[SITE_ROWS] = {
	[SITE_STARTS] = { .name = "starts_total",
	    .help = "Starts \\ of\nall \"kinds\"." },
	[SITE_OPEN] = { .name = "open", .help = "Open.",
	    .type = METRIC_GAUGE, .per_process = true },
	[SITE_CPU] = { .name = "cpu", .help = "Cpu.", .type = METRIC_GAUGE },
};
static const struct metric route_rows[ROUTE_ROWS] = {
	[ROUTE_2XX] = { .name = "responses_total", .help = "Responses.",
	    .label = "code=\"2xx\"" },
	[ROUTE_5XX] = { .name = "responses_total", .label = "code=\"5xx\"" },
	[ROUTE_TIME] = { .name = "duration_seconds", .help = "Time.",
	    .type = METRIC_HISTOGRAM },
	[ROUTE_BYTES] = { .name = "bytes_total", .help = "Bytes." },
};
static const struct metric backend_rows[BACKEND_ROWS] = {
	[BACKEND_TRIES] = { .name = "tries_total", .help = "Tries." },
};
static const struct metric_set site_set =
    METRIC_SET("site", METRIC_SCOPE_PROCESS, site_rows);
static const struct metric_set route_set =
    METRIC_SET("route", METRIC_SCOPE_ROUTE, route_rows);
static const struct metric_set empty_set = {
	.prefix = "empty", .scope = METRIC_SCOPE_PROCESS, .rows = NULL,
};
static const struct metric_set backend_set =
    METRIC_SET("backend", METRIC_SCOPE_BACKEND, backend_rows);
static const struct metric_set *const all_sets[] = {
	&site_set, &route_set, &empty_set, &backend_set,
};

static int
setup(void **state)
{
	static const struct metrics_config config = {
		.sets = all_sets, .set_count = 4, .process_slots = 3,
		.routes_max = 3, .upstreams_max = 2, .backends_max = 3,
	};
	static struct metrics m;
	struct error err;

	*state = &m;
	return metrics_open(&m, &config, &err);
}

static int
teardown(void **state)
{
	metrics_close(*state);
	return 0;
}

struct text {
	char p[65536];
	size_t len;
	unsigned calls;
};

static bool
append(void *arg, struct span piece)
{
	struct text *t = arg;

	assert_true(piece.len > 0 && piece.len <= RENDER_PIECE_MAX);
	assert_true(piece.p[piece.len - 1] == '\n');
	assert_true(t->len + piece.len < sizeof(t->p));
	memcpy(t->p + t->len, piece.p, piece.len);
	t->len += piece.len;
	t->p[t->len] = '\0';
	t->calls++;
	return true;
}

static const char *
all_of(const struct metrics *m)
{
	static struct text t;

	t.len = 0;
	t.p[0] = '\0';
	assert_true(render_all(m, append, &t));
	return t.p;
}

static void
nothing_counted_shows_plain_zeros(void **state)
{
	assert_string_equal(all_of(*state),
	    "# HELP weir_site_starts_total Starts \\\\ of\\nall \"kinds\".\n"
	    "# TYPE weir_site_starts_total counter\n"
	    "weir_site_starts_total 0\n"
	    "# HELP weir_site_cpu Cpu.\n"
	    "# TYPE weir_site_cpu gauge\n"
	    "weir_site_cpu 0\n");
}

static void
samples_of_a_name_stand_together(void **state)
{
	struct metrics *m = *state;
	uint32_t a, b, back;

	a = metrics_register(m, METRIC_SCOPE_ROUTE, SPAN("web"), SPAN("a"));
	b = metrics_register(m, METRIC_SCOPE_ROUTE, SPAN(""),
	    SPAN("\"b\"\\\n"));
	back = metrics_register(m, METRIC_SCOPE_BACKEND, SPAN("app"),
	    SPAN("127.0.0.1:80"));
	counter_add(metrics_block(m, &site_set, 0, 0) + SITE_STARTS, 2);
	counter_add(metrics_block(m, &site_set, 2, 0) + SITE_STARTS, 3);
	counter_add(metrics_block(m, &site_set, 2, 0) + SITE_OPEN, 7);
	counter_sub(metrics_block(m, &site_set, 0, 0) + SITE_CPU, 4);
	counter_add(metrics_block(m, &route_set, 1, a) + ROUTE_2XX, 11);
	counter_add(metrics_block(m, &route_set, 2, a) + ROUTE_2XX, 1);
	counter_add(metrics_block(m, &route_set, 1, b) + ROUTE_5XX, 5);
	counter_add(metrics_block(m, &route_set, 1, b) + ROUTE_BYTES,
	    UINT64_MAX);
	histogram_observe(metrics_block(m, &route_set, 1, a) + ROUTE_TIME,
	    2000);
	histogram_observe(metrics_block(m, &route_set, 2, a) + ROUTE_TIME,
	    61000001);
	counter_add(metrics_block(m, &backend_set, 1, back) + BACKEND_TRIES,
	    9);
#define A "service=\"web\",route=\"a\""
#define B "route=\"\\\"b\\\"\\\\\\n\""
#define BUCKET(labels, le, n) \
	"weir_route_duration_seconds_bucket{" labels ",le=\"" le "\"} " n "\n"
	assert_string_equal(all_of(m),
	    "# HELP weir_site_starts_total Starts \\\\ of\\nall \"kinds\".\n"
	    "# TYPE weir_site_starts_total counter\n"
	    "weir_site_starts_total 5\n"
	    "# HELP weir_site_open Open.\n"
	    "# TYPE weir_site_open gauge\n"
	    "weir_site_open{process=\"0\"} 0\n"
	    "weir_site_open{process=\"2\"} 7\n"
	    "# HELP weir_site_cpu Cpu.\n"
	    "# TYPE weir_site_cpu gauge\n"
	    "weir_site_cpu -4\n"
	    "# HELP weir_route_responses_total Responses.\n"
	    "# TYPE weir_route_responses_total counter\n"
	    "weir_route_responses_total{" A ",code=\"2xx\"} 12\n"
	    "weir_route_responses_total{" A ",code=\"5xx\"} 0\n"
	    "weir_route_responses_total{" B ",code=\"2xx\"} 0\n"
	    "weir_route_responses_total{" B ",code=\"5xx\"} 5\n"
	    "# HELP weir_route_duration_seconds Time.\n"
	    "# TYPE weir_route_duration_seconds histogram\n"
	    BUCKET(A, "0.0005", "0") BUCKET(A, "0.001", "0")
	    BUCKET(A, "0.0025", "1") BUCKET(A, "0.005", "1")
	    BUCKET(A, "0.01", "1") BUCKET(A, "0.025", "1")
	    BUCKET(A, "0.05", "1") BUCKET(A, "0.1", "1")
	    BUCKET(A, "0.25", "1") BUCKET(A, "0.5", "1")
	    BUCKET(A, "1", "1") BUCKET(A, "2.5", "1")
	    BUCKET(A, "5", "1") BUCKET(A, "10", "1")
	    BUCKET(A, "30", "1") BUCKET(A, "60", "1")
	    BUCKET(A, "+Inf", "2")
	    "weir_route_duration_seconds_sum{" A "} 61.002001\n"
	    "weir_route_duration_seconds_count{" A "} 2\n"
	    BUCKET(B, "0.0005", "0") BUCKET(B, "0.001", "0")
	    BUCKET(B, "0.0025", "0") BUCKET(B, "0.005", "0")
	    BUCKET(B, "0.01", "0") BUCKET(B, "0.025", "0")
	    BUCKET(B, "0.05", "0") BUCKET(B, "0.1", "0")
	    BUCKET(B, "0.25", "0") BUCKET(B, "0.5", "0")
	    BUCKET(B, "1", "0") BUCKET(B, "2.5", "0")
	    BUCKET(B, "5", "0") BUCKET(B, "10", "0")
	    BUCKET(B, "30", "0") BUCKET(B, "60", "0")
	    BUCKET(B, "+Inf", "0")
	    "weir_route_duration_seconds_sum{" B "} 0.000000\n"
	    "weir_route_duration_seconds_count{" B "} 0\n"
	    "# HELP weir_route_bytes_total Bytes.\n"
	    "# TYPE weir_route_bytes_total counter\n"
	    "weir_route_bytes_total{" A "} 0\n"
	    "weir_route_bytes_total{" B "} 18446744073709551615\n"
	    "# HELP weir_backend_tries_total Tries.\n"
	    "# TYPE weir_backend_tries_total counter\n"
	    "weir_backend_tries_total{upstream=\"app\","
	    "backend=\"127.0.0.1:80\"} 9\n");
}

static void
other_and_gaps_are_rendered(void **state)
{
	struct metrics *m = *state;
	uint32_t a;

	a = metrics_register(m, METRIC_SCOPE_BACKEND, SPAN("u"), SPAN("a"));
	metrics_register(m, METRIC_SCOPE_BACKEND, SPAN("u"), SPAN("b"));
	metrics_register(m, METRIC_SCOPE_BACKEND, SPAN("u"), SPAN("c"));
	counter_add(metrics_block(m, &backend_set, 1, a) + BACKEND_TRIES, 3);
	metrics_release(m, METRIC_SCOPE_BACKEND, a, 0);
	assert_non_null(strstr(all_of(m),
	    "# TYPE weir_backend_tries_total counter\n"
	    "weir_backend_tries_total{upstream=\"u\",backend=\"b\"} 0\n"
	    "weir_backend_tries_total{backend=\"other\"} 3\n"));
	assert_null(strstr(all_of(m), "backend=\"a\""));
}

/* Whatever room is given, the pieces add up to the same text. */
static void
pieces_of_any_size_make_the_same_text(void **state)
{
	struct metrics *m = *state;
	char whole[8192], joined[8192];
	size_t total;

	metrics_register(m, METRIC_SCOPE_ROUTE, SPAN("web"), SPAN("a"));
	metrics_register(m, METRIC_SCOPE_BACKEND, SPAN("u"), SPAN("b"));
	metrics_block(m, &site_set, 1, 0);
	total = strlen(all_of(m));
	assert_true(total < sizeof(whole));
	memcpy(whole, all_of(m), total + 1);
	for (size_t cap = 1700; cap < 4000; cap += 37) {
		enum render_result result = RENDER_MORE;
		struct render r;
		size_t len = 0;

		render_init(&r, m);
		while (result != RENDER_DONE) {
			char memory[4096];
			struct str s;

			str_init(&s, memory, cap);
			do
				result = render_piece(&r, &s);
			while (result == RENDER_MORE);
			assert_true(s.len > 0 || result == RENDER_DONE);
			assert_false(s.overflow);
			memcpy(joined + len, s.p, s.len);
			len += s.len;
		}
		assert_int_equal(len, total);
		assert_memory_equal(joined, whole, total);
	}
}

static bool
stop(void *arg, struct span piece)
{
	(void)piece;
	++*(int *)arg;
	return false;
}

static void
emit_can_end_it(void **state)
{
	int calls = 0;

	assert_false(render_all(*state, stop, &calls));
	assert_int_equal(calls, 1);
}

/* The longest names full of escapes still fit one piece. */
static void
the_largest_piece_fits(void **state)
{
	static char help[501], label[129], name[65];
	static const struct metric rows[METRIC_HISTOGRAM_WORDS] = {
		{ .name = name, .help = help, .type = METRIC_HISTOGRAM,
		    .label = label },
	};
	static const struct metric_set set = METRIC_SET(
	    "abcdefghijklmnopqrstuvwxyz_01234", METRIC_SCOPE_BACKEND, rows);
	static const struct metric_set *const sets[] = { &set };
	const struct metrics_config config = { .sets = sets, .set_count = 1,
		.process_slots = 2, .routes_max = 1, .upstreams_max = 1,
		.backends_max = 2 };
	char escapes[METRICS_NAME_MAX];
	struct metrics m;
	struct error err;

	(void)state;
	memset(help, '\\', sizeof(help) - 1);
	memset(name, 'n', sizeof(name) - 1);
	memset(label, 'l', sizeof(label) - 1);
	memcpy(label + 120, "=\"abcde\"", 8);
	assert_int_equal(metrics_open(&m, &config, &err), 0);
	memset(escapes, '"', sizeof(escapes));
	metrics_register(&m, METRIC_SCOPE_BACKEND,
	    span_of(escapes, METRICS_PARENT_MAX),
	    span_of(escapes, sizeof(escapes)));
	counter_set(metrics_block(&m, &set, 0, 0), UINT64_MAX);
	counter_set(metrics_block(&m, &set, 0, 0) + HISTOGRAM_SUM, UINT64_MAX);
	assert_non_null(strstr(all_of(&m), "\"} 18446744073709551615\n"));
	metrics_close(&m);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nothing_counted_shows_plain_zeros),
		TEST(samples_of_a_name_stand_together),
		TEST(other_and_gaps_are_rendered),
		TEST(pieces_of_any_size_make_the_same_text),
		TEST(emit_can_end_it),
		TEST(the_largest_piece_fits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

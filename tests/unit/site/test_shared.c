/* SPDX-License-Identifier: BSD-2-Clause */
/* What generations share: booking, giving back, and what is left then. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "site/generation.h"
#include "site/settings.h"
#include "site/shared.h"
#include "../descriptors.h"

static struct shared *shared;

static int
setup(void **state)
{
	const struct settings settings = { .routes_max = 4,
		.backends_max = 2, .max_draining_generations = 1,
		.log_ring_bytes = LOGRING_BYTES_MIN };
	const struct shared_config config = { .settings = &settings,
		.workers = 200 };
	struct error err;

	(void)state;
	shared = shared_new(&config, &err);
	return shared == NULL ? -1 : 0;
}

static int
teardown(void **state)
{
	(void)state;
	shared_free(shared);
	return 0;
}

/* ---- process slots ---- */

static void
test_process_slots(void **state)
{
	int first, second;

	(void)state;
	assert_int_equal(shared->process_count, 1 + 3 * 202 + 200);
	first = shared_take_process(shared, 0);
	second = shared_take_process(shared, 0);
	assert_int_equal(first, SHARED_FIRST_CHILD);
	assert_int_equal(second, first + 1);
	/* The wanted one, unless it is taken. */
	assert_int_equal(shared_take_process(shared, 9), 9);
	assert_int_equal(shared_take_process(shared, 9), second + 1);
	shared_give_process(shared, (unsigned)first);
	assert_int_equal(shared_take_process(shared, 0), first);
	for (size_t i = 5; i < shared->process_count; i++)
		assert_int_not_equal(shared_take_process(shared, 0), -1);
	assert_int_equal(shared_take_process(shared, 0), -1);
}

/* ---- zones ---- */

static int
book(struct shared_use *use, const char *name, uint32_t version, size_t bytes,
    const struct shmem **zone)
{
	struct shmem want = { .version = version, .data_bytes = bytes };
	struct error err;

	strcpy(want.name, name);
	return shared_book_zone(shared, use, &want, zone, &err);
}

static void
test_zones(void **state)
{
	const struct shmem *a, *again, *other;
	struct shared_use first, second;
	size_t before = descriptors_open();

	(void)state;
	shared_begin(shared, &first);
	assert_int_equal(book(&first, "limits", 1, 100, &a), 1);
	strcpy(a->data, "kept");
	assert_int_equal(book(&first, "limits", 1, 100, &again), 0);
	assert_ptr_equal(a, again);

	/* The next generation finds it; another size is another zone. */
	shared_begin(shared, &second);
	assert_int_equal(book(&second, "limits", 1, 100, &again), 0);
	assert_ptr_equal(a, again);
	assert_int_equal(book(&second, "limits", 1, 200, &other), 1);
	assert_int_equal(book(&second, "limits", 2, 100, &other), 1);
	assert_int_equal(descriptors_open(), before + 3);
	shared_end(shared, &first);
	assert_string_equal(a->data, "kept");
	shared_end(shared, &second);
	assert_int_equal(descriptors_open(), before);
	assert_null(shared->zones);
}

static void
test_adopted_zones(void **state)
{
	struct shmem left, unknown;
	const struct shmem *zone;
	struct shared_use use;
	struct error err;
	size_t before = descriptors_open();

	(void)state;
	assert_int_equal(shmem_create(&left, "cache", 3, 64, &err), 0);
	assert_int_equal(shmem_create(&unknown, "old", 1, 64, &err), 0);
	strcpy(left.data, "warm");
	assert_int_equal(shared_adopt_zone(shared, dup(left.fd), &left,
	    &err), 0);
	assert_int_equal(shared_adopt_zone(shared, dup(unknown.fd), &unknown,
	    &err), 0);
	/* What is not what it says is refused. */
	assert_int_equal(shared_adopt_zone(shared, dup(left.fd), &unknown,
	    &err), -1);
	shmem_close(&left);
	shmem_close(&unknown);
	shared_begin(shared, &use);
	assert_int_equal(book(&use, "cache", 3, 64, &zone), 0);
	assert_string_equal(zone->data, "warm");
	shared_drop_unbooked(shared);
	assert_int_equal(descriptors_open(), before + 1);
	shared_end(shared, &use);
}

static void
count_zone(void *arg, const struct shmem *zone)
{
	assert_true(zone->fd >= 0);
	++*(size_t *)arg;
}

static void
test_each_zone(void **state)
{
	const struct shmem *zone;
	struct shared_use use;
	size_t n = 0;

	(void)state;
	shared_begin(shared, &use);
	assert_int_equal(book(&use, "one", 1, 1, &zone), 1);
	shared_each_zone(shared, count_zone, &n);
	assert_int_equal(n, 4);
	shared_end(shared, &use);
}

/* ---- a predecessor ---- */

/* Like shared, from what it leaves. */
static struct shared *
succeed(void)
{
	const struct settings settings = { .routes_max = 4,
		.backends_max = 2, .max_draining_generations = 1,
		.log_ring_bytes = LOGRING_BYTES_MIN };
	const struct shmem *zone = &shared->metrics.zone;
	static const uint32_t used[] = { SHARED_MASTER };
	int fd = dup(zone->fd);
	const struct shared_legacy legacy = {
		.process_count = shared->process_count, .used = used,
		.used_count = 1, .metrics_fd = &fd,
		.metrics_version = zone->version,
		.metrics_bytes = zone->data_bytes,
	};
	const struct shared_config config = { .settings = &settings,
		.workers = 200, .legacy = &legacy };
	struct shared *successor;
	struct error err;

	successor = shared_new(&config, &err);
	assert_non_null(successor);
	assert_int_equal(fd, -1);
	return successor;
}

/* Names of a predecessor that has gone: they may be a successor's by now. */
static void
test_forgotten_predecessor(void **state)
{
	struct metrics_label label;
	struct shared *second, *third;
	uint32_t name;

	(void)state;
	name = metrics_register(&shared->metrics, METRIC_SCOPE_ROUTE,
	    SPAN("web"), SPAN("r"));
	second = succeed();
	assert_true(metrics_label(&second->metrics, METRIC_SCOPE_ROUTE, name,
	    &label));
	/* A third one counts there, and the second drains. */
	third = succeed();
	assert_int_equal(metrics_register(&third->metrics, METRIC_SCOPE_ROUTE,
	    SPAN("web"), SPAN("r")), name);
	second->is_given = true;
	shared_give_inherited(second, NULL, 0);
	assert_true(metrics_label(&third->metrics, METRIC_SCOPE_ROUTE, name,
	    &label));
	assert_string_equal(label.name, "r");
	shared_free(second);
	/* The third keeps what it uses, and no more. */
	shared_give_inherited(third, NULL, 0);
	assert_true(metrics_label(&third->metrics, METRIC_SCOPE_ROUTE, name,
	    &label));
	metrics_release(&third->metrics, METRIC_SCOPE_ROUTE, name,
	    SHARED_MASTER);
	assert_false(metrics_label(&third->metrics, METRIC_SCOPE_ROUTE, name,
	    &label));
	shared_free(third);
}

/* ---- generations ---- */

static struct generation *
load(const char *text)
{
	struct conf_report *report = conf_report_new();
	const struct generation_source source = { .text = span_cstr(text),
		.text_name = "test", .log_level = -1 };
	struct generation *g = generation_load(&source, report);

	conf_report_print(report, stderr);
	conf_report_free(report);
	assert_non_null(g);
	return g;
}

#define CONF(upstreams) \
	"version = 1; workers = 2; error_log = { path = \"stderr\"; };\n" \
	"upstreams = (" upstreams ");\n" \
	"services = ( { name = \"web\"; listen = (" \
	"{ address = \"127.0.0.1:1\"; } );\n" \
	"routes = ( { name = \"all\"; path = \"/\"; upstream = \"a\"; } ); } );"
#define UPSTREAM(name, address) \
	"{ name = \"" name "\"; backends = ( { address = \"" address \
	"\"; } ); }"

/* Names, backends and outputs are there once, whoever has booked them. */
static void
test_attach(void **state)
{
	struct generation *first = load(CONF(UPSTREAM("a", "[::1]:1")));
	struct generation *second = load(CONF(UPSTREAM("a", "[::1]:1") ","
	    UPSTREAM("b", "[::1]:2")));
	struct error err;

	(void)state;
	assert_int_equal(generation_attach(first, shared, &err), 0);
	assert_int_equal(generation_attach(second, shared, &err), 0);
	assert_int_equal(shared->targets.count, 1);
	assert_int_equal(shared->targets.items[0].uses, 2);
	assert_non_null(generation_shared(second)->lanes);
	generation_free(first);
	assert_int_equal(shared->targets.items[0].uses, 1);
	assert_true(shared->targets.items[0].fd >= 0);
	generation_detach(second);
	assert_int_equal(shared->targets.items[0].uses, 0);
	assert_int_equal(shared->targets.items[0].fd, -1);
	assert_int_equal(generation_attach(second, shared, &err), 0);
	generation_free(second);
}

/* What does not fit is undone whole. */
static void
test_failed_attach(void **state)
{
	struct generation *first = load(CONF(UPSTREAM("a", "[::1]:1")));
	struct generation *second = load(CONF(UPSTREAM("a", "[::1]:1") ","
	    UPSTREAM("b", "[::1]:2") "," UPSTREAM("c", "[::1]:3")));
	struct generation *third = load(CONF(UPSTREAM("a", "[::1]:2")));
	struct error err;
	size_t before;

	(void)state;
	assert_int_equal(generation_attach(first, shared, &err), 0);
	before = descriptors_open();
	assert_int_equal(generation_attach(second, shared, &err), -1);
	assert_non_null(strstr(err.text, "raise backends_max"));
	assert_int_equal(descriptors_open(), before);
	assert_int_equal(shared->targets.items[0].uses, 1);
	/* The slot that it had taken is free again. */
	assert_int_equal(generation_attach(third, shared, &err), 0);
	generation_free(second);
	generation_free(first);
	generation_free(third);
	assert_true(list_is_empty(&shared->uses));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(test_process_slots),
		TEST(test_zones),
		TEST(test_adopted_zones),
		TEST(test_each_zone),
		TEST(test_forgotten_predecessor),
		TEST(test_attach),
		TEST(test_failed_attach),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* Idle connections: order, limits, time, parking. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "fixture.h"
#include "clock.h"

#include "os/loop.h"
#include "upstream/pool.h"

enum { CONNS_MAX = 128 };

struct conn {
	struct pool_item item;
	int fd;
	int peer;
	bool is_closed;
	bool is_detached;
};

static struct conn conns[CONNS_MAX];
static struct backend_zone *zone;
static struct lane_set *lanes;
static struct fixture f;
static struct loop *loop;
static struct pool *pool;
static struct pool_counts counts;

static void
close_item(struct pool_item *item)
{
	struct conn *conn = LIST_OF(item, struct conn, item);

	assert_false(item->is_idle);
	assert_false(conn->is_closed || conn->is_detached);
	conn->is_closed = true;
	close(conn->fd);
}

static int
detach_item(struct pool_item *item)
{
	struct conn *conn = LIST_OF(item, struct conn, item);

	assert_false(item->is_idle);
	assert_false(conn->is_closed || conn->is_detached);
	conn->is_detached = true;
	/* The owner may free it: nothing is read of it after this. */
	memset(item, 0xff, sizeof(*item));
	return conn->fd;
}

static const struct pool_ops ops = { close_item, detach_item };

static void
start(bool is_shared, uint32_t idle_max)
{
	struct pool_options options = { .loop = loop, .ops = &ops,
		.lanes = is_shared ? lanes : NULL, .slots = 8,
		.idle_max = idle_max, .counts = &counts };

	pool = pool_new(&options);
}

static int
setup(void **state)
{
	struct error err;

	(void)state;
	memset(&counts, 0, sizeof(counts));
	memset(conns, 0, sizeof(conns));
	zone = backend_zone_new(8, &err);
	lanes = lane_set_new(8, &err);
	loop = loop_new(LOOP_AUTO, &err);
	if (zone == NULL || lanes == NULL || loop == NULL)
		return -1;
	fixture_init(&f, "app", "127.0.0.1:80 127.0.0.1:81 127.0.0.1:82");
	return group_bind(f.group, zone, &err);
}

static int
teardown(void **state)
{
	(void)state;
	pool_free(pool);
	pool = NULL;
	for (size_t i = 0; i < CONNS_MAX; i++)
		if (conns[i].peer > 0)
			close(conns[i].peer);
	loop_free(loop);
	lane_set_free(lanes);
	group_unbind(f.group, zone);
	fixture_fini(&f);
	backend_zone_free(zone);
	return 0;
}

static const struct backend *
backend(uint32_t index)
{
	return &f.group->backends[index];
}

/* Connection i, fresh, to that backend. */
static struct pool_item *
make(size_t i, uint32_t index)
{
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	conns[i] = (struct conn){ .fd = ends[0], .peer = ends[1] };
	conns[i].item.backend = backend(index);
	conns[i].item.is_parkable = true;
	conns[i].item.served = (uint32_t)i + 1;
	return &conns[i].item;
}

static void
put(size_t i, uint32_t index)
{
	assert_true(pool_put(pool, make(i, index), 0));
}

/* Index of the connection that is taken, -1 if none. */
static int
take(uint32_t index)
{
	struct pool_item *item = pool_take(pool, backend(index));

	if (item == NULL)
		return -1;
	assert_false(item->is_idle);
	return (int)(LIST_OF(item, struct conn, item) - conns);
}

static void
pass(uint64_t ms)
{
	for (uint64_t end = clock_ms + ms; clock_ms < end; clock_ms++)
		loop_turn(loop, 0);
	loop_turn(loop, 0);
}

static void
drop(int i)
{
	close(conns[i].fd);
	conns[i].is_closed = true;
}

static void
test_order(void **state)
{
	(void)state;
	start(false, 100);
	put(0, 0);
	put(1, 1);
	put(2, 0);
	put(3, 0);
	assert_int_equal(pool_idle_count(pool), 4);
	assert_int_equal(take(0), 3);
	assert_int_equal(take(0), 2);
	assert_true(pool_put(pool, &conns[3].item, 0));
	assert_int_equal(take(0), 3);
	assert_int_equal(take(0), 0);
	assert_int_equal(take(0), -1);
	assert_int_equal(take(2), -1);
	assert_int_equal(take(1), 1);
	assert_int_equal(pool_idle_count(pool), 0);
	assert_int_equal(counts.reused, 5);
	for (int i = 0; i < 4; i++)
		drop(i);
}

static void
test_remove(void **state)
{
	(void)state;
	start(false, 100);
	put(0, 0);
	put(1, 0);
	put(2, 0);
	pool_remove(pool, &conns[1].item);
	assert_false(conns[1].item.is_idle);
	drop(1);
	assert_int_equal(take(0), 2);
	assert_int_equal(take(0), 0);
	assert_int_equal(take(0), -1);
	drop(0);
	drop(2);
	/* The last of a backend, and the deadline that follows it. */
	put(3, 1);
	pool_remove(pool, &conns[3].item);
	drop(3);
	pass(60001);
	assert_int_equal(pool_idle_count(pool), 0);
}

static void
test_limit_per_backend(void **state)
{
	(void)state;
	f.conf.keepalive.idle_max = 2;
	start(false, 100);
	put(0, 0);
	put(1, 1);
	put(2, 0);
	put(3, 0);
	assert_true(conns[0].is_closed);
	assert_int_equal(counts.evicted, 1);
	assert_int_equal(pool_idle_count(pool), 3);
	assert_int_equal(take(0), 3);
	assert_int_equal(take(0), 2);
	drop(2);
	drop(3);
}

static void
test_limit_in_all(void **state)
{
	(void)state;
	start(false, 3);
	put(0, 1);
	put(1, 0);
	put(2, 1);
	put(3, 2);
	assert_true(conns[0].is_closed);
	put(4, 2);
	assert_true(conns[1].is_closed);
	assert_int_equal(pool_idle_count(pool), 3);
	assert_int_equal(take(1), 2);
	assert_int_equal(take(0), -1);
	drop(2);
}

struct no_pooling {
	const char *name;
	uint64_t idle_timeout_ms;
	uint32_t idle_max, requests_max, pool_max, served;
	uint64_t keepalive_ms;
	uint64_t want_ms; /* idle time; 0 = not kept */
};

static const struct no_pooling no_poolings[] = {
	{ "as configured", 60000, 9, 0, 9, 1, 0, 60000 },
	{ "no pooling", 0, 9, 0, 9, 1, 0, 0 },
	{ "none per backend", 60000, 0, 0, 9, 1, 0, 0 },
	{ "none in all", 60000, 9, 0, 0, 1, 0, 0 },
	{ "used up", 60000, 9, 5, 9, 5, 0, 0 },
	{ "nearly used up", 60000, 9, 5, 9, 4, 0, 60000 },
	{ "backend keeps 5 s", 60000, 9, 0, 9, 1, 5000, 4000 },
	{ "backend keeps 100 s", 60000, 9, 0, 9, 1, 100000, 60000 },
	{ "backend keeps 1 s", 60000, 9, 0, 9, 1, 1000, 0 },
};

static void
test_how_long(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(no_poolings) / sizeof(no_poolings[0]);
	     i++) {
		const struct no_pooling *t = &no_poolings[i];
		struct pool_item *item = make(i, 0);
		bool is_kept;

		f.conf.keepalive.idle_timeout_ms = t->idle_timeout_ms;
		f.conf.keepalive.idle_max = t->idle_max;
		f.conf.keepalive.requests_max = t->requests_max;
		start(false, t->pool_max);
		item->served = t->served;
		is_kept = pool_put(pool, item, t->keepalive_ms);
		if (is_kept != (t->want_ms > 0))
			fail_msg("%s: kept: %d", t->name, is_kept);
		if (is_kept) {
			if (item->expires_ms != clock_ms + t->want_ms)
				fail_msg("%s", t->name);
			/* Not a moment too early. */
			pass(t->want_ms - 1);
			assert_false(conns[i].is_closed);
			pass(1 + 10);
			assert_true(conns[i].is_closed);
			assert_int_equal(counts.expired, 1);
			counts.expired = 0;
		} else {
			drop((int)i);
		}
		pool_free(pool);
		pool = NULL;
	}
}

/* Also without a tick nothing is handed out after its time. */
static void
test_expired_on_take(void **state)
{
	(void)state;
	start(false, 100);
	put(0, 0);
	clock_ms += 1000;
	put(1, 0);
	clock_ms += 59500;
	assert_int_equal(take(0), 1);
	assert_int_equal(take(0), -1);
	assert_true(conns[0].is_closed);
	assert_int_equal(counts.expired, 1);
	drop(1);
}

/* One deadline, different times: each is closed when its own has come. */
static void
test_different_times(void **state)
{
	struct fixture other;
	struct error err;
	uint64_t begin = clock_ms;

	(void)state;
	fixture_init(&other, "other", "127.0.0.1:90");
	other.conf.keepalive.idle_timeout_ms = 500;
	assert_int_equal(group_bind(other.group, zone, &err), 0);
	start(false, 100);
	put(0, 0);
	make(1, 0)->backend = &other.group->backends[0];
	assert_true(pool_put(pool, &conns[1].item, 0));
	pass(499);
	assert_false(conns[1].is_closed);
	pass(11);
	assert_true(conns[1].is_closed);
	assert_false(conns[0].is_closed);
	pass(60000 - (clock_ms - begin) - 1);
	assert_false(conns[0].is_closed);
	pass(11);
	assert_true(conns[0].is_closed);
	group_unbind(other.group, zone);
	fixture_fini(&other);
}

/* Oldest first, after their time, with what is known of them. */
static void
test_parking(void **state)
{
	struct lane_meta meta;
	uint64_t begin = clock_ms;
	int fd;

	(void)state;
	start(true, 100);
	put(0, 0);
	pass(50);
	put(1, 0);
	put(2, 1);
	pass(49);
	assert_int_equal(pool_idle_count(pool), 3);
	assert_int_equal(pool_take_parked(pool, backend(0), &meta), -1);
	pass(11);
	assert_true(conns[0].is_detached);
	assert_false(conns[1].is_detached);
	pass(51);
	assert_true(conns[1].is_detached && conns[2].is_detached);
	assert_int_equal(pool_idle_count(pool), 0);
	assert_int_equal(counts.lane.parked, 3);
	assert_int_equal(take(0), -1);
	fd = pool_take_parked(pool, backend(0), &meta);
	assert_true(fd >= 0);
	assert_int_equal(meta.served, 1);
	assert_int_equal(meta.idle_since_ms, begin);
	assert_int_equal(meta.expires_ms, begin + 60000);
	close(fd);
	fd = pool_take_parked(pool, backend(0), &meta);
	assert_true(fd >= 0);
	assert_int_equal(meta.served, 2);
	close(fd);
	assert_int_equal(pool_take_parked(pool, backend(0), &meta), -1);
	fd = pool_take_parked(pool, backend(1), &meta);
	assert_true(fd >= 0);
	close(fd);
}

/* What is used again and again is not parked. */
static void
test_busy_is_not_parked(void **state)
{
	(void)state;
	start(true, 100);
	put(0, 0);
	for (int i = 0; i < 50; i++) {
		pass(30);
		assert_int_equal(take(0), 0);
		assert_true(pool_put(pool, &conns[0].item, 0));
	}
	assert_int_equal(counts.lane.parked, 0);
	pass(111);
	assert_int_equal(counts.lane.parked, 1);
}

static void
test_not_parkable(void **state)
{
	(void)state;
	start(true, 100);
	make(0, 0)->is_parkable = false;
	assert_true(pool_put(pool, &conns[0].item, 0));
	pass(59999);
	assert_int_equal(pool_idle_count(pool), 1);
	pass(11);
	assert_true(conns[0].is_closed);
	assert_int_equal(counts.lane.parked, 0);
}

/* A lane that is full costs one connection a second, not all of them. */
static void
test_full_lane(void **state)
{
	struct lane_meta meta = { .expires_ms = UINT64_MAX };
	unsigned parked = 0;
	int fd;

	(void)state;
	for (;;) {
		fd = dup(2);
		if (lane_send(lanes, backend(0), fd, &meta,
		    &counts.lane) != LANE_PARKED)
			break;
		parked++;
	}
	close(fd);
	memset(&counts, 0, sizeof(counts));
	start(true, 100);
	for (size_t i = 0; i < 4; i++)
		put(i, 0);
	put(4, 1);
	pass(1000);
	assert_int_equal(counts.lane.refused_full, 1);
	assert_int_equal(pool_idle_count(pool), 3);
	/* The other backend's lane has room. */
	assert_true(conns[4].is_detached);
	for (; parked > 0; parked--) {
		fd = pool_take_parked(pool, backend(0), &meta);
		if (fd >= 0)
			close(fd);
	}
	pass(200);
	assert_int_equal(pool_idle_count(pool), 0);
	assert_int_equal(counts.lane.parked, 4);
}

/* Many at once are parked over several ticks. */
static void
test_bounded_tick(void **state)
{
	(void)state;
	start(true, CONNS_MAX);
	f.conf.pool_share_after_ms = 0;
	for (size_t i = 0; i < CONNS_MAX; i++)
		put(i, (uint32_t)(i % 3));
	loop_turn(loop, 0);
	assert_int_equal(counts.lane.parked, 64);
	pass(20);
	assert_int_equal(pool_idle_count(pool), 0);
	assert_int_equal(counts.lane.parked, CONNS_MAX);
}

/* A worker that ends leaves its connections to the others. */
static void
test_drain(void **state)
{
	struct lane_meta meta;
	int fd;

	(void)state;
	start(true, 100);
	put(0, 0);
	make(1, 1)->is_parkable = false;
	assert_true(pool_put(pool, &conns[1].item, 0));
	pool_drain(pool);
	pass(11);
	assert_true(conns[0].is_detached);
	put(2, 0);
	pass(11);
	assert_true(conns[2].is_detached);
	put(3, 0);
	pool_free(pool);
	pool = NULL;
	assert_true(conns[3].is_detached);
	assert_true(conns[1].is_closed);
	for (int i = 0; i < 3; i++) {
		fd = lane_take(lanes, backend(0), now_ms(), &meta,
		    &counts.lane);
		assert_true(fd >= 0);
		close(fd);
	}
}

#define POOL_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		POOL_TEST(test_order),
		POOL_TEST(test_remove),
		POOL_TEST(test_limit_per_backend),
		POOL_TEST(test_limit_in_all),
		POOL_TEST(test_how_long),
		POOL_TEST(test_expired_on_take),
		POOL_TEST(test_different_times),
		POOL_TEST(test_parking),
		POOL_TEST(test_busy_is_not_parked),
		POOL_TEST(test_not_parkable),
		POOL_TEST(test_full_lane),
		POOL_TEST(test_bounded_tick),
		POOL_TEST(test_drain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

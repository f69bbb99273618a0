/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * 16 workers, 50 backends in turn, few requests: who finds a connection.
 *
 * Rotation, pools and lanes are the real ones; workers are pools of one
 * process, time is the test's own, and a request takes none of it.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "clock.h"
#include "fixture.h"

#include "base/entropy.h"
#include "os/loop.h"
#include "upstream/pool.h"

enum { WORKERS = 16, BACKENDS = 50 };

struct conn {
	struct pool_item item;
	int fd;
};

struct worker {
	struct pool *pool;
	struct pool_counts counts;
	struct group group; /* the same, with a state of its own */
};

static struct worker workers[WORKERS];
static struct fixture f;
static struct backend_zone *zone;
static struct lane_set *lanes;
static struct loop *loop;
static unsigned connects;

static void
close_item(struct pool_item *item)
{
	struct conn *conn = LIST_OF(item, struct conn, item);

	close(conn->fd);
	free(conn);
}

static int
detach_item(struct pool_item *item)
{
	struct conn *conn = LIST_OF(item, struct conn, item);
	int fd = conn->fd;

	free(conn);
	return fd;
}

static const struct pool_ops ops = { close_item, detach_item };

static int
setup(void **state)
{
	struct pool_options options = { .ops = &ops, .slots = BACKENDS,
		.idle_max = 1024 };
	char text[BACKENDS * 16] = "";
	struct error err;

	(void)state;
	for (int i = 0; i < BACKENDS; i++)
		sprintf(text + strlen(text), "127.0.0.1:%d ", 1 + i);
	connects = 0;
	entropy_seed(1);
	loop = loop_new(LOOP_AUTO, &err);
	zone = backend_zone_new(BACKENDS, &err);
	lanes = lane_set_new(BACKENDS, &err);
	fixture_init(&f, "app", text);
	f.conf.keepalive.idle_timeout_ms = 2000;
	if (loop == NULL || zone == NULL || lanes == NULL ||
	    group_bind(f.group, zone, &err) != 0)
		return -1;
	options.loop = loop;
	options.lanes = lanes;
	for (int i = 0; i < WORKERS; i++) {
		memset(&workers[i].counts, 0, sizeof(workers[i].counts));
		options.counts = &workers[i].counts;
		workers[i].pool = pool_new(&options);
		workers[i].group = *f.group;
		group_start(&workers[i].group, NULL);
	}
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	for (int i = 0; i < WORKERS; i++) {
		pool_free(workers[i].pool);
		group_stop(&workers[i].group);
	}
	lane_set_free(lanes);
	group_unbind(f.group, zone);
	backend_zone_free(zone);
	fixture_fini(&f);
	loop_free(loop);
	return 0;
}

/* The peer's end lives for ever: nobody here closes but weir. */
static int
connect_to(int *peers, size_t *count)
{
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	peers[(*count)++] = ends[1];
	connects++;
	return ends[0];
}

static struct conn *
new_conn(const struct backend *b, int fd)
{
	struct conn *conn = calloc(1, sizeof(*conn));

	assert_non_null(conn);
	conn->fd = fd;
	conn->item.backend = b;
	conn->item.is_parkable = true;
	return conn;
}

static void
request(struct worker *w, int *peers, size_t *peer_count)
{
	struct group_tries tries = { .count = 0 };
	const struct backend *b = group_pick(&w->group, &tries);
	struct pool_item *item = pool_take(w->pool, b);
	struct lane_meta meta;
	int fd;

	if (item == NULL) {
		fd = pool_take_parked(w->pool, b, &meta);
		if (fd < 0)
			fd = connect_to(peers, peer_count);
		item = &new_conn(b, fd)->item;
	}
	assert_true(pool_put(w->pool, item, 0));
}

/* Requests arrive at even distances, each at a worker chosen by chance. */
static double
reuse(unsigned per_second, unsigned seconds)
{
	int *peers = calloc(per_second * seconds, sizeof(*peers));
	size_t peer_count = 0;
	unsigned total = per_second * seconds;

	for (unsigned i = 0; i < total; i++) {
		request(&workers[entropy_fast() % WORKERS], peers,
		    &peer_count);
		for (uint64_t end = clock_ms + 1000 / per_second;
		     clock_ms < end; clock_ms++)
			loop_turn(loop, 0);
	}
	for (size_t i = 0; i < peer_count; i++)
		close(peers[i]);
	free(peers);
	return 100 - 100.0 * (connects - BACKENDS) / (total - BACKENDS);
}

static void
test_few_requests(void **state)
{
	(void)state;
	assert_true(reuse(100, 60) >= 99);
}

static void
test_more_requests(void **state)
{
	(void)state;
	assert_true(reuse(1000, 10) >= 98);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_few_requests, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_more_requests, setup,
		    teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* Connections that wait in the kernel, across processes. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "fixture.h"
#include "clock.h"

#include "base/log.h"
#include "upstream/lane.h"
#include "../descriptors.h"

static struct backend_zone *zone;
static struct lane_set *lanes;
static struct fixture f;
static struct lane_counts counts;

static int
setup(void **state)
{
	struct error err;

	(void)state;
	memset(&counts, 0, sizeof(counts));
	zone = backend_zone_new(4, &err);
	lanes = lane_set_new(4, &err);
	if (zone == NULL || lanes == NULL)
		return -1;
	fixture_init(&f, "app", "127.0.0.1:80 127.0.0.1:81");
	return group_bind(f.group, zone, &err);
}

static int
teardown(void **state)
{
	(void)state;
	group_unbind(f.group, zone);
	fixture_fini(&f);
	lane_set_free(lanes);
	backend_zone_free(zone);
	return 0;
}

static struct backend *
backend(uint32_t index)
{
	return &f.group->backends[index];
}

static unsigned
parked(uint32_t index)
{
	return atomic_load(&backend(index)->shared->parked);
}

/* A connection's two ends; ours is parked, the peer's is returned. */
static int
park(uint32_t index, uint32_t served, uint64_t expires_ms)
{
	struct lane_meta meta = { .idle_since_ms = now_ms(),
		.expires_ms = expires_ms, .served = served };
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	assert_int_equal(lane_send(lanes, backend(index), ends[0], &meta,
	    &counts), LANE_PARKED);
	return ends[1];
}

static uint64_t
later(void)
{
	return now_ms() + 1000;
}

/* First in, first out; what travels with it; and it is the same socket. */
static void
test_order(void **state)
{
	size_t before = descriptors_open();
	struct lane_meta meta;
	int peers[3], fd;
	char byte;

	(void)state;
	for (uint32_t i = 0; i < 3; i++)
		peers[i] = park(0, i, later());
	assert_int_equal(descriptors_open(), before + 3);
	assert_int_equal(parked(0), 3);
	/* Another backend's lane is empty. */
	assert_int_equal(lane_take(lanes, backend(1), now_ms(), &meta,
	    &counts), -1);
	for (uint32_t i = 0; i < 3; i++) {
		fd = lane_take(lanes, backend(0), now_ms(), &meta, &counts);
		assert_true(fd >= 0);
		assert_int_equal(meta.served, i);
		assert_int_equal(meta.idle_since_ms, now_ms());
		assert_int_equal(meta.expires_ms, later());
		assert_int_equal(write(fd, "x", 1), 1);
		assert_int_equal(read(peers[i], &byte, 1), 1);
		close(fd);
		close(peers[i]);
	}
	assert_int_equal(lane_take(lanes, backend(0), now_ms(), &meta,
	    &counts), -1);
	assert_int_equal(parked(0), 0);
	assert_int_equal(counts.parked, 3);
	assert_int_equal(counts.taken, 3);
	assert_int_equal(descriptors_open(), before);
}

enum damage { CLOSED, SPOKE, EXPIRED, STALE, TERMS };

/* What is bad is closed on the way to what is good. */
static void
test_bad_ones(void **state)
{
	static const enum damage rows[] = { CLOSED, SPOKE, EXPIRED, STALE,
		TERMS };
	struct lane_meta meta;
	int good, fd;

	(void)state;
	for (size_t i = 0; i < 5; i++) {
		size_t before = descriptors_open();
		struct backend other = *backend(0);
		int bad = park(0, 1, rows[i] == EXPIRED ? now_ms() : later());

		if (rows[i] == CLOSED)
			assert_int_equal(shutdown(bad, SHUT_WR), 0);
		if (rows[i] == SPOKE)
			assert_int_equal(write(bad, "x", 1), 1);
		good = park(0, 2, later());
		if (rows[i] >= STALE) {
			other.slot_version += rows[i] == STALE;
			other.terms += rows[i] == TERMS;
			assert_int_equal(lane_take(lanes, &other, now_ms(),
			    &meta, &counts), -1);
			assert_int_equal(counts.stale,
			    rows[i] == STALE ? 2 : 4);
		} else {
			fd = lane_take(lanes, backend(0), now_ms(), &meta,
			    &counts);
			assert_true(fd >= 0);
			assert_int_equal(meta.served, 2);
			close(fd);
		}
		assert_int_equal(parked(0), 0);
		close(bad);
		close(good);
		assert_int_equal(descriptors_open(), before);
	}
	assert_int_equal(counts.dead, 2);
	assert_int_equal(counts.expired, 1);
	assert_int_equal(counts.taken, 3);
}

/* Parked by one process that is killed, taken by another. */
static void
test_processes(void **state)
{
	struct lane_meta meta;
	int ends[2], fd, status;
	char byte;
	pid_t pid;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		meta = (struct lane_meta){ .served = 7,
			.expires_ms = later() };
		(void)lane_send(lanes, backend(1), ends[0], &meta, &counts);
		raise(SIGKILL);
	}
	close(ends[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	/* It lives: the peer has met no end. */
	assert_int_equal(recv(ends[1], &byte, 1, MSG_DONTWAIT), -1);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		fd = lane_take(lanes, backend(1), now_ms(), &meta, &counts);
		_exit(fd >= 0 && meta.served == 7 &&
		    write(fd, "y", 1) == 1 ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(read(ends[1], &byte, 1), 1);
	assert_int_equal(byte, 'y');
	/* The last copy went with the process that took it. */
	assert_int_equal(read(ends[1], &byte, 1), 0);
	close(ends[1]);
}

/* Without a system call while nothing is parked. */
static void
test_empty_is_free(void **state)
{
	struct lane_meta meta;
	int peer = park(0, 1, later());

	(void)state;
	atomic_store(&backend(0)->shared->parked, 0);
	assert_int_equal(lane_take(lanes, backend(0), now_ms(), &meta,
	    &counts), -1);
	atomic_store(&backend(0)->shared->parked, 1);
	close(lane_take(lanes, backend(0), now_ms(), &meta, &counts));
	assert_int_equal(counts.taken, 1);
	/* A count left too high by one who died does no harm. */
	atomic_store(&backend(0)->shared->parked, 1);
	assert_int_equal(lane_take(lanes, backend(0), now_ms(), &meta,
	    &counts), -1);
	close(peer);
}

static void
test_full(void **state)
{
	struct lane_meta meta = { .expires_ms = later() };
	unsigned count = 0;
	size_t before;
	enum lane_result result;
	int fd;

	(void)state;
	before = descriptors_open();
	do {
		fd = socket(AF_UNIX, SOCK_STREAM, 0);
		assert_true(fd >= 0);
		result = lane_send(lanes, backend(0), fd, &meta, &counts);
	} while (result == LANE_PARKED && ++count < 100000);
	assert_int_equal(result, LANE_FULL);
	assert_in_range(count, 100, 10000);
	assert_int_equal(parked(0), count);
	assert_int_equal(counts.refused_full, 1);
	/* The one that was refused is still ours. */
	assert_int_equal(descriptors_open(), before + 1);
	close(fd);
	/* A lane that is full does not stand in the way of another. */
	close(park(1, 1, later()));
	assert_int_equal(lane_reap(lanes, zone, now_ms() + 2000, &counts),
	    count < 256 ? count + 1 : 257);
}

/* Peeks at all, closes what is due, leaves the rest where it is. */
static void
test_reap(void **state)
{
	size_t before = descriptors_open();
	struct lane_meta meta;
	int peers[6];
	char byte;
	int fd;

	(void)state;
	peers[0] = park(0, 0, now_ms() + 100);
	peers[1] = park(0, 1, now_ms() + 200);
	peers[2] = park(0, 2, now_ms() + 300);
	peers[3] = park(1, 3, now_ms() + 100);
	assert_int_equal(lane_reap(lanes, zone, now_ms(), &counts), 0);
	assert_int_equal(lane_reap(lanes, zone, now_ms() + 200, &counts), 3);
	assert_int_equal(counts.expired, 3);
	assert_int_equal(counts.taken, 0);
	assert_int_equal(read(peers[0], &byte, 1), 0);
	assert_int_equal(read(peers[1], &byte, 1), 0);
	assert_int_equal(read(peers[3], &byte, 1), 0);
	fd = lane_take(lanes, backend(0), now_ms(), &meta, &counts);
	assert_true(fd >= 0);
	assert_int_equal(meta.served, 2);
	close(fd);
	assert_int_equal(parked(0), 0);
	assert_int_equal(parked(1), 0);
	for (int i = 0; i < 4; i++)
		close(peers[i]);
	assert_int_equal(descriptors_open(), before);
}

/* The slot went to another name: what lies there is of no use. */
static void
test_reap_stale(void **state)
{
	struct fixture next;
	struct error err;
	int peer = park(0, 0, later());
	char byte;

	(void)state;
	group_unbind(f.group, zone);
	fixture_init(&next, "next", "10.0.0.1:1 10.0.0.2:2 10.0.0.3:3 "
	    "10.0.0.4:4");
	assert_int_equal(group_bind(next.group, zone, &err), 0);
	assert_int_equal(lane_reap(lanes, zone, now_ms(), &counts), 1);
	assert_int_equal(counts.stale, 1);
	assert_int_equal(read(peer, &byte, 1), 0);
	close(peer);
	group_unbind(next.group, zone);
	fixture_fini(&next);
}

/* Many take and park at once, some are killed: none is in two hands. */
static void
test_contention(void **state)
{
	enum { CONNECTIONS = 20, WORKERS = 4 };
	int peers[CONNECTIONS], status;
	pid_t pids[WORKERS];
	char bytes[64];

	(void)state;
	for (int i = 0; i < CONNECTIONS; i++)
		peers[i] = park(0, 0, later());
	for (int w = 0; w < WORKERS; w++) {
		pids[w] = fork();
		assert_true(pids[w] >= 0);
		if (pids[w] > 0)
			continue;
		for (int n = 0; n < 500; n++) {
			struct lane_meta meta;
			int fd = lane_take(lanes, backend(0), now_ms(), &meta,
			    &counts);

			if (fd < 0)
				continue;
			meta.served++;
			if (lane_send(lanes, backend(0), fd, &meta,
			    &counts) != LANE_PARKED)
				_exit(1);
		}
		_exit(0);
	}
	for (int w = 0; w < WORKERS; w++) {
		assert_int_equal(waitpid(pids[w], &status, 0), pids[w]);
		assert_int_equal(status, 0);
	}
	assert_int_equal(parked(0), CONNECTIONS);
	for (int i = 0; i < CONNECTIONS; i++) {
		struct lane_meta meta;
		int fd = lane_take(lanes, backend(0), now_ms(), &meta,
		    &counts);

		assert_true(fd >= 0);
		assert_int_equal(write(fd, "z", 1), 1);
		close(fd);
	}
	for (int i = 0; i < CONNECTIONS; i++) {
		assert_int_equal(read(peers[i], bytes, sizeof(bytes)), 1);
		close(peers[i]);
	}
}

/*
 * An unprivileged user has only as many descriptors in flight as one process
 * may have open: the rest is refused and stays with the sender.
 */
static void
in_flight_child(void)
{
	struct rlimit limit = { 40, 40 };
	struct lane_meta meta = { .expires_ms = later() };
	enum lane_result result = LANE_PARKED;
	int fds[2] = { -1, -1 };
	int n;

	if (setrlimit(RLIMIT_NOFILE, &limit) != 0 ||
	    syscall(SYS_setgroups, 0, NULL) != 0 || setgid(54321) != 0 ||
	    setuid(54321) != 0)
		_exit(3);
	for (n = 0; n < 200 && result == LANE_PARKED; n++) {
		if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0)
			_exit(4);
		result = lane_send(lanes, backend(0), fds[0], &meta, &counts);
		close(fds[1]);
	}
	if (result != LANE_NO_REFS || counts.refused_refs != 1 || n < 30 ||
	    parked(0) != (unsigned)n - 1)
		_exit(5);
	/* Taking one makes room for one. */
	close(fds[0]);
	if (lane_reap(lanes, zone, now_ms() + 2000, &counts) == 0)
		_exit(6);
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0)
		_exit(7);
	_exit(lane_send(lanes, backend(0), fds[0], &meta, &counts) ==
	    LANE_PARKED ? 0 : 8);
}

static void
test_in_flight(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	if (geteuid() != 0)
		skip();
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		in_flight_child();
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_true(WIFEXITED(status));
}

static void
ignore_line(void *arg, enum log_level level, const char *line, size_t len)
{
	size_t *seen = arg;

	assert_int_equal(level, LOG_LEVEL_WARN);
	assert_non_null(memmem(line, len, "backends_max", 12));
	*seen += 1;
}

/* A low limit leaves descriptors for others, and slots without a lane. */
static void
test_few_descriptors(void **state)
{
	struct rlimit before, low;
	struct lane_meta meta = { .expires_ms = later() };
	struct lane_set *few;
	struct backend far = *backend(0);
	struct error err;
	size_t warnings = 0;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	low = before;
	low.rlim_cur = 64;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	log_set_sink(ignore_line, &warnings);
	few = lane_set_new(512, &err);
	log_set_sink(NULL, NULL);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_non_null(few);
	assert_int_equal(warnings, 1);
	assert_int_equal(lane_set_count(few), 8);
	far.slot = 8;
	assert_int_equal(lane_send(few, &far, 0, &meta, &counts),
	    LANE_FAILED);
	assert_int_equal(lane_take(few, &far, now_ms(), &meta, &counts), -1);
	assert_int_equal(lane_send(NULL, &far, 0, &meta, &counts),
	    LANE_FAILED);
	lane_set_free(few);
}

/* Nothing can be received: the connection is lost, no more than that. */
static void
test_no_descriptor_left(void **state)
{
	struct rlimit before, low;
	struct lane_meta meta;
	int peer = park(0, 0, later());
	char byte;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	low = before;
	low.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	assert_int_equal(lane_take(lanes, backend(0), now_ms(), &meta,
	    &counts), -1);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(read(peer, &byte, 1), 0);
	assert_int_equal(parked(0), 0);
	assert_int_equal(counts.dead, 1);
	close(peer);
}

#define LANE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		LANE_TEST(test_order),
		LANE_TEST(test_bad_ones),
		LANE_TEST(test_processes),
		LANE_TEST(test_empty_is_free),
		LANE_TEST(test_full),
		LANE_TEST(test_reap),
		LANE_TEST(test_reap_stale),
		LANE_TEST(test_contention),
		LANE_TEST(test_in_flight),
		LANE_TEST(test_few_descriptors),
		LANE_TEST(test_no_descriptor_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

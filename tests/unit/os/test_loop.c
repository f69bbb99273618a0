/* SPDX-License-Identifier: BSD-2-Clause */
/* The event loop, each test on both back ends. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/now.h"
#include "os/loop.h"

struct end {
	struct loop_watch watch; /* first, so that a cast finds the end */
	unsigned events;         /* all that were reported */
	unsigned reports;
	struct end *remove;      /* on an event, stop watching this one */
	int fd;
};

static struct loop *loop;
static struct end ends[3];
static int peers[3];

static void
on_event(struct loop_watch *w, unsigned events)
{
	struct end *e = (struct end *)(void *)w;

	e->events |= events;
	e->reports++;
	if (e->remove != NULL)
		loop_remove(loop, &e->remove->watch);
}

static int
open_loop(enum loop_backend backend, const char *name)
{
	struct error err;

	loop = loop_new(backend, &err);
	if (loop == NULL || strcmp(loop_backend_name(loop), name) != 0)
		return -1;
	for (unsigned i = 0; i < 3; i++) {
		int fds[2];

		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0,
		    fds) != 0)
			return -1;
		ends[i] = (struct end){ .watch = { on_event, -1, 0 },
			.fd = fds[0] };
		peers[i] = fds[1];
	}
	return 0;
}

static int
setup_epoll(void **state)
{
	(void)state;
	return open_loop(LOOP_EPOLL, "epoll");
}

static int
setup_poll(void **state)
{
	(void)state;
	return open_loop(LOOP_POLL, "poll");
}

static int
teardown(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		loop_remove(loop, &ends[i].watch);
		close(ends[i].fd);
		if (peers[i] >= 0)
			close(peers[i]);
	}
	loop_free(loop);
	return 0;
}

static void
watch(unsigned i)
{
	assert_int_equal(loop_add_stream(loop, &ends[i].watch, ends[i].fd), 0);
}

/* What end i heard in one turn. */
static unsigned
heard(unsigned i)
{
	ends[i].events = 0;
	loop_turn(loop, 0);
	return ends[i].events;
}

static void
test_edges(void **state)
{
	char bytes[16];

	(void)state;
	watch(0);
	assert_int_equal(heard(0), LOOP_WRITABLE);
	assert_int_equal(heard(0), 0);
	assert_int_equal(write(peers[0], "ab", 2), 2);
	assert_int_equal(heard(0) & LOOP_READABLE, LOOP_READABLE);
	/* Reported once, though nothing was read. */
	assert_int_equal(heard(0), 0);
	assert_int_equal(read(ends[0].fd, bytes, 16), 2);
	loop_blocked(loop, &ends[0].watch, LOOP_READABLE);
	assert_int_equal(heard(0), 0);
	assert_int_equal(write(peers[0], "c", 1), 1);
	assert_int_equal(heard(0) & LOOP_READABLE, LOOP_READABLE);
}

static void
test_writable_again(void **state)
{
	static char bytes[65536];

	(void)state;
	watch(0);
	heard(0);
	while (write(ends[0].fd, bytes, sizeof(bytes)) > 0)
		continue;
	loop_blocked(loop, &ends[0].watch, LOOP_WRITABLE);
	assert_int_equal(heard(0), 0);
	while (read(peers[0], bytes, sizeof(bytes)) > 0)
		continue;
	assert_int_equal(heard(0) & LOOP_WRITABLE, LOOP_WRITABLE);
	assert_int_equal(heard(0), 0);
}

static void
test_peer_closed(void **state)
{
	unsigned both = LOOP_PEER_CLOSED | LOOP_READABLE;
	char byte;

	(void)state;
	watch(0);
	heard(0);
	shutdown(peers[0], SHUT_WR);
	assert_int_equal(heard(0) & both, both);
	assert_int_equal(heard(0), 0);
	assert_int_equal(read(ends[0].fd, &byte, 1), 0);

	/* Gone altogether: both directions are worth a try, once. */
	ends[0].reports = 0;
	close(peers[0]);
	peers[0] = -1;
	loop_blocked(loop, &ends[0].watch, LOOP_WRITABLE);
	assert_int_equal(heard(0) & (LOOP_FAILED | LOOP_WRITABLE),
	    LOOP_FAILED | LOOP_WRITABLE);
	assert_int_equal(heard(0), 0);
	assert_int_equal(ends[0].reports, 1);
}

/* A short read and the end of the stream behind it: the end is reported. */
static void
test_end_behind_data(void **state)
{
	char bytes[16];

	(void)state;
	watch(0);
	heard(0);
	assert_int_equal(write(peers[0], "x", 1), 1);
	heard(0);
	assert_int_equal(read(ends[0].fd, bytes, 16), 1);
	loop_blocked(loop, &ends[0].watch, LOOP_READABLE);
	shutdown(peers[0], SHUT_WR);
	assert_int_equal(heard(0) & LOOP_PEER_CLOSED, LOOP_PEER_CLOSED);
}

static void
test_reader_is_level(void **state)
{
	char byte;

	(void)state;
	assert_int_equal(loop_add_reader(loop, &ends[0].watch,
	    ends[0].fd, false), 0);
	assert_int_equal(heard(0), 0);
	assert_int_equal(write(peers[0], "a", 1), 1);
	assert_int_equal(heard(0), LOOP_READABLE);
	assert_int_equal(heard(0), LOOP_READABLE);
	assert_int_equal(read(ends[0].fd, &byte, 1), 1);
	assert_int_equal(heard(0), 0);
}

static void
test_exclusive_reader(void **state)
{
	(void)state;
	assert_int_equal(loop_add_reader(loop, &ends[0].watch,
	    ends[0].fd, true), 0);
	assert_int_equal(write(peers[0], "a", 1), 1);
	assert_int_equal(heard(0), LOOP_READABLE);
}

/* Whichever of two comes first removes the other, which then hears nothing. */
static void
test_remove_another(void **state)
{
	(void)state;
	watch(0);
	watch(1);
	watch(2);
	ends[0].remove = &ends[1];
	ends[1].remove = &ends[0];
	loop_turn(loop, 0);
	assert_int_equal(ends[0].reports + ends[1].reports, 1);
	assert_int_equal(ends[2].reports, 1);
	assert_true((ends[0].watch.fd < 0) != (ends[1].watch.fd < 0));
	loop_remove(loop, &ends[0].watch);
	loop_remove(loop, &ends[1].watch);
}

static void
test_remove_itself(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		watch(i);
		ends[i].remove = &ends[i];
	}
	loop_turn(loop, 0);
	loop_turn(loop, 0);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(ends[i].reports, 1);
}

static void
test_bad_descriptor(void **state)
{
	struct loop_watch w = { on_event, -1, 0 };

	(void)state;
	if (strcmp(loop_backend_name(loop), "poll") == 0)
		return; /* poll learns of it while waiting */
	assert_int_equal(loop_add_stream(loop, &w, 1000000), -1);
	assert_int_equal(w.fd, -1);
}

struct job {
	struct loop_task task; /* first */
	unsigned runs;
	struct job *defer, *cancel;
};

static void
run_job(struct loop_task *t)
{
	struct job *j = (struct job *)(void *)t;

	j->runs++;
	if (j->defer != NULL)
		loop_defer(loop, &j->defer->task);
	if (j->cancel != NULL)
		loop_cancel(loop, &j->cancel->task);
}

static void
test_tasks(void **state)
{
	struct job a = { .runs = 0 }, b = { .runs = 0 }, c = { .runs = 0 };

	(void)state;
	loop_task_init(&a.task, run_job);
	loop_task_init(&b.task, run_job);
	loop_task_init(&c.task, run_job);
	a.defer = &a;
	a.cancel = &b;
	loop_defer(loop, &a.task);
	loop_defer(loop, &a.task);
	loop_defer(loop, &b.task);
	loop_defer(loop, &c.task);
	loop_turn(loop, 0);
	assert_int_equal(a.runs, 1);
	assert_int_equal(b.runs, 0);
	assert_int_equal(c.runs, 1);
	/* Deferred from a task: it runs in the next turn, which does not
	 * wait. */
	a.defer = NULL;
	loop_turn(loop, 60000);
	assert_int_equal(a.runs, 2);
	loop_turn(loop, 0);
	assert_int_equal(a.runs, 2);
	loop_cancel(loop, &a.task);
	/* The last of the queue cancelled, then another one put there. */
	loop_defer(loop, &b.task);
	loop_defer(loop, &c.task);
	loop_cancel(loop, &c.task);
	loop_defer(loop, &a.task);
	loop_turn(loop, 0);
	assert_int_equal(a.runs, 3);
	assert_int_equal(b.runs, 1);
	assert_int_equal(c.runs, 1);
}

static void
stop_loop(struct deadline *d)
{
	(void)d;
	loop_stop(loop);
}

static void
test_deadline_ends_the_wait(void **state)
{
	struct deadline d;
	uint64_t start_ms;

	(void)state;
	now_update();
	start_ms = now_ms();
	deadline_init(&d, stop_loop);
	deadline_set(loop, &d, start_ms + 20);
	loop_run(loop);
	assert_true(now_ms() >= start_ms + 20);
	assert_true(now_ms() < start_ms + 5000);
}

#define BOTH(test)                                                         \
	{ #test " (epoll)", test, setup_epoll, teardown, NULL },           \
	{ #test " (poll)", test, setup_poll, teardown, NULL }

int
main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(test_edges),
		BOTH(test_writable_again),
		BOTH(test_peer_closed),
		BOTH(test_end_behind_data),
		BOTH(test_reader_is_level),
		BOTH(test_exclusive_reader),
		BOTH(test_remove_another),
		BOTH(test_remove_itself),
		BOTH(test_bad_descriptor),
		BOTH(test_tasks),
		BOTH(test_deadline_ends_the_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

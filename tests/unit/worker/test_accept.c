/* SPDX-License-Identifier: BSD-2-Clause */
/* Which sockets a worker accepts from, and how it lets go of them. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "net/listener.h"
#include "os/sock.h"
#include "worker/accept.h"

enum { SLOTS = 3, CLIENTS = 60 };

/* A reuseport group, a shared socket, the admin's. */
enum { GROUP, SHARED, ADMIN, SPECS };

static struct listener_spec specs[SPECS];
static struct listener_set set;
static struct addr addresses[SPECS];
static int copies[SPECS][SLOTS]; /* as other processes have them */
static struct loop *loop;
static struct accept accept_state;
static unsigned accepted[SPECS];
static unsigned emptied;
static unsigned pause_at; /* pause after so many; 0 = never */
static int clients[CLIENTS];
static unsigned client_count;

static void
on_readable(void *arg, const struct listener_spec *spec, int fd)
{
	int client;

	assert_ptr_equal(arg, &accept_state);
	for (unsigned i = 0; i < 8; i++) {
		client = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
		if (client < 0)
			return;
		close(client);
		accepted[spec - specs]++;
		if (pause_at != 0 && accepted[spec - specs] == pause_at) {
			accept_set_paused(&accept_state, true);
			return;
		}
	}
}

static void
on_emptied(void *arg)
{
	assert_ptr_equal(arg, &accept_state);
	emptied++;
}

static int
setup(void **state)
{
	struct error err;

	(void)state;
	memset(accepted, 0, sizeof(accepted));
	pause_at = client_count = 0;
	for (unsigned i = 0; i < SPECS; i++) {
		specs[i] = (struct listener_spec){ .text = "x",
			.backlog = 128, .reuseport = i == GROUP,
			.is_admin = i == ADMIN };
		specs[i].addr.len = sizeof(specs[i].addr.u.in);
		specs[i].addr.u.in.sin_family = AF_INET;
		specs[i].addr.u.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	}
	if (listener_set_open(&set, specs, SPECS, SLOTS, &err) != 0)
		return -1;
	for (unsigned i = 0; i < SPECS; i++) {
		sock_local(listener_fd(&set.items[i], 0), &addresses[i]);
		for (unsigned slot = 0; slot < SLOTS; slot++)
			copies[i][slot] = slot < set.items[i].fd_count
			    ? dup(set.items[i].fds[slot]) : -1;
	}
	loop = loop_new(LOOP_AUTO, &err);
	accept_init(&accept_state, &set, 1, SLOTS);
	if (set.count != 0)
		return -1;
	emptied = 0;
	accept_start(&accept_state, loop, on_readable, on_emptied,
	    &accept_state);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	accept_fini(&accept_state);
	loop_free(loop);
	for (unsigned i = 0; i < client_count; i++)
		close(clients[i]);
	for (unsigned i = 0; i < SPECS; i++) {
		for (unsigned slot = 0; slot < SLOTS; slot++) {
			if (copies[i][slot] >= 0)
				close(copies[i][slot]);
		}
	}
	return 0;
}

static void
close_copies(unsigned which)
{
	for (unsigned slot = 0; slot < SLOTS; slot++) {
		if (copies[which][slot] >= 0)
			close(copies[which][slot]);
		copies[which][slot] = -1;
	}
}

static void
connect_to(unsigned which, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		int fd = socket(AF_INET, SOCK_STREAM, 0);

		assert_int_equal(connect(fd, &addresses[which].u.sa,
		    addresses[which].len), 0);
		clients[client_count++] = fd;
	}
}

/* One that is passed over gets no answer: that would take two minutes. */
static bool
is_refused(unsigned which)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	struct pollfd wait = { .fd = fd, .events = POLLOUT };
	bool refused;

	connect(fd, &addresses[which].u.sa, addresses[which].len);
	refused = poll(&wait, 1, 200) == 1 && sock_error(fd) == ECONNREFUSED;
	close(fd);
	return refused;
}

/* Connections that a copy of the socket still finds waiting. */
static unsigned
left_in(unsigned which, unsigned slot)
{
	unsigned n = 0;
	int fd;

	while ((fd = accept(copies[which][slot], NULL, NULL)) >= 0) {
		close(fd);
		n++;
	}
	return n;
}

static void
turns(void)
{
	for (unsigned i = 0; i < 30; i++)
		loop_turn(loop, 0);
}

static void
last_call(void)
{
	for (unsigned i = 0; i < 200 && emptied == 0; i++)
		loop_turn(loop, 10);
	assert_int_equal(emptied, 1);
}

/* Its own, the shared ones, and no others. */
static void
test_own(void **state)
{
	unsigned others;

	(void)state;
	connect_to(GROUP, 30);
	connect_to(SHARED, 5);
	connect_to(ADMIN, 2);
	turns();
	others = left_in(GROUP, 0) + left_in(GROUP, 2);
	assert_true(others > 0);
	assert_int_equal(accepted[GROUP] + others, 30);
	assert_int_equal(accepted[SHARED], 5);
	assert_int_equal(accepted[ADMIN], 2);
}

static void
test_adopt(void **state)
{
	(void)state;
	accept_adopt(&accept_state, 2, true);
	accept_adopt(&accept_state, 7, true);
	connect_to(GROUP, 30);
	turns();
	assert_int_equal(accepted[GROUP] + left_in(GROUP, 0), 30);
	accept_adopt(&accept_state, 2, false);
	connect_to(GROUP, 20);
	turns();
	assert_true(left_in(GROUP, 2) > 0);
	left_in(GROUP, 0);
	/* Nobody tells about the dead any more. */
	accept_adopt_all(&accept_state);
	memset(accepted, 0, sizeof(accepted));
	connect_to(GROUP, 10);
	turns();
	assert_int_equal(accepted[GROUP], 10);
}

static void
test_pause(void **state)
{
	(void)state;
	pause_at = 3;
	connect_to(SHARED, 10);
	turns();
	assert_int_equal(accepted[SHARED], 3);
	/* The admin's is answered all the same. */
	connect_to(ADMIN, 1);
	turns();
	assert_int_equal(accepted[ADMIN], 1);
	accept_set_paused(&accept_state, false);
	turns();
	assert_int_equal(accepted[SHARED], 10);
}

/* Another worker comes after us: what waits is left to it. */
static void
test_leave(void **state)
{
	(void)state;
	accept_drain(&accept_state, false);
	connect_to(SHARED, 5);
	connect_to(ADMIN, 1);
	turns();
	assert_int_equal(accepted[SHARED], 0);
	assert_int_equal(accepted[ADMIN], 1);
	assert_int_equal(left_in(SHARED, 0), 5);
	assert_false(accept_is_emptying(&accept_state));
}

/* Nobody comes after us: the queues are emptied, the sockets closed. */
static void
test_stop(void **state)
{
	(void)state;
	connect_to(SHARED, 20);
	close_copies(SHARED);
	accept_drain(&accept_state, true);
	/* The sockets of other slots are closed, not emptied. */
	assert_false(is_refused(GROUP));
	close_copies(GROUP);
	assert_true(accept_is_emptying(&accept_state));
	last_call();
	assert_int_equal(accepted[SHARED], 20);
	assert_false(accept_is_emptying(&accept_state));
	assert_true(is_refused(SHARED));
	assert_true(is_refused(GROUP));
	connect_to(ADMIN, 1);
	turns();
	assert_int_equal(accepted[ADMIN], 1);
}

/* Others serve there: they are found as before. */
static void
test_leave_to_others(void **state)
{
	(void)state;
	accept_adopt_all(&accept_state);
	connect_to(SHARED, 5);
	accept_leave(&accept_state);
	connect_to(SHARED, 5);
	assert_true(accept_is_emptying(&accept_state));
	last_call();
	assert_int_equal(accepted[SHARED], 10);
	assert_false(accept_is_emptying(&accept_state));
	assert_false(is_refused(SHARED));
	assert_false(is_refused(GROUP));
}

/*
 * Until the last call those on their way are let in; somebody new finds nobody
 * there, or on an older kernel is neither let in nor reset.
 */
static void
test_stop_lets_in_who_is_on_the_way(void **state)
{
	int late = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	int why;

	(void)state;
	connect_to(SHARED, 1);
	accept_drain(&accept_state, true);
	assert_int_equal(connect(late, &addresses[SHARED].u.sa,
	    addresses[SHARED].len), -1);
	assert_true(errno == EINPROGRESS || errno == ECONNREFUSED);
	turns();
	assert_int_equal(accepted[SHARED], 1);
	why = sock_error(late);
	assert_true(why == 0 || why == ECONNREFUSED);
	/* The admin's goes on as ever. */
	connect_to(ADMIN, 1);
	turns();
	assert_int_equal(accepted[ADMIN], 1);
	last_call();
	close(late);
}

/* Out of descriptors while a queue is emptied: it goes on later. */
static void
test_stop_paused(void **state)
{
	(void)state;
	connect_to(SHARED, 20);
	close_copies(SHARED);
	pause_at = 12;
	accept_drain(&accept_state, true);
	last_call();
	assert_int_equal(accepted[SHARED], 12);
	assert_true(accept_is_emptying(&accept_state));
	accept_set_paused(&accept_state, false);
	assert_int_equal(accepted[SHARED], 12);
	turns();
	assert_int_equal(accepted[SHARED], 20);
	assert_false(accept_is_emptying(&accept_state));
	assert_true(is_refused(SHARED));
}

/* Paused, and nothing waits any more: the socket goes all the same. */
static void
test_stop_paused_empty(void **state)
{
	(void)state;
	close_copies(SHARED);
	accept_set_paused(&accept_state, true);
	accept_drain(&accept_state, true);
	last_call();
	assert_true(accept_is_emptying(&accept_state));
	accept_set_paused(&accept_state, false);
	turns();
	assert_false(accept_is_emptying(&accept_state));
}

/* A leave that becomes a stop empties what it would have left. */
static void
test_leave_then_stop(void **state)
{
	(void)state;
	accept_drain(&accept_state, false);
	connect_to(SHARED, 5);
	turns();
	assert_int_equal(accepted[SHARED], 0);
	accept_drain(&accept_state, true);
	turns();
	assert_int_equal(accepted[SHARED], 5);
}

/* A successor has the sockets, but for one address: that one is emptied. */
static void
test_retire(void **state)
{
	static const uint8_t gone[1] = { 1 << SHARED };

	(void)state;
	connect_to(SHARED, 4);
	close_copies(SHARED);
	close_copies(GROUP);
	accept_retire(&accept_state, gone, 8);
	/* Not ours alone to empty: closed at once. */
	assert_true(is_refused(GROUP));
	assert_true(accept_is_emptying(&accept_state));
	last_call();
	assert_int_equal(accepted[SHARED], 4);
	assert_true(is_refused(SHARED));
	assert_false(accept_is_emptying(&accept_state));
}

/* Bits that were not sent mean that a successor has the address. */
static void
test_retire_all(void **state)
{
	(void)state;
	connect_to(SHARED, 3);
	accept_retire(&accept_state, NULL, 0);
	turns();
	assert_int_equal(accepted[SHARED], 0);
	assert_int_equal(left_in(SHARED, 0), 3);
	assert_false(accept_is_emptying(&accept_state));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_own),
		TEST(test_adopt),
		TEST(test_pause),
		TEST(test_leave),
		TEST(test_stop),
		TEST(test_leave_to_others),
		TEST(test_stop_lets_in_who_is_on_the_way),
		TEST(test_stop_paused),
		TEST(test_stop_paused_empty),
		TEST(test_leave_then_stop),
		TEST(test_retire),
		TEST(test_retire_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

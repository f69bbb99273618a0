/* SPDX-License-Identifier: BSD-2-Clause */
/* Options of sockets that listen, read back there and on what they accept. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "os/sock.h"
#include "os/sock_tune.h"

static const struct {
	const char *name;
	enum sock_tune_row row;
	uint32_t value;
	int level, option;
	int want;
	bool is_inherited;
} cases[] = {
	{ "fast_open", SOCK_TUNE_FAST_OPEN, 17, IPPROTO_TCP, TCP_FASTOPEN, 17,
	    false },
	/* The kernel doubles them. */
	{ "receive_buffer", SOCK_TUNE_RECEIVE_BUFFER, 40000, SOL_SOCKET,
	    SO_RCVBUF, 80000, true },
	{ "send_buffer", SOCK_TUNE_SEND_BUFFER, 30000, SOL_SOCKET, SO_SNDBUF,
	    60000, true },
	{ "keepalive_interval", SOCK_TUNE_KEEPALIVE_INTERVAL, 7, IPPROTO_TCP,
	    TCP_KEEPINTVL, 7, true },
	{ "keepalive_count", SOCK_TUNE_KEEPALIVE_COUNT, 3, IPPROTO_TCP,
	    TCP_KEEPCNT, 3, true },
	{ "user_timeout", SOCK_TUNE_USER_TIMEOUT, 4321, IPPROTO_TCP,
	    TCP_USER_TIMEOUT, 4321, true },
	{ "dscp", SOCK_TUNE_DSCP, 46, IPPROTO_IP, IP_TOS, 46 << 2, true },
};

enum { CASES = sizeof(cases) / sizeof(*cases) };

static int
option(int fd, int level, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	assert_int_equal(getsockopt(fd, level, name, &value, &len), 0);
	return value;
}

/* With all of the cases, or with none; -1 where the family is missing. */
static int
listen_at(int family, const struct sock_tune *tune, struct addr *a)
{
	struct sock_listen_options o = { .backlog = 64, .tune = tune };
	struct error err;
	int fd;

	memset(a, 0, sizeof(*a));
	a->u.sa.sa_family = (sa_family_t)family;
	if (family == AF_INET6) {
		a->len = sizeof(a->u.in6);
	} else {
		a->len = sizeof(a->u.in);
		a->u.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	}
	fd = sock_listen(a, &o, &err);
	if (fd < 0 && family == AF_INET6)
		return -1;
	if (fd < 0)
		fail_msg("%s", err.text);
	sock_local(fd, a);
	return fd;
}

static struct sock_tune
all(void)
{
	struct sock_tune tune = { { 0 } };

	for (size_t i = 0; i < CASES; i++)
		tune.values[cases[i].row] = cases[i].value;
	return tune;
}

/* A connection to `port` of IPv4's loopback: our end of it. */
static int
accept_at(int listener, uint16_t port, int *client)
{
	struct pollfd p = { .fd = listener, .events = POLLIN };
	struct sockaddr_in to = { .sin_family = AF_INET,
		.sin_port = htons(port) };
	int fd;

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	*client = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(*client, (struct sockaddr *)&to, sizeof(to)),
	    0);
	assert_int_equal(poll(&p, 1, 5000), 1);
	fd = accept(listener, NULL, NULL);
	assert_true(fd >= 0);
	return fd;
}

/* Each has a case, so that a new one is not forgotten. */
static void
test_all_are_here(void **state)
{
	(void)state;
	assert_int_equal(CASES, SOCK_TUNE_COUNT);
	for (size_t i = 0; i < CASES; i++)
		assert_string_equal(sock_tune_name(cases[i].row),
		    cases[i].name);
}

static void
check_family(int family)
{
	struct sock_tune tune = all();
	struct addr a;
	int listener = listen_at(family, &tune, &a);
	int client, fd;

	if (listener < 0)
		skip();
	fd = accept_at(listener, addr_port(&a), &client);
	for (size_t i = 0; i < CASES; i++) {
		if (option(listener, cases[i].level, cases[i].option) !=
		    cases[i].want)
			fail_msg("%s: not set", cases[i].name);
		if (cases[i].is_inherited && option(fd, cases[i].level,
		    cases[i].option) != cases[i].want)
			fail_msg("%s: not inherited", cases[i].name);
	}
	if (family == AF_INET6)
		assert_int_equal(option(listener, IPPROTO_IPV6, IPV6_TCLASS),
		    46 << 2);
	close(client);
	close(fd);
	close(listener);
}

static void
test_inherited(void **state)
{
	(void)state;
	check_family(AF_INET);
}

/* A socket for both families, and a client of the other one. */
static void
test_inherited_by_mapped(void **state)
{
	(void)state;
	check_family(AF_INET6);
}

/* One by one on a socket that listens, and back again. */
static void
test_changed_and_taken_back(void **state)
{
	struct addr a;
	int listener = listen_at(AF_INET, NULL, &a);

	(void)state;
	for (size_t i = 0; i < CASES; i++) {
		int level = cases[i].level, name = cases[i].option;
		int before = option(listener, level, name);

		assert_int_not_equal(before, cases[i].want);
		assert_int_equal(sock_tune_set(listener, cases[i].row,
		    cases[i].value), 0);
		assert_int_equal(option(listener, level, name),
		    cases[i].want);
		if (sock_tune_set(listener, cases[i].row, 0) != 0) {
			/* A kernel that does not let go of a size. */
			assert_int_equal(errno, ENOPROTOOPT);
			assert_int_equal(level, SOL_SOCKET);
			continue;
		}
		if (option(listener, level, name) != before)
			fail_msg("%s: not taken back", cases[i].name);
	}
	close(listener);
}

/* A size that was taken back is the kernel's to change again. */
static void
test_buffers_adapt_again(void **state)
{
#ifdef SO_BUF_LOCK
	struct addr a;
	int listener = listen_at(AF_INET, NULL, &a);
	int locks = 0;
	socklen_t len = sizeof(locks);

	(void)state;
	if (getsockopt(listener, SOL_SOCKET, SO_BUF_LOCK, &locks, &len) != 0)
		skip();
	assert_int_equal(locks, 0);
	assert_int_equal(sock_tune_set(listener, SOCK_TUNE_RECEIVE_BUFFER,
	    40000), 0);
	assert_int_equal(sock_tune_set(listener, SOCK_TUNE_SEND_BUFFER,
	    40000), 0);
	assert_int_equal(option(listener, SOL_SOCKET, SO_BUF_LOCK), 3);
	assert_int_equal(sock_tune_set(listener, SOCK_TUNE_RECEIVE_BUFFER, 0),
	    0);
	assert_int_equal(option(listener, SOL_SOCKET, SO_BUF_LOCK), 1);
	assert_int_equal(sock_tune_set(listener, SOCK_TUNE_SEND_BUFFER, 0),
	    0);
	assert_int_equal(option(listener, SOL_SOCKET, SO_BUF_LOCK), 0);
	close(listener);
#else
	(void)state;
	skip();
#endif
}

static void
test_short(void **state)
{
	struct addr a;
	int listener = listen_at(AF_INET, NULL, &a);
	uint32_t got = 0;

	(void)state;
	assert_int_equal(sock_tune_set(listener, SOCK_TUNE_RECEIVE_BUFFER,
	    40000), 0);
	assert_false(sock_tune_is_short(listener, SOCK_TUNE_RECEIVE_BUFFER,
	    40000, &got));
	assert_true(sock_tune_is_short(listener, SOCK_TUNE_RECEIVE_BUFFER,
	    40001, &got));
	assert_int_equal(got, 40000);
	assert_false(sock_tune_is_short(listener, SOCK_TUNE_RECEIVE_BUFFER,
	    0, &got));
	assert_false(sock_tune_is_short(listener, SOCK_TUNE_DSCP, 63, &got));
	close(listener);
}

/* What the kernel refuses is told by its name. */
static void
test_refused(void **state)
{
	struct sock_tune tune = { { [SOCK_TUNE_KEEPALIVE_COUNT] = 1000 } };
	struct sock_listen_options o = { .backlog = 1, .tune = &tune };
	struct addr a = { .len = sizeof(a.u.in) };
	struct error err;

	(void)state;
	a.u.in.sin_family = AF_INET;
	assert_int_equal(sock_listen(&a, &o, &err), -1);
	assert_non_null(strstr(err.text, "keepalive_count"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_are_here),
		cmocka_unit_test(test_inherited),
		cmocka_unit_test(test_inherited_by_mapped),
		cmocka_unit_test(test_changed_and_taken_back),
		cmocka_unit_test(test_buffers_adapt_again),
		cmocka_unit_test(test_short),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

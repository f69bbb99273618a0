/* SPDX-License-Identifier: BSD-2-Clause */
/* Sockets: listening, connecting, and telling how a connection stands. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "os/sock.h"
#include "os/sock_connect.h"

static const struct sock_listen_options plain = { .backlog = 16,
	.mode = 0600 };
static char folder[] = "/tmp/weir-test-sock-XXXXXX";

static int
setup(void **state)
{
	(void)state;
	return mkdtemp(folder) == NULL;
}

static int
teardown(void **state)
{
	(void)state;
	return rmdir(folder);
}

static struct addr
loopback(uint16_t port)
{
	struct addr a = { .len = sizeof(a.u.in) };

	a.u.in.sin_family = AF_INET;
	a.u.in.sin_port = port;
	a.u.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return a;
}

static struct addr
unix_path(const char *name)
{
	struct addr a = { .len = sizeof(a.u.un) };

	a.u.un.sun_family = AF_UNIX;
	snprintf(a.u.un.sun_path, sizeof(a.u.un.sun_path), "%s/%s", folder,
	    name);
	return a;
}

static int
option(int fd, int level, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	assert_int_equal(getsockopt(fd, level, name, &value, &len), 0);
	return value;
}

/* A listener on a port of the kernel's choice. */
static int
listen_any(const struct sock_listen_options *o, struct addr *a)
{
	struct error err;
	int fd;

	*a = loopback(0);
	fd = sock_listen(a, o, &err);
	if (fd < 0)
		fail_msg("%s", err.text);
	sock_local(fd, a);
	return fd;
}

static int
accept_one(int listener)
{
	struct pollfd p = { .fd = listener, .events = POLLIN };

	assert_int_equal(poll(&p, 1, 5000), 1);
	return accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

static void
wait_for(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };

	assert_int_equal(poll(&p, 1, 5000), 1);
}

static void
test_listen_options(void **state)
{
	struct sock_listen_options o = { .backlog = 16, .defer_accept = true,
		.keepalive_s = 33 };
	struct addr a;
	int fd = listen_any(&o, &a);

	(void)state;
	assert_true(option(fd, IPPROTO_TCP, TCP_NODELAY) > 0);
	assert_true(option(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT) > 0);
	assert_true(option(fd, SOL_SOCKET, SO_KEEPALIVE) > 0);
	assert_int_equal(option(fd, IPPROTO_TCP, TCP_KEEPIDLE), 33);
	assert_int_equal(option(fd, SOL_SOCKET, SO_REUSEPORT), 0);
	assert_true((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
	assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
	assert_int_equal(sock_defer_accept(fd, false), 0);
	assert_int_equal(option(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT), 0);
	close(fd);
}

static void
test_port_in_use(void **state)
{
	struct sock_listen_options sibling = plain;
	struct error err;
	struct addr a;
	int first = listen_any(&plain, &a);
	int second;

	(void)state;
	sibling.reuseport = true;
	assert_int_equal(sock_listen(&a, &plain, &err), -1);
	assert_non_null(strstr(err.text, "binding 127.0.0.1:"));
	assert_non_null(strstr(err.text, "in use"));
	assert_int_equal(sock_listen(&a, &sibling, &err), -1);
	/* Once the first allows it, siblings may join. */
	assert_int_equal(sock_allow_reuseport(first), 0);
	second = sock_listen(&a, &sibling, &err);
	assert_true(second >= 0);
	close(second);
	close(first);
}

static void
test_ipv6(void **state)
{
	struct sock_listen_options o = { .backlog = 1, .ipv6_only = true };
	struct addr a = { .len = sizeof(a.u.in6) };
	struct error err;
	int fd;

	(void)state;
	a.u.in6.sin6_family = AF_INET6;
	fd = sock_listen(&a, &o, &err);
	if (fd < 0)
		skip();
	assert_int_equal(option(fd, IPPROTO_IPV6, IPV6_V6ONLY), 1);
	close(fd);
	o.ipv6_only = false;
	fd = sock_listen(&a, &o, &err);
	assert_int_equal(option(fd, IPPROTO_IPV6, IPV6_V6ONLY), 0);
	close(fd);
}

static void
test_unix_socket(void **state)
{
	struct sock_owner owner = { 12345, 54321 };
	struct sock_listen_options o = plain;
	struct addr a = unix_path("a.sock");
	struct stat st;
	struct error err;
	bool in_progress;
	int fd, client;

	(void)state;
	o.mode = 0620;
	if (geteuid() == 0)
		o.owner = &owner;
	fd = sock_listen(&a, &o, &err);
	assert_true(fd >= 0);
	assert_int_equal(stat(a.u.un.sun_path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0620);
	if (geteuid() == 0) {
		assert_int_equal(st.st_uid, 12345);
		assert_int_equal(st.st_gid, 54321);
	}
	client = sock_connect(&a, &in_progress);
	assert_true(client >= 0);
	assert_false(in_progress);
	close(client);

	/* Somebody answers there: it is in use.  Nobody: it is replaced. */
	assert_int_equal(sock_listen(&a, &o, &err), -1);
	close(fd);
	fd = sock_listen(&a, &o, &err);
	assert_true(fd >= 0);
	close(fd);
	unlink(a.u.un.sun_path);

	/* A file that is no socket is left alone. */
	fd = open(a.u.un.sun_path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(sock_listen(&a, &o, &err), -1);
	assert_int_equal(stat(a.u.un.sun_path, &st), 0);
	assert_true(S_ISREG(st.st_mode));
	unlink(a.u.un.sun_path);

	a = unix_path("none/a.sock");
	assert_int_equal(sock_listen(&a, &o, &err), -1);
	assert_non_null(strstr(err.text, "none/a.sock: No such file"));
	assert_int_equal(sock_connect(&a, &in_progress), -1);
	assert_int_equal(errno, ENOENT);
}

static void
test_connect(void **state)
{
	struct addr a;
	bool in_progress;
	char byte;
	int listener = listen_any(&plain, &a);
	int client = sock_connect(&a, &in_progress);
	int server;

	(void)state;
	assert_true(client >= 0);
	wait_for(client, POLLOUT);
	assert_int_equal(sock_error(client), 0);
	server = accept_one(listener);
	assert_true(server >= 0);
	assert_true(option(server, IPPROTO_TCP, TCP_NODELAY) > 0);

	assert_true(sock_is_quiet(client));
	assert_int_equal(send(server, "x", 1, 0), 1);
	wait_for(client, POLLIN);
	assert_false(sock_is_quiet(client));
	assert_int_equal(recv(client, &byte, 1, 0), 1);
	assert_true(sock_is_quiet(client));
	shutdown(server, SHUT_WR);
	wait_for(client, POLLIN);
	assert_false(sock_is_quiet(client));
	close(server);
	close(client);
	close(listener);
}

static void
test_reset(void **state)
{
	struct addr a;
	bool in_progress;
	int listener = listen_any(&plain, &a);
	int client = sock_connect(&a, &in_progress);

	(void)state;
	wait_for(client, POLLOUT);
	sock_reset(accept_one(listener));
	wait_for(client, POLLHUP);
	assert_int_equal(sock_error(client), ECONNRESET);
	close(client);
	close(listener);
}

static void
test_connect_refused(void **state)
{
	struct addr a;
	bool in_progress;
	int listener = listen_any(&plain, &a);
	int client;

	(void)state;
	close(listener);
	client = sock_connect(&a, &in_progress);
	if (client < 0) {
		assert_int_equal(errno, ECONNREFUSED);
		return;
	}
	assert_true(in_progress);
	wait_for(client, POLLOUT);
	assert_int_equal(sock_error(client), ECONNREFUSED);
	close(client);
}

/* How many of so many clients come to each of the sockets. */
static void
count_clients(const struct addr *a, const int *fds, unsigned *counts,
    unsigned sockets, unsigned clients)
{
	for (unsigned i = 0; i < clients; i++) {
		int client = socket(AF_INET, SOCK_STREAM, 0);

		assert_int_equal(connect(client, &a->u.sa, a->len), 0);
		for (unsigned j = 0; j < sockets; j++) {
			int fd = accept(fds[j], NULL, NULL);

			if (fd < 0)
				continue;
			counts[j]++;
			close(fd);
		}
		close(client);
	}
}

/* Only the first ones of a group get anybody, however often that changes. */
static void
test_steer(void **state)
{
	enum { SOCKETS = 4, CLIENTS = 64 };
	static const unsigned firsts[] = { 1, 3, 2, 4 };
	struct sock_listen_options o = plain;
	struct error err;
	int fds[SOCKETS];
	struct addr a;

	(void)state;
	o.backlog = CLIENTS;
	fds[0] = listen_any(&o, &a);
	assert_int_equal(sock_allow_reuseport(fds[0]), 0);
	o.reuseport = true;
	for (size_t i = 1; i < SOCKETS; i++)
		assert_true((fds[i] = sock_listen(&a, &o, &err)) >= 0);
	for (size_t i = 0; i < sizeof(firsts) / sizeof(*firsts); i++) {
		unsigned counts[SOCKETS] = { 0 };

		assert_int_equal(sock_steer(fds[0], firsts[i]), 0);
		count_clients(&a, fds, counts, SOCKETS, CLIENTS);
		for (unsigned j = 0; j < SOCKETS; j++)
			assert_int_equal(counts[j] > 0, j < firsts[i]);
	}
	for (size_t i = 0; i < SOCKETS; i++)
		close(fds[i]);
}

static void
test_steer_alone(void **state)
{
	struct addr a;
	int fd = listen_any(&plain, &a);

	(void)state;
	assert_int_equal(sock_steer(fd, 1), -1);
	close(fd);
}

/*
 * Nobody new gets in, and another socket of that address has them; who has
 * connected, but not sent anything yet, arrives.
 */
static void
test_refuse_new(void **state)
{
	struct sock_listen_options o = { .backlog = 16, .defer_accept = true };
	int fd, other, first, second, came;
	struct error err;
	struct addr a;
	bool in_progress;

	(void)state;
	fd = listen_any(&o, &a);
	first = sock_connect(&a, &in_progress);
	wait_for(first, POLLOUT);
	assert_int_equal(accept(fd, NULL, NULL), -1);
	assert_int_equal(sock_refuse_new(fd), 0);
	assert_int_equal(sock_refuse_new(fd), 0);
	second = sock_connect(&a, &in_progress);
	if (second >= 0) {
		struct pollfd p = { .fd = second, .events = POLLOUT };

		/* An old kernel: it will try again. */
		assert_true(poll(&p, 1, 100) == 0 || sock_error(second) ==
		    ECONNREFUSED);
		close(second);
	}
	assert_int_equal(write(first, "x", 1), 1);
	came = accept_one(fd);
	wait_for(came, POLLIN);
	close(came);
	close(first);
	assert_int_equal(sock_allow_reuseport(fd), 0);
	o.reuseport = true;
	other = sock_listen(&a, &o, &err);
	assert_true(other >= 0);
	close(fd);
	close(other);
}

/* Who takes the socket over serves on with it. */
static void
test_admit_new(void **state)
{
	struct sock_listen_options o = { .backlog = 16 };
	int fd, client, came;
	struct addr a;
	bool in_progress;

	(void)state;
	fd = listen_any(&o, &a);
	assert_int_equal(sock_admit_new(fd), 0); /* nothing to undo */
	assert_int_equal(sock_refuse_new(fd), 0);
	if (sock_admit_new(fd) != 0) {
		assert_int_equal(errno, EPERM);
		close(fd);
		skip();
	}
	client = sock_connect(&a, &in_progress);
	wait_for(client, POLLOUT);
	came = accept_one(fd);
	close(came);
	close(client);
	close(fd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_listen_options),
		cmocka_unit_test(test_port_in_use),
		cmocka_unit_test(test_ipv6),
		cmocka_unit_test(test_unix_socket),
		cmocka_unit_test(test_connect),
		cmocka_unit_test(test_reset),
		cmocka_unit_test(test_connect_refused),
		cmocka_unit_test(test_steer),
		cmocka_unit_test(test_steer_alone),
		cmocka_unit_test(test_refuse_new),
		cmocka_unit_test(test_admit_new),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}

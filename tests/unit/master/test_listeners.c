/* SPDX-License-Identifier: BSD-2-Clause */
/* Which sockets stay, come and go: with real ones on the loopback. */
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
#include "master/listeners.h"
#include "os/sock.h"

enum { CLIENTS = 64 };

static char folder[] = "/tmp/weir-test-listeners-XXXXXX";

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

/* host: 127.0.0.1 is 0x7f000001. */
static struct listener_spec
spec_at(uint32_t host, uint16_t port)
{
	struct listener_spec spec = { .text = "tcp", .backlog = 128,
		.reuseport = true,
		.place = { .file = "weir.conf", .line = 7, .column = 3 } };

	spec.addr.len = sizeof(spec.addr.u.in);
	spec.addr.u.in.sin_family = AF_INET;
	spec.addr.u.in.sin_addr.s_addr = htonl(host);
	spec.addr.u.in.sin_port = htons(port);
	return spec;
}

static struct listener_spec
unix_spec(void)
{
	struct listener_spec spec = { .text = "unix:x", .backlog = 16,
		.reuseport = true, .mode = 0600 };

	spec.addr.len = sizeof(spec.addr.u.un);
	spec.addr.u.un.sun_family = AF_UNIX;
	snprintf(spec.addr.u.un.sun_path, sizeof(spec.addr.u.un.sun_path),
	    "%s/x", folder);
	return spec;
}

/* One that nobody has just now, at any address. */
static uint16_t
free_port(void)
{
	struct listener_spec spec = spec_at(INADDR_ANY, 0);
	struct listener_set set;
	struct error err;
	struct addr a;

	assert_int_equal(listener_set_open(&set, &spec, 1, 1, &err), 0);
	sock_local(set.items[0].fds[0], &a);
	listener_set_close(&set);
	return addr_port(&a);
}

static bool
is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static bool
listens(int fd)
{
	int value = 0;
	socklen_t len = sizeof(value);

	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &value,
	    &len), 0);
	return value != 0;
}

static bool
has_waiting(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) > 0;
}

static void
follow(struct listener_set *set, const struct listener_set *before,
    const struct listener_spec *specs, size_t count, size_t slots)
{
	struct error err;

	assert_int_equal(listeners_follow(set, before, specs, count, slots,
	    &err), 0);
}

/* Returns how many addresses of `before` go. */
static size_t
take_over(struct listener_set *set, struct listener_set *before)
{
	size_t count = before->count, going = 0;
	uint8_t *gone = NULL;
	bool stays = true;
	struct error err;

	assert_int_equal(listeners_take_over(set, before, false, &gone,
	    &stays, &err), 0);
	assert_false(stays);
	for (size_t i = 0; i < count; i++)
		going += gone[i];
	free(gone);
	return going;
}

static const struct listener_set none;

/* The same sockets, whatever else of the options differs. */
static void
test_stays(void **state)
{
	struct listener_spec spec = spec_at(INADDR_LOOPBACK, free_port());
	struct listener_spec other = spec;
	struct listener_set one, two;
	int fds[3];

	(void)state;
	other.backlog = 16;
	other.keepalive_s = 60;
	follow(&one, &none, &spec, 1, 3);
	assert_int_equal(one.items[0].fd_count, 3);
	memcpy(fds, one.items[0].fds, sizeof(fds));
	follow(&two, &one, &other, 1, 3);
	assert_int_equal(two.items[0].kept, 3);
	assert_memory_equal(two.items[0].fds, fds, sizeof(fds));
	assert_int_equal(take_over(&two, &one), 0);
	assert_null(one.items);
	for (size_t i = 0; i < 3; i++)
		assert_true(is_open(fds[i]));
	assert_false(listeners_have_surplus(&two));
	listener_set_close(&two);
	for (size_t i = 0; i < 3; i++)
		assert_false(is_open(fds[i]));
}

static int
option(int fd, int level, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	assert_int_equal(getsockopt(fd, level, name, &value, &len), 0);
	return value;
}

/* Kept sockets and their new siblings have the new options, and lose them. */
static void
test_tuned(void **state)
{
	struct listener_spec spec = spec_at(INADDR_LOOPBACK, free_port());
	struct listener_spec tuned = spec;
	struct listener_set one, two, three;
	int buffer, interval;

	(void)state;
	tuned.tune.values[SOCK_TUNE_SEND_BUFFER] = 30000;
	tuned.tune.values[SOCK_TUNE_KEEPALIVE_INTERVAL] = 9;
	tuned.tune.values[SOCK_TUNE_DSCP] = 10;
	follow(&one, &none, &spec, 1, 2);
	buffer = option(one.items[0].fds[0], SOL_SOCKET, SO_SNDBUF);
	interval = option(one.items[0].fds[0], IPPROTO_TCP, TCP_KEEPINTVL);
	assert_int_not_equal(buffer, 60000);
	follow(&two, &one, &tuned, 1, 4);
	/* Until they are taken over they are as they were. */
	assert_int_equal(option(two.items[0].fds[0], SOL_SOCKET, SO_SNDBUF),
	    buffer);
	assert_int_equal(take_over(&two, &one), 0);
	for (size_t i = 0; i < 4; i++) {
		int fd = two.items[0].fds[i];

		assert_int_equal(option(fd, SOL_SOCKET, SO_SNDBUF), 60000);
		assert_int_equal(option(fd, IPPROTO_TCP, TCP_KEEPINTVL), 9);
		assert_int_equal(option(fd, IPPROTO_IP, IP_TOS), 10 << 2);
	}
	follow(&three, &two, &spec, 1, 4);
	assert_int_equal(take_over(&three, &two), 0);
	for (size_t i = 0; i < 4; i++) {
		int fd = three.items[0].fds[i];

		assert_int_equal(option(fd, SOL_SOCKET, SO_SNDBUF), buffer);
		assert_int_equal(option(fd, IPPROTO_TCP, TCP_KEEPINTVL),
		    interval);
		assert_int_equal(option(fd, IPPROTO_IP, IP_TOS), 0);
	}
	listener_set_close(&three);
}

/* It will not serve after all: nothing of the old ones is touched. */
static void
test_abandoned(void **state)
{
	uint16_t port = free_port(), more = free_port();
	struct listener_spec specs[] = { spec_at(INADDR_LOOPBACK, port),
		spec_at(INADDR_LOOPBACK, more) };
	struct listener_set one, two;
	int old[2], fresh;

	(void)state;
	follow(&one, &none, specs, 1, 2);
	memcpy(old, one.items[0].fds, sizeof(old));
	follow(&two, &one, specs, 2, 4);
	assert_int_equal(two.items[0].fd_count, 4);
	assert_int_equal(two.items[1].kept, 0);
	fresh = two.items[1].fds[0];
	assert_true(listens(fresh));
	assert_false(listens(two.items[0].fds[3]));
	listeners_abandon(&two);
	assert_true(is_open(old[0]) && is_open(old[1]));
	assert_true(listens(old[0]) && listens(old[1]));
	assert_false(is_open(fresh));
	/* And once more, with success. */
	follow(&two, &one, specs, 2, 4);
	assert_int_equal(take_over(&two, &one), 0);
	for (size_t i = 0; i < 4; i++)
		assert_true(listens(two.items[0].fds[i]));
	listener_set_close(&two);
}

/* Fewer slots: the rest is surplus, and gets nobody any more. */
static void
test_surplus(void **state)
{
	struct listener_spec spec = spec_at(INADDR_LOOPBACK, free_port());
	struct listener_set one, two, three;
	int clients[CLIENTS];
	unsigned first = 0;

	(void)state;
	follow(&one, &none, &spec, 1, 4);
	follow(&two, &one, &spec, 1, 1);
	assert_int_equal(two.items[0].fd_count, 1);
	assert_int_equal(two.items[0].surplus_count, 3);
	assert_int_equal(take_over(&two, &one), 0);
	assert_true(listeners_have_surplus(&two));
	assert_true(two.items[0].is_steered);
	for (size_t i = 0; i < CLIENTS; i++) {
		clients[i] = socket(AF_INET, SOCK_STREAM, 0);
		assert_int_equal(connect(clients[i], &spec.addr.u.sa,
		    spec.addr.len), 0);
	}
	for (size_t i = 0; i < 3; i++)
		assert_false(has_waiting(two.items[0].surplus[i]));
	while (has_waiting(two.items[0].fds[0])) {
		int fd = accept(two.items[0].fds[0], NULL, NULL);

		assert_true(fd >= 0);
		close(fd);
		first++;
	}
	assert_int_equal(first, CLIENTS);
	for (size_t i = 0; i < CLIENTS; i++)
		close(clients[i]);
	/* More again, before they were closed: the same sockets. */
	follow(&three, &two, &spec, 1, 3);
	assert_int_equal(three.items[0].fds[2], two.items[0].surplus[1]);
	assert_int_equal(three.items[0].surplus_count, 1);
	assert_int_equal(take_over(&three, &two), 0);
	listeners_close_surplus(&three);
	assert_false(listeners_have_surplus(&three));
	listener_set_close(&three);
}

/* Another address, another kind: the old one goes. */
static void
test_goes(void **state)
{
	struct listener_spec specs[] = {
		spec_at(INADDR_LOOPBACK, free_port()), unix_spec() };
	struct listener_set one, two;
	struct stat st;
	int tcp;

	(void)state;
	follow(&one, &none, specs, 2, 2);
	tcp = one.items[0].fds[0];
	assert_int_equal(stat(specs[1].addr.u.un.sun_path, &st), 0);
	follow(&two, &one, &specs[1], 1, 2);
	assert_int_equal(two.items[0].kept, 1);
	assert_int_equal(take_over(&two, &one), 1);
	assert_false(is_open(tcp));
	/* The file of what stays stays. */
	assert_int_equal(stat(specs[1].addr.u.un.sun_path, &st), 0);
	follow(&one, &two, specs, 1, 2);
	assert_int_equal(take_over(&one, &two), 1);
	assert_int_not_equal(stat(specs[1].addr.u.un.sun_path, &st), 0);
	listener_set_close(&one);
}

/* Each is served once: the same address twice is an error. */
static void
test_twice(void **state)
{
	uint16_t port = free_port();
	struct listener_spec specs[] = { spec_at(INADDR_LOOPBACK, port),
		spec_at(INADDR_LOOPBACK, port) };
	struct listener_set one, two;
	struct error err;
	int fd;

	(void)state;
	assert_int_equal(listeners_follow(&one, &none, specs, 2, 2, &err),
	    -1);
	assert_non_null(strstr(err.text, "weir.conf:7:3: listener"));
	assert_non_null(strstr(err.text, "Address already in use"));
	follow(&one, &none, specs, 1, 2);
	fd = one.items[0].fds[0];
	assert_int_equal(listeners_follow(&two, &one, specs, 2, 2, &err),
	    -1);
	assert_non_null(strstr(err.text, "Address already in use"));
	assert_true(is_open(fd) && listens(fd));
	listener_set_close(&one);
}

/* A port that is another's is refused, and nothing remains. */
static void
test_taken(void **state)
{
	uint16_t port = free_port();
	struct listener_spec taken = spec_at(INADDR_ANY, port);
	struct listener_spec specs[] = {
		spec_at(INADDR_LOOPBACK, free_port()),
		spec_at(INADDR_LOOPBACK, port) };
	struct listener_set other, one, two;
	struct error err;

	(void)state;
	follow(&other, &none, &taken, 1, 2);
	assert_int_equal(listeners_follow(&one, &none, specs, 2, 2, &err),
	    -1);
	assert_non_null(strstr(err.text, "Address already in use"));
	assert_null(one.items);
	/* So it is where we have another port. */
	follow(&one, &none, specs, 1, 2);
	assert_int_equal(listeners_follow(&two, &one, &specs[1], 1, 2, &err),
	    -1);
	listener_set_close(&one);
	listener_set_close(&other);
}

/* From where to where; what overlaps is bound, and waits for its turn. */
static const struct {
	const char *name;
	uint32_t from, to;
	bool reuseport;
} moves[] = {
	{ "any to one", INADDR_ANY, INADDR_LOOPBACK, true },
	{ "one to any", INADDR_LOOPBACK, INADDR_ANY, true },
	{ "any to one, shared", INADDR_ANY, INADDR_LOOPBACK, false },
	{ "one to any, shared", INADDR_LOOPBACK, INADDR_ANY, false },
};

static void
test_overlap(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(moves) / sizeof(*moves); i++) {
		uint16_t port = free_port();
		struct listener_spec from = spec_at(moves[i].from, port);
		struct listener_spec to = spec_at(moves[i].to, port);
		struct listener_spec both[] = { from, to };
		struct listener_set one, two;
		struct error err;
		int old;

		from.reuseport = to.reuseport = moves[i].reuseport;
		follow(&one, &none, &from, 1, 2);
		old = one.items[0].fds[0];
		follow(&two, &one, &to, 1, 2);
		assert_true(two.items[0].is_late);
		assert_false(listens(two.items[0].fds[0]));
		listeners_abandon(&two);
		assert_true(listens(old));
		/* Beside what stays it is refused, as at a plain start. */
		assert_int_equal(listeners_follow(&two, &one, both, 2, 2,
		    &err), -1);
		assert_non_null(strstr(err.text, "in use"));
		follow(&two, &one, &to, 1, 2);
		assert_int_equal(take_over(&two, &one), 1);
		assert_false(two.items[0].is_late);
		for (size_t j = 0; j < two.items[0].fd_count; j++)
			assert_true(listens(two.items[0].fds[j]));
		assert_false(is_open(old));
		listener_set_close(&two);
	}
}

/* Both families at [::], or one. */
static void
test_ipv6_only(void **state)
{
	uint16_t port = free_port();
	struct listener_spec dual = { .text = "[::]", .backlog = 128,
		.reuseport = true }, only, both[2];
	struct listener_spec four = spec_at(INADDR_ANY, port);
	struct listener_set one, two;
	struct error err;

	(void)state;
	dual.addr.len = sizeof(dual.addr.u.in6);
	dual.addr.u.in6.sin6_family = AF_INET6;
	dual.addr.u.in6.sin6_port = htons(port);
	if (listeners_follow(&one, &none, &dual, 1, 2, &err) != 0)
		skip();
	if (!sock_listens_at(one.items[0].fds[0], &dual.addr) ||
	    sock_is_ipv6_only(one.items[0].fds[0])) {
		listener_set_close(&one);
		skip();
	}
	only = dual;
	only.ipv6_only = true;
	follow(&two, &one, &only, 1, 2);
	assert_int_equal(two.items[0].kept, 0);
	assert_true(two.items[0].is_late);
	assert_int_equal(take_over(&two, &one), 1);
	assert_true(sock_is_ipv6_only(two.items[0].fds[0]));
	/* IPv4 beside it is another address. */
	both[0] = only;
	both[1] = four;
	follow(&one, &two, both, 2, 2);
	assert_int_equal(one.items[0].kept, 2);
	assert_false(one.items[1].is_late);
	assert_int_equal(take_over(&one, &two), 0);
	/* One for both in their place. */
	follow(&two, &one, &dual, 1, 2);
	assert_true(two.items[0].is_late);
	assert_int_equal(take_over(&two, &one), 2);
	listener_set_close(&two);
}

/* Over the loopback an answer is there at once. */
static bool
comes(const struct addr *a)
{
	int fd = socket(a->u.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
	bool came = connect(fd, &a->u.sa, a->len) == 0;

	if (!came && errno == EINPROGRESS) {
		struct pollfd p = { .fd = fd, .events = POLLOUT };

		came = poll(&p, 1, 0) > 0 && sock_error(fd) == 0;
	}
	close(fd);
	return came;
}

/* Whoever lent it may still have to go on. */
static void
test_lent(void **state)
{
	struct listener_spec specs[] = {
		spec_at(INADDR_LOOPBACK, free_port()), unix_spec() };
	struct listener_set one, two;
	uint8_t *gone = NULL;
	bool stays;
	struct error err;
	int fds[2];

	(void)state;
	follow(&one, &none, specs, 2, 1);
	for (size_t i = 0; i < 2; i++)
		fds[i] = dup(one.items[i].fds[0]);
	follow(&two, &one, specs, 0, 1);
	assert_int_equal(listeners_take_over(&two, &one, true, &gone, &stays,
	    &err), 0);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(gone[i], 1);
		assert_true(comes(&specs[i].addr));
		close(fds[i]);
	}
	free(gone);
	listener_set_close(&two);
	unlink(specs[1].addr.u.un.sun_path);
}

/* Nobody finds what goes; the admin's is not touched. */
static void
test_shut(void **state)
{
	struct listener_spec specs[] = {
		spec_at(INADDR_LOOPBACK, free_port()),
		spec_at(INADDR_LOOPBACK, free_port()),
		spec_at(INADDR_LOOPBACK, free_port()),
	};
	const uint8_t which[] = { 1, 0, 1 };
	struct listener_set set;
	bool want[] = { false, true, true };

	(void)state;
	specs[2].is_admin = true;
	follow(&set, &none, specs, 3, 2);
	listeners_shut(&set, which);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(comes(&specs[i].addr), want[i]);
	listener_set_close(&set);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stays),
		cmocka_unit_test(test_tuned),
		cmocka_unit_test(test_abandoned),
		cmocka_unit_test(test_surplus),
		cmocka_unit_test(test_goes),
		cmocka_unit_test(test_twice),
		cmocka_unit_test(test_taken),
		cmocka_unit_test(test_overlap),
		cmocka_unit_test(test_ipv6_only),
		cmocka_unit_test(test_lent),
		cmocka_unit_test(test_shut),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* From which ports connections come, and what when none is left. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "os/sock.h"
#include "os/sock_connect.h"

enum { PORTS = 3 };

static struct addr
loopback(uint16_t port)
{
	struct addr a = { .len = sizeof(a.u.in) };

	a.u.in.sin_family = AF_INET;
	a.u.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	a.u.in.sin_port = htons(port);
	return a;
}

static int
listen_any(struct addr *a)
{
	const struct sock_listen_options o = { .backlog = 64 };
	struct error err;
	int fd;

	*a = loopback(0);
	fd = sock_listen(a, &o, &err);
	if (fd < 0)
		fail_msg("%s", err.text);
	sock_local(fd, a);
	return fd;
}

static uint16_t
port_of(int fd)
{
	struct addr a;

	sock_local(fd, &a);
	return addr_port(&a);
}

/*
 * PORTS ports, of an address of our own, so that nobody else has them: all are
 * used once, then none is left, which another peer does not mind.
 */
static void
use_up(uint16_t low, bool by_kernel)
{
	struct sock_source from = { .addr = loopback(0), .low = low,
		.high = (uint16_t)(low + PORTS - 1), .by_kernel = by_kernel };
	const struct sock_connect_options o = { .from = &from };
	struct addr a, b;
	int one = listen_any(&a), other = listen_any(&b);
	int fds[PORTS + 2];
	unsigned seen = 0;
	bool pending;

	from.addr.u.in.sin_addr.s_addr =
	    htonl(0x7f000000U | ((unsigned)getpid() & 0xffffU) << 8 | 77U);
	for (int i = 0; i < PORTS; i++) {
		fds[i] = sock_connect_with(&o, &a, &pending);
		assert_true(fds[i] >= 0);
		assert_in_range(port_of(fds[i]), from.low, from.high);
		seen |= 1U << (port_of(fds[i]) - low);
	}
	assert_int_equal(seen, (1U << PORTS) - 1);
	errno = 0;
	assert_int_equal(sock_connect_with(&o, &a, &pending), -1);
	assert_int_equal(errno, EADDRNOTAVAIL);
	fds[PORTS] = sock_connect_with(&o, &b, &pending);
	assert_true(fds[PORTS] >= 0);
	assert_in_range(port_of(fds[PORTS]), from.low, from.high);
	from.falls_back = true;
	fds[PORTS + 1] = sock_connect_with(&o, &a, &pending);
	assert_true(fds[PORTS + 1] >= 0);
	assert_true(port_of(fds[PORTS + 1]) < from.low ||
	    port_of(fds[PORTS + 1]) > from.high);
	for (int i = 0; i < PORTS + 2; i++)
		sock_reset(fds[i]);
	close(one);
	close(other);
}

static void
test_ports_are_tried(void **state)
{
	(void)state;
	use_up(20000, false);
}

static void
test_ports_of_the_kernel(void **state)
{
	(void)state;
	if (!sock_connect_is_kernels(40000, 40000 + PORTS - 1))
		skip(); /* another range, or before Linux 6.3 */
	use_up(40000, true);
}

static void
test_whose_ports(void **state)
{
	(void)state;
	assert_false(sock_connect_is_kernels(80, 90));
}

/* No port helps, whether there are some or not. */
static void
test_no_address_of_ours(void **state)
{
	struct sock_source from = { .addr = loopback(0) };
	const struct sock_connect_options o = { .from = &from };
	struct addr a;
	int listener = listen_any(&a);
	bool pending;

	(void)state;
	from.addr.u.in.sin_addr.s_addr = htonl(0xc0000201); /* 192.0.2.1 */
	for (int i = 0; i < 2; i++) {
		errno = 0;
		assert_int_equal(sock_connect_with(&o, &a, &pending), -1);
		assert_int_equal(errno, EADDRNOTAVAIL);
		from.low = 20000;
		from.high = 20100;
		from.falls_back = true;
	}
	close(listener);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ports_are_tried),
		cmocka_unit_test(test_ports_of_the_kernel),
		cmocka_unit_test(test_whose_ports),
		cmocka_unit_test(test_no_address_of_ours),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

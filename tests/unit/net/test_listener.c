/* SPDX-License-Identifier: BSD-2-Clause */
/* Listeners: groups of sockets, and all or nothing. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "net/listener.h"
#include "os/sock.h"

enum { SLOTS = 4 };

static char folder[] = "/tmp/weir-test-listener-XXXXXX";

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

static struct listener_spec
tcp_spec(void)
{
	struct listener_spec spec = { .text = "127.0.0.1:0", .backlog = 512,
		.reuseport = true, .defer_accept = false,
		.place = { .file = "weir.conf", .line = 7, .column = 3 } };

	spec.addr.len = sizeof(spec.addr.u.in);
	spec.addr.u.in.sin_family = AF_INET;
	spec.addr.u.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
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

/* Clients spread over the sockets of a group: none is left out. */
static void
test_group(void **state)
{
	enum { CLIENTS = 200 };
	struct listener_spec spec = tcp_spec();
	struct listener_set set;
	struct error err;
	struct addr a;
	int clients[CLIENTS];
	unsigned total = 0;

	(void)state;
	assert_int_equal(listener_set_open(&set, &spec, 1, SLOTS, &err), 0);
	assert_int_equal(set.items[0].fd_count, SLOTS);
	sock_local(listener_fd(&set.items[0], 0), &a);
	for (unsigned i = 0; i < CLIENTS; i++) {
		clients[i] = socket(AF_INET, SOCK_STREAM, 0);
		assert_int_equal(connect(clients[i], &a.u.sa, a.len), 0);
	}
	for (size_t slot = 0; slot < SLOTS; slot++) {
		unsigned got = 0;
		int fd;

		while ((fd = accept(listener_fd(&set.items[0], slot), NULL,
		    NULL)) >= 0) {
			close(fd);
			got++;
		}
		assert_true(got > CLIENTS / SLOTS / 4);
		total += got;
	}
	assert_int_equal(total, CLIENTS);
	for (unsigned i = 0; i < CLIENTS; i++)
		close(clients[i]);
	listener_set_close(&set);
}

static void
test_single(void **state)
{
	struct listener_spec specs[3] = { tcp_spec(), unix_spec(),
		tcp_spec() };
	struct listener_set set;
	struct error err;
	struct stat st;

	(void)state;
	specs[0].reuseport = false;
	specs[2].is_admin = true;
	assert_int_equal(listener_set_open(&set, specs, 3, SLOTS, &err), 0);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(set.items[i].fd_count, 1);
		assert_int_equal(listener_fd(&set.items[i], 3),
		    listener_fd(&set.items[i], 0));
	}
	assert_int_equal(stat(specs[1].addr.u.un.sun_path, &st), 0);
	listener_set_remove_files(&set);
	assert_int_equal(stat(specs[1].addr.u.un.sun_path, &st), -1);
	listener_set_remove_files(&set);
	listener_set_close(&set);
}

/* Another one has put its socket in the place of ours: it stays. */
static void
test_file_of_another(void **state)
{
	struct listener_spec spec = unix_spec();
	struct listener_set set, other;
	struct error err;
	struct stat st;

	(void)state;
	assert_int_equal(listener_set_open(&set, &spec, 1, 1, &err), 0);
	unlink(spec.addr.u.un.sun_path);
	assert_int_equal(listener_set_open(&other, &spec, 1, 1, &err), 0);
	listener_set_remove_files(&set);
	assert_int_equal(stat(spec.addr.u.un.sun_path, &st), 0);
	listener_set_close(&set);
	listener_set_remove_files(&other);
	assert_int_equal(stat(spec.addr.u.un.sun_path, &st), -1);
	listener_set_close(&other);
}

/* The second address is in use: the first is free again, and it is said. */
static void
test_all_or_nothing(void **state)
{
	struct listener_spec specs[2] = { tcp_spec(), tcp_spec() };
	struct listener_set taken, set;
	struct error err;
	struct addr a;

	(void)state;
	assert_int_equal(listener_set_open(&taken, &specs[1], 1, SLOTS, &err),
	    0);
	sock_local(listener_fd(&taken.items[0], 0), &specs[1].addr);
	listener_set_close(&taken);
	assert_int_equal(listener_set_open(&taken, &specs[1], 1, 1, &err), 0);

	assert_int_equal(listener_set_open(&set, specs, 2, SLOTS, &err), -1);
	assert_non_null(strstr(err.text, "weir.conf:7:3: listener "
	    "\"127.0.0.1:0\": binding 127.0.0.1:"));
	assert_non_null(strstr(err.text, "in use"));
	assert_int_equal(set.count, 0);
	sock_local(listener_fd(&taken.items[0], 0), &a);
	assert_true(addr_equal(&a, &specs[1].addr));
	listener_set_close(&taken);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_group),
		cmocka_unit_test(test_single),
		cmocka_unit_test(test_file_of_another),
		cmocka_unit_test(test_all_or_nothing),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}

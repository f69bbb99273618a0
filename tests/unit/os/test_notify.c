/* SPDX-License-Identifier: BSD-2-Clause */
/* What the service manager's socket gets, and what the environment decides. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "os/notify.h"

/* An abstract socket that belongs to this process; its name in *path. */
static int
open_manager(char *path, size_t size)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	int len = snprintf(path, size, "@weir-unit-%ld", (long)getpid());

	assert_true(fd >= 0);
	memcpy(a.sun_path, path, (size_t)len);
	a.sun_path[0] = '\0';
	assert_int_equal(bind(fd, (struct sockaddr *)&a, (socklen_t)
	    (offsetof(struct sockaddr_un, sun_path) + (size_t)len)), 0);
	return fd;
}

static void
assert_message(int fd, const char *want)
{
	char text[8192];
	ssize_t n = recv(fd, text, sizeof(text) - 1, 0);

	assert_true(n >= 0);
	text[n] = '\0';
	assert_string_equal(text, want);
}

static void
test_messages(void **state)
{
	char path[64], want[128], status[6000];
	struct notify n;
	int fd = open_manager(path, sizeof(path));

	(void)state;
	setenv("NOTIFY_SOCKET", path, 1);
	notify_init(&n);
	assert_true(n.fd >= 0);
	notify_ready(&n, "two\nlines");
	snprintf(want, sizeof(want), "MAINPID=%ld\nREADY=1\n"
	    "STATUS=two lines\n", (long)getpid());
	assert_message(fd, want);
	notify_stopping(&n, 90000, NULL);
	assert_message(fd, "STOPPING=1\n");
	assert_message(fd, "EXTEND_TIMEOUT_USEC=90000000\n");
	notify_watchdog(&n);
	assert_message(fd, "WATCHDOG=1\n");
	notify_status(&n, "x");
	assert_message(fd, "STATUS=x\n");
	memset(status, 'x', sizeof(status) - 1);
	status[sizeof(status) - 1] = '\0';
	notify_status(&n, status);
	assert_true(recv(fd, status, sizeof(status), 0) <= 4096);
	notify_close(&n);
	notify_status(&n, "nothing");
	assert_int_equal(recv(fd, want, sizeof(want), 0), -1);
	close(fd);
}

static void
test_nobody(void **state)
{
	static const char *const paths[] = { "", "@", "/", "relative",
		"/nonexistent/notify", "@weir-unit-nobody" };
	struct notify n;

	(void)state;
	for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
		setenv("NOTIFY_SOCKET", paths[i], 1);
		notify_init(&n);
		assert_int_equal(n.fd, -1);
		notify_ready(&n, "x");
		notify_close(&n);
	}
	unsetenv("NOTIFY_SOCKET");
	notify_init(&n);
	assert_int_equal(n.fd, -1);
}

static void
test_watchdog(void **state)
{
	char own[32];
	const struct {
		const char *usec, *pid;
		uint64_t want_ms;
	} rows[] = {
		{ "30000000", NULL, 15000 }, { "30000000", own, 15000 },
		{ "30000000", "1", 0 }, { "30000000", "x", 0 },
		{ "0", NULL, 0 }, { "-1", NULL, 0 }, { "1", NULL, 1 },
		{ "x", NULL, 0 }, { NULL, NULL, 0 },
	};
	char path[64];
	int fd = open_manager(path, sizeof(path));

	(void)state;
	snprintf(own, sizeof(own), "%ld", (long)getpid());
	setenv("NOTIFY_SOCKET", path, 1);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct notify n;

		unsetenv("WATCHDOG_USEC");
		unsetenv("WATCHDOG_PID");
		if (rows[i].usec != NULL)
			setenv("WATCHDOG_USEC", rows[i].usec, 1);
		if (rows[i].pid != NULL)
			setenv("WATCHDOG_PID", rows[i].pid, 1);
		notify_init(&n);
		assert_int_equal(n.watchdog_ms, rows[i].want_ms);
		assert_null(getenv("WATCHDOG_PID"));
		notify_close(&n);
	}
	close(fd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_messages),
		cmocka_unit_test(test_nobody),
		cmocka_unit_test(test_watchdog),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

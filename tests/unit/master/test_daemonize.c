/* SPDX-License-Identifier: BSD-2-Clause */
/* The parent of a daemon: what it waits for, prints and returns. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "master/daemonize.h"

enum plan { PLAN_READY, PLAN_FAILED, PLAN_DEAD, PLAN_SLOW };

/* The caller and its daemon, both ends of what is tested. */
static void
live(enum plan plan, int out)
{
	struct daemonize d;
	struct error err;
	int status = 99;

	daemonize_init(&d);
	dup2(out, STDERR_FILENO);
	switch (daemonize_start(&d, 300, &status, &err)) {
	case 1:
		_exit(status);
	case 0:
		break;
	default:
		_exit(98);
	}
	/* Lost: this is the daemon's own stderr. */
	dprintf(STDERR_FILENO, "not to be seen\n");
	close(out);
	if (plan == PLAN_FAILED)
		daemonize_print(&d, "no luck");
	if (plan == PLAN_DEAD)
		_exit(0);
	if (plan == PLAN_SLOW)
		pause();
	daemonize_tell(&d, plan == PLAN_FAILED ? 7 : 0);
	/* It holds nothing of the caller's any more. */
	sleep(3);
	_exit(0);
}

static void
test_parent(void **state)
{
	static const struct {
		enum plan plan;
		int status;
		const char *text;
	} rows[] = {
		{ PLAN_READY, 0, "" },
		{ PLAN_FAILED, 7, "weir: no luck\n" },
		{ PLAN_DEAD, 1, "weir: the daemon ended before it was "
		    "ready\n" },
		{ PLAN_SLOW, 1, "weir: the daemon was not ready in time, and "
		    "is ended\n" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		char text[512];
		size_t len = 0;
		int ends[2], status;
		ssize_t n;
		pid_t pid;

		assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
		pid = fork();
		if (pid == 0)
			live(rows[i].plan, ends[1]);
		close(ends[1]);
		/* Ends when nobody holds the caller's stderr any more. */
		alarm(20);
		while ((n = read(ends[0], text + len,
		    sizeof(text) - 1 - len)) > 0)
			len += (size_t)n;
		alarm(0);
		text[len] = '\0';
		close(ends[0]);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), rows[i].status);
		assert_string_equal(text, rows[i].text);
	}
}

static void
test_foreground(void **state)
{
	struct daemonize d;

	(void)state;
	daemonize_init(&d);
	daemonize_tell(&d, 0);
	daemonize_forget(&d);
	assert_int_equal(d.status_fd, -1);
	assert_int_equal(d.stderr_fd, -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parent),
		cmocka_unit_test(test_foreground),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

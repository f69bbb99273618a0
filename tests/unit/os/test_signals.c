/* SPDX-License-Identifier: BSD-2-Clause */
/* Signals through the loop. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "os/signals.h"

static struct loop *loop;
static struct signals signals;
static unsigned seen[64];
static pid_t last_sender;
static bool stop_at_first;

static void
on_signal(void *arg, int number, pid_t sender)
{
	assert_ptr_equal(arg, seen);
	seen[number]++;
	last_sender = sender;
	if (stop_at_first)
		signals_stop(&signals);
}

static int
setup(void **state)
{
	struct error err;

	(void)state;
	memset(seen, 0, sizeof(seen));
	stop_at_first = false;
	loop = loop_new(LOOP_AUTO, &err);
	return loop == NULL;
}

static int
teardown(void **state)
{
	(void)state;
	signals_stop(&signals);
	loop_free(loop);
	signals_reset();
	return 0;
}

static void
test_report(void **state)
{
	static const int numbers[] = { SIGTERM, SIGHUP };
	struct error err;

	(void)state;
	/* Sent before the loop listens: not lost, though it was ignored. */
	signals_ignore(numbers, 1);
	signals_block(numbers, 2);
	kill(getpid(), SIGHUP);
	assert_int_equal(signals_start(&signals, loop, numbers, 2, on_signal,
	    seen, &err), 0);
	loop_turn(loop, 1000);
	assert_int_equal(seen[SIGHUP], 1);
	assert_int_equal(last_sender, getpid());
	kill(getpid(), SIGTERM);
	kill(getpid(), SIGHUP);
	loop_turn(loop, 1000);
	assert_int_equal(seen[SIGTERM], 1);
	assert_int_equal(seen[SIGHUP], 2);
	loop_turn(loop, 0);
	assert_int_equal(seen[SIGTERM], 1);
}

static void
test_stop_in_callback(void **state)
{
	static const int numbers[] = { SIGTERM, SIGHUP };
	struct error err;

	(void)state;
	assert_int_equal(signals_start(&signals, loop, numbers, 2, on_signal,
	    seen, &err), 0);
	stop_at_first = true;
	kill(getpid(), SIGTERM);
	kill(getpid(), SIGHUP);
	loop_turn(loop, 1000);
	assert_int_equal(seen[SIGTERM] + seen[SIGHUP], 1);
	signals_stop(&signals);
	/* What is still pending must not end this process. */
	signals_ignore(numbers, 2);
}

/* A child starts as it would after exec. */
static void
test_reset(void **state)
{
	static const int numbers[] = { SIGTERM, SIGUSR1 };
	int status;
	pid_t pid;

	(void)state;
	signals_ignore(numbers, 1);
	signals_block(numbers, 2);
	pid = fork();
	if (pid == 0) {
		signals_reset();
		kill(getpid(), SIGTERM);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGTERM);
}

static void
test_name(void **state)
{
	(void)state;
	assert_string_equal(signals_name(SIGTERM), "SIGTERM");
	assert_string_equal(signals_name(63), "signal 63");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_report, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stop_in_callback, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_reset, setup, teardown),
		cmocka_unit_test(test_name),
	};

	signals.watch.fd = -1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* What commands print, and how those end that do not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "os/capture.h"

enum { LONG_MS = 60000, SHORT_MS = 300, SIZE = 32 };

static void
test_output(void **state)
{
	static const struct {
		const char *command, *want;
	} cases[] = {
		{ "echo secret", "secret\n" },
		{ "printf 'a b'; printf ' c'", "a b c" },
		{ "true", "" },
		{ "cat", "" }, /* there is nothing to read */
		{ "sleep 0.05; echo late", "late\n" },
		{ "echo aside >&2; echo said", "said\n" },
		/* More than fits, and more than a pipe holds. */
		{ "head -c 200000 /dev/zero | tr '\\0' x",
		    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" },
		/* No terminal, and a session of its own. */
		{ "cat /dev/tty >/dev/null 2>&1 || echo none", "none\n" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct error err = { .text = "" };
		char out[SIZE];

		assert_int_equal(capture_run(cases[i].command, LONG_MS, out,
		    sizeof(out), &err), 0);
		assert_string_equal(out, cases[i].want);
	}
}

static void
test_failures(void **state)
{
	static const struct {
		const char *command, *want;
		uint64_t timeout_ms;
	} cases[] = {
		{ "echo secret; exit 3", "it ended with status 3", LONG_MS },
		{ "/nonexistent 2>&-",
		    "it ended with status 127 (not found)", LONG_MS },
		{ "echo secret; kill -9 $$", "it was ended by SIGKILL",
		    LONG_MS },
		{ "echo secret; sleep 600", "took more than 300 ms",
		    SHORT_MS },
		{ "exec sleep 600 >&-", "took more than 300 ms", SHORT_MS },
		{ "sleep 600 & echo secret", "took more than 300 ms",
		    SHORT_MS },
		{ "trap '' TERM INT HUP; while :; do sleep 600; done",
		    "took more than 300 ms", SHORT_MS },
		{ "while :; do echo secret; done", "took more than 300 ms",
		    SHORT_MS },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct error err = { .text = "" };
		char out[SIZE];

		assert_int_equal(capture_run(cases[i].command,
		    cases[i].timeout_ms, out, sizeof(out), &err), -1);
		assert_non_null(strstr(err.text, cases[i].want));
		assert_non_null(strstr(err.text, cases[i].command));
		/* What it said is nobody's. */
		for (size_t k = 0; k < sizeof(out); k++)
			assert_int_equal(out[k], 0);
	}
}

/* Who is started by it goes with it. */
static void
test_whole_group_ends(void **state)
{
	struct error err;
	char command[128], out[SIZE];
	int fds[2];
	char byte;

	(void)state;
	assert_int_equal(pipe(fds), 0);
	/* A FIFO of which all the command's processes hold an end. */
	snprintf(command, sizeof(command),
	    "exec 3>/proc/%ld/fd/%d; (sleep 600 & sleep 600)",
	    (long)getpid(), fds[1]);
	assert_int_equal(capture_run(command, SHORT_MS, out, sizeof(out),
	    &err), -1);
	close(fds[1]);
	assert_int_equal(read(fds[0], &byte, 1), 0);
	close(fds[0]);
}

/* Neither descriptors of ours nor what we do with signals. */
static void
test_clean(void **state)
{
	struct error err;
	sigset_t set, before;
	char out[SIZE];
	int fd = dup(STDERR_FILENO);

	(void)state;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, &before);
	signal(SIGUSR1, SIG_IGN);
	assert_true(fd > STDERR_FILENO);
	/* The listing has one itself. */
	assert_int_equal(capture_run("ls /proc/self/fd | wc -l", LONG_MS, out,
	    sizeof(out), &err), 0);
	assert_string_equal(out, "4\n");
	assert_int_equal(capture_run("kill -USR1 $$; echo stays", LONG_MS,
	    out, sizeof(out), &err), -1);
	assert_non_null(strstr(err.text, "SIGUSR1"));
	assert_int_equal(capture_run("kill -TERM $$; echo stays", LONG_MS,
	    out, sizeof(out), &err), -1);
	assert_non_null(strstr(err.text, "SIGTERM"));
	signal(SIGUSR1, SIG_DFL);
	sigprocmask(SIG_SETMASK, &before, NULL);
	close(fd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_output),
		cmocka_unit_test(test_failures),
		cmocka_unit_test(test_whole_group_ends),
		cmocka_unit_test(test_clean),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

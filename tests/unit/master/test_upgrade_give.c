/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The leaving side of an upgrade: a successor that says TAKEN and dies, and
 * whose end is seen before its words.  The successor is this program again.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/now.h"
#include "base/span.h"
#include "master/reexec.h"
#include "master/upgrade_give.h"

enum { TURNS = 2000, STATUS = 3 };

static const char go_variable[] = "WEIR_TEST_GO_FD";

static struct loop *loop;
static struct reexec program;
static struct upgrade_give give;
static unsigned results[8];
static int go[2]; /* a byte: the successor may say its last word */

/* ---- the successor ---- */

static int
succeed(int fd)
{
	const char *go_text = getenv(go_variable);
	char packet[32768], byte;
	/* A head, see handover.c: its type is behind magic and version. */
	uint16_t type = 0;

	fcntl(fd, F_SETFL, 0);
	handover_say_fd(fd, HANDOVER_HELLO, SPAN("1"));
	while (type != HANDOVER_COMMIT) {
		ssize_t n = recv(fd, packet, sizeof(packet), 0);

		if (n < 12)
			return 1;
		memcpy(&type, packet + 10, sizeof(type));
		if (type == HANDOVER_END)
			handover_say_fd(fd, HANDOVER_READY, SPAN(""));
	}
	if (go_text == NULL || read(atoi(go_text), &byte, 1) != 1)
		return 1;
	handover_say_fd(fd, HANDOVER_TAKEN, SPAN(""));
	return STATUS;
}

/* ---- the tests ---- */

static void
collect(void *arg, struct manifest *m)
{
	(void)arg;
	manifest_begin(m, 5, 1);
	manifest_end(m);
}

static void
on_result(void *arg, enum upgrade_give_result result, const char *why)
{
	(void)arg;
	(void)why;
	results[result]++;
}

static void
start(bool has_manager)
{
	struct upgrade_give_config config = { .loop = loop, .sock_path = "",
		.timeout_ms = 10000, .version = "1", .program = &program,
		.has_manager = has_manager, .collect = collect,
		.on_result = on_result };

	upgrade_give_init(&give, &config);
	upgrade_give_execute(&give);
	for (int i = 0; i < TURNS && give.state != GIVE_COMMITTING; i++)
		loop_turn(loop, 5);
	assert_int_equal(give.state, GIVE_COMMITTING);
	assert_int_equal(write(go[1], "x", 1), 1);
}

static int
setup(void **state)
{
	struct error err;
	char text[16];

	(void)state;
	now_update();
	memset(results, 0, sizeof(results));
	loop = loop_new(LOOP_AUTO, &err);
	if (loop == NULL || pipe(go) != 0)
		return -1;
	snprintf(text, sizeof(text), "%d", go[0]);
	return setenv(go_variable, text, 1);
}

static int
teardown(void **state)
{
	(void)state;
	upgrade_give_stop(&give);
	close(go[0]);
	close(go[1]);
	loop_free(loop);
	return 0;
}

static void
test_taken_by_child(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	start(false);
	pid = give.successor;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(upgrade_give_on_exit(&give, pid, status));
	assert_int_equal(results[UPGRADE_GIVE_DONE], 1);
	assert_int_equal(results[UPGRADE_GIVE_FAILED], 0);
	assert_int_equal(results[UPGRADE_GIVE_GONE], 1);
	assert_int_equal(give.exit_status, STATUS);
}

static void
test_taken_by_sibling(void **state)
{
	struct pollfd end = { .events = POLLIN };

	(void)state;
	start(true);
	if (give.exit.fd < 0)
		skip(); /* the kernel has no such thing */
	end.fd = give.exit.fd;
	assert_int_equal(poll(&end, 1, 20000), 1);
	give.exit.on_event(&give.exit, LOOP_READABLE);
	assert_int_equal(results[UPGRADE_GIVE_DONE], 1);
	assert_int_equal(results[UPGRADE_GIVE_FAILED], 0);
	assert_int_equal(give.exit.fd, -1);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_taken_by_child, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_taken_by_sibling, setup,
		    teardown),
	};
	int fd = reexec_inherited(), failed;

	(void)argc;
	if (fd >= 0)
		return succeed(fd);
	reexec_init(&program, argv);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	reexec_fini(&program);
	return failed;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* Messages with descriptors: none is lost, none is left open. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "os/fdpass.h"
#include "../descriptors.h"

static int ends[2];

static int
setup(void **state)
{
	(void)state;
	return fdpass_pair(ends);
}

static int
teardown(void **state)
{
	(void)state;
	close(ends[0]);
	if (ends[1] >= 0)
		close(ends[1]);
	return 0;
}

static void
test_message(void **state)
{
	int pipes[2], got[4];
	size_t count = 4;
	char bytes[16];

	(void)state;
	assert_int_equal(pipe2(pipes, 0), 0);
	assert_int_equal(fdpass_send(ends[0], "hello", 5, pipes, 2), 0);
	assert_int_equal(fdpass_receive(ends[1], bytes, 16, got, &count), 5);
	assert_memory_equal(bytes, "hello", 5);
	assert_int_equal(count, 2);
	assert_true((fcntl(got[0], F_GETFD) & FD_CLOEXEC) != 0);
	/* It is the same pipe. */
	assert_int_equal(write(got[1], "x", 1), 1);
	assert_int_equal(read(pipes[0], bytes, 1), 1);
	for (unsigned i = 0; i < 2; i++) {
		close(pipes[i]);
		close(got[i]);
	}

	assert_int_equal(fdpass_send(ends[0], "a", 1, NULL, 0), 0);
	count = 4;
	assert_int_equal(fdpass_receive(ends[1], bytes, 16, got, &count), 1);
	assert_int_equal(count, 0);
}

static void
test_ends(void **state)
{
	char bytes[16];
	size_t count = 0;

	(void)state;
	assert_int_equal(fdpass_receive(ends[1], bytes, 16, NULL, &count), -1);
	assert_int_equal(errno, EAGAIN);
	while (fdpass_send(ends[0], "x", 1, NULL, 0) == 0)
		continue;
	assert_int_equal(errno, EAGAIN);
	close(ends[1]);
	ends[1] = -1;
	assert_int_equal(fdpass_send(ends[0], "x", 1, NULL, 0), -1);
	assert_true(errno == EPIPE || errno == ECONNRESET);
	count = 0;
	errno = 0;
	while (fdpass_receive(ends[0], bytes, 16, NULL, &count) < 0)
		assert_int_equal(errno, ECONNRESET);
	assert_int_equal(fdpass_receive(ends[0], bytes, 16, NULL, &count), 0);
}

static void
test_too_much(void **state)
{
	int many[FDPASS_MAX], got[2];
	size_t before = descriptors_open();
	char bytes[4];
	size_t count;

	(void)state;
	for (size_t i = 0; i < FDPASS_MAX; i++)
		many[i] = ends[0];
	/* The most that one message may have, to one who takes two. */
	assert_int_equal(fdpass_send(ends[0], "x", 1, many, FDPASS_MAX), 0);
	count = 2;
	assert_int_equal(fdpass_receive(ends[1], bytes, 4, got, &count), -1);
	assert_int_equal(errno, EMSGSIZE);
	assert_int_equal(count, 0);
	/* More bytes than there is room for. */
	assert_int_equal(fdpass_send(ends[0], "12345", 5, many, 1), 0);
	count = 2;
	assert_int_equal(fdpass_receive(ends[1], bytes, 4, got, &count), -1);
	assert_int_equal(errno, EMSGSIZE);
	assert_int_equal(descriptors_open(), before);
}

static void
test_all(void **state)
{
	int many[FDPASS_MAX], got[FDPASS_MAX];
	size_t count = FDPASS_MAX;
	char byte;

	(void)state;
	for (size_t i = 0; i < FDPASS_MAX; i++)
		many[i] = ends[0];
	assert_int_equal(fdpass_send(ends[0], "x", 1, many, FDPASS_MAX), 0);
	assert_int_equal(fdpass_receive(ends[1], &byte, 1, got, &count), 1);
	assert_int_equal(count, FDPASS_MAX);
	for (size_t i = 0; i < count; i++)
		close(got[i]);
}

/* This process may open no more: nothing is half taken. */
static void
test_no_descriptors(void **state)
{
	struct rlimit before, now;
	size_t open_before = descriptors_open();
	int two[2] = { ends[0], ends[1] }, got[2];
	size_t count = 2;
	char byte;

	(void)state;
	assert_int_equal(fdpass_send(ends[0], "x", 1, two, 2), 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	now = before;
	now.rlim_cur = (rlim_t)dup(ends[0]) + 1;
	close((int)now.rlim_cur - 1);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
	assert_int_equal(fdpass_receive(ends[1], &byte, 1, got, &count), -1);
	assert_int_equal(errno, EMFILE);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(descriptors_open(), open_before);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_message, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ends, setup, teardown),
		cmocka_unit_test_setup_teardown(test_too_much, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_all, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_descriptors, setup,
		    teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

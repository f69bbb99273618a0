/* SPDX-License-Identifier: BSD-2-Clause */
/* Random numbers: a child has its own, a seed gives the same again. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/entropy.h"

static void
test_fork(void **state)
{
	uint64_t first = entropy_fast(), mine, its = 0;
	int ends[2];
	pid_t pid;

	(void)state;
	assert_int_equal(pipe(ends), 0);
	pid = fork();
	if (pid == 0) {
		its = entropy_fast();
		_exit(write(ends[1], &its, sizeof(its)) != sizeof(its));
	}
	mine = entropy_fast();
	assert_int_equal(read(ends[0], &its, sizeof(its)), sizeof(its));
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_true(mine != its);
	assert_true(mine != first);
	close(ends[0]);
	close(ends[1]);
}

static void
test_seed(void **state)
{
	uint64_t a, b;

	(void)state;
	entropy_seed(9);
	a = entropy_fast();
	b = entropy_fast();
	entropy_seed(9);
	assert_true(entropy_fast() == a);
	assert_true(entropy_fast() == b);
	assert_true(a != b);
}

static void
test_fill(void **state)
{
	unsigned char bytes[512] = { 0 };
	unsigned char seen[256] = { 0 };
	unsigned kinds = 0;

	(void)state;
	entropy_fill(bytes, 500);
	for (unsigned i = 0; i < 500; i++) {
		kinds += seen[bytes[i]] == 0;
		seen[bytes[i]] = 1;
	}
	assert_true(kinds > 128);
	for (unsigned i = 500; i < 512; i++)
		assert_int_equal(bytes[i], 0);
}

/* Draws of any size differ, in a child too, over more than one pool. */
static void
test_draw(void **state)
{
	enum { DRAWS = 2000 };
	static uint64_t drawn[DRAWS][2];
	uint64_t its[2] = { 0, 0 };
	unsigned char all[256] = { 0 };
	int ends[2];
	pid_t pid;

	(void)state;
	for (unsigned i = 0; i < DRAWS; i++) {
		entropy_draw(drawn[i], sizeof(drawn[i]));
		for (unsigned j = i > 300 ? i - 300 : 0; j < i; j++)
			assert_memory_not_equal(drawn[i], drawn[j], 16);
	}
	entropy_draw(all, sizeof(all));
	assert_memory_not_equal(all, all + 128, 128);
	assert_int_equal(pipe(ends), 0);
	pid = fork();
	if (pid == 0) {
		entropy_draw(its, sizeof(its));
		_exit(write(ends[1], &its, sizeof(its)) != sizeof(its));
	}
	entropy_draw(drawn[0], sizeof(drawn[0]));
	assert_int_equal(read(ends[0], &its, sizeof(its)), sizeof(its));
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_memory_not_equal(drawn[0], its, 16);
	close(ends[0]);
	close(ends[1]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fork),
		cmocka_unit_test(test_seed),
		cmocka_unit_test(test_fill),
		cmocka_unit_test(test_draw),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

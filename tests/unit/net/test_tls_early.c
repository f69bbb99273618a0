/* SPDX-License-Identifier: BSD-2-Clause */
/* A ticket serves for early data once, whoever asks. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "net/tls_early.h"

static struct tls_early_zone *zone;

static int
setup(void **state)
{
	(void)state;
	zone = mmap(NULL, sizeof(*zone), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return zone == MAP_FAILED ? -1 : 0;
}

static int
teardown(void **state)
{
	(void)state;
	return munmap(zone, sizeof(*zone));
}

enum { WALL_S = 1700000000 }; /* when monotonic time began */

/* step_s: what the wall clock was moved by. */
static enum tls_early_answer
take_at(uint64_t high, uint64_t row, uint64_t now_s, int64_t step_s)
{
	const struct tls_early_time now = { now_s * 1000,
		(uint64_t)(WALL_S + (int64_t)now_s + step_s) * 1000 };
	unsigned char key[TLS_EARLY_KEY];

	high <<= 24;
	memcpy(key, &high, sizeof(high));
	memcpy(key + sizeof(high), &row, sizeof(row));
	return tls_early_take(zone, key, now);
}

static bool
take(uint64_t high, uint64_t row, uint64_t now_s)
{
	return take_at(high, row, now_s, 0) == TLS_EARLY_TAKEN;
}

static void
begin(uint64_t now_s, bool is_first)
{
	tls_early_begin(zone, (struct tls_early_time){ now_s * 1000,
	    (WALL_S + now_s) * 1000 }, is_first);
}

static void
test_once(void **state)
{
	(void)state;
	assert_false(take(1, 0, 100)); /* nobody has made it */
	begin(100, true);
	assert_true(take(1, 0, 100));
	assert_false(take(1, 0, 100));
	assert_false(take(1, 0, 99));
	assert_false(take(1, 0, 100 + TLS_EARLY_WINDOW_S));
	assert_true(take(1, 1, 100));
	assert_true(take(2, 0, 100));
	/* By then OpenSSL refuses it; its place is another's. */
	assert_true(take(1, 0, 102 + TLS_EARLY_WINDOW_S));
}

static void
test_new_table_waits(void **state)
{
	(void)state;
	begin(100, false);
	assert_false(take(1, 0, 100));
	assert_false(take(1, 0, 99 + TLS_EARLY_WINDOW_S));
	assert_true(take(1, 0, 100 + TLS_EARLY_WINDOW_S));
	/* Attached once more: nothing changes. */
	begin(100 + TLS_EARLY_WINDOW_S, false);
	assert_true(take(2, 0, 100 + TLS_EARLY_WINDOW_S));
}

static void
test_full_row_refuses(void **state)
{
	(void)state;
	begin(100, true);
	for (uint64_t i = 1; i <= TLS_EARLY_WAYS; i++)
		assert_true(take(i, 5, 100));
	assert_false(take(TLS_EARLY_WAYS + 1, 5, 100));
	assert_true(take(TLS_EARLY_WAYS + 1, 6, 100));
}

static void
test_reasons(void **state)
{
	(void)state;
	assert_int_equal(take_at(1, 0, 100, 0), TLS_EARLY_WAITING);
	begin(100, true);
	assert_int_equal(take_at(1, 0, 100, 0), TLS_EARLY_TAKEN);
	assert_int_equal(take_at(1, 0, 100, 0), TLS_EARLY_USED);
	for (uint64_t i = 2; i <= TLS_EARLY_WAYS; i++)
		assert_true(take(i, 0, 100));
	assert_int_equal(take_at(99, 0, 100, 0), TLS_EARLY_FULL);
}

/*
 * A ClientHello of second 100 is fresh for OpenSSL when the wall clock shows
 * that time again, and its mark is too old by then.
 */
static void
test_clock_set_back(void **state)
{
	const uint64_t later = 100 + TLS_EARLY_WINDOW_S + 40;

	(void)state;
	begin(100, true);
	assert_true(take(1, 0, 100));
	assert_int_equal(take_at(1, 0, later, -60), TLS_EARLY_CLOCK);
	assert_int_equal(take_at(2, 0, later, -60), TLS_EARLY_WAITING);
	/* All that it has shown before is shown again until here. */
	assert_int_equal(take_at(2, 0, later + 60, -60), TLS_EARLY_WAITING);
	assert_int_equal(take_at(2, 0, later + 60 + TLS_EARLY_WINDOW_S + 2,
	    -60), TLS_EARLY_TAKEN);
	/* Set right, which is forward, and back again. */
	assert_int_equal(take_at(3, 0, 500, 0), TLS_EARLY_TAKEN);
	assert_int_equal(take_at(4, 0, 500, -60), TLS_EARLY_CLOCK);
}

/* Small corrections add up to no more than one of them may be. */
static void
test_clock_creeps_back(void **state)
{
	(void)state;
	begin(100, true);
	assert_int_equal(take_at(1, 1, 101, -1), TLS_EARLY_TAKEN);
	assert_int_equal(take_at(2, 2, 102, -2), TLS_EARLY_TAKEN);
	assert_int_equal(take_at(3, 3, 103, -3), TLS_EARLY_CLOCK);
}

/* A successor, or a reload, finds what was known of the clock. */
static void
test_clock_set_back_before_attaching(void **state)
{
	(void)state;
	begin(100, true);
	assert_true(take(1, 0, 100));
	tls_early_begin(zone, (struct tls_early_time){ 200000,
	    (WALL_S + 100) * UINT64_C(1000) }, false);
	assert_int_equal(take_at(1, 0, 200, -100), TLS_EARLY_WAITING);
}

/* Processes that ask for the same keys: each key is given once at most. */
static void
test_at_once(void **state)
{
	enum { PROCESSES = 4, KEYS = 2000 };
	void *memory = mmap(NULL, KEYS * sizeof(unsigned),
	    PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	_Atomic unsigned *given = memory;
	unsigned total = 0;

	(void)state;
	assert_true(memory != MAP_FAILED);
	begin(100, true);
	for (int p = 0; p < PROCESSES; p++) {
		if (fork() != 0)
			continue;
		for (uint64_t i = 0; i < KEYS; i++) {
			if (take(i + 1, i, 100))
				atomic_fetch_add(&given[i], 1);
		}
		_exit(0);
	}
	for (int p = 0; p < PROCESSES; p++)
		assert_true(wait(NULL) > 0);
	for (int i = 0; i < KEYS; i++) {
		assert_true(given[i] <= 1);
		total += given[i];
	}
	assert_true(total > KEYS / 2);
	munmap(memory, KEYS * sizeof(unsigned));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_new_table_waits, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_full_row_refuses, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_reasons, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_clock_set_back, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_clock_creeps_back, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(
		    test_clock_set_back_before_attaching, setup, teardown),
		cmocka_unit_test_setup_teardown(test_at_once, setup,
		    teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

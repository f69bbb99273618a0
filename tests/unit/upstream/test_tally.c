/* SPDX-License-Identifier: BSD-2-Clause */
/* A count over processes: exact, limited, right again after any death. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "fixture.h"
#include "clock.h"

enum { PROCESSES = 4, LIMIT = 3 };

struct shared {
	struct tally tally;
	struct tally_cell cells[PROCESSES + 1];
	_Atomic uint32_t holding;
	_Atomic uint32_t most;
	_Atomic uint32_t rounds;
	_Atomic uint32_t stop;
};

static struct shared *shared;

static struct tally_cells
all_cells(void)
{
	return (struct tally_cells){ shared->cells, sizeof(shared->cells[0]),
		PROCESSES + 1 };
}

static int
setup(void **state)
{
	(void)state;
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return shared != MAP_FAILED ? 0 : -1;
}

static int
teardown(void **state)
{
	(void)state;
	munmap(shared, sizeof(*shared));
	return 0;
}

static void
test_limit(void **state)
{
	struct tally_cell *a = &shared->cells[0];
	struct tally_cell *b = &shared->cells[1];

	(void)state;
	assert_true(tally_take(&shared->tally, a, 2));
	assert_true(tally_take(&shared->tally, b, 2));
	assert_false(tally_take(&shared->tally, a, 2));
	assert_int_equal(tally_sum(&shared->tally), 2);
	assert_int_equal(tally_share(a), 1);
	assert_int_equal(tally_share(b), 1);
	tally_give(&shared->tally, b);
	assert_true(tally_take(&shared->tally, a, 2));
	assert_int_equal(tally_share(a), 2);
	assert_true(tally_take(&shared->tally, NULL, 0));
	assert_int_equal(tally_sum(&shared->tally), 3);
	/* What nobody holds goes at the next look. */
	assert_true(tally_mend(&shared->tally, &(struct tally_cells){
	    shared->cells, sizeof(shared->cells[0]), 2 }));
	assert_int_equal(tally_sum(&shared->tally), 2);
}

/* More given than there is: nothing wraps. */
static void
test_floor(void **state)
{
	struct tally_cell *a = &shared->cells[0];

	(void)state;
	tally_give(&shared->tally, a);
	tally_note(a, -1);
	assert_int_equal(tally_sum(&shared->tally), 0);
	assert_int_equal(tally_share(a), 0);
	tally_note(a, 1);
	tally_note(a, 1);
	tally_note(a, -1);
	assert_int_equal(tally_share(a), 1);
	assert_int_equal(tally_sum(&shared->tally), 0);
}

/* While a change is under way nothing is mended. */
static void
test_busy(void **state)
{
	struct tally_cells cells = all_cells();

	(void)state;
	assert_true(tally_take(&shared->tally, &shared->cells[0], 0));
	atomic_fetch_or(&shared->cells[1].word, UINT64_C(1) << 32);
	assert_false(tally_mend(&shared->tally, &cells));
	tally_forget(&shared->cells[1]);
	assert_true(tally_mend(&shared->tally, &cells));
	assert_int_equal(tally_sum(&shared->tally), 1);
}

static void
hold(struct tally_cell *cell)
{
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (atomic_load(&shared->stop) == 0) {
		uint32_t now;

		if (!tally_take(&shared->tally, cell, LIMIT))
			continue;
		now = atomic_fetch_add(&shared->holding, 1) + 1;
		if (now > atomic_load(&shared->most))
			atomic_store(&shared->most, now);
		atomic_fetch_sub(&shared->holding, 1);
		tally_give(&shared->tally, cell);
		atomic_fetch_add(&shared->rounds, 1);
	}
	_exit(0);
}

static pid_t
spawn(struct tally_cell *cell)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
		hold(cell);
	return pid;
}

static void
kill_and_forget(pid_t pid, struct tally_cell *cell)
{
	struct tally_cells cells = all_cells();

	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	tally_forget(cell);
	while (!tally_mend(&shared->tally, &cells))
		continue;
}

/*
 * Processes are killed at any instruction; nobody ever sees more than the
 * limit, and in the end the count is 0.
 */
static void
test_deaths(void **state)
{
	const struct timespec pause = { .tv_nsec = 500000 };
	pid_t pids[PROCESSES];

	(void)state;
	for (int i = 0; i < PROCESSES; i++)
		pids[i] = spawn(&shared->cells[i]);
	for (int i = 0; i < 200; i++) {
		int n = i % PROCESSES;

		nanosleep(&pause, NULL);
		kill_and_forget(pids[n], &shared->cells[n]);
		/* It may have died between the two lines that count it. */
		atomic_store(&shared->holding, 0);
		atomic_store(&shared->most, 0);
		pids[n] = spawn(&shared->cells[n]);
	}
	atomic_store(&shared->stop, 1);
	for (int i = 0; i < PROCESSES; i++)
		waitpid(pids[i], NULL, 0);
	assert_int_equal(tally_sum(&shared->tally), 0);
	for (int i = 0; i < PROCESSES; i++)
		assert_int_equal(tally_share(&shared->cells[i]), 0);
	assert_true(atomic_load(&shared->rounds) > 100);
}

/* Without deaths the limit can be watched from outside. */
static void
test_never_above(void **state)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	struct tally_cells cells = all_cells();
	pid_t pids[PROCESSES];

	(void)state;
	for (int i = 0; i < PROCESSES; i++)
		pids[i] = spawn(&shared->cells[i]);
	for (int i = 0; i < 50; i++) {
		nanosleep(&pause, NULL);
		(void)tally_mend(&shared->tally, &cells);
		assert_in_range(tally_sum(&shared->tally), 0, LIMIT);
	}
	atomic_store(&shared->stop, 1);
	for (int i = 0; i < PROCESSES; i++)
		waitpid(pids[i], NULL, 0);
	assert_in_range(atomic_load(&shared->most), 1, LIMIT);
	assert_int_equal(tally_sum(&shared->tally), 0);
}

/* ---- accounts of the zone ---- */

static void
die_holding(struct fixture *f, struct backend_zone *zone, int ready)
{
	struct backend_cell *cells = backend_zone_join(zone);

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	group_start(f->group, cells);
	for (int i = 0; i < 5; i++)
		backend_begin(&f->group->backends[0]);
	if (write(ready, "x", 1) == 1)
		pause();
	_exit(1);
}

/* kill -9 of a worker: what it held is returned by whoever looks next. */
static void
test_accounts(void **state)
{
	struct backend_zone *zone;
	struct error err;
	struct fixture f;
	const struct backend *b;
	int fds[2];
	char byte;
	pid_t pid;

	(void)state;
	zone = backend_zone_new(4, &err);
	fixture_init(&f, "app", "127.0.0.1:1 127.0.0.1:2");
	f.conf.balance = GROUP_LEAST_CONNECTIONS;
	f.group = group_new(&f.arena, &f.conf);
	b = &f.group->backends[0];
	assert_int_equal(group_bind(f.group, zone, &err), 0);
	assert_int_equal(pipe(fds), 0);
	pid = fork();
	if (pid == 0)
		die_holding(&f, zone, fds[1]);
	assert_int_equal(read(fds[0], &byte, 1), 1);
	group_start(f.group, backend_zone_join(zone));
	backend_begin(b);
	assert_int_equal(backend_in_flight(b), 6);
	backend_zone_mend(zone);
	assert_int_equal(backend_in_flight(b), 6);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	backend_zone_mend(zone);
	assert_int_equal(backend_in_flight(b), 1);
	backend_end(b);
	assert_int_equal(backend_in_flight(b), 0);
	close(fds[0]);
	close(fds[1]);
	group_unbind(f.group, zone);
	fixture_fini(&f);
	backend_zone_free(zone);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_limit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_floor, setup, teardown),
		cmocka_unit_test_setup_teardown(test_busy, setup, teardown),
		cmocka_unit_test_setup_teardown(test_deaths, setup, teardown),
		cmocka_unit_test_setup_teardown(test_never_above, setup,
		    teardown),
		cmocka_unit_test(test_accounts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* Helper threads: bounds, cancelling, and the end, on both back ends. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <semaphore.h>

#include <cmocka.h>

#include "base/error.h"
#include "os/helpers.h"
#include "os/loop.h"

enum { THREADS = 2, QUEUE = 3 };

struct task {
	struct helper_job job; /* first, so that a cast finds the task */
	unsigned number;
	unsigned result;
};

static struct loop *loop;
static struct helpers *helpers;
static sem_t gate;             /* a thread waits here */
static atomic_uint begun;
static atomic_uint done_count, unworked;
static unsigned done_order[64];

static int
open_all(enum loop_backend backend)
{
	struct error err;

	loop = loop_new(backend, &err);
	helpers = helpers_new(loop, THREADS, QUEUE);
	sem_init(&gate, 0, 0);
	atomic_store(&begun, 0);
	done_count = unworked = 0;
	return loop == NULL;
}

static int
setup_epoll(void **state)
{
	(void)state;
	return open_all(LOOP_EPOLL);
}

static int
setup_poll(void **state)
{
	(void)state;
	return open_all(LOOP_POLL);
}

static int
teardown(void **state)
{
	(void)state;
	helpers_free(helpers);
	loop_free(loop);
	sem_destroy(&gate);
	return 0;
}

static void
work(struct helper_job *job)
{
	struct task *task = (struct task *)(void *)job;

	atomic_fetch_add(&begun, 1);
	while (sem_wait(&gate) != 0)
		continue;
	task->result = task->number * 2;
}

static void
done(struct helper_job *job, bool is_worked)
{
	struct task *task = (struct task *)(void *)job;

	if (is_worked)
		assert_int_equal(task->result, task->number * 2);
	else
		unworked++;
	done_order[done_count++] = task->number;
	free(task);
}

static struct task *
task_new(unsigned number)
{
	struct task *task = calloc(1, sizeof(*task));

	task->number = number;
	task->job.work = work;
	task->job.done = done;
	return task;
}

static void
open_gate(unsigned times)
{
	while (times-- > 0)
		sem_post(&gate);
}

static void
run_until(unsigned count)
{
	while (done_count < count)
		loop_turn(loop, 1000);
}

/* Waits for threads, which need no loop for it. */
static void
await_begun(unsigned count)
{
	while (atomic_load(&begun) < count)
		loop_turn(loop, 1);
}

static void
results_come_back_to_the_loop(void **state)
{
	(void)state;
	open_gate(20);
	for (unsigned i = 0; i < 20; i++) {
		struct task *task = task_new(i);

		assert_int_equal(helpers_submit(helpers, &task->job), 0);
		run_until(i + 1);
	}
	assert_int_equal(unworked, 0);
	assert_int_equal(helpers_pending(helpers), 0);
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(done_order[i], i);
}

static void
the_queue_is_bounded(void **state)
{
	struct task *task;

	(void)state;
	for (unsigned i = 0; i < THREADS + QUEUE; i++) {
		task = task_new(i);
		assert_int_equal(helpers_submit(helpers, &task->job), 0);
	}
	task = task_new(99);
	assert_int_equal(helpers_submit(helpers, &task->job), -1);
	/* All threads are at work, while the loop turns. */
	await_begun(THREADS);
	assert_int_equal(helpers_pending(helpers), THREADS + QUEUE);
	open_gate(1);
	run_until(1);
	assert_int_equal(helpers_submit(helpers, &task->job), 0);
	open_gate(THREADS + QUEUE);
	run_until(THREADS + QUEUE + 1);
	assert_int_equal(helpers_pending(helpers), 0);
}

static void
what_waits_can_be_cancelled(void **state)
{
	struct task *tasks[THREADS + QUEUE];

	(void)state;
	for (unsigned i = 0; i < THREADS + QUEUE; i++) {
		tasks[i] = task_new(i);
		assert_int_equal(helpers_submit(helpers, &tasks[i]->job), 0);
		if (i < THREADS)
			await_begun(i + 1);
	}
	assert_false(helpers_cancel(helpers, &tasks[0]->job));
	assert_true(helpers_cancel(helpers, &tasks[THREADS]->job));
	assert_int_equal(helpers_pending(helpers), THREADS + QUEUE - 1);
	free(tasks[THREADS]);
	open_gate(THREADS + QUEUE);
	run_until(THREADS + QUEUE - 1);
	for (unsigned i = 0; i < done_count; i++)
		assert_int_not_equal(done_order[i], THREADS);
}

static void
the_end_loses_no_job(void **state)
{
	(void)state;
	for (unsigned i = 0; i < THREADS + QUEUE; i++) {
		struct task *task = task_new(i);

		assert_int_equal(helpers_submit(helpers, &task->job), 0);
	}
	await_begun(THREADS);
	/* It is waited for those at work; nobody begins what is left. */
	open_gate(THREADS + QUEUE);
	helpers_free(helpers);
	helpers = NULL;
	assert_int_equal(done_count, THREADS + QUEUE);
	assert_true(unworked >= 1 || done_count == unworked + THREADS);
}

#define BOTH(test)                                                      \
	cmocka_unit_test_setup_teardown(test, setup_epoll, teardown),   \
	cmocka_unit_test_setup_teardown(test, setup_poll, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(results_come_back_to_the_loop),
		BOTH(the_queue_is_bounded),
		BOTH(what_waits_can_be_cancelled),
		BOTH(the_end_loses_no_job),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

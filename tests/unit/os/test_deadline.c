/* SPDX-License-Identifier: BSD-2-Clause */
/* Deadlines: order, lazy moves, and what a callback may do. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/entropy.h"
#include "base/error.h"
#include "os/deadline.h"
#include "os/loop.h"

struct item {
	struct deadline deadline; /* first, so that a cast finds the item */
	uint64_t want_ms;
	unsigned fired;
};

static struct loop *loop;
static struct deadline_heap *heap;
static uint64_t clock_ms;
static unsigned fired_in_all;

static int
setup(void **state)
{
	struct error err;

	(void)state;
	loop = loop_new(LOOP_AUTO, &err);
	heap = loop_deadlines(loop);
	clock_ms = 0;
	fired_in_all = 0;
	return loop == NULL;
}

static int
teardown(void **state)
{
	(void)state;
	loop_free(loop);
	return 0;
}

static void
on_expire(struct deadline *d)
{
	struct item *it = (struct item *)(void *)d;

	assert_true(d->at_ms == DEADLINE_NEVER);
	assert_true(it->want_ms <= clock_ms);
	it->fired++;
	fired_in_all++;
}

static void
advance(uint64_t to_ms)
{
	clock_ms = to_ms;
	while (deadline_next(heap) <= to_ms)
		deadline_run(heap, to_ms, 16);
}

static void
set(struct item *it, uint64_t at_ms)
{
	it->want_ms = at_ms;
	deadline_set(loop, &it->deadline, at_ms);
}

static void
test_moves(void **state)
{
	struct item a;

	(void)state;
	a = (struct item){ .fired = 0 };
	deadline_init(&a.deadline, on_expire);
	assert_true(deadline_next(heap) == DEADLINE_NEVER);
	set(&a, 100);
	assert_int_equal(deadline_next(heap), 100);

	/* Later: the heap is left as it is, and mended at the old time. */
	set(&a, 500);
	assert_int_equal(deadline_next(heap), 100);
	advance(100);
	assert_int_equal(a.fired, 0);
	assert_int_equal(deadline_next(heap), 500);

	/* Earlier: at once. */
	set(&a, 300);
	assert_int_equal(deadline_next(heap), 300);
	advance(299);
	assert_int_equal(a.fired, 0);
	advance(300);
	assert_int_equal(a.fired, 1);
	assert_true(deadline_next(heap) == DEADLINE_NEVER);

	/* Cleared: its place is given up when the old time comes. */
	set(&a, 400);
	deadline_clear(&a.deadline);
	advance(400);
	assert_int_equal(a.fired, 1);
	assert_int_equal(heap->count, 0);

	/* Setting to never is clearing. */
	deadline_set(loop, &a.deadline, DEADLINE_NEVER);
	assert_int_equal(heap->count, 0);

	/* Stopped: nothing of it remains. */
	set(&a, 600);
	deadline_stop(loop, &a.deadline);
	assert_int_equal(heap->count, 0);
	deadline_stop(loop, &a.deadline);
}

static struct item chain;

static void
on_chain(struct deadline *d)
{
	chain.fired++;
	if (chain.fired < 3)
		deadline_set(loop, d, clock_ms + 10);
}

static void
test_set_again_in_callback(void **state)
{
	(void)state;
	chain = (struct item){ .fired = 0 };
	deadline_init(&chain.deadline, on_chain);
	deadline_set(loop, &chain.deadline, 10);
	advance(10);
	assert_int_equal(chain.fired, 1);
	advance(20);
	advance(30);
	assert_int_equal(chain.fired, 3);
	assert_int_equal(heap->count, 0);
}

static struct item victim;

static void
on_kill(struct deadline *d)
{
	(void)d;
	deadline_stop(loop, &victim.deadline);
}

static void
test_stop_another_in_callback(void **state)
{
	struct deadline killer;

	(void)state;
	victim = (struct item){ .fired = 0 };
	deadline_init(&victim.deadline, on_expire);
	deadline_init(&killer, on_kill);
	deadline_set(loop, &killer, 5);
	deadline_set(loop, &victim.deadline, 6);
	advance(50);
	assert_int_equal(victim.fired, 0);
	assert_int_equal(heap->count, 0);
}

static void
test_at_most_max(void **state)
{
	struct item items[40];

	(void)state;
	for (unsigned i = 0; i < 40; i++) {
		items[i] = (struct item){ .fired = 0 };
		deadline_init(&items[i].deadline, on_expire);
		set(&items[i], 40 - i);
	}
	clock_ms = 100;
	assert_int_equal(deadline_run(heap, 100, 16), 16);
	assert_int_equal(fired_in_all, 16);
	assert_int_equal(deadline_run(heap, 100, 16), 16);
	assert_int_equal(deadline_run(heap, 100, 16), 8);
	assert_int_equal(fired_in_all, 40);
}

/* Random moves of many against a plain list of when each must come. */
static void
test_random(void **state)
{
	enum { COUNT = 500 };
	static struct item items[COUNT];
	unsigned want = 0;

	(void)state;
	entropy_seed(7);
	for (unsigned i = 0; i < COUNT; i++) {
		items[i] = (struct item){ .want_ms = DEADLINE_NEVER };
		deadline_init(&items[i].deadline, on_expire);
	}
	for (uint64_t now = 1; now < 3000; now++) {
		struct item *it = &items[entropy_fast() % COUNT];

		switch (entropy_fast() % 8) {
		case 0:
			deadline_clear(&it->deadline);
			it->want_ms = DEADLINE_NEVER;
			break;
		case 1:
			deadline_stop(loop, &it->deadline);
			it->want_ms = DEADLINE_NEVER;
			break;
		default:
			set(it, now + 1 + entropy_fast() % 200);
			break;
		}
		advance(now);
		for (unsigned i = 0; i < COUNT; i++) {
			if (items[i].want_ms <= now) {
				want++;
				items[i].want_ms = DEADLINE_NEVER;
			}
		}
		assert_int_equal(fired_in_all, want);
	}
	assert_true(want > 500);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_moves, setup, teardown),
		cmocka_unit_test_setup_teardown(test_set_again_in_callback,
		    setup, teardown),
		cmocka_unit_test_setup_teardown(test_stop_another_in_callback,
		    setup, teardown),
		cmocka_unit_test_setup_teardown(test_at_most_max, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_random, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* Module ratelimit: rates, their table, and many processes at it at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../../modules/ratelimit/gcra.h"
#include "../../../modules/ratelimit/keytable.h"

enum { SECOND_US = 1000000, PROCESSES = 4 };

static const uint64_t start_us = UINT64_C(5000) * SECOND_US;

/* Memory that forked processes share; given back when the test ends. */
static void *
shared(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_true(p != MAP_FAILED);
	return p;
}

static struct gcra
table(size_t bytes)
{
	struct gcra g;

	gcra_open(&g, shared(bytes), bytes, true);
	return g;
}

static struct gcra_limit
limit(uint32_t requests, uint64_t period_us, uint32_t burst,
    uint64_t delay_us)
{
	struct gcra_limit l;

	gcra_limit_set(&l, requests, period_us, burst, delay_us);
	return l;
}

static uint64_t
key(const struct gcra *g, uint64_t number)
{
	return gcra_hash(g, &number, sizeof(number));
}

/* How many of n requests at one time are let in at once. */
static unsigned
taken(struct gcra *g, uint64_t number, const struct gcra_limit *l,
    uint64_t now_us, unsigned n)
{
	unsigned count = 0;

	for (unsigned i = 0; i < n; i++) {
		struct gcra_answer a;

		gcra_take(g, key(g, number), l, now_us, &a);
		assert_false(a.is_full);
		count += a.verdict == GCRA_TAKEN && a.wait_us == 0;
	}
	return count;
}

static void
burst_then_rate(void **state)
{
	struct gcra g = table(GCRA_BYTES_MIN);
	const struct gcra_limit l = limit(10, SECOND_US, 20, 0);

	(void)state;
	assert_int_equal(taken(&g, 1, &l, start_us, 25), 20);
	assert_int_equal(taken(&g, 1, &l, start_us + 99999, 5), 0);
	assert_int_equal(taken(&g, 1, &l, start_us + 100000, 5), 1);
	assert_int_equal(taken(&g, 1, &l, start_us + SECOND_US, 50), 9);
	/* All the burst again, and no more, after a long time. */
	assert_int_equal(taken(&g, 1, &l, start_us + 3600 *
	    (uint64_t)SECOND_US, 50), 20);
	/* Another key is another client. */
	assert_int_equal(taken(&g, 2, &l, start_us, 25), 20);
}

static void
rates_are_exact(void **state)
{
	static const struct {
		uint32_t requests;
		uint64_t period_us;
		uint32_t burst;
		unsigned want; /* in the first 60 s, a request each 10 ms */
	} cases[] = {
		{ 1, SECOND_US, 1, 60 },
		{ 3, SECOND_US, 1, 177 }, /* one each 340 ms */
		{ 10, SECOND_US, 1, 600 },
		{ 10, SECOND_US, 20, 619 },
		{ 100, 60 * SECOND_US, 1, 100 },
		{ 100, 60 * SECOND_US, 5, 104 },
		{ 1, 60 * SECOND_US, 1, 1 },
		{ 1, 3600 * (uint64_t)SECOND_US, 7, 7 },
		{ 1000000, SECOND_US, 1, 6000 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct gcra g = table(GCRA_BYTES_MIN);
		const struct gcra_limit l = limit(cases[i].requests,
		    cases[i].period_us, cases[i].burst, 0);
		unsigned count = 0;

		for (uint64_t us = 0; us < 60 * SECOND_US; us += 10000)
			count += taken(&g, 7, &l, start_us + us, 1);
		assert_int_equal(count, cases[i].want);
	}
}

static void
answers_tell_when(void **state)
{
	struct gcra g = table(GCRA_BYTES_MIN);
	const struct gcra_limit l = limit(10, SECOND_US, 2, 150000);
	static const struct {
		enum gcra_verdict verdict;
		uint64_t wait_us;
		uint32_t remaining;
	} want[] = {
		{ GCRA_TAKEN, 0, 1 },
		{ GCRA_TAKEN, 0, 0 },
		{ GCRA_TAKEN, 100000, 0 }, /* held up */
		{ GCRA_REFUSED, 50000, 0 }, /* would be held up too long */
		{ GCRA_REFUSED, 50000, 0 }, /* to be refused costs nothing */
	};
	struct gcra_answer a;

	(void)state;
	for (size_t i = 0; i < sizeof(want) / sizeof(*want); i++) {
		gcra_take(&g, key(&g, 1), &l, start_us, &a);
		assert_int_equal(a.verdict, want[i].verdict);
		assert_int_equal(a.wait_us, want[i].wait_us);
		assert_int_equal(gcra_remaining(&l, a.ahead),
		    want[i].remaining);
	}
	assert_int_equal(gcra_reset_us(a.ahead), 300000);
	gcra_take(&g, key(&g, 1), &l, start_us + 50000, &a);
	assert_int_equal(a.verdict, GCRA_TAKEN);
	assert_int_equal(a.wait_us, 150000);
}

static void
given_back_is_as_never_taken(void **state)
{
	struct gcra g = table(GCRA_BYTES_MIN);
	const struct gcra_limit l = limit(10, SECOND_US, 5, 0);

	(void)state;
	gcra_give_back(&g, key(&g, 1), &l); /* nothing there */
	assert_int_equal(taken(&g, 1, &l, start_us, 9), 5);
	gcra_give_back(&g, key(&g, 1), &l);
	gcra_give_back(&g, key(&g, 1), &l);
	assert_int_equal(taken(&g, 1, &l, start_us, 9), 2);
}

/* From one an hour to ten a second: not for an hour longer. */
static void
a_slower_limit_is_forgotten(void **state)
{
	struct gcra g = table(GCRA_BYTES_MIN);
	const struct gcra_limit slow =
	    limit(1, 3600 * (uint64_t)SECOND_US, 1, 0);
	const struct gcra_limit fast = limit(10, SECOND_US, 1, 0);

	(void)state;
	assert_int_equal(taken(&g, 1, &slow, start_us, 3), 1);
	assert_int_equal(taken(&g, 1, &fast, start_us, 3), 0);
	assert_int_equal(taken(&g, 1, &fast, start_us + 100000, 3), 1);
}

/* Clocks of processes differ by a turn of their loops. */
static void
time_may_step_back(void **state)
{
	struct gcra g = table(GCRA_BYTES_MIN);
	const struct gcra_limit l = limit(10, SECOND_US, 20, 0);

	(void)state;
	assert_int_equal(taken(&g, 1, &l, start_us, 10), 10);
	assert_int_equal(taken(&g, 1, &l, start_us - 50000, 10), 9);
	assert_int_equal(taken(&g, 1, &l, start_us, 10), 1);
}

static void
the_oldest_goes(void **state)
{
	struct gcra g = table(128 + 256); /* one bucket */
	const struct gcra_limit l = limit(1, SECOND_US, 1, 0);
	struct gcra_answer a;

	(void)state;
	assert_int_equal(g.count, 1);
	for (unsigned i = 0; i < KEYTABLE_SLOTS; i++)
		assert_int_equal(taken(&g, i, &l, start_us + i, 2), 1);
	assert_int_equal(gcra_used(&g, start_us + 20), KEYTABLE_SLOTS);
	gcra_take(&g, key(&g, 100), &l, start_us + 20, &a);
	assert_true(a.evicted);
	assert_int_equal(taken(&g, 100, &l, start_us + 20, 1), 0);
	for (unsigned i = 1; i < KEYTABLE_SLOTS; i++)
		assert_int_equal(taken(&g, i, &l, start_us + 20, 1), 0);
	/* Key 0 was the one; its return costs key 1. */
	assert_int_equal(taken(&g, 0, &l, start_us + 20, 1), 1);
	assert_int_equal(taken(&g, 1, &l, start_us + 20, 1), 1);
	/* Once they do not count any more nothing is lost. */
	gcra_take(&g, key(&g, 200), &l, start_us + 2 * SECOND_US, &a);
	assert_false(a.evicted);
}

static void
a_million_clients_fit(void **state)
{
	struct gcra g = table(24 << 20);
	const struct gcra_limit l = limit(1, SECOND_US, 1, 0);
	size_t used;

	(void)state;
	for (uint64_t i = 0; i < 1000000; i++) {
		struct gcra_answer a;

		gcra_take(&g, key(&g, i), &l, start_us, &a);
		assert_int_equal(a.verdict, GCRA_TAKEN);
	}
	used = gcra_used(&g, start_us);
	assert_in_range(used, 985000, 1000000);
	munmap((char *)g.buckets - 128, 24 << 20);
}

static void
live_keys_move_to_a_new_zone(void **state)
{
	static const size_t sizes[] = { GCRA_BYTES_MIN, 2 * GCRA_BYTES_MIN,
		GCRA_BYTES_MIN / 2 };
	struct gcra from = table(GCRA_BYTES_MIN);
	const struct gcra_limit l = limit(10, SECOND_US, 20, 0);

	(void)state;
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(taken(&from, i, &l, start_us, i % 25),
		    i % 25 < 20 ? i % 25 : 20);
	for (size_t n = 0; n < sizeof(sizes) / sizeof(*sizes); n++) {
		void *memory = shared(sizes[n]);
		struct gcra to;

		gcra_open(&to, memory, sizes[n], true);
		gcra_copy(&to, memory, &from, start_us);
		assert_int_equal(gcra_used(&to, start_us),
		    gcra_used(&from, start_us));
		gcra_open(&to, memory, sizes[n], false);
		for (unsigned i = 0; i < 100; i++)
			assert_int_equal(taken(&to, i, &l, start_us, 50),
			    i % 25 < 20 ? 20 - i % 25 : 0);
	}
}

/* ---- many processes ---- */

/* Each of the processes runs fn(number); all must end well. */
static void
in_processes(void (*fn)(void *arg, unsigned number), void *arg)
{
	pid_t pids[PROCESSES];

	for (unsigned i = 0; i < PROCESSES; i++) {
		pids[i] = fork();
		assert_true(pids[i] >= 0);
		if (pids[i] == 0) {
			fn(arg, i);
			_exit(0);
		}
	}
	for (unsigned i = 0; i < PROCESSES; i++) {
		int status;

		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_int_equal(status, 0);
	}
}

enum { KEYS = 30, BURST = 5000 };

struct hammer {
	struct gcra g;
	struct gcra_limit l;
	_Atomic unsigned *taken; /* by key */
};

static void
hammer(void *arg, unsigned number)
{
	struct hammer *h = arg;

	for (unsigned i = 0; i < 2 * BURST * KEYS / PROCESSES; i++) {
		unsigned at = (i * 7 + number) % KEYS;
		struct gcra_answer a;

		gcra_take(&h->g, key(&h->g, at), &h->l, start_us, &a);
		if (a.verdict == GCRA_TAKEN)
			atomic_fetch_add(&h->taken[at], 1);
	}
}

/* Twice as many requests as are allowed, all at one time. */
static void
processes_share_a_limit_exactly(void **state)
{
	struct hammer h = {
		.g = table(128 + 4 * 256),
		.l = limit(1, 3600 * (uint64_t)SECOND_US, BURST, 0),
		.taken = shared(KEYS * sizeof(unsigned)),
	};

	(void)state;
	in_processes(hammer, &h);
	for (unsigned i = 0; i < KEYS; i++)
		assert_int_equal(h.taken[i], BURST);
}

/* No key in two slots of its bucket, and each where it belongs. */
static void
check_buckets(const struct gcra *g)
{
	const char *memory = (const char *)g->buckets;

	for (uint32_t i = 0; i < g->count; i++) {
		const struct keytable_bucket *b = (const void *)(memory +
		    i * (size_t)256);

		for (int j = 0; j < KEYTABLE_SLOTS; j++) {
			uint64_t tag = b->tags[j] >> KEYTABLE_SEQ_BITS;

			if (tag == 0)
				continue;
			assert_int_equal(keytable_bucket_of(tag, g->count),
			    i);
			assert_int_equal(keytable_find(b, tag).slot, j);
		}
	}
}

struct churn {
	struct gcra g;
	struct gcra_limit l;
};

/* Far more keys than there is room for, each from all processes. */
static void
churn(void *arg, unsigned number)
{
	struct churn *c = arg;

	for (unsigned i = 0; i < 100000; i++) {
		struct gcra_answer a;

		gcra_take(&c->g, key(&c->g, (i + number) % 97), &c->l,
		    start_us + i / 16, &a);
	}
}

static void
a_key_never_has_two_slots(void **state)
{
	struct churn c = { .g = table(128 + 2 * 256),
		.l = limit(1, SECOND_US, 3, 0) };

	(void)state;
	in_processes(churn, &c);
	check_buckets(&c.g);
}

struct doomed {
	struct gcra g;
	struct gcra_limit l;
	_Atomic unsigned *taken;
	_Atomic unsigned *rounds; /* of a process, so that all get going */
};

static void
work_for_ever(struct doomed *d, unsigned number)
{
	for (unsigned i = 0;; i++) {
		struct gcra_answer a;

		gcra_take(&d->g, key(&d->g, i % 13), &d->l, start_us, &a);
		if (a.verdict == GCRA_TAKEN)
			atomic_fetch_add(&d->taken[i % 13], 1);
		/* Keys that come and go keep insertions under way. */
		gcra_take(&d->g, key(&d->g, 1000 + i + number), &d->l, 1,
		    &a);
		atomic_fetch_add(&d->rounds[number], 1);
	}
}

/* Killed wherever it is: at most its last request was not counted by it. */
static void
death_leaves_the_table_whole(void **state)
{
	enum { DEATHS = 40 };
	struct doomed d = {
		.g = table(128 + 2 * 256),
		.l = limit(1, 3600 * (uint64_t)SECOND_US, 1000000, 0),
		.taken = shared(13 * sizeof(unsigned)),
		.rounds = shared(DEATHS * sizeof(unsigned)),
	};
	unsigned counted = 0, left = 0;

	(void)state;
	for (unsigned i = 0; i < DEATHS; i++) {
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (pid == 0)
			work_for_ever(&d, i);
		while (atomic_load(&d.rounds[i]) < 500 + 37 * i)
			usleep(50);
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
	}
	check_buckets(&d.g);
	for (unsigned i = 0; i < 13; i++) {
		struct gcra_answer a;

		counted += d.taken[i];
		gcra_take(&d.g, key(&d.g, i), &d.l, start_us, &a);
		assert_int_equal(a.verdict, GCRA_TAKEN);
		left += gcra_remaining(&d.l, a.ahead) + 1;
	}
	assert_in_range(13 * 1000000 - left - counted, 0, DEATHS);
}

/* An insertion that was announced, whose process then died. */
static void
the_next_one_finishes_an_insertion(void **state)
{
	struct gcra g = table(128 + 256);
	struct keytable_bucket *b = (void *)g.buckets;
	const struct gcra_limit l = limit(1, SECOND_US, 3, 0);
	uint64_t tag = keytable_tag(key(&g, 1));

	(void)state;
	atomic_store(&b->head, tag << 16 | 4 << KEYTABLE_SEQ_BITS | 9);
	assert_int_equal(taken(&g, 2, &l, start_us, 1), 1);
	assert_int_equal(keytable_find(b, tag).slot, 4);
	assert_int_equal(taken(&g, 1, &l, start_us, 9), 3);
	check_buckets(&g);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(burst_then_rate),
		cmocka_unit_test(rates_are_exact),
		cmocka_unit_test(answers_tell_when),
		cmocka_unit_test(given_back_is_as_never_taken),
		cmocka_unit_test(a_slower_limit_is_forgotten),
		cmocka_unit_test(time_may_step_back),
		cmocka_unit_test(the_oldest_goes),
		cmocka_unit_test(a_million_clients_fit),
		cmocka_unit_test(live_keys_move_to_a_new_zone),
		cmocka_unit_test(processes_share_a_limit_exactly),
		cmocka_unit_test(a_key_never_has_two_slots),
		cmocka_unit_test(death_leaves_the_table_whole),
		cmocka_unit_test(the_next_one_finishes_an_insertion),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

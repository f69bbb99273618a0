/* SPDX-License-Identifier: BSD-2-Clause */
/* Module ratelimit: requests at the same time, over processes that may die. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../../modules/ratelimit/keytable.h"
#include "../../../modules/ratelimit/leases.h"

enum { PROCESSES = 8, NOW_MS = 5000000 };

static void *
shared(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_true(p != MAP_FAILED);
	return p;
}

static struct leases
table(size_t bytes)
{
	struct leases t;

	leases_open(&t, shared(bytes), bytes, PROCESSES, true);
	assert_true(t.count > 0);
	return t;
}

static uint64_t
key(const struct leases *t, uint64_t number)
{
	return leases_hash(t, &number, sizeof(number));
}

static bool
take(const struct leases *t, uint64_t number, uint32_t process, uint32_t max,
    struct lease *lease)
{
	bool is_full;
	bool fits = leases_take(t, key(t, number), process, max, false,
	    NOW_MS, lease, &is_full);

	assert_false(is_full);
	assert_int_equal(fits, lease->place != NULL);
	return fits;
}

static void
as_many_as_allowed(void **state)
{
	const struct leases t = table(LEASES_BYTES_MIN);
	struct lease a, b, c, other;

	(void)state;
	assert_true(take(&t, 1, 0, 2, &a));
	assert_true(take(&t, 1, 3, 2, &b));
	assert_false(take(&t, 1, 4, 2, &c));
	assert_false(take(&t, 1, 0, 2, &c));
	assert_true(take(&t, 2, 0, 1, &other));
	assert_int_equal(leases_sum(&t, key(&t, 1)), 2);
	leases_return(&a);
	leases_return(&a); /* is none any more */
	assert_int_equal(leases_sum(&t, key(&t, 1)), 1);
	assert_true(take(&t, 1, 7, 2, &c));
	leases_return(&b);
	leases_return(&c);
	assert_int_equal(leases_sum(&t, key(&t, 1)), 0);
	assert_int_equal(leases_sum(&t, key(&t, 2)), 1);
}

static void
shadows_count_all(void **state)
{
	const struct leases t = table(LEASES_BYTES_MIN);
	struct lease leases[4];
	bool is_full;

	(void)state;
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(leases_take(&t, key(&t, 1), 0, 2, true,
		    NOW_MS, &leases[i], &is_full), i < 2);
	assert_int_equal(leases_sum(&t, key(&t, 1)), 4);
	for (unsigned i = 0; i < 4; i++)
		leases_return(&leases[i]);
	assert_int_equal(leases_sum(&t, key(&t, 1)), 0);
}

static void
a_new_life_forgets_the_old(void **state)
{
	const struct leases t = table(LEASES_BYTES_MIN);
	struct lease a, b, c;

	(void)state;
	leases_begin_life(&t, 1);
	assert_true(take(&t, 1, 1, 3, &a));
	assert_true(take(&t, 1, 1, 3, &a));
	assert_true(take(&t, 1, 2, 3, &b));
	assert_false(take(&t, 1, 1, 3, &c));
	leases_begin_life(&t, 1);
	assert_int_equal(leases_sum(&t, key(&t, 1)), 1);
	assert_true(take(&t, 1, 1, 3, &a));
	assert_true(take(&t, 1, 1, 3, &a));
	assert_false(take(&t, 1, 1, 3, &c));
	leases_begin_life(&t, 1000000); /* no such slot */
}

/* What is returned in another life was void already. */
static void
void_leases_do_no_harm(void **state)
{
	const struct leases t = table(LEASES_BYTES_MIN);
	struct lease old, own;

	(void)state;
	assert_true(take(&t, 1, 1, 2, &old));
	leases_begin_life(&t, 1);
	assert_true(take(&t, 1, 1, 2, &own));
	leases_return(&old);
	assert_int_equal(leases_sum(&t, key(&t, 1)), 1);
	leases_return(&own);
	assert_int_equal(leases_sum(&t, key(&t, 1)), 0);
}

/* Keys in use stay; others go, but not at once. */
static void
room_is_for_keys_in_use(void **state)
{
	const struct leases t = table(LEASES_BYTES_MIN);
	enum { MANY = 20000 };
	struct lease held, lease;
	unsigned full = 0;
	bool is_full;

	(void)state;
	assert_true(take(&t, 0, 1, 1, &held));
	for (uint64_t i = 1; i < MANY; i++) {
		assert_true(leases_take(&t, key(&t, i), 0, 1, false, NOW_MS,
		    &lease, &is_full));
		leases_return(&lease);
		full += is_full;
	}
	assert_true(full > 0); /* let in, uncounted */
	full = 0;
	for (uint64_t i = MANY; i < 2 * MANY; i++) {
		/* All that came before has been quiet for a minute. */
		uint64_t now_ms = NOW_MS + 60000 * (i - MANY + 1);

		assert_true(leases_take(&t, key(&t, i), 0, 1, false, now_ms,
		    &lease, &is_full));
		leases_return(&lease);
		full += is_full;
	}
	assert_int_equal(full, 0);
	assert_false(take(&t, 0, 2, 1, &lease));
	leases_return(&held);
	assert_true(take(&t, 0, 2, 1, &lease));
}

/* Another process's, that has chosen a key to go. */
struct slow {
	const struct leases *t;
	uint64_t number;      /* of that key */
	struct lease *lease;
	int slot;             /* -1: it has had its moment */
};

/* It saw that the key was quiet; before it acts, somebody takes a place. */
static int
choose_slowly(const struct keytable_bucket *b, void *arg)
{
	struct slow *s = arg;
	int slot = s->slot;
	bool is_full;

	(void)b;
	if (slot >= 0)
		assert_true(leases_take(s->t, key(s->t, s->number), 1, 1,
		    false, NOW_MS + 60000, s->lease, &is_full));
	s->slot = -1;
	return slot;
}

static uint64_t
tag_of(const struct leases *t, uint64_t number)
{
	return keytable_tag(key(t, number));
}

/* The next number behind `number` whose key is in the same bucket. */
static uint64_t
neighbour(const struct leases *t, uint64_t number)
{
	uint64_t i = number + 1;

	while (keytable_bucket_of(tag_of(t, i), t->count) !=
	    keytable_bucket_of(tag_of(t, number), t->count))
		i++;
	return i;
}

/* However long ago it was that somebody found it quiet. */
static void
a_key_in_use_again_stays(void **state)
{
	const struct leases t = table(LEASES_BYTES_MIN);
	struct keytable_bucket *b = (struct keytable_bucket *)(void *)
	    (t.buckets + keytable_bucket_of(tag_of(&t, 0), t.count) *
	    (sizeof(*b) + KEYTABLE_SLOTS * (size_t)t.entry_bytes));
	struct lease lease;
	struct slow slow = { .t = &t, .number = 0, .lease = &lease };
	uint64_t number = 0;
	bool is_new;

	(void)state;
	for (unsigned i = 0; i < KEYTABLE_SLOTS; i++) {
		assert_true(take(&t, number, 2, 1, &lease));
		leases_return(&lease);
		number = neighbour(&t, number);
	}
	slow.slot = keytable_find(b, tag_of(&t, 0)).slot;
	assert_true(slow.slot >= 0);
	assert_int_equal(keytable_insert(b, tag_of(&t, number),
	    choose_slowly, &slow, &is_new).slot, -1);
	assert_non_null(lease.place);
	assert_int_equal(leases_sum(&t, key(&t, 0)), 1);
	assert_false(leases_take(&t, key(&t, 0), 3, 1, false, NOW_MS + 60000,
	    &lease, &is_new));
}

enum { MAX = 3, ROUNDS = 20000 };

struct crowd {
	struct leases t;
	_Atomic int *inside;
	_Atomic int *most;
	_Atomic unsigned *taken;
};

static void
crowd(struct crowd *c, unsigned process)
{
	leases_begin_life(&c->t, process);
	for (unsigned i = 0; i < ROUNDS; i++) {
		struct lease lease;
		bool is_full;
		int now, most;

		/* Time goes fast: the key is announced over and over. */
		if (!leases_take(&c->t, key(&c->t, 1), process, MAX, false,
		    NOW_MS + i * 600, &lease, &is_full)) {
			sched_yield();
			continue;
		}
		now = atomic_fetch_add(c->inside, 1) + 1;
		most = atomic_load(c->most);
		while (now > most &&
		    !atomic_compare_exchange_weak(c->most, &most, now))
			continue;
		if (i % 64 == 0)
			sched_yield(); /* with the lease held */
		atomic_fetch_add(c->taken, 1);
		atomic_fetch_sub(c->inside, 1);
		leases_return(&lease);
	}
}

static void
processes_never_exceed_a_limit(void **state)
{
	struct crowd c = { .t = table(LEASES_BYTES_MIN),
		.inside = shared(64), .most = shared(64),
		.taken = shared(64) };
	pid_t pids[6];

	(void)state;
	for (unsigned i = 0; i < 6; i++) {
		pids[i] = fork();
		assert_true(pids[i] >= 0);
		if (pids[i] == 0) {
			crowd(&c, i + 1);
			_exit(0);
		}
	}
	for (unsigned i = 0; i < 6; i++) {
		int status;

		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_int_equal(status, 0);
	}
	assert_in_range(*c.most, 1, MAX);
	assert_true(*c.taken > ROUNDS);
	assert_int_equal(leases_sum(&c.t, key(&c.t, 1)), 0);
}

static void
death_leaves_no_lease(void **state)
{
	const struct leases t = table(LEASES_BYTES_MIN);
	_Atomic unsigned *rounds = shared(64);

	(void)state;
	for (unsigned i = 0; i < 30; i++) {
		unsigned before = atomic_load(rounds);
		pid_t pid = fork();

		assert_true(pid >= 0);
		while (pid == 0) {
			struct lease lease;
			bool is_full;

			(void)leases_take(&t, key(&t, 1), 5, 100, false,
			    NOW_MS + *rounds * UINT64_C(600), &lease,
			    &is_full);
			if (*rounds % 3 != 0)
				leases_return(&lease);
			atomic_fetch_add(rounds, 1);
		}
		while (atomic_load(rounds) < before + 100 + i)
			usleep(50);
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		leases_begin_life(&t, 5);
		assert_int_equal(leases_sum(&t, key(&t, 1)), 0);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_many_as_allowed),
		cmocka_unit_test(shadows_count_all),
		cmocka_unit_test(a_new_life_forgets_the_old),
		cmocka_unit_test(void_leases_do_no_harm),
		cmocka_unit_test(room_is_for_keys_in_use),
		cmocka_unit_test(a_key_in_use_again_stays),
		cmocka_unit_test(processes_never_exceed_a_limit),
		cmocka_unit_test(death_leaves_no_lease),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

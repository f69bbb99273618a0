/* SPDX-License-Identifier: BSD-2-Clause */
/* Balancers: shares, order, what is passed over, what keys do. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fixture.h"
#include "clock.h"

#include "base/entropy.h"
#include "upstream/lb_hash.h"

static struct backend_zone *zone;
static struct backend_cell *cells;

static int
setup(void **state)
{
	struct error err;

	(void)state;
	zone = backend_zone_new(64, &err);
	cells = backend_zone_join(zone);
	entropy_seed(42);
	return zone != NULL && cells != NULL ? 0 : -1;
}

static int
teardown(void **state)
{
	(void)state;
	backend_zone_free(zone);
	return 0;
}

static void
begin_with(struct fixture *f, enum group_balance balance,
    const char *backends, uint32_t hash_load_max)
{
	struct error err;

	fixture_init(f, "app", backends);
	/* Once more, now that the balancer is known. */
	f->conf.balance = balance;
	f->conf.hash_load_max = hash_load_max;
	f->group = group_new(&f->arena, &f->conf);
	assert_int_equal(group_bind(f->group, zone, &err), 0);
	atomic_store(&f->group->backends[0].shared->turns, 0);
	group_start(f->group, cells);
}

static void
begin(struct fixture *f, enum group_balance balance, const char *backends)
{
	begin_with(f, balance, backends, 0);
}

static void
end(struct fixture *f)
{
	for (uint32_t i = 0; i < f->group->backend_count; i++) {
		struct backend_slot *slot = f->group->backends[i].shared;

		atomic_store(&slot->state, 0);
		atomic_store(&slot->weight, 0);
		atomic_store(&slot->in_flight.word, 0);
		tally_forget(&f->group->backends[i].own->in_flight);
	}
	group_unbind(f->group, zone);
	fixture_fini(f);
}

/* The place of the backend that a new exchange gets; -1 = none. */
static int
pick(struct fixture *f)
{
	struct group_tries tries = { .count = 0 };
	const struct backend *b = group_pick(f->group, &tries);

	return b != NULL ? (int)b->index : -1;
}

static int
pick_key(struct fixture *f, const char *key)
{
	struct group_tries tries = { .has_hash = true,
		.hash = lb_hash_key(span_cstr(key)) };
	const struct backend *b = group_pick(f->group, &tries);

	return b != NULL ? (int)b->index : -1;
}

static void
set_state(struct fixture *f, uint32_t index, uint32_t state)
{
	atomic_store(&f->group->backends[index].shared->state, state);
}

#define THREE "127.0.0.1:7777 127.0.0.1:7778 127.0.0.1:7779"

/* ---- shares ---- */

/* 10,000 picks by weight, with nothing in flight. */
static void
test_shares(void **state)
{
	static const struct {
		enum group_balance balance;
		const char *backends;
		unsigned least[3], most[3];
	} rows[] = {
		{ GROUP_ROUND_ROBIN, "10.0.0.1:1=8 10.0.0.2:1 10.0.0.3:1",
		  { 8000, 1000, 1000 }, { 8000, 1000, 1000 } },
		{ GROUP_RANDOM, "10.0.0.1:1=8 10.0.0.2:1 10.0.0.3:1",
		  { 7700, 850, 850 }, { 8300, 1150, 1150 } },
		{ GROUP_RANDOM, "10.0.0.1:1 10.0.0.2:1 10.0.0.3:1",
		  { 3150, 3150, 3150 }, { 3500, 3500, 3500 } },
		{ GROUP_LEAST_CONNECTIONS,
		  "10.0.0.1:1 10.0.0.2:1 10.0.0.3:1",
		  { 3333, 3333, 3333 }, { 3334, 3334, 3334 } },
		{ GROUP_POWER_OF_TWO, "10.0.0.1:1 10.0.0.2:1 10.0.0.3:1",
		  { 3150, 3150, 3150 }, { 3500, 3500, 3500 } },
		/* A key for none: any of them, by weight. */
		{ GROUP_HASH, "10.0.0.1:1=8 10.0.0.2:1 10.0.0.3:1",
		  { 7000, 600, 600 }, { 8800, 1500, 1500 } },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		unsigned counts[3] = { 0 };
		struct fixture f;

		begin(&f, rows[i].balance, rows[i].backends);
		for (int n = 0; n < 10000; n++)
			counts[pick(&f)]++;
		for (int k = 0; k < 3; k++)
			if (counts[k] < rows[i].least[k] ||
			    counts[k] > rows[i].most[k])
				fail_msg("row %zu, backend %d: %u", i, k,
				    counts[k]);
		end(&f);
	}
}

/* Requests that stay: what is in flight follows the weights. */
static void
test_in_flight_shares(void **state)
{
	static const enum group_balance balances[] = {
		GROUP_LEAST_CONNECTIONS, GROUP_POWER_OF_TWO };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct fixture f;

		begin(&f, balances[i], "10.0.0.1:1=6 10.0.0.2:1=3 10.0.0.3:1");
		for (int n = 0; n < 1000; n++)
			backend_begin(&f.group->backends[pick(&f)]);
		assert_in_range(backend_in_flight(&f.group->backends[0]),
		    598, 602);
		assert_in_range(backend_in_flight(&f.group->backends[1]),
		    298, 302);
		assert_in_range(backend_in_flight(&f.group->backends[2]),
		    98, 102);
		end(&f);
	}
}

/* The busy one is left alone until it has less than the others. */
static void
test_least_is_chosen(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, GROUP_LEAST_CONNECTIONS, THREE);
	for (int i = 0; i < 5; i++)
		backend_begin(&f.group->backends[0]);
	backend_begin(&f.group->backends[2]);
	for (int i = 0; i < 10; i++)
		assert_int_equal(pick(&f), 1);
	backend_begin(&f.group->backends[1]);
	backend_begin(&f.group->backends[1]);
	for (int i = 0; i < 10; i++)
		assert_int_equal(pick(&f), 2);
	for (int i = 0; i < 5; i++)
		backend_end(&f.group->backends[0]);
	assert_int_equal(pick(&f), 0);
	end(&f);
}

/* Two draws prefer the less loaded: the busiest of three is never taken. */
static void
test_power_of_two(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, GROUP_POWER_OF_TWO, THREE);
	for (int i = 0; i < 100; i++)
		backend_begin(&f.group->backends[1]);
	for (int i = 0; i < 200; i++)
		assert_int_not_equal(pick(&f), 1);
	end(&f);
}

/* ---- what cannot serve ---- */

static const enum group_balance all[] = { GROUP_ROUND_ROBIN, GROUP_RANDOM,
	GROUP_LEAST_CONNECTIONS, GROUP_POWER_OF_TWO, GROUP_HASH };

enum { ALL = sizeof(all) / sizeof(all[0]) };

static void
test_down(void **state)
{
	(void)state;
	for (size_t i = 0; i < ALL; i++) {
		struct fixture f;
		bool seen[3] = { false };

		begin(&f, all[i], THREE);
		set_state(&f, 1, BACKEND_CHECK_DOWN);
		for (int n = 0; n < 200; n++)
			seen[pick(&f)] = true;
		assert_true(seen[0] && !seen[1] && seen[2]);
		set_state(&f, 0, BACKEND_DRAINED);
		for (int n = 0; n < 20; n++)
			assert_int_equal(pick(&f), 2);
		set_state(&f, 2, BACKEND_CHECK_DOWN | BACKEND_FAILED);
		assert_int_equal(pick(&f), -1);
		end(&f);
	}
}

/* Each try of one exchange is another backend; then there is none. */
static void
test_tries(void **state)
{
	(void)state;
	for (size_t i = 0; i < ALL; i++) {
		struct fixture f;

		begin(&f, all[i], "10.0.0.1:1=100 10.0.0.2:1 10.0.0.3:1");
		for (int n = 0; n < 50; n++) {
			struct group_tries tries = { .count = 0 };
			unsigned seen = 0;

			for (int k = 0; k < 3; k++)
				seen |= 1U << group_pick(f.group,
				    &tries)->index;
			assert_int_equal(seen, 7);
			assert_null(group_pick(f.group, &tries));
		}
		end(&f);
	}
}

/*
 * One that failed of late is passed over until its time has come, but never
 * if it is the only one that is left.
 */
static void
test_failed(void **state)
{
	(void)state;
	for (size_t i = 0; i < ALL; i++) {
		struct fixture f;
		bool seen = false;

		begin(&f, all[i], "10.0.0.1:1 10.0.0.2:1");
		set_state(&f, 0, BACKEND_FAILED);
		atomic_store(&f.group->backends[0].shared->retry_ms,
		    clock_ms + 100);
		for (int n = 0; n < 50; n++)
			assert_int_equal(pick(&f), 1);
		set_state(&f, 1, BACKEND_CHECK_DOWN);
		assert_int_equal(pick(&f), 0);
		set_state(&f, 1, 0);
		clock_ms += 100;
		for (int n = 0; n < 100; n++)
			seen = seen || pick(&f) == 0;
		assert_true(seen);
		end(&f);
	}
}

/* Backups serve while no other can, and by the same rules. */
static void
test_backups(void **state)
{
	(void)state;
	for (size_t i = 0; i < ALL; i++) {
		struct group_tries tries = { .count = 0 };
		struct fixture f;
		bool seen[4] = { false };

		begin(&f, all[i], "10.0.0.1:1 10.0.0.2:1 10.0.0.3:1 "
		    "10.0.0.4:1");
		group_unbind(f.group, zone);
		group_stop(f.group);
		f.backends[1].backup = true;
		f.backends[3].backup = true;
		f.group = group_new(&f.arena, &f.conf);
		assert_int_equal(group_bind(f.group, zone, &(struct error){
		    .text = "" }), 0);
		group_start(f.group, cells);
		for (int n = 0; n < 50; n++)
			seen[pick(&f)] = true;
		assert_true(seen[0] && !seen[1] && seen[2] && !seen[3]);
		/* A retry comes to them too, once the others were tried. */
		for (int n = 0; n < 4; n++)
			seen[group_pick(f.group, &tries)->index] = true;
		assert_true(seen[1] && seen[3]);
		set_state(&f, 0, BACKEND_CHECK_DOWN);
		set_state(&f, 2, BACKEND_CHECK_DOWN);
		memset(seen, 0, sizeof(seen));
		for (int n = 0; n < 50; n++)
			seen[pick(&f)] = true;
		assert_true(!seen[0] && seen[1] && !seen[2] && seen[3]);
		end(&f);
	}
}

/* weirctl upstream weight, in a worker that runs. */
static void
test_weight_changes(void **state)
{
	(void)state;
	for (size_t i = 0; i < 2; i++) {
		unsigned counts[2] = { 0 };
		struct fixture f;

		begin(&f, all[i], "10.0.0.1:1 10.0.0.2:1");
		atomic_store(&f.group->backends[1].shared->weight, 9);
		atomic_fetch_add(&f.group->backends[0].shared->changes, 1);
		for (int n = 0; n < 1000; n++)
			counts[pick(&f)]++;
		assert_in_range(counts[1], 850, 950);
		atomic_store(&f.group->backends[1].shared->weight, 0);
		atomic_fetch_add(&f.group->backends[0].shared->changes, 1);
		memset(counts, 0, sizeof(counts));
		for (int n = 0; n < 1000; n++)
			counts[pick(&f)]++;
		assert_in_range(counts[1], 430, 570);
		end(&f);
	}
}

/* ---- hash ---- */

/* pingora.md 3.15, 223: nginx's vectors. */
static void
test_ketama_nginx(void **state)
{
	static const struct {
		const char *key;
		int want;
	} rows[] = {
		{ "/some/path", 1 },
		{ "/some/longer/path", 0 },
		{ "/sad/zaidoon", 1 },
		{ "/g", 0 },
		{ "/pingora/team/is/cool/and/this/is/a/long/uri", 1 },
		{ "/i/am/not/confident/in/this/code", 0 },
	};
	struct fixture f;

	(void)state;
	begin(&f, GROUP_HASH, "127.0.0.1:7777 127.0.0.1:7778");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(pick_key(&f, rows[i].key), rows[i].want);
	end(&f);
}

/*
 * The order along the ring is 7778 7779 7779 7777 7777 7778 ...: each try of
 * one exchange takes the next backend of it.
 */
static void
test_ketama_order(void **state)
{
	static const uint32_t want[] = { 1, 2, 0 };
	struct group_tries tries = { .has_hash = true,
		.hash = lb_hash_key(SPAN("doghash")) };
	struct fixture f;

	(void)state;
	begin(&f, GROUP_HASH, THREE);
	for (int i = 0; i < 3; i++)
		assert_int_equal(group_pick(f.group, &tries)->index, want[i]);
	assert_null(group_pick(f.group, &tries));
	/* One that is down is passed over in that order too. */
	set_state(&f, 1, BACKEND_CHECK_DOWN);
	assert_int_equal(pick_key(&f, "doghash"), 2);
	set_state(&f, 2, BACKEND_CHECK_DOWN);
	assert_int_equal(pick_key(&f, "doghash"), 0);
	end(&f);
}

static void
ten_hosts(char *text, size_t size, int count, const char *port)
{
	struct error unused;

	(void)unused;
	text[0] = '\0';
	for (int i = 1; i <= count; i++)
		snprintf(text + strlen(text), size - strlen(text),
		    "127.0.0.%d:%s ", i, port);
}

static void
test_ketama_hosts(void **state)
{
	char text[512];
	struct fixture f;

	(void)state;
	for (int count = 10; count <= 11; count++) {
		ten_hosts(text, sizeof(text), count, "6443");
		begin(&f, GROUP_HASH, text);
		assert_int_equal(pick_key(&f, "a"), 9);
		assert_int_equal(pick_key(&f, "b"), 4);
		end(&f);
	}
	/* IPv6, names and sockets have points too, and a share each. */
	begin(&f, GROUP_HASH, "[2001:db8::1]:80 [2001:db8::2]:80 "
	    "unix:/run/a unix:/run/b");
	for (int n = 0; n < 4; n++) {
		int met = 0;

		for (int k = 0; k < 1000; k++) {
			char key[16];

			snprintf(key, sizeof(key), "k%d", k);
			met += pick_key(&f, key) == n;
		}
		assert_in_range(met, 150, 350);
	}
	end(&f);
}

enum { KEYS = 20000 };

static void
key_of(char *text, size_t size, int i)
{
	snprintf(text, size, "client-%d", i);
}

/*
 * One of n goes, by its configuration or by its health: only its keys move,
 * and they are about a share of 1/n.
 */
static void
test_few_keys_move(void **state)
{
	static int before[KEYS];
	char text[512], key[32];
	struct fixture f;
	int moved = 0;

	(void)state;
	ten_hosts(text, sizeof(text), 10, "80");
	begin(&f, GROUP_HASH, text);
	for (int i = 0; i < KEYS; i++) {
		key_of(key, sizeof(key), i);
		before[i] = pick_key(&f, key);
	}
	set_state(&f, 9, BACKEND_CHECK_DOWN);
	for (int i = 0; i < KEYS; i++) {
		key_of(key, sizeof(key), i);
		if (pick_key(&f, key) == before[i])
			continue;
		assert_int_equal(before[i], 9);
		moved++;
	}
	end(&f);
	assert_in_range(moved, KEYS / 10 * 8 / 10, KEYS / 10 * 12 / 10);
	ten_hosts(text, sizeof(text), 9, "80");
	begin(&f, GROUP_HASH, text);
	for (int i = 0; i < KEYS; i++) {
		key_of(key, sizeof(key), i);
		if (before[i] != 9)
			assert_int_equal(pick_key(&f, key), before[i]);
	}
	end(&f);
}

/* One hot key: its backend passes on what is above 125 % of a fair share. */
static void
test_bounded_load(void **state)
{
	struct fixture f;
	int first;

	(void)state;
	begin_with(&f, GROUP_HASH, "10.0.0.1:1 10.0.0.2:1 10.0.0.3:1 "
	    "10.0.0.4:1", 125);
	first = pick_key(&f, "hot");
	for (int n = 0; n < 400; n++)
		backend_begin(&f.group->backends[pick_key(&f, "hot")]);
	assert_in_range(backend_in_flight(&f.group->backends[first]), 120,
	    126);
	for (uint32_t i = 0; i < 4; i++)
		assert_in_range(backend_in_flight(&f.group->backends[i]), 20,
		    126);
	/* All others down: it takes everything. */
	for (uint32_t i = 0; i < 4; i++)
		if ((int)i != first)
			set_state(&f, i, BACKEND_CHECK_DOWN);
	assert_int_equal(pick_key(&f, "hot"), first);
	end(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shares),
		cmocka_unit_test(test_in_flight_shares),
		cmocka_unit_test(test_least_is_chosen),
		cmocka_unit_test(test_power_of_two),
		cmocka_unit_test(test_down),
		cmocka_unit_test(test_tries),
		cmocka_unit_test(test_failed),
		cmocka_unit_test(test_backups),
		cmocka_unit_test(test_weight_changes),
		cmocka_unit_test(test_ketama_nginx),
		cmocka_unit_test(test_ketama_order),
		cmocka_unit_test(test_ketama_hosts),
		cmocka_unit_test(test_few_keys_move),
		cmocka_unit_test(test_bounded_load),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}

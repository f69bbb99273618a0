/* SPDX-License-Identifier: BSD-2-Clause */
/* Slots by name, and addresses that readers see whole or not at all. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "fixture.h"
#include "clock.h"

static void
test_names(void **state)
{
	static const struct {
		const char *address;
		const char *want;
	} rows[] = {
		{ "10.0.0.1:80", "app/10.0.0.1:80" },
		{ "[2001:DB8::1]:8080", "app/[2001:db8::1]:8080" },
		{ "unix:/run/app.sock", "app/unix:/run/app.sock" },
		{ "app.internal:80", "app/app.internal:80" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct fixture f;
		const struct backend *b;

		fixture_init(&f, "app", rows[i].address);
		b = &f.group->backends[0];
		assert_int_equal(b->name.len, strlen(rows[i].want));
		assert_memory_equal(b->name.p, rows[i].want, b->name.len);
		assert_true(span_eq(b->text, span_cstr(rows[i].want + 4)));
		fixture_fini(&f);
	}
}

static struct backend_zone *
new_zone(size_t slots)
{
	struct error err;
	struct backend_zone *zone = backend_zone_new(slots, &err);

	assert_non_null(zone);
	return zone;
}

/* Two generations that name the same backend share its slot. */
static void
test_generations(void **state)
{
	struct backend_zone *zone = new_zone(4);
	struct fixture old, new, other;
	struct error err;
	uint32_t slot, version;

	(void)state;
	fixture_init(&old, "app", "a.test:80 b.test:80");
	fixture_init(&new, "app", "b.test:80 c.test:80");
	fixture_init(&other, "other", "b.test:80");
	assert_int_equal(group_bind(old.group, zone, &err), 0);
	slot = old.group->backends[1].slot;
	version = old.group->backends[1].slot_version;
	assert_int_equal(group_bind(new.group, zone, &err), 0);
	assert_int_equal(new.group->backends[0].slot, slot);
	assert_int_equal(new.group->backends[0].slot_version, version);
	/* The same address in another upstream is another backend. */
	assert_int_equal(group_bind(other.group, zone, &err), 0);
	assert_int_not_equal(other.group->backends[0].slot, slot);
	assert_string_equal(backend_zone_slot(zone, slot)->name,
	    "app/b.test:80");
	group_unbind(old.group, zone);
	group_unbind(new.group, zone);
	group_unbind(other.group, zone);
	fixture_fini(&old);
	fixture_fini(&new);
	fixture_fini(&other);
	backend_zone_free(zone);
}

static void
test_full(void **state)
{
	struct backend_zone *zone = new_zone(2);
	struct fixture a, b;
	struct error err;

	(void)state;
	fixture_init(&a, "a", "x.test:80");
	fixture_init(&b, "b", "y.test:80 z.test:80");
	assert_int_equal(group_bind(a.group, zone, &err), 0);
	assert_int_equal(group_bind(b.group, zone, &err), -1);
	assert_non_null(strstr(err.text, "backends_max"));
	assert_non_null(strstr(err.text, "b/z.test:80"));
	/* What was bound before the failure was given back. */
	group_unbind(a.group, zone);
	assert_int_equal(group_bind(b.group, zone, &err), 0);
	group_unbind(b.group, zone);
	fixture_fini(&a);
	fixture_fini(&b);
	backend_zone_free(zone);
}

/* A name that comes back finds its slot as it was; else it is emptied. */
static void
test_reuse(void **state)
{
	struct backend_zone *zone = new_zone(2);
	struct fixture a, b, c;
	struct backend_addresses list, got;
	struct error err;
	uint32_t version;

	(void)state;
	fixture_init(&a, "a", "x.test:80");
	fixture_init(&b, "b", "y.test:80");
	fixture_init(&c, "c", "z.test:80");
	fixture_addresses(&list, "192.0.2.1");
	assert_int_equal(group_bind(a.group, zone, &err), 0);
	assert_int_equal(backend_publish(&a.group->backends[0], &list), 0);
	version = a.group->backends[0].slot_version;
	group_unbind(a.group, zone);
	/* A slot that was never used is taken first. */
	assert_int_equal(group_bind(b.group, zone, &err), 0);
	assert_int_equal(group_bind(a.group, zone, &err), 0);
	assert_int_equal(a.group->backends[0].slot_version, version);
	assert_true(backend_addresses(&a.group->backends[0], &got));
	group_unbind(a.group, zone);
	assert_int_equal(group_bind(c.group, zone, &err), 0);
	assert_int_not_equal(c.group->backends[0].slot_version, version);
	assert_false(backend_addresses(&c.group->backends[0], &got));
	assert_false(backend_is_up(&c.group->backends[0]));
	group_unbind(c.group, zone);
	group_unbind(b.group, zone);
	fixture_fini(&a);
	fixture_fini(&b);
	fixture_fini(&c);
	backend_zone_free(zone);
}

static void
test_publish(void **state)
{
	struct backend_zone *zone = new_zone(1);
	struct backend_addresses list, got;
	struct fixture f;
	struct backend *b;
	struct error err;

	(void)state;
	fixture_init(&f, "a", "x.test:80");
	b = &f.group->backends[0];
	assert_int_equal(group_bind(f.group, zone, &err), 0);
	assert_false(backend_is_up(b));
	fixture_addresses(&list, "192.0.2.1 2001:db8::1");
	for (int i = 0; i < 3; i++) {
		assert_int_equal(backend_publish(b, &list), 0);
		assert_true(backend_is_up(b));
		assert_true(backend_addresses(b, &got));
		assert_memory_equal(&got, &list, sizeof(got));
		list.items[0].bytes[15]++;
	}
	list.count = 0;
	assert_int_equal(backend_publish(b, &list), 0);
	assert_false(backend_is_up(b));
	assert_false(backend_addresses(b, &got));
	group_unbind(f.group, zone);
	fixture_fini(&f);
	backend_zone_free(zone);
}

/* One who dies while publishing keeps others out for a moment only. */
static void
test_dead_writer(void **state)
{
	struct backend_zone *zone = new_zone(1);
	struct backend_addresses list;
	struct fixture f;
	struct error err;

	(void)state;
	fixture_init(&f, "a", "x.test:80");
	fixture_addresses(&list, "192.0.2.1");
	assert_int_equal(group_bind(f.group, zone, &err), 0);
	atomic_store(&f.group->backends[0].shared->publishing_ms,
	    now_ms() + 1);
	assert_int_equal(backend_publish(&f.group->backends[0], &list), -1);
	clock_ms += 1999;
	assert_int_equal(backend_publish(&f.group->backends[0], &list), -1);
	clock_ms += 2;
	assert_int_equal(backend_publish(&f.group->backends[0], &list), 0);
	assert_true(backend_is_up(&f.group->backends[0]));
	group_unbind(f.group, zone);
	fixture_fini(&f);
	backend_zone_free(zone);
}

/* All bytes of all addresses equal one number that changes. */
static void
fill(struct backend_addresses *list, unsigned n)
{
	memset(list, (int)(n & 0xff), sizeof(*list));
	list->count = 1 + n % BACKEND_ADDRESSES_MAX;
}

/* Two writers, one killed again and again; no reader ever sees a mixture. */
static void
test_no_mixture(void **state)
{
	struct backend_zone *zone = new_zone(1);
	struct backend_addresses got;
	struct fixture f;
	struct backend *b;
	struct error err;

	(void)state;
	fixture_init(&f, "a", "x.test:80");
	b = &f.group->backends[0];
	assert_int_equal(group_bind(f.group, zone, &err), 0);
	for (unsigned round = 0; round < 20; round++) {
		unsigned seen = 0;
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (pid == 0) {
			struct backend_addresses list;

			clock_ms += round * 10000;
			for (unsigned n = 0;; n++) {
				fill(&list, n);
				(void)!backend_publish(b, &list);
			}
		}
		for (unsigned n = 0; seen < 2000 && n < 100000000; n++) {
			const unsigned char *p = got.items[0].bytes;

			if (!backend_addresses(b, &got))
				continue;
			seen++;
			assert_int_equal(got.count,
			    1 + p[0] % BACKEND_ADDRESSES_MAX);
			for (size_t i = 0; i < 16; i++) {
				assert_int_equal(got.items[7].bytes[i], p[0]);
				assert_int_equal(p[i], p[0]);
			}
		}
		assert_int_equal(kill(pid, SIGKILL), 0);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		assert_int_equal(seen, 2000);
	}
	group_unbind(f.group, zone);
	fixture_fini(&f);
	backend_zone_free(zone);
}

/* What a connection begins with, as another generation knows it. */
static void
test_terms(void **state)
{
	const char *one[] = { "127.0.0.2" }, *other[] = { "127.0.0.3" };
	const struct {
		const char **bind;
		uint32_t proxy_protocol;
	} rows[] = { { NULL, 0 }, { one, 0 }, { other, 0 }, { NULL, 1 },
		{ NULL, 2 }, { one, 1 } };
	enum { ROWS = sizeof(rows) / sizeof(*rows) };
	uint32_t terms[ROWS];
	struct fixture f;

	(void)state;
	fixture_init(&f, "app", "127.0.0.1:80");
	for (size_t i = 0; i < ROWS; i++) {
		struct group *g;

		f.conf.bind.items = rows[i].bind;
		f.conf.bind.count = rows[i].bind != NULL;
		f.conf.proxy_protocol = rows[i].proxy_protocol;
		g = group_new(&f.arena, &f.conf);
		terms[i] = g->backends[0].terms;
		for (size_t k = 0; k < i; k++)
			assert_int_not_equal(terms[k], terms[i]);
	}
	assert_int_equal(terms[0], 0);
	fixture_fini(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_generations),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_reuse),
		cmocka_unit_test(test_publish),
		cmocka_unit_test(test_dead_writer),
		cmocka_unit_test(test_terms),
		cmocka_unit_test(test_no_mixture),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

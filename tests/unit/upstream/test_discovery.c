/* SPDX-License-Identifier: BSD-2-Clause */
/* Names of backends: asked once each, published, refreshed, kept. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../net/dns.h"
#include "clock.h"
#include "fixture.h"

#include "background/discovery.h"
#include "base/log.h"
#include "base/str.h"

static struct loop *loop;
static struct dns dns;
static struct backend_zone *zone;
static struct discovery *discovery;
static unsigned readies;
static char lines[8192];

static void
keep_line(void *arg, enum log_level level, const char *line, size_t len)
{
	(void)arg;
	(void)level;
	strncat(lines, line, len);
}

static void
on_ready(void *arg)
{
	assert_ptr_equal(arg, &readies);
	readies++;
}

static int
setup(void **state)
{
	static const struct dns_record none[] = { { NULL, NULL, 0 } };
	struct error err;

	(void)state;
	readies = 0;
	lines[0] = '\0';
	log_set_sink(keep_line, NULL);
	loop = loop_new(LOOP_AUTO, &err);
	zone = backend_zone_new(16, &err);
	if (loop == NULL || zone == NULL)
		return -1;
	dns_start(&dns, loop, none);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	discovery_stop(discovery);
	discovery = NULL;
	dns_stop(&dns);
	loop_free(loop);
	backend_zone_free(zone);
	log_set_sink(NULL, NULL);
	return 0;
}

static struct discovery *
start_groups(struct group *const *groups, size_t count)
{
	struct resolver_options options = { .servers = dns.servers,
		.timeout_ms = 100, .tries = 1 };
	static const struct discovery_events events = {
		.on_ready = on_ready, .arg = &readies };
	struct error err;
	struct discovery *d;

	d = discovery_start(loop, groups, count, &options, &events, &err);
	assert_non_null(d);
	return d;
}

static struct discovery *
start(struct fixture *f)
{
	return start_groups(&f->group, 1);
}

static void
begin_places(struct fixture *f, const char *backends, uint32_t places)
{
	struct error err;

	fixture_init_places(f, "app", backends, places);
	assert_int_equal(group_bind(f->group, zone, &err), 0);
	discovery = start(f);
}

static void
begin(struct fixture *f, const char *backends)
{
	begin_places(f, backends, 1);
}

static void
end(struct fixture *f)
{
	discovery_stop(discovery);
	discovery = NULL;
	group_unbind(f->group, zone);
	fixture_fini(f);
}

/* Real time for the sockets, none for the clock. */
static void
run(unsigned turns)
{
	for (unsigned i = 0; i < turns; i++)
		loop_turn(loop, 2);
}

static const char *
addresses(const struct fixture *f, uint32_t index)
{
	static char text[512];
	struct backend_addresses list;
	struct str out;

	str_init(&out, text, sizeof(text));
	if (!backend_addresses(&f->group->backends[index], &list))
		return "down";
	for (uint32_t i = 0; i < list.count; i++) {
		if (i > 0)
			str_char(&out, ' ');
		addr_ip_put(&out, &list.items[i]);
	}
	return str_terminate(&out);
}

static void
test_no_names(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, "127.0.0.1:80 unix:/run/app.sock");
	assert_int_equal(readies, 0);
	run(1);
	assert_int_equal(readies, 1);
	assert_true(discovery_is_ready(discovery));
	assert_int_equal(dns.queries, 0);
	assert_true(backend_is_up(&f.group->backends[0]));
	end(&f);
}

static void
test_localhost(void **state)
{
	struct fixture f;

	(void)state;
	dns.mood = DNS_IS_SILENT;
	begin(&f, "localhost:80");
	run(2);
	assert_int_equal(readies, 1);
	assert_string_equal(addresses(&f, 0), "127.0.0.1 ::1");
	assert_int_equal(dns.queries, 0);
	end(&f);
}

#ifdef HAVE_CARES

static void
pass(uint64_t ms)
{
	clock_ms += ms;
	run(20);
}

static unsigned
count(const char *text)
{
	unsigned n = 0;

	for (const char *p = lines; (p = strstr(p, text)) != NULL; p++)
		n++;
	return n;
}

static void
test_names(void **state)
{
	static const struct dns_record records[] = {
		{ "one.test", "192.0.2.1", 60 },
		{ "two.test", "192.0.2.2", 60 },
		{ NULL, NULL, 0 },
	};
	struct fixture f;

	(void)state;
	dns.records = records;
	begin(&f, "one.test:80 two.test:80 one.test:81 127.0.0.1:80 "
	    "ONE.test:82");
	assert_false(discovery_is_ready(discovery));
	run(50);
	assert_string_equal(addresses(&f, 0), "192.0.2.1");
	assert_string_equal(addresses(&f, 1), "192.0.2.2");
	assert_string_equal(addresses(&f, 2), "192.0.2.1");
	assert_string_equal(addresses(&f, 4), "192.0.2.1");
	assert_int_equal(readies, 1);
	/* One question a name, whatever the number of backends. */
	assert_int_equal(dns.queries, 2);
	assert_int_equal(count("one.test: 192.0.2.1 (ttl 60 s)"), 1);
	assert_int_equal(count("\n"), 2);
	end(&f);
}

/* Asked again when the TTL ends, and a change is logged once. */
static void
test_ttl(void **state)
{
	struct dns_record records[] = {
		{ "one.test", "192.0.2.1", 60 },
		{ NULL, NULL, 0 },
	};
	struct fixture f;

	(void)state;
	dns.records = records;
	begin(&f, "one.test:80");
	run(50);
	records[0].addresses = "192.0.2.9";
	pass(59000);
	assert_string_equal(addresses(&f, 0), "192.0.2.1");
	assert_int_equal(dns.queries, 1);
	pass(1001);
	assert_string_equal(addresses(&f, 0), "192.0.2.9");
	assert_int_equal(dns.queries, 2);
	assert_int_equal(count("\n"), 2);
	pass(60001);
	assert_int_equal(dns.queries, 3);
	assert_int_equal(count("\n"), 2);
	end(&f);
}

struct bound {
	uint32_t ttl;
	uint64_t early_ms, late_ms;
};

static void
test_bounds(void **state)
{
	static const struct bound rows[] = {
		{ 0, 4900, 5001 },
		{ 1, 4900, 5001 },
		{ 86400, 299000, 300001 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct dns_record records[] = {
			{ "one.test", "192.0.2.1", rows[i].ttl },
			{ NULL, NULL, 0 },
		};
		struct fixture f;

		dns.records = records;
		dns.queries = 0;
		begin(&f, "one.test:80");
		run(50);
		pass(rows[i].early_ms);
		assert_int_equal(dns.queries, 1);
		pass(rows[i].late_ms - rows[i].early_ms);
		assert_int_equal(dns.queries, 2);
		end(&f);
	}
}

/* resolve = { ttl_min = "1s"; ttl_max = "2s"; } */
static void
test_configured_bounds(void **state)
{
	static const struct bound rows[] = {
		{ 0, 900, 1001 },
		{ 60, 1900, 2001 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct dns_record records[] = {
			{ "one.test", "192.0.2.1", rows[i].ttl },
			{ NULL, NULL, 0 },
		};
		struct fixture f;
		struct error err;

		dns.records = records;
		dns.queries = 0;
		fixture_init(&f, "app", "one.test:80");
		f.conf.resolve.ttl_min_ms = 1000;
		f.conf.resolve.ttl_max_ms = 2000;
		assert_int_equal(group_bind(f.group, zone, &err), 0);
		discovery = start(&f);
		run(50);
		pass(rows[i].early_ms);
		assert_int_equal(dns.queries, 1);
		pass(rows[i].late_ms - rows[i].early_ms);
		assert_int_equal(dns.queries, 2);
		end(&f);
	}
}

/* The order in which a server lists addresses is no news. */
static void
test_order_is_no_change(void **state)
{
	struct dns_record records[] = {
		{ "one.test", "192.0.2.1 192.0.2.2", 5 },
		{ NULL, NULL, 0 },
	};
	struct fixture f;
	uint64_t published;

	(void)state;
	dns.records = records;
	begin_places(&f, "one.test:80", 2);
	run(50);
	assert_string_equal(addresses(&f, 1), "192.0.2.2");
	published = atomic_load(&f.group->backends[0].shared->published);
	assert_int_equal(published & 15, 1);
	records[0].addresses = "192.0.2.2 192.0.2.1";
	pass(5001);
	assert_int_equal(dns.queries, 2);
	assert_int_equal(atomic_load(
	    &f.group->backends[0].shared->published), published);
	assert_int_equal(count("\n"), 1);
	end(&f);
}

static void
test_more_than_places(void **state)
{
	struct dns_record records[] = {
		{ "one.test", "192.0.2.1 192.0.2.2 192.0.2.3", 5 },
		{ NULL, NULL, 0 },
	};
	struct fixture f;

	(void)state;
	dns.records = records;
	begin_places(&f, "one.test:80", 2);
	run(50);
	assert_int_equal(count("has 1 addresses more than the 2"), 1);
	pass(5001);
	assert_int_equal(count("has 1 addresses more than the 2"), 1);
	records[0].addresses = "192.0.2.3";
	pass(5001);
	/* Whoever was left out takes the place of one that goes. */
	assert_string_equal(addresses(&f, 0), "192.0.2.3");
	assert_string_equal(addresses(&f, 1), "down");
	end(&f);
}

/* Each upstream of a name has a limit of its own, and each says so once. */
static void
test_two_limits(void **state)
{
	static const struct dns_record records[] = {
		{ "one.test", "192.0.2.1 192.0.2.2 192.0.2.3", 5 },
		{ NULL, NULL, 0 },
	};
	struct fixture one, two;
	struct group *groups[2];
	struct error err;

	(void)state;
	dns.records = records;
	fixture_init_places(&one, "one", "one.test:80", 1);
	fixture_init_places(&two, "two", "one.test:80", 2);
	groups[0] = one.group;
	groups[1] = two.group;
	for (int i = 0; i < 2; i++)
		assert_int_equal(group_bind(groups[i], zone, &err), 0);
	discovery = start_groups(groups, 2);
	run(50);
	pass(5001);
	assert_int_equal(dns.queries, 2);
	assert_int_equal(count("has 2 addresses more than the 1"), 1);
	assert_int_equal(count("has 1 addresses more than the 2"), 1);
	group_unbind(two.group, zone);
	fixture_fini(&two);
	end(&one);
}

/* A successor sees to the names: nothing is asked any more. */
static void
test_retired(void **state)
{
	struct dns_record records[] = {
		{ "one.test", "192.0.2.1", 5 },
		{ NULL, NULL, 0 },
	};
	struct fixture f;

	(void)state;
	dns.records = records;
	begin(&f, "one.test:80");
	run(50);
	discovery_retire(discovery);
	pass(10000);
	assert_int_equal(dns.queries, 1);
	assert_string_equal(addresses(&f, 0), "192.0.2.1");
	end(&f);
}

/* Down at first, up after 5 s, and what was good is kept. */
static void
test_failures(void **state)
{
	static const struct dns_record records[] = {
		{ "one.test", "192.0.2.1", 5 },
		{ NULL, NULL, 0 },
	};
	struct fixture f;

	(void)state;
	dns.records = records;
	dns.mood = DNS_FAILS;
	begin(&f, "one.test:80");
	run(100);
	assert_string_equal(addresses(&f, 0), "down");
	assert_int_equal(readies, 1);
	assert_int_equal(count("down until it resolves"), 1);
	pass(5001);
	assert_int_equal(count("\n"), 1);
	dns.mood = DNS_ANSWERS;
	pass(5001);
	assert_string_equal(addresses(&f, 0), "192.0.2.1");
	dns.mood = DNS_FAILS;
	pass(5001);
	run(100);
	pass(5001);
	run(100);
	assert_string_equal(addresses(&f, 0), "192.0.2.1");
	assert_int_equal(count("last good answer is kept"), 1);
	dns.mood = DNS_ANSWERS;
	pass(5001);
	assert_int_equal(count("works again"), 1);
	end(&f);
}

/* A server that says nothing holds the start up for two seconds. */
static void
test_ready_without_answer(void **state)
{
	static const struct dns_record records[] = { { NULL, NULL, 0 } };
	struct fixture f;

	(void)state;
	dns.records = records;
	dns.mood = DNS_IS_SILENT;
	begin(&f, "one.test:80");
	loop_turn(loop, 0);
	clock_ms += 1999;
	loop_turn(loop, 0);
	assert_int_equal(readies, 0);
	clock_ms += 2;
	loop_turn(loop, 0);
	assert_int_equal(readies, 1);
	/* The answer that comes at last is not a second readiness. */
	run(100);
	pass(1000);
	assert_int_equal(count("down until it resolves"), 1);
	assert_int_equal(readies, 1);
	end(&f);
}

/* A generation that begins while servers fail has its predecessor's answers. */
static void
test_next_generation(void **state)
{
	static const struct dns_record records[] = {
		{ "one.test", "192.0.2.1", 60 },
		{ NULL, NULL, 0 },
	};
	struct fixture old, new;
	struct error err;

	(void)state;
	dns.records = records;
	begin(&old, "one.test:80");
	run(50);
	fixture_init(&new, "app", "two.test:80 one.test:80");
	assert_int_equal(group_bind(new.group, zone, &err), 0);
	end(&old);
	dns.mood = DNS_FAILS;
	discovery = start(&new);
	run(100);
	assert_string_equal(addresses(&new, 1), "192.0.2.1");
	assert_string_equal(addresses(&new, 0), "down");
	end(&new);
}

/* While another process writes the slot, the answer waits a moment. */
static void
test_busy_slot(void **state)
{
	static const struct dns_record records[] = {
		{ "one.test", "192.0.2.1", 60 },
		{ NULL, NULL, 0 },
	};
	struct fixture f;

	(void)state;
	dns.records = records;
	begin(&f, "one.test:80");
	atomic_store(&f.group->backends[0].shared->publishing_ms,
	    clock_ms + 1);
	run(50);
	assert_string_equal(addresses(&f, 0), "down");
	pass(101);
	assert_string_equal(addresses(&f, 0), "down");
	atomic_store(&f.group->backends[0].shared->publishing_ms, 0);
	pass(101);
	assert_string_equal(addresses(&f, 0), "192.0.2.1");
	/* Then the TTL counts from the answer. */
	assert_int_equal(dns.queries, 1);
	pass(60000);
	assert_int_equal(dns.queries, 2);
	end(&f);
}

#endif

#define DISCOVERY_TEST(name) \
	cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		DISCOVERY_TEST(test_no_names),
		DISCOVERY_TEST(test_localhost),
#ifdef HAVE_CARES
		DISCOVERY_TEST(test_names),
		DISCOVERY_TEST(test_ttl),
		DISCOVERY_TEST(test_bounds),
		DISCOVERY_TEST(test_configured_bounds),
		DISCOVERY_TEST(test_order_is_no_change),
		DISCOVERY_TEST(test_more_than_places),
		DISCOVERY_TEST(test_two_limits),
		DISCOVERY_TEST(test_retired),
		DISCOVERY_TEST(test_failures),
		DISCOVERY_TEST(test_ready_without_answer),
		DISCOVERY_TEST(test_next_generation),
		DISCOVERY_TEST(test_busy_slot),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

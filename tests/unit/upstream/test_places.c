/* SPDX-License-Identifier: BSD-2-Clause */
/* Names with several addresses: who stays, who goes, where who is new goes. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "clock.h"
#include "fixture.h"

#include "base/str.h"
#include "upstream/health.h"
#include "upstream/lb_hash.h"
#include "upstream/places.h"

static struct backend_zone *zone;
static unsigned come;

static int
setup(void **state)
{
	struct error err;

	(void)state;
	zone = backend_zone_new(64, &err);
	return zone == NULL ? -1 : 0;
}

static int
teardown(void **state)
{
	(void)state;
	backend_zone_free(zone);
	return 0;
}

static void
begin(struct fixture *f, const char *backends, uint32_t places)
{
	struct error err;

	fixture_init_places(f, "app", backends, places);
	assert_int_equal(group_bind(f->group, zone, &err), 0);
	group_start(f->group, NULL);
	come = 0;
}

static void
end(struct fixture *f)
{
	group_unbind(f->group, zone);
	fixture_fini(f);
}

static void
on_come(void *arg, const struct backend *b)
{
	assert_ptr_equal(arg, &come);
	assert_true(backend_is_resolved(b));
	come++;
}

static struct places_news
settle(struct fixture *f, uint32_t first, const char *addresses)
{
	char *text = strdup(addresses);
	char *rest = text;
	char *word;
	struct addr_ip items[64];
	struct places_answer answer = { items, 0 };
	struct places_news news;

	clock_ms += 1000;
	while ((word = strtok_r(rest, " ", &rest)) != NULL)
		assert_int_equal(addr_ip_parse(span_cstr(word),
		    &items[answer.count++]), 0);
	free(text);
	assert_int_equal(places_settle(&f->group->backends[first], &answer,
	    &news, on_come, &come), 0);
	return news;
}

/* What is where: "192.0.2.1 - 192.0.2.3+2001:db8::1". */
static const char *
where(const struct fixture *f)
{
	static char text[1024];
	struct str out;

	str_init(&out, text, sizeof(text));
	for (uint32_t i = 0; i < f->group->backend_count; i++) {
		const struct backend *b = &f->group->backends[i];
		struct backend_addresses list;

		if (i > 0)
			str_char(&out, ' ');
		if (!b->is_name || !backend_addresses(b, &list)) {
			str_char(&out, b->is_name ? '-' : '=');
			continue;
		}
		for (uint32_t k = 0; k < list.count; k++) {
			if (k > 0)
				str_char(&out, '+');
			addr_ip_put(&out, &list.items[k]);
		}
	}
	return str_terminate(&out);
}

struct step {
	const char *answer;
	const char *want;
	uint32_t come, gone, left_out;
};

static void
test_steps(void **state)
{
	static const struct step steps[] = {
		{ "192.0.2.1 192.0.2.2", "192.0.2.1 192.0.2.2 -", 2, 0, 0 },
		/* The order is no news. */
		{ "192.0.2.2 192.0.2.1", "192.0.2.1 192.0.2.2 -", 0, 0, 0 },
		/* One goes, one stays where it is. */
		{ "192.0.2.2", "- 192.0.2.2 -", 0, 1, 0 },
		/* The place that has been empty longest: never used. */
		{ "192.0.2.2 192.0.2.9", "- 192.0.2.2 192.0.2.9", 1, 0, 0 },
		{ "192.0.2.3 192.0.2.9", "192.0.2.3 - 192.0.2.9", 1, 1, 0 },
		/* No room; then the one left out comes in. */
		{ "192.0.2.5 192.0.2.3 192.0.2.9 192.0.2.6",
		  "192.0.2.3 192.0.2.5 192.0.2.9", 1, 0, 1 },
		{ "192.0.2.6 192.0.2.5 192.0.2.9",
		  "192.0.2.6 192.0.2.5 192.0.2.9", 1, 1, 0 },
		/* All others at once. */
		{ "192.0.2.7 192.0.2.8",
		  "192.0.2.7 192.0.2.8 -", 2, 3, 0 },
		/* The other family is for when the first fails. */
		{ "192.0.2.7 192.0.2.8 2001:db8::2 2001:db8::1",
		  "192.0.2.7+2001:db8::1 192.0.2.8+2001:db8::2 -", 0, 0, 0 },
		/* The family stays, whatever comes first in the answer. */
		{ "2001:db8::1 2001:db8::2 192.0.2.7 192.0.2.8",
		  "192.0.2.7+2001:db8::1 192.0.2.8+2001:db8::2 -", 0, 0, 0 },
		{ "2001:db8::1 2001:db8::3 192.0.2.7",
		  "192.0.2.7+2001:db8::1+2001:db8::3 - -", 0, 1, 0 },
		/* Until none of it is left. */
		{ "2001:db8::1", "- - 2001:db8::1", 1, 1, 0 },
	};
	struct fixture f;

	(void)state;
	begin(&f, "app.test:80", 3);
	assert_int_equal(f.group->backend_count, 3);
	assert_string_equal(where(&f), "- - -");
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		struct places_news news;

		come = 0;
		news = settle(&f, 0, steps[i].answer);
		assert_string_equal(where(&f), steps[i].want);
		assert_int_equal(news.come, steps[i].come);
		assert_int_equal(news.gone, steps[i].gone);
		assert_int_equal(news.left_out, steps[i].left_out);
		assert_int_equal(come, steps[i].come);
	}
	end(&f);
}

/* What stays keeps everything; what is new starts as new. */
static void
test_state(void **state)
{
	struct backend *b;
	struct fixture f;
	uint32_t tenancies[2];

	(void)state;
	begin(&f, "app.test:80=5", 2);
	settle(&f, 0, "192.0.2.1 192.0.2.2");
	b = f.group->backends;
	for (int i = 0; i < 2; i++) {
		health_change(&b[i], BACKEND_DRAINED, i == 0,
		    HEALTH_DRAINED);
		health_change(&b[i], BACKEND_FAILED, true, HEALTH_FAILURES);
		atomic_store(&b[i].shared->weight, 9);
		tenancies[i] = backend_tenancy(&b[i]);
	}
	settle(&f, 0, "192.0.2.1 192.0.2.3");
	assert_int_equal(backend_state(&b[0]),
	    BACKEND_DRAINED | BACKEND_FAILED);
	assert_int_equal(backend_weight(&b[0]), 9);
	assert_int_equal(backend_tenancy(&b[0]), tenancies[0]);
	assert_int_equal(backend_state(&b[1]), 0);
	assert_int_equal(backend_weight(&b[1]), 5);
	assert_int_not_equal(backend_tenancy(&b[1]), tenancies[1]);
	assert_int_equal(atomic_load(&b[1].shared->since_ms), clock_ms);
	end(&f);
}

/* A new address has to pass a check first where the start state says so. */
static void
test_start_state(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, "app.test:80", 2);
	f.conf.has_check = true;
	f.conf.health_check.initial = 1;
	settle(&f, 0, "192.0.2.1");
	assert_int_equal(backend_state(&f.group->backends[0]),
	    BACKEND_CHECK_DOWN);
	assert_int_equal(backend_state(&f.group->backends[1]), 0);
	end(&f);
}

/* Who drains a name drains what comes to it as well. */
static void
test_drained_name(void **state)
{
	struct backend *b;
	struct fixture f;

	(void)state;
	begin(&f, "app.test:80", 3);
	settle(&f, 0, "192.0.2.1 192.0.2.2");
	b = f.group->backends;
	for (int i = 0; i < 3; i++)
		health_change(&b[i], BACKEND_DRAINED, true, HEALTH_DRAINED);
	settle(&f, 0, "192.0.2.2 192.0.2.3");
	assert_string_equal(where(&f), "- 192.0.2.2 192.0.2.3");
	assert_int_equal(backend_state(&b[2]), BACKEND_DRAINED);
	assert_int_equal(backend_state(&b[0]), BACKEND_DRAINED);
	end(&f);
}

/* Each name has places of its own, a literal address none but itself. */
static void
test_two_names(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, "a.test:80 127.0.0.1:80 b.test:81", 2);
	assert_int_equal(f.group->backend_count, 5);
	settle(&f, 3, "192.0.2.1");
	assert_string_equal(where(&f), "- - = 192.0.2.1 -");
	settle(&f, 0, "192.0.2.1 192.0.2.2");
	assert_string_equal(where(&f), "192.0.2.1 192.0.2.2 = 192.0.2.1 -");
	end(&f);
}

/* Names of slots: as ever at the first place, with a number behind. */
static void
test_names(void **state)
{
	static const struct {
		const char *name, *label, *address, *log;
	} want[] = {
		{ "app/app.test:80", "app.test:80", "192.0.2.1:80",
		  "app/app.test:80 (192.0.2.1)" },
		{ "app/app.test:80#2", "app.test:80#2", "app.test:80#2",
		  "app/app.test:80#2" },
		{ "app/127.0.0.1:81", "127.0.0.1:81", "127.0.0.1:81",
		  "app/127.0.0.1:81" },
	};
	char memory[BACKEND_LOG_NAME_MAX];
	struct fixture f;
	struct str out;

	(void)state;
	begin(&f, "APP.test:80 127.0.0.1:81", 2);
	settle(&f, 0, "192.0.2.1");
	for (uint32_t i = 0; i < 3; i++) {
		const struct backend *b = &f.group->backends[i];

		assert_true(span_eq(b->name, span_cstr(want[i].name)));
		assert_true(span_eq(b->label, span_cstr(want[i].label)));
		assert_string_equal(backend_log_name(b, memory),
		    want[i].log);
		str_init(&out, memory, sizeof(memory));
		backend_put_address(b, &out);
		assert_string_equal(str_terminate(&out), want[i].address);
	}
	assert_true(places_is_shown(&f.group->backends[0]));
	assert_false(places_is_shown(&f.group->backends[1]));
	assert_true(places_is_shown(&f.group->backends[2]));
	end(&f);
}

static void
test_unresolved_is_shown_once(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, "app.test:80", 3);
	assert_true(places_is_shown(&f.group->backends[0]));
	assert_false(places_is_shown(&f.group->backends[1]));
	settle(&f, 0, "192.0.2.1 192.0.2.2");
	settle(&f, 0, "192.0.2.2");
	assert_false(places_is_shown(&f.group->backends[0]));
	assert_true(places_is_shown(&f.group->backends[1]));
	end(&f);
}

static int
pick(struct fixture *f, struct group_tries *tries)
{
	const struct backend *b = group_pick(f->group, tries);

	return b == NULL ? -1 : (int)b->index;
}

/* All balancers see who is there, with the weight of the name each. */
static void
test_balancers(void **state)
{
	static const uint32_t balances[] = { GROUP_ROUND_ROBIN, GROUP_RANDOM,
		GROUP_LEAST_CONNECTIONS, GROUP_POWER_OF_TWO };
	static const char *const names[] = { "a", "b", "c", "d" };

	(void)state;
	for (size_t k = 0; k < 4; k++) {
		unsigned counts[5] = { 0 };
		struct fixture f;
		struct error err;

		fixture_init(&f, names[k], "app.test:80=2 127.0.0.1:80");
		f.conf.resolve.addresses_max = 4;
		f.conf.balance = balances[k];
		f.group = group_new(&f.arena, &f.conf);
		assert_int_equal(group_bind(f.group, zone, &err), 0);
		group_start(f.group, NULL);
		for (int i = 0; i < 10; i++) {
			struct group_tries tries = { .count = 0 };

			assert_int_equal(pick(&f, &tries), 4);
		}
		settle(&f, 0, "192.0.2.1 192.0.2.2");
		for (int i = 0; i < 500; i++) {
			struct group_tries tries = { .count = 0 };

			counts[pick(&f, &tries)]++;
		}
		/* By weight where nothing else counts. */
		for (int i = 0; k < 2 && i < 2; i++)
			assert_in_range(counts[i], 150, 250);
		assert_true(counts[0] > 0 && counts[1] > 0);
		assert_int_equal(counts[2] + counts[3], 0);
		assert_true(k >= 2 || counts[4] > 0);
		settle(&f, 0, "192.0.2.2");
		for (int i = 0; i < 50; i++) {
			struct group_tries tries = { .count = 0 };

			assert_int_not_equal(pick(&f, &tries), 0);
		}
		end(&f);
	}
}

/* A name's addresses have the points that they would have by themselves. */
static void
test_ring(void **state)
{
	struct fixture f, literal;
	struct error err;

	(void)state;
	fixture_init(&literal, "lit", "192.0.2.1:80 192.0.2.2:80");
	literal.conf.balance = GROUP_HASH;
	literal.group = group_new(&literal.arena, &literal.conf);
	assert_int_equal(group_bind(literal.group, zone, &err), 0);
	group_start(literal.group, NULL);
	fixture_init(&f, "app", "app.test:80");
	f.conf.balance = GROUP_HASH;
	f.conf.resolve.addresses_max = 4;
	f.group = group_new(&f.arena, &f.conf);
	assert_int_equal(group_bind(f.group, zone, &err), 0);
	group_start(f.group, NULL);
	settle(&f, 0, "192.0.2.9");
	settle(&f, 0, "192.0.2.2 192.0.2.1");
	assert_string_equal(where(&f), "- 192.0.2.2 192.0.2.1 -");
	for (uint32_t i = 0; i < 200; i++) {
		struct group_tries a = { .has_hash = true,
			.hash = i * 21474836U };
		struct group_tries b = a;

		/* The second place is .2, the third .1. */
		assert_int_equal(pick(&f, &a) == 1, pick(&literal, &b) == 1);
	}
	end(&f);
	end(&literal);
}

/* Another process is at it. */
static void
test_claim(void **state)
{
	struct addr_ip ip;
	const struct places_answer answer = { &ip, 1 };
	struct places_news news;
	struct fixture f;

	(void)state;
	begin(&f, "app.test:80", 2);
	assert_int_equal(addr_ip_parse(SPAN("192.0.2.1"), &ip), 0);
	assert_int_equal(backend_claim(f.group->backends), 0);
	assert_int_equal(places_settle(f.group->backends, &answer, &news,
	    NULL, NULL), -1);
	assert_string_equal(where(&f), "- -");
	/* It died. */
	clock_ms += 2001;
	assert_int_equal(places_settle(f.group->backends, &answer, &news,
	    NULL, NULL), 0);
	assert_string_equal(where(&f), "192.0.2.1 -");
	end(&f);
}

#define PLACES_TEST(name) \
	cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		PLACES_TEST(test_steps),
		PLACES_TEST(test_state),
		PLACES_TEST(test_start_state),
		PLACES_TEST(test_drained_name),
		PLACES_TEST(test_two_names),
		PLACES_TEST(test_names),
		PLACES_TEST(test_unresolved_is_shown_once),
		PLACES_TEST(test_balancers),
		PLACES_TEST(test_ring),
		PLACES_TEST(test_claim),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

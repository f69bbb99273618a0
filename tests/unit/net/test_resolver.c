/* SPDX-License-Identifier: BSD-2-Clause */
/* Names, asked of a server in this process, of /etc/hosts, of nobody. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "dns.h"

#include "base/error.h"
#include "base/now.h"
#include "base/str.h"
#include "net/resolver.h"

static const struct dns_record records[] = {
	{ "four.test", "192.0.2.1", 60 },
	{ "six.test", "2001:db8::1", 61 },
	{ "both.test", "192.0.2.2 2001:db8::2", 62 },
	{ "many.test", "192.0.2.1 192.0.2.2 192.0.2.3 192.0.2.4 192.0.2.5 "
	  "192.0.2.6 192.0.2.7 192.0.2.8 192.0.2.9", 63 },
	{ "none.test", "", 60 },
	{ NULL, NULL, 0 },
};

struct question {
	struct resolver_query query;
	struct resolver_answer answer;
	unsigned answers;
};

static struct loop *loop;
static struct dns dns;
static struct resolver *resolver;

static void
on_answer(struct resolver_query *q, const struct resolver_answer *answer)
{
	struct question *question = LIST_OF(q, struct question, query);

	assert_null(q->pending);
	question->answer = *answer;
	question->answers++;
}

static int
setup(enum loop_backend backend)
{
	struct error err;

	loop = loop_new(backend, &err);
	if (loop == NULL)
		return -1;
	dns_start(&dns, loop, records);
	return 0;
}

static int
setup_epoll(void **state)
{
	(void)state;
	return setup(LOOP_EPOLL);
}

static int
setup_poll(void **state)
{
	(void)state;
	return setup(LOOP_POLL);
}

static int
teardown(void **state)
{
	(void)state;
	resolver_free(resolver);
	resolver = NULL;
	dns_stop(&dns);
	loop_free(loop);
	return 0;
}

static void
start(bool use_getaddrinfo)
{
	struct resolver_options options = { .servers = dns.servers,
		.timeout_ms = 100, .tries = 2,
		.use_getaddrinfo = use_getaddrinfo };
	struct error err;

	resolver = resolver_new(loop, &options, &err);
	if (resolver == NULL)
		fail_msg("%s", err.text);
}

static void
ask(struct question *q, const char *host)
{
	q->query.on_answer = on_answer;
	q->query.pending = NULL;
	q->answers = 0;
	resolver_start(resolver, &q->query, host);
	/* Never from inside. */
	assert_int_equal(q->answers, 0);
	assert_non_null(q->query.pending);
}

static void
wait_for(struct question *q)
{
	uint64_t end = now_exact_us() + 10000000;

	while (q->answers == 0 && now_exact_us() < end)
		loop_turn(loop, 10);
	assert_int_equal(q->answers, 1);
}

/* Sorted, because the order of the answer depends on the machine. */
static const char *
addresses(const struct question *q)
{
	static char text[512];
	char words[RESOLVER_ADDRESSES_MAX][48];
	struct str out;
	uint32_t n = q->answer.count;

	for (uint32_t i = 0; i < n; i++) {
		str_init(&out, words[i], sizeof(words[i]));
		addr_ip_put(&out, &q->answer.items[i]);
		str_terminate(&out);
		assert_int_equal(q->answer.items[i].port, 0);
	}
	for (uint32_t i = 0; i < n; i++)
		for (uint32_t k = i + 1; k < n; k++)
			if (strcmp(words[i], words[k]) > 0) {
				char swap[48];

				memcpy(swap, words[i], sizeof(swap));
				memcpy(words[i], words[k], sizeof(swap));
				memcpy(words[k], swap, sizeof(swap));
			}
	str_init(&out, text, sizeof(text));
	for (uint32_t i = 0; i < n; i++) {
		if (i > 0)
			str_char(&out, ' ');
		str_cstr(&out, words[i]);
	}
	return str_terminate(&out);
}

#ifdef HAVE_CARES

static void
test_names(void **state)
{
	static const struct {
		const char *host;
		const char *want; /* "" = failure */
		uint32_t ttl;
	} rows[] = {
		{ "four.test", "192.0.2.1", 60 },
		{ "FOUR.Test", "192.0.2.1", 60 },
		{ "four.test.", "192.0.2.1", 60 },
		{ "six.test", "2001:db8::1", 61 },
		{ "both.test", "192.0.2.2 2001:db8::2", 62 },
		{ "many.test", "192.0.2.1 192.0.2.2 192.0.2.3 192.0.2.4 "
		  "192.0.2.5 192.0.2.6 192.0.2.7 192.0.2.8 192.0.2.9", 63 },
		{ "none.test", "", 0 },
		{ "missing.test", "", 0 },
	};

	(void)state;
	start(false);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct question q;

		ask(&q, rows[i].host);
		wait_for(&q);
		assert_string_equal(addresses(&q), rows[i].want);
		if (rows[i].want[0] != '\0')
			assert_int_equal(q.answer.ttl, rows[i].ttl);
		else
			assert_non_null(q.answer.why);
	}
	assert_true(dns.queries > 0);
}

static void
test_many_at_once(void **state)
{
	struct question questions[100];

	(void)state;
	start(false);
	for (size_t i = 0; i < 100; i++)
		ask(&questions[i], i % 2 ? "four.test" : "both.test");
	for (size_t i = 0; i < 100; i++) {
		wait_for(&questions[i]);
		assert_string_equal(addresses(&questions[i]),
		    i % 2 ? "192.0.2.1" : "192.0.2.2 2001:db8::2");
	}
}

/* What does not fit a datagram is asked for again over a stream. */
static void
test_stream(void **state)
{
	struct question q;

	(void)state;
	dns.mood = DNS_TRUNCATES;
	start(false);
	ask(&q, "both.test");
	wait_for(&q);
	assert_string_equal(addresses(&q), "192.0.2.2 2001:db8::2");
	assert_true(dns.streams > 0);
}

static void
test_failing_server(void **state)
{
	struct question q;

	(void)state;
	dns.mood = DNS_FAILS;
	start(false);
	ask(&q, "four.test");
	wait_for(&q);
	assert_int_equal(q.answer.count, 0);
	assert_non_null(q.answer.why);
	dns.mood = DNS_ANSWERS;
	ask(&q, "four.test");
	wait_for(&q);
	assert_string_equal(addresses(&q), "192.0.2.1");
}

static void
test_silent_server(void **state)
{
	uint64_t begin = now_exact_us();
	struct question q;

	(void)state;
	dns.mood = DNS_IS_SILENT;
	start(false);
	ask(&q, "four.test");
	wait_for(&q);
	assert_int_equal(q.answer.count, 0);
	assert_in_range(now_exact_us() - begin, 100000, 5000000);
	assert_true(dns.queries >= 2);
}

static void
test_cancel(void **state)
{
	struct question gone, q;

	(void)state;
	start(false);
	ask(&gone, "four.test");
	ask(&q, "both.test");
	resolver_cancel(resolver, &gone.query);
	assert_null(gone.query.pending);
	wait_for(&q);
	for (int i = 0; i < 5; i++)
		loop_turn(loop, 10);
	assert_int_equal(gone.answers, 0);
	/* Under way when the resolver goes: forgotten. */
	dns.mood = DNS_IS_SILENT;
	ask(&gone, "four.test");
	loop_turn(loop, 0);
	resolver_free(resolver);
	resolver = NULL;
	assert_null(gone.query.pending);
	assert_int_equal(gone.answers, 0);
}

static void
test_bad_servers(void **state)
{
	struct resolver_options options = { .servers = "nonsense" };
	struct error err;

	(void)state;
	assert_null(resolver_new(loop, &options, &err));
	assert_non_null(strstr(err.text, "nonsense"));
}

#endif

/* Whatever the source, these ask nobody. */
static void
check_local_names(bool use_getaddrinfo)
{
	static const struct {
		const char *host;
		const char *want;
	} rows[] = {
		{ "localhost", "127.0.0.1 ::1" },
		{ "LOCALHOST.", "127.0.0.1 ::1" },
		{ "app.localhost", "127.0.0.1 ::1" },
		{ "192.0.2.7", "192.0.2.7" },
		{ "2001:db8::7", "2001:db8::7" },
		{ "", "" },
	};
	struct question q;

	dns.mood = DNS_IS_SILENT;
	start(use_getaddrinfo);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		ask(&q, rows[i].host);
		wait_for(&q);
		assert_string_equal(addresses(&q), rows[i].want);
	}
	assert_int_equal(dns.queries, 0);
	ask(&q, "localhost");
	wait_for(&q);
	/* IPv4 first: what is tried first by whoever connects. */
	assert_int_equal(q.answer.items[0].family, AF_INET);
}

static void
test_local_names(void **state)
{
	(void)state;
	check_local_names(false);
}

static void
test_local_names_getaddrinfo(void **state)
{
	(void)state;
	check_local_names(true);
}

/* A name of this machine's own file, "" if it has none but localhost. */
static void
find_host(char *name, char *address)
{
	FILE *in = fopen("/etc/hosts", "r");
	char line[512];

	name[0] = '\0';
	while (in != NULL && fgets(line, sizeof(line), in) != NULL) {
		if (sscanf(line, "%45s %255s", address, name) == 2 &&
		    address[0] != '#' && name[0] != '#' &&
		    strstr(name, "localhost") == NULL)
			break;
		name[0] = '\0';
	}
	if (in != NULL)
		fclose(in);
}

static void
check_hosts_file(bool use_getaddrinfo)
{
	char name[256], address[46];
	struct question q;

	find_host(name, address);
	if (name[0] == '\0')
		skip();
	dns.mood = DNS_IS_SILENT;
	start(use_getaddrinfo);
	ask(&q, name);
	wait_for(&q);
	assert_non_null(strstr(addresses(&q), address));
}

static void
test_hosts_file(void **state)
{
	(void)state;
	check_hosts_file(false);
}

static void
test_hosts_file_getaddrinfo(void **state)
{
	(void)state;
	check_hosts_file(true);
}

/* Helper threads: more names than threads, and one who does not wait. */
static void
test_threads(void **state)
{
	struct question questions[12];

	(void)state;
	start(true);
	/* The classical short form, which needs no server. */
	for (size_t i = 0; i < 12; i++)
		ask(&questions[i], i % 2 ? "127.1" : "127.2");
	resolver_cancel(resolver, &questions[3].query);
	for (size_t i = 0; i < 12; i++) {
		if (i == 3)
			continue;
		wait_for(&questions[i]);
		assert_string_equal(addresses(&questions[i]),
		    i % 2 ? "127.0.0.1" : "127.0.0.2");
		assert_int_equal(questions[i].answer.ttl,
		    RESOLVER_TTL_UNKNOWN);
	}
	assert_int_equal(questions[3].answers, 0);
	for (size_t i = 0; i < 12; i++)
		ask(&questions[i], "127.3");
	resolver_free(resolver);
	resolver = NULL;
	for (size_t i = 0; i < 12; i++)
		assert_null(questions[i].query.pending);
}

static void
test_name(void **state)
{
	(void)state;
#ifdef HAVE_CARES
	assert_non_null(strstr(resolver_name(), "c-ares "));
#else
	assert_string_equal(resolver_name(), "getaddrinfo");
#endif
}

#define BOTH(test)                                             \
	{ #test " (epoll)", test, setup_epoll, teardown, NULL }, \
	{ #test " (poll)", test, setup_poll, teardown, NULL }

int
main(void)
{
	const struct CMUnitTest tests[] = {
#ifdef HAVE_CARES
		BOTH(test_names),
		BOTH(test_many_at_once),
		BOTH(test_stream),
		BOTH(test_failing_server),
		BOTH(test_silent_server),
		BOTH(test_cancel),
		BOTH(test_bad_servers),
#endif
		BOTH(test_local_names),
		BOTH(test_local_names_getaddrinfo),
		BOTH(test_hosts_file),
		BOTH(test_hosts_file_getaddrinfo),
		BOTH(test_threads),
		BOTH(test_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

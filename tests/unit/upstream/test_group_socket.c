/* SPDX-License-Identifier: BSD-2-Clause */
/* What an upstream says of its sockets, read back from one. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/error.h"
#include "os/sock.h"
#include "os/sock_connect.h"
#include "upstream/group_conf.h"
#include "upstream/group_socket.h"

struct world {
	struct arena arena;
	struct group_conf conf;
	struct addr server;
	int listener;
};

static void
begin(struct world *w, const char **bind, size_t count)
{
	const struct sock_listen_options o = { .backlog = 64 };
	struct conf_ctx ctx = { .arena = &w->arena };
	struct error err;

	arena_init(&w->arena, NULL);
	w->conf.bind.items = bind;
	w->conf.bind.count = count;
	assert_int_equal(group_socket_check(&ctx, NULL, &w->conf), 0);
	w->server = (struct addr){ .len = sizeof(w->server.u.in) };
	w->server.u.in.sin_family = AF_INET;
	w->server.u.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	w->listener = sock_listen(&w->server, &o, &err);
	assert_true(w->listener >= 0);
	sock_local(w->listener, &w->server);
}

static void
end(struct world *w)
{
	close(w->listener);
	arena_fini(&w->arena);
}

static int
open_one(struct world *w, bool has_tls)
{
	bool pending;
	int fd = group_socket_connect(&w->conf, &w->server, has_tls, &pending);

	assert_true(fd >= 0);
	return fd;
}

static int
option(int fd, int level, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	assert_int_equal(getsockopt(fd, level, name, &value, &len), 0);
	return value;
}

static const struct {
	const char *name;
	int level, option, want;
} wanted[] = {
	{ "keepalive", SOL_SOCKET, SO_KEEPALIVE, 1 },
	{ "keepalive", IPPROTO_TCP, TCP_KEEPIDLE, 31 },
	{ "keepalive_interval", IPPROTO_TCP, TCP_KEEPINTVL, 7 },
	{ "keepalive_count", IPPROTO_TCP, TCP_KEEPCNT, 4 },
	{ "user_timeout", IPPROTO_TCP, TCP_USER_TIMEOUT, 5000 },
	/* The kernel tells the double. */
	{ "receive_buffer", SOL_SOCKET, SO_RCVBUF, 2 * 20000 },
	{ "send_buffer", SOL_SOCKET, SO_SNDBUF, 2 * 30000 },
	{ "dscp", IPPROTO_IP, IP_TOS, 46 << 2 },
};

static void
test_tcp(void **state)
{
	static const struct group_tcp tcp = { .keepalive_ms = 30500,
		.keepalive_interval_ms = 7000, .keepalive_count = 4,
		.user_timeout_ms = 5000, .receive_buffer = 20000,
		.send_buffer = 30000, .dscp = 46 };
	struct world with = { .conf = { .tcp = tcp } }, without = { .conf = {
		.name = "" } };
	int fd, other;

	(void)state;
	begin(&with, NULL, 0);
	begin(&without, NULL, 0);
	fd = open_one(&with, false);
	other = open_one(&without, false);
	for (size_t i = 0; i < sizeof(wanted) / sizeof(*wanted); i++) {
		print_message("%s\n", wanted[i].name);
		assert_int_equal(option(fd, wanted[i].level,
		    wanted[i].option), wanted[i].want);
		assert_int_not_equal(option(other, wanted[i].level,
		    wanted[i].option), wanted[i].want);
	}
	close(fd);
	close(other);
	end(&with);
	end(&without);
}

/* With TLS alone, and not where a hop is spoken to in clear text. */
static void
test_fast_open(void **state)
{
#ifdef TCP_FASTOPEN_CONNECT
	struct world w = { .conf = { .tcp = { .fast_open = true } } };

	(void)state;
	begin(&w, NULL, 0);
	for (int i = 0; i < 3; i++) {
		int fd;

		w.conf.has_via = i == 2;
		fd = open_one(&w, i > 0);
		assert_int_equal(option(fd, IPPROTO_TCP,
		    TCP_FASTOPEN_CONNECT), i == 1);
		close(fd);
	}
	end(&w);
#else
	(void)state;
	skip();
#endif
}

static void
test_sources(void **state)
{
	static const char *bind[] = { "2001:db8::1", "[2001:db8::1]:5-5",
		"[::2]:5-6", "127.0.0.9:20000-20009" };
	struct world w = { .listener = -1 };
	struct addr a;
	int fd;

	(void)state;
	begin(&w, bind, 4);
	assert_int_equal(w.conf.source_count, 4);
	assert_int_equal(w.conf.sources[1].low, 5);
	assert_int_equal(w.conf.sources[1].high, 5);
	assert_int_equal(w.conf.sources[0].high, 0);
	w.conf.sources += 3; /* the others are not of this host */
	w.conf.source_count = 1;
	fd = open_one(&w, false);
	sock_local(fd, &a);
	assert_int_equal(a.u.in.sin_addr.s_addr, htonl(0x7f000009));
	assert_in_range(addr_port(&a), 20000, 20009);
	sock_reset(fd);
	end(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tcp),
		cmocka_unit_test(test_fast_open),
		cmocka_unit_test(test_sources),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

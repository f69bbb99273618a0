/* SPDX-License-Identifier: BSD-2-Clause */
/* The registry of control commands, over real sockets. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "background/commands.h"
#include "base/error.h"
#include "os/loop.h"
#include "os/reply.h"

enum { LARGE = 3 << 20, TURNS_MAX = 100000 };

static void *waiting;

static int
answer_number(struct command_call *call)
{
	json_u64(call->json, "number", *(unsigned *)call->arg);
	return 0;
}

static int
answer_large(struct command_call *call)
{
	json_array(call->json, "large");
	for (size_t i = 0; i < LARGE / 8; i++)
		json_cstr(call->json, NULL, "12345");
	json_close(call->json);
	return 0;
}

static int
answer_later(struct command_call *call)
{
	waiting = call->request;
	return COMMAND_LATER;
}

static const struct command rows[] = {
	{ "number", NULL, "a number", false, answer_number },
	{ "large", NULL, "much", true, answer_large },
	{ "later", NULL, "not now", false, answer_later },
	{ .name = NULL },
};

static const struct command longer_rows[] = {
	{ "number two", NULL, "another number", false, answer_number },
	{ .name = NULL },
};

struct fixture {
	struct loop *loop;
	struct commands *commands;
	char *text; /* of the last answer */
	size_t len;
};

/* Up to the end of the connection. */
static void
receive(struct fixture *f, int fd)
{
	f->len = 0;
	for (int i = 0; i < TURNS_MAX; i++) {
		ssize_t n = recv(fd, f->text + f->len, 2 * LARGE - f->len,
		    MSG_DONTWAIT);

		if (n == 0) {
			f->text[f->len] = '\0';
			close(fd);
			return;
		}
		if (n > 0)
			f->len += (size_t)n;
		loop_turn(f->loop, 0);
	}
	fail_msg("no end of the answer");
}

static int
begin(struct fixture *f, const char *line)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0,
	    fds), 0);
	commands_serve(f->commands, fds[0], span_cstr(line));
	return fds[1];
}

static void
test_answers(void **state)
{
	static const struct {
		const char *line;
		const char *want;
	} cases[] = {
		{ "number", "{\"ok\":true,\"result\":{\"number\":1}}\n" },
		{ "number two", "{\"ok\":true,\"result\":{\"number\":2}}\n" },
		{ "nothing", "{\"ok\":false,\"error\":"
		    "\"there is no command \\\"nothing\\\"\","
		    "\"result\":{}}\n" },
		{ "\"", "{\"ok\":false,\"error\":\"a quote is not closed\","
		    "\"result\":{}}\n" },
		{ "background commands", "{\"ok\":true,\"result\":{"
		    "\"commands\":["
		    "{\"name\":\"number\",\"arguments\":\"\",\"help\":"
		    "\"a number\"},"
		    "{\"name\":\"large\",\"arguments\":\"\",\"help\":"
		    "\"much\"},"
		    "{\"name\":\"later\",\"arguments\":\"\",\"help\":"
		    "\"not now\"},"
		    "{\"name\":\"number two\",\"arguments\":\"\",\"help\":"
		    "\"another number\"}]}}\n" },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		receive(f, begin(f, cases[i].line));
		assert_string_equal(f->text, cases[i].want);
	}
}

/* More than a socket holds goes out as it is read. */
static void
test_large(void **state)
{
	struct fixture *f = *state;

	receive(f, begin(f, "large"));
	assert_true(f->len > LARGE);
	assert_memory_equal(f->text + f->len - 5, "\"]}}\n", 5);
}

static void
test_later(void **state)
{
	struct fixture *f = *state;
	int fd = begin(f, "later");
	char byte;

	for (int i = 0; i < 3; i++)
		loop_turn(f->loop, 0);
	assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), -1);
	reply_answer(waiting, "no", SPAN("\"x\":1"));
	receive(f, fd);
	assert_string_equal(f->text,
	    "{\"ok\":false,\"error\":\"no\",\"result\":{\"x\":1}}\n");
}

/* Who left before the answer, or with half of it unread, harms nobody. */
static void
test_gone(void **state)
{
	struct fixture *f = *state;

	close(begin(f, "large"));
	close(begin(f, "later"));
	reply_answer(waiting, NULL, span_of(NULL, 0));
	for (int i = 0; i < 3; i++)
		loop_turn(f->loop, 0);
	receive(f, begin(f, "number"));
	assert_string_equal(f->text,
	    "{\"ok\":true,\"result\":{\"number\":1}}\n");
}

static int
set_up(void **state)
{
	static unsigned one = 1, two = 2;
	static char text[2 * LARGE + 1];
	static struct fixture f;
	struct error err;

	f.text = text;
	f.loop = loop_new(LOOP_AUTO, &err);
	assert_non_null(f.loop);
	f.commands = commands_new(f.loop);
	commands_add(f.commands, rows, &one);
	commands_add(f.commands, longer_rows, &two);
	*state = &f;
	return 0;
}

static int
tear_down(void **state)
{
	struct fixture *f = *state;

	commands_free(f->commands);
	loop_free(f->loop);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_answers, set_up,
		    tear_down),
		cmocka_unit_test_setup_teardown(test_large, set_up,
		    tear_down),
		cmocka_unit_test_setup_teardown(test_later, set_up,
		    tear_down),
		cmocka_unit_test_setup_teardown(test_gone, set_up,
		    tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

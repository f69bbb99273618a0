/* SPDX-License-Identifier: BSD-2-Clause */
/* Channels: messages, descriptors, what is not understood, the end. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/log.h"
#include "os/channel.h"
#include "os/fdpass.h"

static struct loop *loop;
static struct channel channel;
static int peer;
static unsigned messages, ends;
static uint16_t last_type;
static char last_body[CHANNEL_BODY_MAX + 1];
static struct channel_drain last_drain;
static bool drain_fits;
static int last_fds[2];
static bool take, stop;

static void
on_message(struct channel *c, const struct channel_message *m)
{
	assert_ptr_equal(c, &channel);
	if (m == NULL) {
		ends++;
		return;
	}
	messages++;
	last_type = m->type;
	memcpy(last_body, m->body.p, m->body.len);
	last_body[m->body.len] = '\0';
	drain_fits = channel_body(m, &last_drain, sizeof(last_drain));
	for (size_t i = 0; i < m->fd_count; i++) {
		last_fds[i] = m->fds[i];
		if (take)
			m->fds[i] = -1;
	}
	if (stop)
		channel_stop(c);
}

static void
quiet(void *arg, enum log_level level, const char *line, size_t len)
{
	(void)arg;
	(void)level;
	(void)line;
	(void)len;
}

static int
setup(void **state)
{
	struct error err;
	int fds[2];

	(void)state;
	log_set_sink(quiet, NULL);
	messages = ends = 0;
	take = stop = false;
	loop = loop_new(LOOP_AUTO, &err);
	if (loop == NULL || fdpass_pair(fds) != 0)
		return -1;
	peer = fds[1];
	return channel_start(&channel, loop, fds[0], on_message, &err);
}

static int
teardown(void **state)
{
	(void)state;
	channel_stop(&channel);
	close(peer);
	loop_free(loop);
	return 0;
}

static void
test_messages(void **state)
{
	struct channel_drain drain = { .deadline_ms = 77, .is_stop = 1 };

	(void)state;
	assert_int_equal(channel_send_fd(peer, CHANNEL_FAILED, "why", 3, NULL,
	    0), 0);
	assert_int_equal(channel_send_fd(peer, CHANNEL_DRAIN, &drain,
	    sizeof(drain), NULL, 0), 0);
	loop_turn(loop, 1000);
	assert_int_equal(messages, 2);
	assert_int_equal(last_type, CHANNEL_DRAIN);
	assert_true(drain_fits);
	assert_int_equal(last_drain.deadline_ms, 77);
	channel_send_fd(peer, CHANNEL_FAILED, "why", 3, NULL, 0);
	loop_turn(loop, 1000);
	assert_int_equal(last_type, CHANNEL_FAILED);
	assert_string_equal(last_body, "why");
	assert_false(drain_fits);
	/* And the other way. */
	assert_int_equal(channel_send(&channel, CHANNEL_STOP, NULL, 0, NULL,
	    0), 0);
}

static void
test_descriptors(void **state)
{
	int two[2] = { peer, peer };

	(void)state;
	channel_send_fd(peer, CHANNEL_LOGS, NULL, 0, two, 2);
	loop_turn(loop, 1000);
	/* Nobody took them: they are closed. */
	assert_int_equal(fcntl(last_fds[0], F_GETFD), -1);
	assert_int_equal(fcntl(last_fds[1], F_GETFD), -1);
	take = true;
	channel_send_fd(peer, CHANNEL_LOGS, NULL, 0, two, 2);
	loop_turn(loop, 1000);
	assert_int_equal(fcntl(last_fds[0], F_GETFD), FD_CLOEXEC);
	close(last_fds[0]);
	close(last_fds[1]);
}

static void
test_nonsense(void **state)
{
	static const char rows[][12] = { "x", "\x01\x00\x01", "\x02\x00\x01",
		"\x01\x00\x01\x00\xff\xff\xff\xff" };
	static char large[8192];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		assert_int_equal(send(peer, rows[i], sizeof(rows[i]), 0),
		    sizeof(rows[i]));
	assert_int_equal(send(peer, large, sizeof(large), 0), sizeof(large));
	channel_send_fd(peer, CHANNEL_READY, NULL, 0, NULL, 0);
	loop_turn(loop, 1000);
	/* What comes behind is heard. */
	assert_int_equal(messages, 1);
	assert_int_equal(last_type, CHANNEL_READY);
	assert_int_equal(ends, 0);
}

static void
test_end(void **state)
{
	(void)state;
	channel_send_fd(peer, CHANNEL_READY, NULL, 0, NULL, 0);
	close(peer);
	peer = -1;
	loop_turn(loop, 1000);
	/* The last words are heard first. */
	assert_int_equal(messages, 1);
	assert_int_equal(ends, 1);
	loop_turn(loop, 0);
	assert_int_equal(ends, 1);
	assert_int_equal(channel_send(&channel, CHANNEL_STOP, NULL, 0, NULL,
	    0), -1);
	assert_int_equal(errno, EPIPE);
}

static void
test_stop_in_callback(void **state)
{
	(void)state;
	stop = true;
	channel_send_fd(peer, CHANNEL_READY, NULL, 0, NULL, 0);
	channel_send_fd(peer, CHANNEL_READY, NULL, 0, NULL, 0);
	loop_turn(loop, 1000);
	loop_turn(loop, 0);
	assert_int_equal(messages, 1);
	assert_int_equal(ends, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_messages, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_descriptors, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_nonsense, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_end, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stop_in_callback, setup,
		    teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

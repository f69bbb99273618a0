/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The conversation of two masters: a large manifest with many descriptors,
 * what is no conversation, who may take part, and where its socket may lie.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/now.h"
#include "master/handover.h"
#include "os/fdpass.h"

enum { MANY = 200, TURNS = 2000 };

static struct loop *loop;
static struct handover a, b;
static unsigned last_type[2];
static char last_text[2][512];
static size_t got_fds, got_bytes;
static char folder[] = "/tmp/weir-handover-XXXXXX";
static char path[64];

static void
on_message(struct handover *h, unsigned type, struct span body)
{
	int who = h == &a ? 0 : 1;

	last_type[who] = type;
	snprintf(last_text[who], sizeof(last_text[who]), "%.*s",
	    SPAN_ARG(body));
	if (type == HANDOVER_END) {
		got_fds = h->manifest.fd_count;
		got_bytes = h->manifest.len;
	}
}

static int
setup(void **state)
{
	struct error err;

	(void)state;
	now_update();
	loop = loop_new(LOOP_AUTO, &err);
	a = b = (struct handover){ .watch.fd = -1 };
	last_type[0] = last_type[1] = 99;
	last_text[0][0] = last_text[1][0] = '\0';
	return loop == NULL ? -1 : 0;
}

static int
teardown(void **state)
{
	(void)state;
	handover_stop(&a);
	handover_stop(&b);
	loop_free(loop);
	return 0;
}

static void
start_pair(void)
{
	struct error err;
	int fds[2];

	assert_int_equal(fdpass_pair(fds), 0);
	assert_int_equal(handover_start(&a, loop, fds[0], on_message, &err),
	    0);
	assert_int_equal(handover_start(&b, loop, fds[1], on_message, &err),
	    0);
}

/* One end is ours to write what we like. */
static int
start_one(void)
{
	struct error err;
	int fds[2];

	assert_int_equal(fdpass_pair(fds), 0);
	assert_int_equal(handover_start(&a, loop, fds[0], on_message, &err),
	    0);
	return fds[1];
}

static void
turn_until(int who, unsigned type)
{
	for (int i = 0; i < TURNS && last_type[who] != type; i++)
		loop_turn(loop, 5);
	assert_int_equal(last_type[who], type);
}

static void
test_words(void **state)
{
	(void)state;
	start_pair();
	handover_say(&a, HANDOVER_HELLO, SPAN("1.2"));
	turn_until(1, HANDOVER_HELLO);
	assert_string_equal(last_text[1], "1.2");
	handover_say(&b, HANDOVER_FAILED, SPAN("no"));
	turn_until(0, HANDOVER_FAILED);
	assert_string_equal(last_text[0], "no");
	assert_int_equal(a.peer_pid, getpid());
	handover_say(&b, 200, SPAN("of a later version"));
	turn_until(0, 200);
	handover_stop(&b);
	turn_until(0, 0);
	assert_string_equal(last_text[0], "it has closed the connection");
	assert_false(handover_is_open(&a));
	handover_say(&a, HANDOVER_READY, SPAN(""));
}

static void
test_large_manifest(void **state)
{
	struct manifest m;

	(void)state;
	manifest_init(&m, true);
	for (int i = 0; i < MANY; i++) {
		char text[1000];

		memset(text, 'a' + i % 26, sizeof(text));
		manifest_begin(&m, 5, 1);
		manifest_put_span(&m, span_of(text, sizeof(text)));
		manifest_put_fd(&m, open("/dev/null", O_RDONLY | O_CLOEXEC));
		manifest_end(&m);
	}
	start_pair();
	handover_send_manifest(&a, &m);
	turn_until(1, HANDOVER_END);
	assert_true(handover_has_sent(&a));
	assert_int_equal(got_fds, MANY);
	assert_int_equal(got_bytes, m.len);
	assert_memory_equal(b.manifest.bytes, m.bytes, m.len);
	manifest_fini(&m);
}

/* What cannot be sent is the end for both, and no silence. */
static void
test_closed_descriptor(void **state)
{
	int closed = open("/dev/null", O_RDONLY | O_CLOEXEC);
	struct manifest m;

	(void)state;
	manifest_init(&m, false);
	manifest_begin(&m, 5, 1);
	manifest_put_fd(&m, closed);
	manifest_end(&m);
	start_pair();
	close(closed);
	handover_send_manifest(&a, &m);
	assert_int_equal(last_type[0], 99);
	turn_until(0, 0);
	turn_until(1, 0);
	manifest_fini(&m);
}

static void
test_garbage(void **state)
{
	static const char other_version[24] = "weir up\n\xff\0\1\0\0\0\0\0";
	static const char short_body[24] = "weir up\n\1\0\1\0\xff\0\0\0";
	static const struct {
		struct span bytes;
		const char *want;
	} rows[] = {
		{ { "x", 1 }, "no message" },
		{ { "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27 }, "no message" },
		{ { short_body, 16 }, "no message" },
		{ { other_version, 16 }, "version 255" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		int fd = start_one();

		last_type[0] = 99;
		assert_true(send(fd, rows[i].bytes.p, rows[i].bytes.len,
		    MSG_NOSIGNAL) > 0);
		turn_until(0, 0);
		assert_non_null(strstr(last_text[0], rows[i].want));
		close(fd);
	}
}

/* Descriptors that come where none belong are closed. */
static void
test_stray_descriptor(void **state)
{
	int fd = start_one();
	int ends[2];
	char byte;

	(void)state;
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_int_equal(fdpass_send(fd, "nonsense", 8, &ends[1], 1), 0);
	close(ends[1]);
	turn_until(0, 0);
	assert_int_equal(read(ends[0], &byte, 1), 0);
	close(ends[0]);
	close(fd);
}

/* ---- the socket ---- */

static void
test_listen_and_connect(void **state)
{
	struct error err;
	struct stat st;
	int fd, again, peer;

	(void)state;
	assert_int_equal(handover_connect(path), -1);
	assert_int_equal(errno, ENOENT);
	fd = handover_listen(path, &err);
	assert_true(fd >= 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	again = handover_listen(path, &err);
	assert_int_equal(again, -1);
	assert_non_null(strstr(err.text, "another instance waits there"));
	peer = handover_connect(path);
	assert_true(peer >= 0);
	close(peer);
	/* Its file stays; nobody answers on it. */
	close(fd);
	assert_int_equal(handover_connect(path), -1);
	assert_int_equal(errno, ECONNREFUSED);
	fd = handover_listen(path, &err);
	assert_true(fd >= 0);
	close(fd);
	unlink(path);
}

static void
test_where_it_may_lie(void **state)
{
	char text[256];
	struct error err;

	(void)state;
	snprintf(text, sizeof(text), "%s/none/up.sock", folder);
	assert_int_equal(handover_listen(text, &err), -1);
	assert_non_null(strstr(err.text, "No such file or directory"));
	assert_non_null(strstr(err.text, text));
	memset(text, 'x', 200);
	text[0] = '/';
	text[200] = '\0';
	assert_int_equal(handover_listen(text, &err), -1);
	assert_int_equal(chmod(folder, 0777), 0);
	assert_int_equal(handover_listen(path, &err), -1);
	assert_non_null(strstr(err.text, "everybody may write"));
	assert_int_equal(chmod(folder, 01777), 0);
	close(handover_listen(path, &err));
	unlink(path);
	assert_int_equal(chmod(folder, 0700), 0);
	if (geteuid() != 0)
		return;
	assert_int_equal(chown(folder, 65534, 65534), 0);
	assert_int_equal(handover_listen(path, &err), -1);
	assert_non_null(strstr(err.text, "belongs to user 65534"));
	assert_int_equal(chown(folder, 0, 0), 0);
}

/* Only root and our own user are let in. */
static void
test_other_user(void **state)
{
	struct error err;
	int fds[2];
	pid_t pid;
	int fd, status;

	(void)state;
	if (geteuid() != 0)
		skip();
	fd = handover_listen(path, &err);
	assert_true(fd >= 0);
	assert_int_equal(chmod(folder, 0755), 0);
	assert_int_equal(chmod(path, 0666), 0);
	assert_int_equal(pipe(fds), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		char byte;
		int peer;

		if (setuid(65534) != 0)
			_exit(1);
		peer = handover_connect(path);
		if (peer < 0 || write(fds[1], "x", 1) != 1)
			_exit(2);
		fcntl(peer, F_SETFL, 0);
		_exit(read(peer, &byte, 1) == 0 ? 0 : 3);
	}
	close(fds[1]);
	assert_int_equal(read(fds[0], last_text[0], 1), 1);
	close(fds[0]);
	assert_int_equal(handover_start(&a, loop, accept(fd, NULL, NULL),
	    on_message, &err), -1);
	assert_non_null(strstr(err.text, "of user 65534 is refused"));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	close(fd);
	unlink(path);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_words, setup, teardown),
		cmocka_unit_test_setup_teardown(test_large_manifest, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_closed_descriptor,
		    setup, teardown),
		cmocka_unit_test_setup_teardown(test_garbage, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_stray_descriptor, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_listen_and_connect,
		    setup, teardown),
		cmocka_unit_test_setup_teardown(test_where_it_may_lie, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_other_user, setup,
		    teardown),
	};
	int failed;

	if (mkdtemp(folder) == NULL)
		return 1;
	snprintf(path, sizeof(path), "%s/up.sock", folder);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(folder);
	return failed;
}

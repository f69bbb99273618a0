/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Files that have changed, to processes that lose, refuse or ignore them: the
 * test is at the other end of their channels.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../upstream/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/str.h"
#include "master/children_private.h"
#include "os/fdpass.h"
#include "site/generation.h"
#include "site/settings.h"

enum { FILES = 300, ANSWER_MS = 10000 };

static uint32_t versions[FILES];
static bool is_unopenable;
static unsigned heard;
static char log_text[4096];

/* ---- in place of a generation, and of what forks ---- */

size_t
generation_files_count(const struct generation *g)
{
	(void)g;
	return FILES;
}

uint32_t
generation_files_version(const struct generation *g, size_t i)
{
	(void)g;
	return versions[i];
}

const char *
generation_files_name(const struct generation *g, size_t i)
{
	(void)g;
	(void)i;
	return "list";
}

int
generation_files_open(const struct generation *g, size_t i,
    struct error *err)
{
	(void)g;
	(void)i;
	if (is_unopenable)
		return error_set(err, "no memory");
	return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

void
generation_files_hear(struct generation *g, const struct channel_message *m,
    const struct generation_send *send)
{
	(void)g;
	(void)m;
	(void)send;
	heard++;
}

void
children_count(struct children *c, unsigned row)
{
	c->stats[row]++;
}

/* ---- processes ---- */

enum { WORKER, BACKGROUND, SIGNER, PROCESSES };

struct fixture {
	struct children c;
	struct child children[PROCESSES];
	struct child_slot slots[PROCESSES];
	_Atomic uint64_t stats[CHILDREN_STAT_COUNT];
	int peer[PROCESSES];

};

static void
on_message(struct channel *channel, const struct channel_message *m)
{
	if (m != NULL)
		children_files_hear(LIST_OF(channel, struct child, channel),
		    m);
}

static void
keep_log(void *arg, enum log_level level, const char *line, size_t len)
{
	size_t at = strlen(log_text);

	(void)arg;
	(void)level;
	if (at + len < sizeof(log_text))
		memcpy(log_text + at, line, len + 1);
}

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct error err;

	memset(versions, 0, sizeof(versions));
	is_unopenable = false;
	heard = 0;
	log_text[0] = '\0';
	log_set_sink(keep_log, NULL);
	if (f == NULL)
		return -1;
	f->c.config.loop = loop_new(LOOP_AUTO, &err);
	f->c.stats = f->stats;
	f->c.slots = f->slots;
	list_init(&f->c.all);
	children_files_init(&f->c);
	f->slots[BACKGROUND].is_background = true;
	f->slots[SIGNER].is_signer = true;
	for (int i = 0; i < PROCESSES; i++) {
		struct child *child = &f->children[i];
		int fds[2];

		strcpy(f->slots[i].name, "process");
		f->slots[i].current = child;
		child->children = &f->c;
		child->slot = &f->slots[i];
		child->channel.watch.fd = -1;
		list_push_back(&f->c.all, &child->node);
		if (fdpass_pair(fds) != 0 || channel_start(&child->channel,
		    f->c.config.loop, fds[0], on_message, &err) != 0)
			return -1;
		f->peer[i] = fds[1];
		children_files_begin(child);
	}
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	log_set_sink(NULL, NULL);
	for (int i = 0; i < PROCESSES; i++) {
		channel_stop(&f->children[i].channel);
		children_files_end(&f->children[i]);
		if (f->peer[i] >= 0)
			close(f->peer[i]);
	}
	children_files_fini(&f->c);
	loop_free(f->c.config.loop);
	free(f);
	return 0;
}

/* What a process gets next: true, and body; its descriptor is closed. */
static bool
receive(struct fixture *f, int who, struct channel_file *body)
{
	struct {
		char head[8];
		struct channel_file body;
	} packet;
	size_t count = 1;
	int fd = -1;
	ssize_t n = fdpass_receive(f->peer[who], &packet, sizeof(packet), &fd,
	    &count);

	if (n < 0) {
		assert_int_equal(errno, EAGAIN);
		return false;
	}
	assert_int_equal(n, sizeof(packet));
	assert_int_equal(count, 1);
	close(fd);
	*body = packet.body;
	assert_int_equal(body->is_check, 0);
	return true;
}

static bool
has_nothing(struct fixture *f, int who)
{
	struct channel_file body;

	return !receive(f, who, &body);
}

/* It gets that version of that file, and nothing else. */
static void
expect(struct fixture *f, int who, uint32_t number, uint32_t version)
{
	struct channel_file body;

	assert_true(receive(f, who, &body));
	assert_int_equal(body.number, number);
	assert_int_equal(body.version, version);
	assert_true(has_nothing(f, who));
}

static void
turn(struct fixture *f, uint64_t ms)
{
	clock_ms += ms;
	loop_turn(f->c.config.loop, 0);
}

static void
answer(struct fixture *f, int who, uint32_t number, uint32_t version,
    enum channel_verdict verdict)
{
	struct {
		struct channel_answer head;
		char why[4];
	} body = { { number, version, 0, verdict }, "why" };

	assert_int_equal(channel_send_fd(f->peer[who], CHANNEL_FILE_ANSWER,
	    &body, sizeof(body.head) + (verdict == CHANNEL_NO ? 3 : 0), NULL,
	    0), 0);
	turn(f, 0);
}

static uint64_t
count_old(struct fixture *f)
{
	children_files_spread(&f->c);
	return f->stats[CHILDREN_STAT_FILES_OLD];
}

/* ---- tests ---- */

static void
test_once(void **state)
{
	struct fixture *f = *state;

	children_files_spread(&f->c);
	assert_true(has_nothing(f, WORKER));
	versions[7] = 1;
	assert_int_equal(count_old(f), 2);
	expect(f, WORKER, 7, 1);
	expect(f, BACKGROUND, 7, 1);
	assert_true(has_nothing(f, SIGNER));
	/* It is on its way. */
	children_files_spread(&f->c);
	assert_true(has_nothing(f, WORKER));
	answer(f, WORKER, 7, 1, CHANNEL_YES);
	answer(f, BACKGROUND, 7, 1, CHANNEL_YES);
	assert_int_equal(count_old(f), 0);
	turn(f, 100000);
	assert_true(has_nothing(f, WORKER));
	assert_string_equal(log_text, "");
	assert_int_equal(f->stats[CHILDREN_STAT_FILES_AGAIN], 0);
}

/* More than a channel holds, and than there are descriptors for. */
static void
test_all_at_once(void **state)
{
	struct fixture *f = *state;
	struct channel_file body;
	unsigned got[FILES] = { 0 }, on_way = 0;

	for (uint32_t i = 0; i < FILES; i++)
		versions[i] = 3;
	children_files_spread(&f->c);
	for (unsigned n = 0; n < FILES; n++) {
		struct channel_file first;

		assert_true(receive(f, WORKER, &first));
		got[first.number]++;
		assert_int_equal(first.version, 3);
		answer(f, WORKER, first.number, 3, CHANNEL_YES);
	}
	for (uint32_t i = 0; i < FILES; i++)
		assert_int_equal(got[i], 1);
	/* Another one that is slow holds up nobody. */
	while (receive(f, BACKGROUND, &body))
		on_way++;
	assert_int_equal(on_way, 16);
	assert_int_equal(count_old(f), FILES);
}

static void
test_full_channel(void **state)
{
	struct fixture *f = *state;
	struct channel_file body;
	char bytes[4000] = "";
	size_t none = 0;

	while (channel_send(&f->children[WORKER].channel, CHANNEL_LOG_LEVEL,
	    bytes, sizeof(bytes), NULL, 0) == 0)
		;
	assert_int_equal(errno, EAGAIN);
	versions[0] = 1;
	children_files_spread(&f->c);
	expect(f, BACKGROUND, 0, 1);
	answer(f, BACKGROUND, 0, 1, CHANNEL_YES);
	assert_non_null(strstr(log_text, "has not got a file that has "
	    "changed: "));
	log_text[0] = '\0';
	/* Tried now and then, and said once. */
	for (int i = 0; i < 20; i++)
		turn(f, 10000);
	assert_int_equal(f->stats[CHILDREN_STAT_FILES_AGAIN], 21);
	assert_string_equal(log_text, "");
	assert_int_equal(count_old(f), 1);
	while (fdpass_receive(f->peer[WORKER], bytes, sizeof(bytes), NULL,
	    &none) >= 0 || errno == EMSGSIZE)
		;
	turn(f, 10000);
	expect(f, WORKER, 0, 1);
	answer(f, WORKER, 0, 1, CHANNEL_YES);
	assert_int_equal(count_old(f), 0);
	assert_false(receive(f, BACKGROUND, &body));
}

/* It arrived and had no effect, and nobody says so. */
static void
test_silence(void **state)
{
	struct fixture *f = *state;

	versions[1] = 1;
	children_files_spread(&f->c);
	expect(f, WORKER, 1, 1);
	turn(f, ANSWER_MS - 1);
	assert_true(has_nothing(f, WORKER));
	turn(f, 1);
	turn(f, 100);
	expect(f, WORKER, 1, 1);
	assert_non_null(strstr(log_text, "it does not answer"));
	/* An answer to both is as good as one. */
	answer(f, WORKER, 1, 1, CHANNEL_YES);
	answer(f, WORKER, 1, 1, CHANNEL_YES);
	turn(f, 100000);
	assert_true(has_nothing(f, WORKER));
}

/* Its descriptor was lost: again, each time after twice the pause. */
static void
test_no_descriptor(void **state)
{
	static const unsigned pauses_ms[] = { 100, 200, 400, 800, 1600, 3200,
		6400, 10000, 10000 };
	struct fixture *f = *state;

	versions[2] = 5;
	children_files_spread(&f->c);
	expect(f, WORKER, 2, 5);
	for (size_t i = 0; i < sizeof(pauses_ms) / sizeof(*pauses_ms); i++) {
		answer(f, WORKER, 2, 5, CHANNEL_AGAIN);
		turn(f, pauses_ms[i] - 1);
		/* Not even when somebody looks. */
		children_files_spread(&f->c);
		assert_true(has_nothing(f, WORKER));
		turn(f, 1);
		expect(f, WORKER, 2, 5);
	}
	answer(f, WORKER, 2, 5, CHANNEL_YES);
	answer(f, BACKGROUND, 2, 5, CHANNEL_YES);
	assert_int_equal(count_old(f), 0);
	/* Forgotten: the next one is not late. */
	versions[2] = 6;
	children_files_spread(&f->c);
	answer(f, WORKER, 2, 6, CHANNEL_AGAIN);
	expect(f, WORKER, 2, 6);
	turn(f, 100);
	expect(f, WORKER, 2, 6);
}

static void
test_refusal(void **state)
{
	struct fixture *f = *state;

	versions[3] = 1;
	children_files_spread(&f->c);
	expect(f, BACKGROUND, 3, 1);
	answer(f, BACKGROUND, 3, 1, CHANNEL_YES);
	for (int i = 0; i < 3; i++) {
		expect(f, WORKER, 3, 1);
		answer(f, WORKER, 3, 1, CHANNEL_NO);
		turn(f, 10000);
	}
	assert_true(has_nothing(f, WORKER));
	turn(f, 100000);
	assert_true(has_nothing(f, WORKER));
	assert_non_null(strstr(log_text, "does not use the new list: why"));
	assert_non_null(strstr(log_text, "it keeps the old one"));
	/* That one is still old, which shows. */
	assert_int_equal(count_old(f), 1);
	/* What it says unasked does not fill the log. */
	log_text[0] = '\0';
	for (int i = 0; i < 10; i++)
		answer(f, WORKER, 3, 1, CHANNEL_NO);
	assert_string_equal(log_text, "");
	versions[3] = 2;
	children_files_spread(&f->c);
	expect(f, WORKER, 3, 2);
	answer(f, WORKER, 3, 2, CHANNEL_YES);
	expect(f, BACKGROUND, 3, 2);
}

/* It changes once more while the former is on its way. */
static void
test_overtaken(void **state)
{
	struct fixture *f = *state;

	versions[4] = 1;
	children_files_spread(&f->c);
	versions[4] = 2;
	children_files_spread(&f->c);
	expect(f, WORKER, 4, 1);
	answer(f, WORKER, 4, 1, CHANNEL_YES);
	expect(f, WORKER, 4, 2);
	answer(f, WORKER, 4, 2, CHANNEL_YES);
	turn(f, 9000);
	assert_true(has_nothing(f, WORKER));
	/* A late word about the first changes nothing. */
	answer(f, WORKER, 4, 1, CHANNEL_NO);
	answer(f, WORKER, 4, 1, CHANNEL_AGAIN);
	turn(f, 100000);
	assert_true(has_nothing(f, WORKER));
}

/* The master itself is short of something. */
static void
test_cannot_be_opened(void **state)
{
	struct fixture *f = *state;

	is_unopenable = true;
	versions[5] = 1;
	children_files_spread(&f->c);
	assert_true(has_nothing(f, WORKER));
	assert_non_null(strstr(log_text, "no memory"));
	is_unopenable = false;
	turn(f, 200);
	expect(f, WORKER, 5, 1);
	expect(f, BACKGROUND, 5, 1);
}

static void
test_new_and_dead(void **state)
{
	struct fixture *f = *state;

	versions[6] = 1;
	/* This one was forked afterwards. */
	children_files_end(&f->children[WORKER]);
	children_files_begin(&f->children[WORKER]);
	/* That one has died. */
	close(f->peer[BACKGROUND]);
	f->peer[BACKGROUND] = -1;
	children_files_spread(&f->c);
	assert_true(has_nothing(f, WORKER));
	assert_int_equal(f->stats[CHILDREN_STAT_FILES_OLD], 0);
	assert_string_equal(log_text, "");
	/* It could not take what it should have had. */
	answer(f, WORKER, 6, 1, CHANNEL_NO);
	turn(f, 100);
	expect(f, WORKER, 6, 1);
}

/* What makes no sense, and who may say what. */
static void
test_nonsense(void **state)
{
	const struct channel_answer check = { 0, 1, 1, CHANNEL_YES };
	struct fixture *f = *state;

	answer(f, WORKER, FILES, 1, CHANNEL_YES);
	answer(f, WORKER, 0, 0, CHANNEL_NO);
	answer(f, WORKER, 0, 77, CHANNEL_NO);
	answer(f, SIGNER, 0, 1, CHANNEL_YES);
	assert_int_equal(channel_send_fd(f->peer[WORKER], CHANNEL_FILE_ANSWER,
	    &check, 3, NULL, 0), 0);
	assert_int_equal(channel_send_fd(f->peer[WORKER], CHANNEL_FILE_ANSWER,
	    &check, sizeof(check), NULL, 0), 0);
	turn(f, 0);
	assert_int_equal(heard, 0);
	assert_int_equal(channel_send_fd(f->peer[BACKGROUND],
	    CHANNEL_FILE_ANSWER, &check, sizeof(check), NULL, 0), 0);
	turn(f, 0);
	assert_int_equal(heard, 1);
	assert_int_equal(count_old(f), 0);
	assert_string_equal(log_text, "");
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_once),
		T(test_all_at_once),
		T(test_full_channel),
		T(test_silence),
		T(test_no_descriptor),
		T(test_refusal),
		T(test_overtaken),
		T(test_cannot_be_opened),
		T(test_new_and_dead),
		T(test_nonsense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* The ring of log lines: order, wrapping, drops, kicks, kills. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "os/logring.h"

struct fixture {
	struct shmem zone;
	struct logring ring;
	int kick_fd;
};

static int
setup(void **state)
{
	static struct fixture f;
	struct error err;

	f.kick_fd = logring_kick_open(&err);
	if (f.kick_fd < 0 ||
	    logring_open_all(&f.zone, &f.ring, 1, 1, f.kick_fd, &err) != 0)
		return -1;
	*state = &f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	shmem_close(&f->zone);
	close(f->kick_fd);
	return 0;
}

/* How often the producer kicked since it was last asked. */
static uint64_t
kicks(const struct fixture *f)
{
	uint64_t n = 0;

	return read(f->kick_fd, &n, sizeof(n)) == (ssize_t)sizeof(n) ? n : 0;
}

/* Line n: its number, and as many letters as the number says. */
static struct span
line_of(char *memory, unsigned n)
{
	unsigned letters = n * 7919 % 700;
	int len = sprintf(memory, "%010u ", n);

	memset(memory + len, 'a' + (int)(n % 26), letters);
	memory[(unsigned)len + letters] = '\n';
	return span_of(memory, (unsigned)len + letters + 1);
}

static bool
push(struct logring *r, unsigned n)
{
	char memory[1024];

	return logring_push(r, n % 5, (enum log_level)(n % 3),
	    line_of(memory, n));
}

static void
assert_is_line(const struct logring_line *line, unsigned n)
{
	char memory[1024];
	struct span want = line_of(memory, n);

	assert_int_equal(line->bytes.len, want.len);
	assert_memory_equal(line->bytes.p, want.p, want.len);
	assert_int_equal(line->target, n % 5);
	assert_int_equal(line->level, n % 3);
	assert_int_equal(line->written, 0);
}

/* Take all lines, which must be *next and following; release their place. */
static unsigned
take_all(struct logring *r, unsigned *next)
{
	uint64_t cursor = logring_start(r);
	struct logring_line line;
	unsigned count = 0;

	while (logring_next(r, &cursor, &line)) {
		assert_is_line(&line, (*next)++);
		logring_done(r, line.at);
		count++;
	}
	logring_release(r);
	return count;
}

static void
lines_come_out_in_order(void **state)
{
	struct fixture *f = *state;
	unsigned next = 0;

	assert_true(logring_is_empty(&f->ring));
	assert_int_equal(take_all(&f->ring, &next), 0);
	for (unsigned i = 0; i < 50; i++)
		assert_true(push(&f->ring, i));
	assert_false(logring_is_empty(&f->ring));
	assert_int_equal(take_all(&f->ring, &next), 50);
	assert_true(logring_is_empty(&f->ring));
}

static void
size_is_a_power_of_two(void **state)
{
	static const struct {
		uint64_t ask, want;
	} cases[] = {
		{ 1, 65536 }, { 65536, 65536 }, { 65537, 131072 },
		{ 1048576, 1048576 }, { 3000000, 4194304 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct shmem zone;
		struct logring r[2];
		struct error err;

		assert_int_equal(logring_open_all(&zone, r, 2, cases[i].ask,
		    -1, &err), 0);
		assert_int_equal(r[1].size, cases[i].want);
		assert_string_equal(zone.name, "log");
		/* One behind the other, and nothing is behind the last. */
		assert_ptr_equal(r[1].head, r[0].bytes + r[0].size);
		assert_ptr_equal(r[1].bytes + r[1].size,
		    (char *)zone.data + zone.data_bytes);
		shmem_close(&zone);
	}
}

/* Many times around, with every alignment of the end. */
static void
wrapping_keeps_lines_whole(void **state)
{
	struct fixture *f = *state;
	unsigned next = 0, pushed = 0, rounds = 0;

	while (pushed < 20000) {
		while (rounds++ % 37 != 36 && push(&f->ring, pushed))
			pushed++;
		take_all(&f->ring, &next);
		assert_int_equal(next, pushed);
	}
}

static void
longest_line_passes_at_any_place(void **state)
{
	struct fixture *f = *state;
	static char big[LOGRING_LINE_MAX];

	memset(big, 'x', sizeof(big));
	big[sizeof(big) - 1] = '\n';
	for (unsigned i = 0; i < 200; i++) {
		uint64_t cursor = logring_start(&f->ring);
		struct logring_line line;

		assert_true(push(&f->ring, i));
		assert_true(logring_push(&f->ring, 0, LOG_LEVEL_INFO,
		    span_of(big, sizeof(big))));
		assert_true(logring_next(&f->ring, &cursor, &line));
		logring_done(&f->ring, line.at);
		assert_true(logring_next(&f->ring, &cursor, &line));
		assert_int_equal(line.bytes.len, sizeof(big));
		assert_memory_equal(line.bytes.p, big, sizeof(big));
		logring_done(&f->ring, line.at);
		logring_release(&f->ring);
		assert_true(logring_is_empty(&f->ring));
	}
}

static void
a_full_ring_drops_and_counts(void **state)
{
	struct fixture *f = *state;
	unsigned pushed = 0, next = 0;
	char longest[1024];

	memset(longest, 'x', sizeof(longest));
	longest[sizeof(longest) - 1] = '\n';
	while (push(&f->ring, pushed))
		pushed++;
	for (unsigned i = 0; i < 10; i++)
		assert_false(logring_push(&f->ring, 0, LOG_LEVEL_INFO,
		    span_of(longest, sizeof(longest))));
	assert_true(logring_is_half_full(&f->ring));
	assert_true(pushed > 100);
	assert_int_equal(logring_take_dropped(&f->ring), 11);
	assert_int_equal(logring_take_dropped(&f->ring), 0);
	assert_int_equal(take_all(&f->ring, &next), pushed);
	assert_true(push(&f->ring, next));
	assert_int_equal(take_all(&f->ring, &next), 1);
}

static void
place_is_given_back_in_order(void **state)
{
	struct fixture *f = *state;
	struct logring_line lines[3];
	uint64_t cursor = logring_start(&f->ring), start = cursor;

	for (unsigned i = 0; i < 3; i++) {
		assert_true(push(&f->ring, i));
		assert_true(logring_next(&f->ring, &cursor, &lines[i]));
	}
	logring_done(&f->ring, lines[1].at);
	logring_release(&f->ring);
	assert_int_equal(logring_start(&f->ring), start);
	/* Who begins again sees the first and the third alone. */
	cursor = start;
	assert_true(logring_next(&f->ring, &cursor, &lines[0]));
	assert_is_line(&lines[0], 0);
	assert_true(logring_next(&f->ring, &cursor, &lines[2]));
	assert_is_line(&lines[2], 2);
	logring_done(&f->ring, lines[0].at);
	logring_release(&f->ring);
	assert_int_equal(logring_start(&f->ring), lines[2].at);
	logring_done(&f->ring, lines[2].at);
	logring_release(&f->ring);
	assert_true(logring_is_empty(&f->ring));
}

/* A skipped end may be released while a cursor still stands on it. */
static void
releasing_behind_a_cursor_loses_nothing(void **state)
{
	struct fixture *f = *state;
	unsigned pushed = 0, next = 0;

	for (unsigned round = 0; round < 3000; round++) {
		uint64_t cursor = logring_start(&f->ring);
		struct logring_line line;

		for (unsigned i = 0; i < 3; i++) {
			assert_true(push(&f->ring, pushed++));
			while (logring_next(&f->ring, &cursor, &line)) {
				assert_is_line(&line, next++);
				logring_done(&f->ring, line.at);
				logring_release(&f->ring);
			}
		}
		assert_int_equal(next, pushed);
	}
	assert_int_equal(logring_take_broken(&f->ring), 0);
}

static void
what_was_written_is_remembered(void **state)
{
	struct fixture *f = *state;
	struct logring successor = f->ring; /* as after a fork */
	struct logring_line line;
	uint64_t cursor = logring_start(&f->ring);

	assert_true(push(&f->ring, 1));
	assert_true(logring_next(&f->ring, &cursor, &line));
	logring_note_written(&f->ring, line.at, 7);
	cursor = logring_start(&successor);
	assert_true(logring_next(&successor, &cursor, &line));
	assert_int_equal(line.written, 7);
	assert_false(line.in_flight);
	logring_note_flight(&successor, line.at, 99);
	cursor = logring_start(&f->ring);
	assert_true(logring_next(&f->ring, &cursor, &line));
	assert_true(line.in_flight);
	assert_int_equal(line.place, 99);
	logring_note_unwritten(&f->ring, line.at);
	cursor = logring_start(&f->ring);
	assert_true(logring_next(&f->ring, &cursor, &line));
	assert_false(line.in_flight);
	assert_int_equal(line.written, 0);
}

static void
kicks_are_as_few_as_can_be(void **state)
{
	struct fixture *f = *state;
	unsigned n = 0, next = 0;

	/* Awake: none. */
	assert_true(push(&f->ring, n++));
	assert_int_equal(kicks(f), 0);
	/* Asleep: one for the first line. */
	logring_set_wake(&f->ring, LOGRING_WAKE_FIRST);
	for (unsigned i = 0; i < 10; i++)
		assert_true(push(&f->ring, n++));
	assert_int_equal(kicks(f), 1);
	/* Gathering: one when more than half is used. */
	logring_set_wake(&f->ring, LOGRING_WAKE_HALF);
	while (!logring_is_half_full(&f->ring)) {
		assert_int_equal(kicks(f), 0);
		assert_true(push(&f->ring, n++));
	}
	assert_true(push(&f->ring, n++));
	assert_int_equal(kicks(f), 1);
	/* The producer sees that the place was given back. */
	take_all(&f->ring, &next);
	logring_set_wake(&f->ring, LOGRING_WAKE_HALF);
	assert_true(push(&f->ring, n++));
	assert_int_equal(kicks(f), 0);
}

static void
sink_pushes_its_line(void **state)
{
	struct fixture *f = *state;
	struct logring_output output = { &f->ring, 9 };
	struct logring_line line;
	uint64_t cursor = logring_start(&f->ring);

	logring_sink(&output, LOG_LEVEL_WARN, "hello\n", 6);
	assert_true(logring_next(&f->ring, &cursor, &line));
	assert_int_equal(line.target, 9);
	assert_int_equal(line.level, LOG_LEVEL_WARN);
	assert_true(span_eq(line.bytes, SPAN("hello\n")));
}

/*
 * Whatever a process could write over the ring, the consumer reads nothing
 * beyond it, and goes on with what comes later.
 */
static void
nonsense_empties_the_ring(void **state)
{
	struct fixture *f = *state;
	char *whole = f->zone.data;
	unsigned broken = 0;

	srand(1);
	for (unsigned round = 0; round < 20000; round++) {
		size_t place = (size_t)rand() % (round % 2 ? 256 : 4096);
		uint64_t cursor;
		struct logring_line line;
		unsigned lines = 0;

		for (unsigned i = 0; i < 4; i++)
			push(&f->ring, i);
		memset(whole + place, rand() % 256, 1 + (size_t)rand() % 8);
		cursor = logring_start(&f->ring);
		while (logring_next(&f->ring, &cursor, &line)) {
			assert_true(line.bytes.p >= f->ring.bytes);
			assert_true(line.bytes.p + line.bytes.len <=
			    f->ring.bytes + f->ring.size);
			logring_done(&f->ring, line.at);
			assert_true(++lines <= f->ring.size / 32);
		}
		logring_release(&f->ring);
		broken += logring_take_broken(&f->ring) > 0;
		if (round % 100 == 99)
			memset(whole, 0, 256);
	}
	assert_true(broken > 100);
	memset(whole, 0, 256);
	f->ring.tail_seen = 0;
	lines_come_out_in_order(state);
}

static void
produce_for_ever(struct logring *r, unsigned n)
{
	for (;;) {
		if (push(r, n))
			n++;
	}
}

static void
a_killed_producer_leaves_whole_lines(void **state)
{
	struct fixture *f = *state;
	unsigned next = 0;

	for (unsigned round = 0; round < 30; round++) {
		unsigned before = next;
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (pid == 0) {
			produce_for_ever(&f->ring, next);
			_exit(1);
		}
		while (next - before < 200 + round * 17)
			take_all(&f->ring, &next);
		assert_int_equal(kill(pid, SIGKILL), 0);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		take_all(&f->ring, &next);
		assert_int_equal(logring_take_broken(&f->ring), 0);
	}
	logring_take_dropped(&f->ring);
}

enum { THREAD_LINES = 100000 };

static void *
produce(void *arg)
{
	unsigned n = 0;

	while (n < THREAD_LINES) {
		if (push(arg, n))
			n++;
	}
	return NULL;
}

/* Sleeps by the protocol: a lost kick would hang the test. */
static void
consumer_that_sleeps_misses_nothing(void **state)
{
	struct fixture *f = *state;
	struct logring mine = f->ring;
	pthread_t thread;
	unsigned next = 0;

	assert_int_equal(pthread_create(&thread, NULL, produce, &f->ring), 0);
	while (next < THREAD_LINES) {
		take_all(&mine, &next);
		if (next == THREAD_LINES)
			break;
		logring_set_wake(&mine, LOGRING_WAKE_FIRST);
		if (!logring_is_empty(&mine))
			continue;
		while (kicks(f) == 0)
			sched_yield();
	}
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_true(logring_is_empty(&mine));
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(lines_come_out_in_order),
		cmocka_unit_test(size_is_a_power_of_two),
		TEST(wrapping_keeps_lines_whole),
		TEST(longest_line_passes_at_any_place),
		TEST(a_full_ring_drops_and_counts),
		TEST(place_is_given_back_in_order),
		TEST(releasing_behind_a_cursor_loses_nothing),
		TEST(what_was_written_is_remembered),
		TEST(kicks_are_as_few_as_can_be),
		TEST(sink_pushes_its_line),
		TEST(nonsense_empties_the_ring),
		TEST(a_killed_producer_leaves_whole_lines),
		TEST(consumer_that_sleeps_misses_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

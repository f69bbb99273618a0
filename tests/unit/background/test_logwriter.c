/* SPDX-License-Identifier: BSD-2-Clause */
/* The log writer: no line lost, none torn, whatever outputs and kills do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "background/logwriter.h"
#include "base/error.h"
#include "base/log.h"
#include "base/now.h"
#include "os/logring.h"
#include "os/logtarget.h"
#include "os/loop.h"

enum { RINGS = 2, COUNTERS = 16, TEXT_MAX = 64 << 20 };

static char directory[] = "/tmp/test_logwriter.XXXXXX";
static struct shmem ring_zone;
static struct logring rings[RINGS];
static struct logring *const ring_list[RINGS] = { &rings[0], &rings[1] };
static struct logtargets targets;
static struct loop *loop;
static struct logwriter *writer;
static _Atomic uint64_t counters[COUNTERS];
static int kick_fd;
static char text[TEXT_MAX];
static char log_lines[4096];

static void
keep_log_line(void *arg, enum log_level level, const char *line, size_t len)
{
	(void)arg;
	(void)level;
	if (strlen(log_lines) + len < sizeof(log_lines))
		strncat(log_lines, line, len);
}

static void
setup_with(enum loop_backend backend)
{
	struct error err;

	now_update();
	log_lines[0] = '\0';
	log_set_sink(keep_log_line, NULL);
	kick_fd = logring_kick_open(&err);
	assert_int_equal(logring_open_all(&ring_zone, rings, RINGS, 65536,
	    kick_fd, &err), 0);
	logtarget_init(&targets);
	loop = loop_new(backend, &err);
	assert_non_null(loop);
	for (unsigned i = 0; i < COUNTERS; i++)
		counter_set(&counters[i], 0);
}

static int
setup(void **state)
{
	(void)state;
	setup_with(LOOP_EPOLL);
	return 0;
}

static int
setup_poll(void **state)
{
	(void)state;
	setup_with(LOOP_POLL);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	logwriter_stop(writer);
	writer = NULL;
	loop_free(loop);
	logtarget_fini(&targets);
	shmem_close(&ring_zone);
	close(kick_fd);
	log_set_sink(NULL, NULL);
	return 0;
}

static const char *
in_directory(const char *name)
{
	static char path[256];

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	return path;
}

/* A fresh file as a target. */
static unsigned
add_file(const char *name)
{
	struct error err;
	int id;

	unlink(in_directory(name));
	id = logtarget_add(&targets, in_directory(name), &err);
	assert_true(id >= 0);
	return (unsigned)id;
}

static void
start(void)
{
	const struct logwriter_config config = {
		.loop = loop, .rings = ring_list, .ring_count = RINGS,
		.targets = &targets, .kick_fd = kick_fd,
		.counters = counters,
	};
	struct error err;

	assert_int_equal(logtarget_open_all(&targets, &err), 0);
	writer = logwriter_start(&config);
	assert_non_null(writer);
}

static uint64_t
counter_named(const char *name, const char *label)
{
	for (size_t i = 0; i < logwriter_metrics.count; i++) {
		const struct metric *m = &logwriter_metrics.rows[i];

		if (strcmp(m->name, name) == 0 && (label == NULL ||
		    strcmp(m->label, label) == 0))
			return counter_get(&counters[i]);
	}
	fail();
	return 0;
}

static uint64_t
dropped(const char *reason)
{
	char label[64];

	snprintf(label, sizeof(label), "reason=\"%s\"", reason);
	return counter_named("dropped_total", label);
}

/* Let the loop run until everything is written, at most 10 seconds. */
static void
run_until_written(void)
{
	uint64_t end = now_exact_us() + 10000000;

	while (now_exact_us() < end) {
		bool is_empty = true;

		loop_turn(loop, 20);
		for (unsigned i = 0; i < RINGS; i++)
			is_empty = is_empty && logring_is_empty(&rings[i]);
		if (is_empty)
			return;
	}
	fail_msg("lines stayed in a ring");
}

static void
run_for(unsigned ms)
{
	uint64_t end = now_exact_us() + ms * 1000;

	while (now_exact_us() < end)
		loop_turn(loop, 5);
}

static bool
push(unsigned ring, unsigned target, const char *line)
{
	return logring_push(&rings[ring], target, LOG_LEVEL_NOTICE,
	    span_cstr(line));
}

/* "R 0000000042 aaaa…" and a newline: every byte follows from R and n. */
static size_t
compose(char *line, unsigned ring, unsigned n)
{
	size_t letters = n * 31 % 300;
	int len = sprintf(line, "%u %010u ", ring, n);

	memset(line + len, 'a' + (int)(n % 26), letters);
	line[(size_t)len + letters] = '\n';
	line[(size_t)len + letters + 1] = '\0';
	return (size_t)len + letters + 1;
}

static bool
push_number(unsigned ring, unsigned target, unsigned n)
{
	char line[512];

	return logring_push(&rings[ring], target, LOG_LEVEL_INFO,
	    span_of(line, compose(line, ring, n)));
}

static const char *
read_file(const char *name)
{
	FILE *f = fopen(in_directory(name), "r");
	size_t len = f != NULL ? fread(text, 1, sizeof(text) - 1, f) : 0;

	text[len] = '\0';
	if (f != NULL)
		fclose(f);
	return text;
}

/*
 * Every line of p is one that was composed, and those of each ring come in
 * order from next[ring] on; a line that stands there again is counted.
 */
static unsigned
check_numbers(const char *p, unsigned next[RINGS])
{
	unsigned repeated = 0;

	while (*p != '\0') {
		char want[512];
		unsigned ring = (unsigned)(*p - '0'), n;
		size_t len;

		assert_true(ring < RINGS);
		n = (unsigned)strtoul(p + 2, NULL, 10);
		len = compose(want, ring, n);
		if (strncmp(p, want, len) != 0)
			fail_msg("torn line at: %.100s", p);
		if (n < next[ring])
			repeated++;
		else if (n == next[ring])
			next[ring]++;
		else
			fail_msg("line %u is lost before %u", next[ring], n);
		p += len;
	}
	return repeated;
}

static void
lines_reach_their_files_in_order(void **state)
{
	unsigned a = add_file("a"), b = add_file("b");
	unsigned next_a[RINGS] = { 0 }, next_b[RINGS] = { 0 };

	(void)state;
	start();
	for (unsigned i = 0; i < 1000; i++) {
		for (unsigned ring = 0; ring < RINGS; ring++)
			assert_true(push_number(ring, ring == 0 ? a : b, i));
		if (i % 100 == 99)
			run_until_written();
	}
	check_numbers(read_file("a"), next_a);
	check_numbers(read_file("b"), next_b);
	assert_int_equal(next_a[0], 1000);
	assert_int_equal(next_a[1], 0);
	assert_int_equal(next_b[1], 1000);
	assert_int_equal(counter_named("lines_total", NULL), 2000);
	/* In batches, that is: not a write a line. */
	assert_true(counter_named("writes_total", NULL) <= 100);
	assert_string_equal(log_lines, "");
}

static void
what_waits_at_the_start_is_written(void **state)
{
	unsigned a = add_file("a");

	(void)state;
	assert_true(push(0, a, "before\n"));
	start();
	run_until_written();
	assert_string_equal(read_file("a"), "before\n");
}

static bool
is_kicked(void)
{
	struct pollfd p = { .fd = kick_fd, .events = POLLIN };

	return poll(&p, 1, 0) > 0;
}

/* Asleep it is kicked once; then nobody kicks until a ring is half full. */
static void
kicks_are_rare(void **state)
{
	unsigned a = add_file("a");
	unsigned next[RINGS] = { 0 };
	unsigned n = 0;

	(void)state;
	start();
	loop_turn(loop, 0);
	loop_turn(loop, 0);
	for (int round = 0; round < 3; round++) {
		assert_false(is_kicked());
		assert_true(push_number(0, a, n++));
		assert_true(is_kicked());
		loop_turn(loop, 0);
		assert_false(is_kicked());
		/* It gathers now. */
		assert_false(logring_is_empty(&rings[0]));
		while (!logring_is_half_full(&rings[0])) {
			assert_false(is_kicked());
			assert_true(push_number(0, a, n++));
		}
		assert_true(push_number(0, a, n++));
		assert_true(is_kicked());
		/* Half full: written without waiting for the time. */
		loop_turn(loop, 0);
		assert_true(logring_is_empty(&rings[0]));
	}
	check_numbers(read_file("a"), next);
	assert_int_equal(next[0], n);
}

static void
a_slow_pipe_loses_nothing(void **state)
{
	unsigned next[RINGS] = { 0 };
	unsigned n = 0, pipe_id = add_file("pipe");
	size_t len = 0, pushed = 0;
	int fds[2];

	(void)state;
	assert_int_equal(pipe2(fds, O_NONBLOCK), 0);
	assert_true(fcntl(fds[1], F_SETPIPE_SZ, 4096) >= 4096);
	start();
	logwriter_replace(writer, pipe_id, fds[1]);
	while (n < 3000 || !logring_is_empty(&rings[0])) {
		ssize_t got;

		/* Beyond half a ring, what a busy output leaves is dropped. */
		while (n < 3000 && pushed - len < LOGRING_BYTES_MIN / 4) {
			char line[512];

			pushed += compose(line, 0, n);
			assert_true(push_number(0, pipe_id, n++));
		}
		loop_turn(loop, 5);
		got = read(fds[0], text + len, 3000);
		if (got > 0)
			len += (size_t)got;
	}
	for (;;) {
		ssize_t got = read(fds[0], text + len, 65536);

		if (got <= 0)
			break;
		len += (size_t)got;
	}
	text[len] = '\0';
	check_numbers(text, next);
	assert_int_equal(next[0], 3000);
	assert_int_equal(dropped("output_busy"), 0);
	close(fds[0]);
}

/* One that takes nothing costs the others nothing but its share of place. */
static void
a_hung_pipe_does_not_hold_up_others(void **state)
{
	unsigned hung = add_file("hung"), file = add_file("file");
	unsigned next[RINGS] = { 0 };
	int fds[2];

	(void)state;
	assert_int_equal(pipe2(fds, O_NONBLOCK), 0);
	start();
	logwriter_replace(writer, hung, fds[1]);
	for (unsigned n = 0; n < 5000; n++) {
		char line[512];

		compose(line, 1, n);
		assert_true(push(0, hung, line));
		assert_true(push_number(0, file, n));
		if (n % 20 == 19) {
			loop_turn(loop, 0);
			run_for(n % 100 == 99 ? 20 : 0);
		}
		if (is_kicked())
			loop_turn(loop, 0);
	}
	logwriter_flush(writer, 0);
	check_numbers(read_file("file"), next);
	assert_int_equal(next[0], 5000);
	assert_true(dropped("output_busy") > 3000);
	assert_int_equal(dropped("ring_full"), 0);
	close(fds[0]);
}

static void
limit_file_size(rlim_t bytes)
{
	struct rlimit limit;

	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = bytes == 0 ? limit.rlim_max : bytes;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void
a_line_cut_short_is_completed_first(void **state)
{
	unsigned a = add_file("a");

	(void)state;
	start();
	assert_true(push(0, a, "one\n"));
	run_until_written();
	limit_file_size(7);
	assert_true(push(0, a, "two-two\n"));
	assert_true(push(1, a, "lost\n"));
	run_for(250);
	assert_string_equal(read_file("a"), "one\ntwo");
	limit_file_size(0);
	assert_true(push(1, a, "three\n"));
	assert_true(push(0, a, "four\n"));
	run_until_written();
	read_file("a");
	assert_int_equal(strncmp(text, "one\ntwo-two\n", 12), 0);
	assert_non_null(strstr(text, "\nthree\n"));
	assert_non_null(strstr(text, "\nfour\n"));
	assert_null(strstr(text, "lost"));
	assert_int_equal(dropped("write_failed"), 1);
	assert_int_equal(counter_named("lines_total", NULL), 4);
}

static void
a_successor_completes_the_line(void **state)
{
	unsigned a = add_file("a");

	(void)state;
	start();
	limit_file_size(7);
	assert_true(push(1, a, "one-one\n"));
	run_for(250);
	logwriter_stop(writer);
	assert_string_equal(read_file("a"), "one-one");
	limit_file_size(0);
	/* The ring that is looked at first has a line too. */
	assert_true(push(0, a, "two\n"));
	start();
	run_until_written();
	assert_string_equal(read_file("a"), "one-one\ntwo\n");
}

/* The start of the line is gone with what was cut off: all of it again. */
static void
a_truncated_file_gets_the_whole_line(void **state)
{
	unsigned a = add_file("a");

	(void)state;
	start();
	limit_file_size(7);
	assert_true(push(0, a, "one\n"));
	assert_true(push(0, a, "two-two\n"));
	run_for(150);
	assert_string_equal(read_file("a"), "one\ntwo");
	assert_int_equal(truncate(in_directory("a"), 0), 0);
	limit_file_size(0);
	assert_true(push(0, a, "three\n"));
	run_until_written();
	assert_string_equal(read_file("a"), "two-two\nthree\n");
}

/*
 * As a kill leaves it that broke a write off: lines in flight, of which some
 * stand in the file, one in part.
 */
static void
what_was_in_flight_is_looked_up(void **state)
{
	static const char *const lines[] = { "one\n", "two-two\n",
		"three\n" };
	unsigned a = add_file("a");
	uint32_t place = 4;
	struct logring_line line;
	struct error err;
	uint64_t cursor;

	(void)state;
	assert_int_equal(logtarget_open_all(&targets, &err), 0);
	assert_int_equal(write(targets.items[a].fd, "old\none\ntwo", 11),
	    11);
	cursor = logring_start(&rings[1]);
	for (unsigned i = 0; i < 3; i++) {
		assert_true(push(1, a, lines[i]));
		assert_true(logring_next(&rings[1], &cursor, &line));
		logring_note_flight(&rings[1], line.at, place);
		place += (uint32_t)line.bytes.len;
	}
	assert_true(push(0, a, "later\n"));
	start();
	run_until_written();
	assert_string_equal(read_file("a"),
	    "old\none\ntwo-two\nlater\nthree\n");
}

/* The rest of the line must survive that its ring is needed by others. */
static void
a_disk_that_stays_full_frees_the_ring(void **state)
{
	unsigned a = add_file("a"), b = add_file("b");
	unsigned n = 0;

	(void)state;
	start();
	limit_file_size(9);
	assert_true(push(0, a, "0123456789\n"));
	run_for(150);
	for (; n < 3000; n++) {
		assert_true(push_number(0, n % 2 ? a : b, n));
		if (n % 50 == 49)
			logwriter_flush(writer, 0);
	}
	assert_int_equal(dropped("ring_full"), 0);
	assert_true(dropped("write_failed") > 2900);
	limit_file_size(0);
	assert_true(push(0, a, "after\n"));
	run_until_written();
	assert_string_equal(read_file("a"), "0123456789\nafter\n");
}

static void
a_full_disk_is_told_once_and_recovers(void **state)
{
	unsigned a = add_file("a");
	char want[300];

	(void)state;
	start();
	logwriter_replace(writer, a, open("/dev/full", O_WRONLY | O_NONBLOCK));
	for (int i = 0; i < 5; i++) {
		assert_true(push(0, a, "nowhere\n"));
		logwriter_flush(writer, 0);
	}
	assert_int_equal(dropped("write_failed"), 5);
	snprintf(want, sizeof(want),
	    "writing log %s: No space left on device\n", in_directory("a"));
	assert_non_null(strstr(log_lines, want));
	assert_null(strstr(strstr(log_lines, want) + 1, want));
	logwriter_replace(writer, a, open(in_directory("a"),
	    O_WRONLY | O_APPEND));
	assert_true(push(0, a, "here\n"));
	run_until_written();
	assert_string_equal(read_file("a"), "here\n");
	assert_non_null(strstr(log_lines, "works again: 5 lines were dropped"));
}

/* The writer's own complaint goes through its ring, also to the full disk. */
static void
complaints_about_the_error_log_end(void **state)
{
	unsigned a = add_file("a");
	struct logring_output output = { &rings[1], a };

	(void)state;
	start();
	logwriter_replace(writer, a, open("/dev/full", O_WRONLY | O_NONBLOCK));
	log_set_sink(logring_sink, &output);
	assert_true(push(0, a, "nowhere\n"));
	for (int i = 0; i < 3; i++)
		logwriter_flush(writer, 50);
	assert_int_equal(dropped("write_failed"), 2);
	assert_true(logring_is_empty(&rings[1]));
}

static void
rotation_loses_and_splits_nothing(void **state)
{
	unsigned a = add_file("a");
	unsigned next[RINGS] = { 0 };
	unsigned n = 0;

	(void)state;
	start();
	for (int round = 0; round < 20; round++) {
		char old[256], name[32];
		int fd;

		for (int i = 0; i < 57; i++, n++) {
			assert_true(push_number(0, a, n));
			assert_true(push_number(1, a, n));
		}
		if (round % 3 == 0)
			run_until_written();
		snprintf(name, sizeof(name), "a.%d", round);
		snprintf(old, sizeof(old), "%s", in_directory(name));
		assert_int_equal(rename(in_directory("a"), old), 0);
		fd = open(in_directory("a"),
		    O_WRONLY | O_CREAT | O_APPEND, 0600);
		assert_true(fd >= 0);
		logwriter_replace(writer, a, fd);
	}
	run_until_written();
	for (int round = 0; round < 20; round++) {
		char name[32];

		snprintf(name, sizeof(name), "a.%d", round);
		assert_int_equal(check_numbers(read_file(name), next), 0);
	}
	assert_int_equal(check_numbers(read_file("a"), next), 0);
	assert_int_equal(next[0], n);
	assert_int_equal(next[1], n);
}

/* The part stays in the old file; the line is whole in the new one. */
static void
rotation_on_a_full_disk_keeps_the_line(void **state)
{
	unsigned a = add_file("a");
	int fd;

	(void)state;
	unlink(in_directory("new"));
	start();
	limit_file_size(5);
	assert_true(push(0, a, "one-two-three\n"));
	run_for(150);
	fd = open(in_directory("new"), O_WRONLY | O_CREAT | O_APPEND, 0600);
	logwriter_replace(writer, a, fd);
	limit_file_size(0);
	run_until_written();
	assert_string_equal(read_file("a"), "one-t");
	assert_string_equal(read_file("new"), "one-two-three\n");
}

static void
a_target_of_another_generation_is_left_alone(void **state)
{
	unsigned a = add_file("a");
	struct error err;
	int b;

	(void)state;
	unlink(in_directory("b"));
	start();
	b = logtarget_add(&targets, in_directory("b"), &err);
	assert_true(push(0, (unsigned)b, "later\n"));
	assert_true(push(0, a, "now\n"));
	run_for(150);
	assert_string_equal(read_file("a"), "now\n");
	logwriter_replace(writer, (unsigned)b, open("/dev/null", O_WRONLY));
	logwriter_stop(writer);
	start();
	run_until_written();
	assert_string_equal(read_file("b"), "later\n");
}

static void
stderr_gets_journald_prefixes(void **state)
{
	struct error err;
	int id, fds[2], saved;
	ssize_t len;

	(void)state;
	id = logtarget_add(&targets, "stderr", &err);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	saved = dup(STDERR_FILENO);
	dup2(fds[1], STDERR_FILENO);
	setenv("JOURNAL_STREAM", "8:1", 1);
	start();
	unsetenv("JOURNAL_STREAM");
	dup2(saved, STDERR_FILENO);
	close(saved);
	logring_push(&rings[0], (unsigned)id, LOG_LEVEL_ERROR,
	    SPAN("bad\n"));
	logring_push(&rings[0], (unsigned)id, LOG_LEVEL_DEBUG,
	    SPAN("detail\n"));
	run_until_written();
	len = read(fds[0], text, 100);
	assert_true(len > 0);
	text[len] = '\0';
	assert_string_equal(text, "<3>bad\n<7>detail\n");
	close(fds[0]);
	close(fds[1]);
}

static void
syslog_waits_for_its_daemon(void **state)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	struct error err;
	char path[256];
	int id, fd;

	(void)state;
	snprintf(path, sizeof(path), "%s", in_directory("log"));
	targets.syslog_path = path;
	id = logtarget_add(&targets, "syslog", &err);
	start();
	assert_true(push(0, (unsigned)id, "hello\n"));
	run_for(150);
	assert_false(logring_is_empty(&rings[0]));
	assert_true(strlen(path) < sizeof(sa.sun_path));
	strcpy(sa.sun_path, path);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	run_until_written();
	assert_true(recv(fd, text, 1000, 0) > 0);
	assert_int_equal(strncmp(text, "<29>", 4), 0);
	assert_non_null(strstr(text, "]: hello"));
	close(fd);
}

static void
flush_writes_all_without_the_loop(void **state)
{
	unsigned a = add_file("a");
	unsigned next[RINGS] = { 0 };

	(void)state;
	start();
	for (unsigned n = 0; n < 300; n++)
		assert_true(push_number(1, a, n));
	logwriter_flush(writer, 0);
	check_numbers(read_file("a"), next);
	assert_int_equal(next[1], 300);
}

/* The producer's side of the kill tests: numbers without a gap, for ever. */
static pid_t
fork_producer(unsigned ring, unsigned target, unsigned from)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid != 0)
		return pid;
	for (unsigned n = from;;) {
		if (push_number(ring, target, n))
			n++;
		if (n % 10 == 0)
			usleep(100);
	}
}

static void
end_process(pid_t pid)
{
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void
killed_producers_leave_whole_lines(void **state)
{
	unsigned a = add_file("a");
	unsigned next[RINGS] = { 0 };

	(void)state;
	start();
	for (int round = 0; round < 15; round++) {
		pid_t pids[RINGS];

		for (unsigned i = 0; i < RINGS; i++)
			pids[i] = fork_producer(i, a, next[i]);
		run_for(10 + (unsigned)round);
		for (unsigned i = 0; i < RINGS; i++)
			end_process(pids[i]);
		logwriter_flush(writer, 1000);
		assert_int_equal(check_numbers(read_file("a"), next), 0);
		assert_int_equal(truncate(in_directory("a"), 0), 0);
	}
	assert_true(next[0] > 100 && next[1] > 100);
	assert_int_equal(counter_named("rings_broken_total", NULL), 0);
}

static pid_t
fork_writer(void)
{
	struct error err;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid != 0)
		return pid;
	loop = loop_new(LOOP_AUTO, &err);
	start();
	loop_run(loop);
	abort();
}

/* Not even where a kill breaks a write off in the middle. */
static void
killed_writers_lose_tear_repeat_nothing(void **state)
{
	unsigned a = add_file("a");
	unsigned next[RINGS] = { 0 };
	struct error err;
	pid_t producer;

	(void)state;
	assert_int_equal(logtarget_open_all(&targets, &err), 0);
	producer = fork_producer(0, a, 0);
	for (unsigned round = 0; round < 25; round++) {
		pid_t pid = fork_writer();

		usleep(3000 + round * 1700);
		end_process(pid);
	}
	end_process(producer);
	start();
	logwriter_flush(writer, 1000);
	assert_true(logring_is_empty(&rings[0]));
	assert_int_equal(check_numbers(read_file("a"), next), 0);
	assert_true(next[0] > 100);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
#define TEST_POLL(fn) \
	{ #fn " (poll)", fn, setup_poll, teardown, NULL }

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(lines_reach_their_files_in_order),
		TEST_POLL(lines_reach_their_files_in_order),
		TEST(what_waits_at_the_start_is_written),
		TEST(kicks_are_rare),
		TEST_POLL(kicks_are_rare),
		TEST(a_slow_pipe_loses_nothing),
		TEST(a_hung_pipe_does_not_hold_up_others),
		TEST(a_line_cut_short_is_completed_first),
		TEST(a_successor_completes_the_line),
		TEST(a_truncated_file_gets_the_whole_line),
		TEST(what_was_in_flight_is_looked_up),
		TEST(a_disk_that_stays_full_frees_the_ring),
		TEST(a_full_disk_is_told_once_and_recovers),
		TEST(complaints_about_the_error_log_end),
		TEST(rotation_loses_and_splits_nothing),
		TEST(rotation_on_a_full_disk_keeps_the_line),
		TEST(a_target_of_another_generation_is_left_alone),
		TEST(stderr_gets_journald_prefixes),
		TEST(syslog_waits_for_its_daemon),
		TEST(flush_writes_all_without_the_loop),
		TEST(killed_producers_leave_whole_lines),
		TEST(killed_writers_lose_tear_repeat_nothing),
	};
	char command[64];
	int failed;

	if (mkdtemp(directory) == NULL)
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	snprintf(command, sizeof(command), "rm -rf %s", directory);
	return system(command) == 0 ? failed : 1;
}

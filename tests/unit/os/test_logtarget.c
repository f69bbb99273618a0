/* SPDX-License-Identifier: BSD-2-Clause */
/* Outputs of logs: numbers, opening, rotation, writes that never block. */
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
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/now.h"
#include "os/logtarget.h"

static char directory[] = "/tmp/test_logtarget.XXXXXX";
static struct logtargets targets;

static int
setup(void **state)
{
	(void)state;
	logtarget_init(&targets);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	logtarget_fini(&targets);
	return 0;
}

static const char *
in_directory(const char *name)
{
	static char path[256];

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	return path;
}

static unsigned
add(const char *path)
{
	struct error err;
	int id = logtarget_add(&targets, path, &err);

	assert_true(id >= 0);
	return (unsigned)id;
}

static ssize_t
write_text(unsigned id, const char *text)
{
	struct iovec iov = { (void *)(uintptr_t)text, strlen(text) };

	return logtarget_writev(&targets.items[id], &iov, 1);
}

static void
assert_file(const char *name, const char *want)
{
	char text[4096];
	FILE *f = fopen(in_directory(name), "r");
	size_t len;

	assert_non_null(f);
	len = fread(text, 1, sizeof(text) - 1, f);
	text[len] = '\0';
	fclose(f);
	assert_string_equal(text, want);
}

static void
same_path_has_the_same_number(void **state)
{
	char here[4096], full[5000];
	unsigned a = add("/x/a"), relative;

	(void)state;
	assert_int_equal(add("/x/b"), a + 1);
	assert_int_equal(add("/x/a"), a);
	assert_int_equal(add(NULL), add("stderr"));
	assert_int_equal(add("/dev/stderr"), add("stderr"));
	assert_int_equal(add("/dev/stdout"), add("stdout"));
	assert_int_not_equal(add("stdout"), add("stderr"));
	relative = add("logs/c");
	assert_non_null(getcwd(here, sizeof(here)));
	snprintf(full, sizeof(full), "%s/logs/c", here);
	assert_int_equal(add(full), relative);
	relative = add("syslog");
	assert_int_equal(targets.items[relative].kind, LOGTARGET_SYSLOG);
	assert_int_equal(targets.items[a].fd, -1);
}

static void
bad_paths_are_refused(void **state)
{
	struct error err;

	(void)state;
	assert_int_equal(logtarget_add(&targets, "", &err), -1);
	assert_int_equal(logtarget_add(&targets, "/var/log/", &err), -1);
	assert_non_null(strstr(err.text, "\"/var/log/\""));
	assert_int_equal(targets.count, 0);
	for (int i = 0; i < LOGTARGET_MAX; i++) {
		char path[32];

		snprintf(path, sizeof(path), "/x/%d", i);
		add(path);
	}
	assert_int_equal(logtarget_add(&targets, "/one/more", &err), -1);
	assert_int_equal(add("/x/7"), 7);
}

/* A number is another's once nobody lives who knew it before. */
static void
numbers_are_released(void **state)
{
	unsigned a, b;

	(void)state;
	targets.epoch = targets.oldest = 1;
	a = add("/x/a");
	b = add("/x/b");
	assert_int_equal(add("/x/a"), a);
	assert_int_equal(logtarget_number(&targets, "/x/a"), a);
	logtarget_release(&targets, a);
	assert_int_equal(logtarget_number(&targets, "/x/a"), a);
	logtarget_release(&targets, a);
	assert_int_equal(logtarget_number(&targets, "/x/a"), -1);
	assert_int_not_equal(add("/x/c"), a);
	targets.epoch = 2;
	assert_int_not_equal(add("/x/d"), a);
	targets.oldest = 2;
	assert_int_equal(add("/x/e"), a);
	assert_int_equal(add("/x/b"), b);
	assert_int_equal(targets.count, 4);
}

static void
files_are_made_and_appended_to(void **state)
{
	unsigned id = add(in_directory("made"));
	struct error err;
	struct stat st;
	mode_t mask = umask(022);

	(void)state;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(logtarget_open_all(&targets, &err), 0);
		assert_int_equal(write_text(id, "new\n"), 4);
		teardown(NULL);
		setup(NULL);
		id = add(in_directory("made"));
	}
	umask(mask);
	assert_file("made", "new\nnew\n");
	assert_int_equal(stat(in_directory("made"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0640);
}

static void
what_cannot_be_opened_is_named(void **state)
{
	struct error err;

	(void)state;
	add(in_directory("ok"));
	add(in_directory("missing/file"));
	assert_int_equal(logtarget_open_all(&targets, &err), -1);
	assert_non_null(strstr(err.text, "missing/file: No such file"));
}

static void
reopening_follows_the_path(void **state)
{
	unsigned id = add(in_directory("live"));
	char old[256];
	struct error err;

	(void)state;
	snprintf(old, sizeof(old), "%s", in_directory("live.1"));
	assert_int_equal(logtarget_open_all(&targets, &err), 0);
	assert_int_equal(write_text(id, "one\n"), 4);
	assert_int_equal(rename(in_directory("live"), old), 0);
	assert_int_equal(write_text(id, "two\n"), 4);
	assert_int_equal(logtarget_reopen(&targets, id, &err), 0);
	assert_int_equal(write_text(id, "three\n"), 6);
	assert_file("live.1", "one\ntwo\n");
	assert_file("live", "three\n");
}

static void
a_failed_reopening_keeps_the_old_file(void **state)
{
	unsigned id;
	char moved[256];
	struct error err;

	(void)state;
	assert_int_equal(mkdir(in_directory("dir"), 0700), 0);
	id = add(in_directory("dir/log"));
	assert_int_equal(logtarget_open_all(&targets, &err), 0);
	snprintf(moved, sizeof(moved), "%s", in_directory("dir.1"));
	assert_int_equal(rename(in_directory("dir"), moved), 0);
	assert_int_equal(logtarget_reopen(&targets, id, &err), -1);
	assert_non_null(strstr(err.text, "dir/log"));
	assert_int_equal(write_text(id, "still\n"), 6);
	assert_file("dir.1/log", "still\n");
}

/* Put fd in the place of stderr; returns what was there. */
static int
swap_stderr(int fd)
{
	int saved = dup(STDERR_FILENO);

	assert_true(saved >= 0);
	assert_int_equal(dup2(fd, STDERR_FILENO), STDERR_FILENO);
	return saved;
}

static void
restore_stderr(int saved)
{
	dup2(saved, STDERR_FILENO);
	close(saved);
}

/* A pipe fills up and says so; whoever shares it is not disturbed. */
static void
a_pipe_is_written_without_blocking(void **state)
{
	unsigned id = add("stderr");
	unsigned lines = 0;
	struct error err;
	int fds[2], saved;

	(void)state;
	assert_int_equal(pipe(fds), 0);
	saved = swap_stderr(fds[1]);
	assert_int_equal(logtarget_open_all(&targets, &err), 0);
	restore_stderr(saved);
	assert_int_equal(targets.items[id].medium, LOGTARGET_STREAM);
	assert_int_equal(fcntl(fds[1], F_GETFL) & O_NONBLOCK, 0);
	while (write_text(id, "0123456789abcde\n") == 16)
		lines++;
	assert_int_equal(errno, EAGAIN);
	assert_true(lines >= 256);
	close(fds[0]);
	close(fds[1]);
}

/* The same where the pipe could not be opened anew. */
static void
a_blocking_pipe_is_asked_first(void **state)
{
	unsigned id = add("stderr");
	struct error err;
	int fds[2], saved;

	(void)state;
	assert_int_equal(pipe(fds), 0);
	saved = swap_stderr(fds[1]);
	assert_int_equal(logtarget_open_all(&targets, &err), 0);
	restore_stderr(saved);
	logtarget_replace(&targets, id, dup(fds[1]));
	assert_int_equal(targets.items[id].medium, LOGTARGET_BLOCKING);
	alarm(20);
	while (write_text(id, "0123456789abcde\n") == 16)
		;
	alarm(0);
	assert_int_equal(errno, EAGAIN);
	close(fds[0]);
	close(fds[1]);
}

static void
a_socket_is_written_without_blocking(void **state)
{
	unsigned id = add("stderr");
	struct error err;
	int fds[2], saved;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	saved = swap_stderr(fds[1]);
	assert_int_equal(logtarget_open_all(&targets, &err), 0);
	restore_stderr(saved);
	assert_int_equal(targets.items[id].medium, LOGTARGET_SOCKET);
	alarm(20);
	while (write_text(id, "0123456789abcde\n") == 16)
		;
	assert_int_equal(errno, EAGAIN);
	close(fds[0]);
	/* No SIGPIPE, which would end the test. */
	assert_int_equal(write_text(id, "0123456789abcde\n"), -1);
	alarm(0);
	assert_int_equal(errno, EPIPE);
	close(fds[1]);
}

static void
journald_gets_prefixes(void **state)
{
	unsigned file = add(in_directory("plain")), out;
	struct error err;

	(void)state;
	out = add("stderr");
	setenv("JOURNAL_STREAM", "8:1", 1);
	assert_int_equal(logtarget_open_all(&targets, &err), 0);
	unsetenv("JOURNAL_STREAM");
	assert_true(span_eq(logtarget_prefix(&targets.items[out],
	    LOG_LEVEL_ERROR), SPAN("<3>")));
	assert_true(span_eq(logtarget_prefix(&targets.items[out],
	    LOG_LEVEL_DEBUG), SPAN("<7>")));
	assert_int_equal(logtarget_prefix(&targets.items[file],
	    LOG_LEVEL_ERROR).len, 0);
}

static int
bind_syslog(const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);

	assert_true(strlen(path) < sizeof(sa.sun_path));
	memcpy(sa.sun_path, path, strlen(path) + 1);
	unlink(path);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	return fd;
}

static void
assert_datagram(int fd, const char *priority, const char *text)
{
	char got[4096], tag[64];
	ssize_t len = recv(fd, got, sizeof(got) - 1, 0);
	const char *p;

	assert_true(len > 0);
	got[len] = '\0';
	assert_int_equal(strncmp(got, priority, strlen(priority)), 0);
	/* "Nov 21 08:15:00 weir[123]: text", RFC 3164, section 4.1 */
	p = got + strlen(priority);
	assert_true(strlen(p) > 16 && p[3] == ' ' && p[6] == ' ' &&
	    p[9] == ':' && p[12] == ':' && p[15] == ' ');
	snprintf(tag, sizeof(tag), "weir[%ld]: ", (long)getpid());
	assert_int_equal(strncmp(p + 16, tag, strlen(tag)), 0);
	assert_string_equal(p + 16 + strlen(tag), text);
}

static void
syslog_gets_one_datagram_a_line(void **state)
{
	char path[256];
	unsigned id = add("syslog");
	struct error err;
	int fd;

	(void)state;
	snprintf(path, sizeof(path), "%s", in_directory("syslog"));
	fd = bind_syslog(path);
	targets.syslog_path = path;
	assert_int_equal(logtarget_open_all(&targets, &err), 0);
	assert_int_equal(logtarget_syslog(&targets, id, LOG_LEVEL_WARN,
	    SPAN("one\n")), 0);
	assert_int_equal(logtarget_syslog(&targets, id, LOG_LEVEL_INFO,
	    SPAN("two")), 0);
	assert_datagram(fd, "<28>", "one");
	assert_datagram(fd, "<30>", "two");
	close(fd);
}

static void
syslog_comes_late_and_comes_back(void **state)
{
	char path[256];
	unsigned id = add("syslog");
	struct error err;
	int fd;

	(void)state;
	snprintf(path, sizeof(path), "%s", in_directory("late"));
	targets.syslog_path = path;
	assert_int_equal(logtarget_open_all(&targets, &err), 0);
	now_update();
	assert_int_equal(logtarget_syslog(&targets, id, LOG_LEVEL_INFO,
	    SPAN("lost\n")), -1);
	assert_int_equal(errno, EAGAIN);
	/* Not tried again at once, */
	fd = bind_syslog(path);
	assert_int_equal(logtarget_syslog(&targets, id, LOG_LEVEL_INFO,
	    SPAN("early\n")), -1);
	/* but after a second. */
	targets.items[id].retry_at_ms = now_ms();
	assert_int_equal(logtarget_syslog(&targets, id, LOG_LEVEL_INFO,
	    SPAN("first\n")), 0);
	assert_datagram(fd, "<30>", "first");
	/* A restarted daemon has another socket at the same place. */
	close(fd);
	fd = bind_syslog(path);
	targets.items[id].retry_at_ms = now_ms();
	assert_int_equal(logtarget_syslog(&targets, id, LOG_LEVEL_INFO,
	    SPAN("second\n")), 0);
	assert_datagram(fd, "<30>", "second");
	/* One that does not read is waited for. */
	while (logtarget_syslog(&targets, id, LOG_LEVEL_INFO,
	    SPAN("more\n")) == 0)
		;
	assert_int_equal(errno, EAGAIN);
	close(fd);
}

static void
syslog_takes_long_lines_in_part(void **state)
{
	char path[256], line[16000];
	unsigned id = add("syslog");
	struct error err;
	char got[16384];
	int fd;

	(void)state;
	memset(line, 'x', sizeof(line));
	snprintf(path, sizeof(path), "%s", in_directory("syslog"));
	fd = bind_syslog(path);
	targets.syslog_path = path;
	assert_int_equal(logtarget_open_all(&targets, &err), 0);
	assert_int_equal(logtarget_syslog(&targets, id, LOG_LEVEL_INFO,
	    span_of(line, sizeof(line))), 0);
	assert_true(recv(fd, got, sizeof(got), 0) > 1000);
	close(fd);
}

/* What a writer left behind is found by where it was to stand. */
static void
lines_are_found_by_their_place(void **state)
{
	static const struct {
		uint32_t place;
		const char *line;
		ssize_t want;
	} cases[] = {
		{ 0, "one\n", 4 },
		{ 4, "two\n", 4 },
		{ 4, "twice\n", 0 },
		{ 8, "three\n", 2 }, /* the file ends in it */
		{ 10, "four\n", 0 }, /* at its end */
		{ 15, "five\n", 0 }, /* behind it */
		{ UINT32_MAX, "six\n", 0 },
	};
	unsigned id = add(in_directory("found"));
	struct error err;
	uint32_t place;

	(void)state;
	assert_int_equal(logtarget_open_all(&targets, &err), 0);
	assert_int_equal(write_text(id, "one\ntwo\nth"), 10);
	assert_int_equal(logtarget_place(&targets.items[id], &place), 0);
	assert_int_equal(place, 10);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		assert_int_equal(logtarget_find(&targets.items[id],
		    cases[i].place, span_cstr(cases[i].line)), cases[i].want);
}

/* Low bits of a place do, also where the file has passed 4 GB. */
static void
places_of_large_files_are_found(void **state)
{
	unsigned id = add(in_directory("large"));
	struct error err;
	uint32_t place;
	int fd;

	(void)state;
	assert_int_equal(logtarget_open_all(&targets, &err), 0);
	fd = targets.items[id].fd;
	assert_int_equal(ftruncate(fd, ((off_t)1 << 32) - 2), 0);
	assert_int_equal(logtarget_place(&targets.items[id], &place), 0);
	assert_int_equal(place, UINT32_MAX - 1);
	assert_int_equal(write_text(id, "one\ntw"), 6);
	assert_int_equal(logtarget_find(&targets.items[id], place,
	    SPAN("one\n")), 4);
	assert_int_equal(logtarget_find(&targets.items[id], place + 4,
	    SPAN("two\n")), 2);
	assert_int_equal(unlink(in_directory("large")), 0);
}

static void
places_in_pipes_cannot_be_told(void **state)
{
	unsigned id = add("stderr");
	uint32_t place;
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	logtarget_replace(&targets, id, fds[1]);
	assert_int_equal(logtarget_place(&targets.items[id], &place), -1);
	assert_int_equal(logtarget_find(&targets.items[id], 0, SPAN("a\n")),
	    -1);
	close(fds[0]);
}

static void
sink_begins_a_line_after_a_torn_one(void **state)
{
	struct logtarget_output output = { &targets,
		add(in_directory("sink")), false };
	struct rlimit old, small;
	struct error err;

	(void)state;
	/* Closed yet: nothing happens. */
	logtarget_sink(&output, LOG_LEVEL_INFO, "none\n", 5);
	assert_int_equal(logtarget_open_all(&targets, &err), 0);
	logtarget_sink(&output, LOG_LEVEL_INFO, "one\n", 4);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small = old;
	small.rlim_cur = 6;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	logtarget_sink(&output, LOG_LEVEL_INFO, "two\n", 4);
	logtarget_sink(&output, LOG_LEVEL_INFO, "nowhere\n", 8);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	logtarget_sink(&output, LOG_LEVEL_INFO, "three\n", 6);
	logtarget_sink(&output, LOG_LEVEL_INFO, "four\n", 5);
	assert_file("sink", "one\ntw\nthree\nfour\n");
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(same_path_has_the_same_number),
		TEST(bad_paths_are_refused),
		TEST(numbers_are_released),
		TEST(files_are_made_and_appended_to),
		TEST(what_cannot_be_opened_is_named),
		TEST(reopening_follows_the_path),
		TEST(a_failed_reopening_keeps_the_old_file),
		TEST(a_pipe_is_written_without_blocking),
		TEST(a_blocking_pipe_is_asked_first),
		TEST(a_socket_is_written_without_blocking),
		TEST(journald_gets_prefixes),
		TEST(syslog_gets_one_datagram_a_line),
		TEST(syslog_comes_late_and_comes_back),
		TEST(syslog_takes_long_lines_in_part),
		TEST(lines_are_found_by_their_place),
		TEST(places_of_large_files_are_found),
		TEST(places_in_pipes_cannot_be_told),
		TEST(sink_begins_a_line_after_a_torn_one),
	};
	char command[64];
	int failed;

	if (mkdtemp(directory) == NULL)
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	snprintf(command, sizeof(command), "rm -rf %s", directory);
	return system(command) == 0 ? failed : 1;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* Files that change: who reads, who is asked, who keeps what. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "conf/files.h"
#include "conf/report.h"
#include "os/sealed.h"

/* What one process has; it refuses what begins with "bad". */
struct owner {
	char text[64];
	unsigned received, prepared;
};

struct fixture {
	struct files *files;
	struct owner owner;
	struct files_spec spec;
	char path[32], more[32];
	char log[1024];
	uint64_t now_ms;
};

static void
note(void *arg, enum log_level level, const char *line, size_t len)
{
	struct fixture *f = arg;

	(void)level;
	snprintf(f->log, sizeof(f->log), "%.*s", (int)len, line);
}

static int
receive(void *arg, struct span content, struct error *err)
{
	struct owner *o = arg;

	if (span_starts(content, SPAN("bad")))
		return error_set(err, "line 1: it is bad");
	o->received++;
	snprintf(o->text, sizeof(o->text), "%.*s", SPAN_ARG(content));
	return 0;
}

/* In capitals. */
static int
prepare(void *arg, struct span content, char **bytes, size_t *len,
    struct error *err)
{
	struct owner *o = arg;

	if (span_starts(content, SPAN("bad")))
		return error_set(err, "line 1: it is bad");
	o->prepared++;
	*len = content.len;
	*bytes = malloc(content.len + 1);
	for (size_t i = 0; i < content.len; i++)
		(*bytes)[i] = (char)(content.p[i] >= 'a' &&
		    content.p[i] <= 'z' ? content.p[i] - 32 : content.p[i]);
	return 0;
}

static void
put(const char *path, const char *text)
{
	static unsigned number;
	char fresh[64];
	FILE *out;

	/* As an admin should: a new file in the place of the old one. */
	snprintf(fresh, sizeof(fresh), "%s.%u", path, ++number);
	out = fopen(fresh, "w");
	assert_non_null(out);
	fputs(text, out);
	fclose(out);
	assert_int_equal(rename(fresh, path), 0);
}

static void
temporary(char path[32])
{
	int fd;

	strcpy(path, "/tmp/weir-files-XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	close(fd);
}

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	temporary(f->path);
	temporary(f->more);
	put(f->path, "one");
	f->files = files_new(false, NULL);
	f->spec = (struct files_spec){ .what = "test", .path = f->path,
		.receive = receive, .arg = &f->owner };
	f->now_ms = 1000;
	log_set_sink(note, f);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	log_set_sink(NULL, NULL);
	files_free(f->files);
	unlink(f->path);
	unlink(f->more);
	free(f);
	return 0;
}

static void
load(struct fixture *f)
{
	struct error err;

	assert_int_equal(files_add(f->files, &f->spec, &err), 0);
	files_loaded(f->files);
}

/* The first look finds it changed, the second one that it rests. */
static enum files_next
look_twice(struct fixture *f, uint32_t *version, int *fd)
{
	assert_int_equal(files_look(f->files, 0, f->now_ms, version, fd),
	    FILES_REST);
	return files_look(f->files, 0, ++f->now_ms, version, fd);
}

/*
 * As the background process does it, with an owner that is the test's too.
 * *send: what serves then.
 */
static int
ask(struct fixture *f, uint32_t version, int fd, int *send)
{
	struct error err = { .text = "" };
	int out, result;
	uint32_t before = files_content(f->files, 0, send);

	result = files_take(f->files, 0, version, fd, true, &out, &err);
	result = files_answered(f->files, 0, version, result == 0,
	    span_cstr(err.text), out);
	assert_int_equal(files_content(f->files, 0, send),
	    result == 1 ? version : before);
	return result;
}

static void
test_load(void **state)
{
	struct fixture *f = *state;
	struct error err;

	load(f);
	assert_string_equal(f->owner.text, "one");
	put(f->path, "bad");
	assert_int_equal(files_add(f->files, &f->spec, &err), -1);
	assert_non_null(strstr(err.text, "line 1: it is bad"));
	assert_non_null(strstr(err.text, f->path));
	f->spec.path = "/nonexistent";
	assert_int_equal(files_add(f->files, &f->spec, &err), -1);
	assert_string_equal(err.text,
	    "reading /nonexistent: No such file or directory");
	assert_int_equal(files_count(f->files), 1);
	/* Without a set: read, not watched. */
	f->spec.path = f->path;
	put(f->path, "two");
	assert_int_equal(files_add(NULL, &f->spec, &err), 0);
	assert_string_equal(f->owner.text, "two");
}

static void
test_limit(void **state)
{
	struct fixture *f = *state;
	struct error err;
	uint32_t version;
	int fd;

	f->spec.bytes_max = 3;
	load(f);
	put(f->path, "four");
	assert_int_equal(files_add(f->files, &f->spec, &err), -1);
	assert_non_null(strstr(err.text, "too large"));
	assert_int_equal(look_twice(f, &version, &fd), FILES_FAILED);
	assert_non_null(strstr(f->log, "too large"));
	assert_non_null(strstr(f->log, "the old one stays"));
	assert_string_equal(f->owner.text, "one");
}

static void
test_change(void **state)
{
	struct fixture *f = *state;
	uint32_t version;
	int fd, send, out;
	struct span bytes;
	struct error err;

	load(f);
	assert_int_equal(look_twice(f, &version, &fd), FILES_REST);
	put(f->path, "two");
	assert_int_equal(look_twice(f, &version, &fd), FILES_ASK);
	/* Nobody has it before somebody said yes. */
	assert_string_equal(f->owner.text, "one");
	assert_int_equal(files_look(f->files, 0, f->now_ms, &version, &fd),
	    FILES_REST);
	assert_int_equal(ask(f, version, fd, &send), 1);
	assert_string_equal(f->owner.text, "two");
	assert_non_null(strstr(f->log, "is used from now on"));
	assert_int_equal(sealed_map(send, 100, &bytes, &err), 0);
	assert_true(span_eq(bytes, SPAN("two")));
	sealed_unmap(bytes);
	/* It has it. */
	assert_int_equal(files_take(f->files, 0, version, send, false, &out,
	    &err), 0);
	assert_int_equal(f->owner.received, 2);

}

static void
test_bad_change(void **state)
{
	struct fixture *f = *state;
	uint32_t version, again;
	int fd, send;

	load(f);
	put(f->path, "bad");
	assert_int_equal(look_twice(f, &version, &fd), FILES_ASK);
	assert_int_equal(ask(f, version, fd, &send), -1);
	assert_int_equal(send, -1); /* as loaded */
	assert_string_equal(f->owner.text, "one");
	assert_non_null(strstr(f->log, "the old one stays: line 1: it is "
	    "bad"));
	/* One line, not one a second. */
	f->log[0] = '\0';
	for (int i = 0; i < 5; i++)
		assert_int_equal(files_look(f->files, 0, ++f->now_ms, &again,
		    &fd), FILES_REST);
	assert_string_equal(f->log, "");
	put(f->path, "good");
	assert_int_equal(look_twice(f, &again, &fd), FILES_ASK);
	assert_int_not_equal(again, version);
	/* A late word about the bad one. */
	assert_int_equal(files_answered(f->files, 0, version, false,
	    SPAN("late"), -1), 0);
	assert_int_equal(ask(f, again, fd, &send), 1);
	assert_string_equal(f->owner.text, "good");
}

static void
test_removed(void **state)
{
	struct fixture *f = *state;
	uint32_t version;
	int fd, send;

	load(f);
	unlink(f->path);
	assert_int_equal(look_twice(f, &version, &fd), FILES_FAILED);
	assert_non_null(strstr(f->log, "No such file"));
	put(f->path, "back");
	assert_int_equal(look_twice(f, &version, &fd), FILES_ASK);
	assert_int_equal(ask(f, version, fd, &send), 1);
	assert_string_equal(f->owner.text, "back");
}

/* What keeps it from being read passes, and the file has not changed again. */
static void
test_read_later(void **state)
{
	struct fixture *f = *state;
	struct rlimit before, none;
	uint32_t version;
	int fd, send;

	load(f);
	put(f->path, "two");
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_int_equal(look_twice(f, &version, &fd), FILES_FAILED);
	assert_non_null(strstr(f->log, "Too many open files"));
	/* One line, not one a second. */
	f->log[0] = '\0';
	assert_int_equal(look_twice(f, &version, &fd), FILES_REST);
	assert_string_equal(f->log, "");
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(files_look(f->files, 0, ++f->now_ms, &version, &fd),
	    FILES_ASK);
	assert_int_equal(ask(f, version, fd, &send), 1);
	assert_string_equal(f->owner.text, "two");
	assert_int_equal(look_twice(f, &version, &fd), FILES_REST);
}

static void
test_two_files(void **state)
{
	struct fixture *f = *state;
	uint32_t version;
	int fd, send;

	put(f->more, "first");
	f->spec.more = f->more;
	load(f);
	assert_string_equal(f->owner.text, "one\nfirst");
	put(f->more, "second");
	assert_int_equal(look_twice(f, &version, &fd), FILES_ASK);
	assert_int_equal(ask(f, version, fd, &send), 1);
	assert_string_equal(f->owner.text, "one\nsecond");
}

static void
test_prepared(void **state)
{
	struct fixture *f = *state;
	uint32_t version;
	int fd, send;
	struct span bytes;
	struct error err;

	f->spec.prepare = prepare;
	load(f);
	assert_string_equal(f->owner.text, "ONE");
	put(f->path, "two");
	assert_int_equal(look_twice(f, &version, &fd), FILES_ASK);
	assert_int_equal(ask(f, version, fd, &send), 1);
	assert_int_equal(f->owner.prepared, 2);
	/* Workers get what was made of it. */
	assert_int_equal(sealed_map(send, 100, &bytes, &err), 0);
	assert_true(span_eq(bytes, SPAN("TWO")));
	sealed_unmap(bytes);
	put(f->path, "bad");
	assert_int_equal(look_twice(f, &version, &fd), FILES_ASK);
	assert_int_equal(ask(f, version, fd, &send), -1);
	/* A yes without it, or with what may still change, is none. */
	put(f->path, "three");
	assert_int_equal(look_twice(f, &version, &fd), FILES_ASK);
	assert_int_equal(files_answered(f->files, 0, version, true,
	    span_of(NULL, 0), -1), -1);
	put(f->path, "four");
	assert_int_equal(look_twice(f, &version, &fd), FILES_ASK);
	assert_int_equal(files_answered(f->files, 0, version, true,
	    span_of(NULL, 0), open(f->path, O_RDONLY | O_CLOEXEC)), -1);
	assert_string_equal(f->owner.text, "TWO");
}

/* The process that was asked dies, twice of the same. */
static void
test_no_answer(void **state)
{
	struct fixture *f = *state;
	uint32_t version;
	int fd;

	load(f);
	put(f->path, "two");
	assert_int_equal(look_twice(f, &version, &fd), FILES_ASK);
	f->now_ms += 30000;
	assert_int_equal(files_look(f->files, 0, f->now_ms, &version, &fd),
	    FILES_ASK);
	f->now_ms += 30000;
	assert_int_equal(files_look(f->files, 0, f->now_ms, &version, &fd),
	    FILES_FAILED);
	assert_non_null(strstr(f->log, "did not answer"));
	assert_int_equal(files_look(f->files, 0, f->now_ms, &version, &fd),
	    FILES_REST);
	/* That there was nobody to ask is not the file's fault. */
	f->now_ms += 100000;
	put(f->path, "three");
	assert_int_equal(look_twice(f, &version, &fd), FILES_ASK);
	for (int i = 0; i < 5; i++) {
		files_not_sent(f->files, 0);
		assert_int_equal(files_look(f->files, 0, ++f->now_ms,
		    &version, &fd), FILES_ASK);
	}
}

/* Who was asked has no descriptor: again, each time after twice the pause. */
static void
test_asked_again(void **state)
{
	static const unsigned waits_ms[] = { 1000, 2000, 4000, 8000, 16000,
		30000, 30000 };
	struct fixture *f = *state;
	uint32_t version, again;
	int fd;

	load(f);
	put(f->path, "two");
	assert_int_equal(look_twice(f, &version, &fd), FILES_ASK);
	for (size_t i = 0; i < sizeof(waits_ms) / sizeof(*waits_ms); i++) {
		files_not_received(f->files, 0, version, f->now_ms);
		f->now_ms += waits_ms[i];
		assert_int_equal(files_look(f->files, 0, f->now_ms - 1,
		    &again, &fd), FILES_REST);
		assert_int_equal(files_look(f->files, 0, f->now_ms, &again,
		    &fd), FILES_ASK);
		assert_int_equal(again, version);
		assert_non_null(strstr(f->log, i == 0 ? "tried again" : ""));
		f->log[0] = '\0';
	}
	/* A word about another one. */
	files_not_received(f->files, 0, version + 1, f->now_ms);
	/* Silence is counted as ever. */
	f->now_ms += 30000;
	assert_int_equal(files_look(f->files, 0, f->now_ms, &again, &fd),
	    FILES_ASK);
	f->now_ms += 30000;
	assert_int_equal(files_look(f->files, 0, f->now_ms, &again, &fd),
	    FILES_FAILED);
}

static void
note_refused(void *arg, size_t i, uint32_t version, const char *why)
{
	struct fixture *f = arg;

	snprintf(f->log, sizeof(f->log), "%zu %u %s", i, version, why);
}

/* New processes have it, or say that they cannot. */
static void
test_new_process(void **state)
{
	struct fixture *f = *state;
	uint32_t version;
	int fd;

	load(f);
	put(f->path, "two");
	assert_int_equal(look_twice(f, &version, &fd), FILES_ASK);
	assert_int_equal(files_answered(f->files, 0, version, true,
	    span_of(NULL, 0), -1), 1);
	assert_string_equal(f->owner.text, "one");
	files_catch_up(f->files, note_refused, f);
	assert_string_equal(f->owner.text, "two");
}

static void
test_new_process_refuses(void **state)
{
	struct fixture *f = *state;
	uint32_t version;
	char want[64];
	int fd;

	load(f);
	put(f->path, "bad");
	assert_int_equal(look_twice(f, &version, &fd), FILES_ASK);
	assert_int_equal(files_answered(f->files, 0, version, true,
	    span_of(NULL, 0), -1), 1);
	files_catch_up(f->files, note_refused, f);
	assert_string_equal(f->owner.text, "one");
	snprintf(want, sizeof(want), "0 %u line 1: it is bad", version);
	assert_string_equal(f->log, want);
}

static void
test_fed(void **state)
{
	struct fixture *f = *state;
	struct files *next = files_new(false, NULL);
	struct error err;
	uint32_t version;
	int send, out;

	f->spec.path = NULL;
	load(f);
	assert_int_equal(f->owner.received, 0);
	assert_int_equal(files_number(f->files, &f->owner), 0);
	assert_int_equal(files_number(f->files, f), -1);
	assert_false(files_fed(f->files, 0, open(f->more, O_RDONLY |
	    O_CLOEXEC)));
	assert_true(files_fed(f->files, 0, sealed_new("x", SPAN("found"),
	    &err)));
	version = files_content(f->files, 0, &send);
	assert_int_equal(files_take(f->files, 0, version, send, false, &out,
	    &err), 0);
	assert_string_equal(f->owner.text, "found");
	/* The next configuration begins with it. */
	f->owner.text[0] = '\0';
	assert_int_equal(files_add(next, &f->spec, &err), 0);
	files_inherit(next, f->files);
	files_catch_up(next, NULL, NULL);
	assert_string_equal(f->owner.text, "found");
	files_free(next);
}

/* In a test of the configuration, what this user may not read is a warning. */
static void
test_unreadable(void **state)
{
	struct fixture *f = *state;
	struct conf_report *report = conf_report_new();
	struct files *tested = files_new(true, report);
	struct error err;

	if (geteuid() == 0) {
		conf_report_free(report);
		files_free(tested);
		skip();
	}
	assert_int_equal(chmod(f->path, 0), 0);
	assert_int_equal(files_add(tested, &f->spec, &err), 1);
	assert_int_equal(conf_report_warnings(report), 1);
	assert_int_equal(files_add(f->files, &f->spec, &err), -1);
	conf_report_free(report);
	files_free(tested);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_load),
		T(test_limit),
		T(test_change),
		T(test_bad_change),
		T(test_removed),
		T(test_read_later),
		T(test_two_files),
		T(test_prepared),
		T(test_no_answer),
		T(test_asked_again),
		T(test_new_process),
		T(test_new_process_refuses),
		T(test_fed),
		T(test_unreadable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

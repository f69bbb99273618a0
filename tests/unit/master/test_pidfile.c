/* SPDX-License-Identifier: BSD-2-Clause */
/* The pid file: one owner, stale ones are taken, only our own is removed. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "master/pidfile.h"

static char folder[] = "/tmp/weir-test-pidfile-XXXXXX";
static char path[128];

static int
setup(void **state)
{
	(void)state;
	if (mkdtemp(folder) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/weir.pid", folder);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	return rmdir(folder);
}

static void
put(const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static long
content(void)
{
	FILE *f = fopen(path, "r");
	long pid = -1;

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%ld", &pid), 1);
	assert_int_equal(fgetc(f), '\n');
	assert_int_equal(fgetc(f), EOF);
	fclose(f);
	return pid;
}

static void
test_life(void **state)
{
	struct pidfile f, second;
	struct error err;
	char want[200];

	(void)state;
	/* What a crash left behind, longer than what is written. */
	put("123456789012\n");
	assert_int_equal(pidfile_open(&f, path, &err), 0);
	assert_int_equal(content(), getpid());
	assert_int_equal(pidfile_open(&second, path, &err), -1);
	snprintf(want, sizeof(want), "pid file %s: another instance is "
	    "running (pid %ld)", path, (long)getpid());
	assert_string_equal(err.text, want);
	pidfile_remove(&f);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(pidfile_open(&second, path, &err), 0);
	pidfile_remove(&second);
	pidfile_remove(&second);
}

/* A child that forgets it does not keep the lock; its parent does. */
static void
test_fork(void **state)
{
	struct pidfile f, second;
	struct error err;
	int status, ends[2], forgotten[2];
	pid_t pid;
	char byte = 0;

	(void)state;
	assert_int_equal(pidfile_open(&f, path, &err), 0);
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(pipe(forgotten), 0);
	pid = fork();
	if (pid == 0) {
		pidfile_forget(&f);
		close(ends[1]);
		if (write(forgotten[1], &byte, 1) != 1)
			_exit(2);
		_exit(read(ends[0], &byte, 1) != 0);
	}
	assert_int_equal(read(forgotten[0], &byte, 1), 1);
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(pidfile_open(&second, path, &err), -1);
	/* The death of the owner, as far as the lock goes. */
	pidfile_forget(&f);
	assert_int_equal(pidfile_open(&second, path, &err), 0);
	close(ends[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	pidfile_remove(&second);
	close(ends[0]);
	close(forgotten[0]);
	close(forgotten[1]);
}

/* The descriptor that has the lock is taken, not one that says so. */
static void
test_adopt(void **state)
{
	struct pidfile f, second;
	struct error err;
	int forged, fd;

	(void)state;
	assert_int_equal(pidfile_open(&f, path, &err), 0);
	forged = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(forged >= 0);
	assert_int_equal(pidfile_adopt(&second, path, forged), -1);
	assert_int_equal(pidfile_adopt(&second, "/dev/null", f.fd), -1);
	fd = dup(f.fd);
	assert_int_equal(pidfile_adopt(&second, path, fd), 0);
	assert_true(second.is_lent);
	pidfile_forget(&second);
	/* It is locked as before. */
	assert_int_equal(pidfile_open(&second, path, &err), -1);
	close(forged);
	pidfile_remove(&f);
}

/* Somebody put another file there: it stays. */
static void
test_not_ours(void **state)
{
	struct pidfile f;
	struct error err;

	(void)state;
	assert_int_equal(pidfile_open(&f, path, &err), 0);
	unlink(path);
	put("77\n");
	pidfile_remove(&f);
	assert_int_equal(content(), 77);
	unlink(path);
}

/* Who took it over where no file could be made has written into it. */
static void
test_written_by_another(void **state)
{
	struct pidfile f;
	struct error err;

	(void)state;
	assert_int_equal(pidfile_open(&f, path, &err), 0);
	assert_true(pidfile_is_ours(&f));
	assert_int_equal(pwrite(f.fd, "1234567890\n", 11, 0), 11);
	assert_false(pidfile_is_ours(&f));
	assert_int_equal(pidfile_write(&f, &err), 0);
	assert_true(pidfile_is_ours(&f));
	assert_int_equal(content(), getpid());
	pidfile_remove(&f);
}

static void
test_refused(void **state)
{
	struct pidfile f;
	struct error err;

	(void)state;
	assert_int_equal(pidfile_open(&f, NULL, &err), 0);
	assert_int_equal(f.fd, -1);
	pidfile_remove(&f);
	assert_int_equal(pidfile_open(&f, "/nonexistent/weir.pid", &err), -1);
	assert_string_equal(err.text, "pid file /nonexistent/weir.pid: "
	    "No such file or directory");
	/* Not through a link, which may lead anywhere. */
	assert_int_equal(symlink("/dev/null", path), 0);
	assert_int_equal(pidfile_open(&f, path, &err), -1);
	unlink(path);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_life),
		cmocka_unit_test(test_fork),
		cmocka_unit_test(test_adopt),
		cmocka_unit_test(test_not_ours),
		cmocka_unit_test(test_written_by_another),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}

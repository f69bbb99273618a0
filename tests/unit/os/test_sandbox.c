/* SPDX-License-Identifier: BSD-2-Clause */
/* Giving up rights: each case in a process of its own. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/str.h"
#include "os/proc.h"
#include "os/sandbox.h"

#if defined(__SANITIZE_ADDRESS__) || defined(WEIR_COVERAGE)
#define IS_PLAIN 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define IS_PLAIN 0
#endif
#endif
#ifndef IS_PLAIN
#define IS_PLAIN 1
#endif

static struct proc_account nobody;

/* Root becomes somebody else, others stay who they are. */
static struct sandbox
sandbox_at(enum sandbox_level level)
{
	struct error err;

	if (geteuid() == 0 &&
	    proc_account_find(&nobody, "nobody", NULL, &err) != 0)
		skip();
	return (struct sandbox){ .level = level,
		.account = geteuid() == 0 ? &nobody : NULL };
}

/* The status of a process that enters and then runs what is given. */
static int
run(const struct sandbox *s, int (*then)(void))
{
	struct error err;
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(sandbox_enter(s, &err) != 0 ? 100 : then());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static bool
has_none(unsigned resource)
{
	struct rlimit limit;

	return getrlimit(resource, &limit) == 0 && limit.rlim_cur == 0 &&
	    limit.rlim_max == 0;
}

static int
rights_are_gone(void)
{
	char text[2048];
	int fd = open("/proc/self/status", O_RDONLY);
	ssize_t n = read(fd, text, sizeof(text) - 1);

	close(fd);
	if (getuid() == 0 || geteuid() == 0 || n <= 0)
		return 1;
	text[n] = '\0';
	if (setresuid(0, 0, 0) == 0 || setresgid(0, 0, 0) == 0)
		return 2;
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
		return 3;
	if (!has_none(RLIMIT_CORE) || !has_none(RLIMIT_MEMLOCK) ||
	    !has_none(RLIMIT_MSGQUEUE) || !has_none(RLIMIT_NICE) ||
	    !has_none(RLIMIT_RTPRIO))
		return 4;
	if (strstr(text, "CapPrm:\t0000000000000000") == NULL ||
	    strstr(text, "CapEff:\t0000000000000000") == NULL)
		return 5;
	if (IS_PLAIN && prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0)
		return 6;
	return 0;
}

static void
test_off(void **state)
{
	struct sandbox s = sandbox_at(SANDBOX_OFF);

	(void)state;
	assert_int_equal(run(&s, rights_are_gone), 0);
}

/* Root must say who else to be. */
static void
test_root_is_refused(void **state)
{
	struct sandbox s = { .level = SANDBOX_OFF };

	(void)state;
	if (geteuid() != 0)
		skip();
	assert_int_equal(WEXITSTATUS(run(&s, rights_are_gone)), 100);
}

static int
opens(void)
{
	int fd = open("/etc/passwd", O_RDONLY);

	if (fd >= 0)
		close(fd);
	return fd >= 0 ? 1 : errno == EACCES ? 2 : 3;
}

static int
executes(void)
{
	char name[] = "/bin/true";
	char *argv[] = { name, NULL };

	execv(name, argv);
	return 1;
}

static int
forks(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	return pid < 0 ? 2 : 1;
}

static int
still_works(void)
{
	void *p;

	for (size_t i = 1; i < 64; i++) {
		p = malloc(i * 65536);
		if (p == NULL)
			return 1;
		free(p);
	}
	return write(STDOUT_FILENO, "", 0) == 0 ? 0 : 2;
}

static void
test_strict(void **state)
{
	struct sandbox s = sandbox_at(SANDBOX_STRICT);
	const struct sandbox_path etc = { "/etc", false };

	(void)state;
#ifndef HAVE_LIBSECCOMP
	/* Asked for by name, it is not left out in silence. */
	assert_int_equal(WEXITSTATUS(run(&s, still_works)), 100);
	skip();
#endif
	if (!IS_PLAIN)
		skip();
	assert_int_equal(run(&s, still_works), 0);
	assert_int_equal(WEXITSTATUS(run(&s, opens)), 2);
	assert_int_equal(WEXITSTATUS(run(&s, forks)), 2);
	assert_int_equal(WTERMSIG(run(&s, executes)), SIGSYS);
	s.paths = &etc;
	s.path_count = 1;
	assert_int_equal(WEXITSTATUS(run(&s, opens)), 1);
}

static void
test_basic(void **state)
{
	struct sandbox s = sandbox_at(SANDBOX_BASIC);

	(void)state;
#ifndef HAVE_LIBSECCOMP
	skip();
#endif
	if (!IS_PLAIN)
		skip();
	assert_int_equal(WEXITSTATUS(run(&s, opens)), 1);
	assert_int_equal(WEXITSTATUS(run(&s, forks)), 1);
	assert_int_equal(WTERMSIG(run(&s, executes)), SIGSYS);
}

static int
has_files_100(void)
{
	struct rlimit files;

	return getrlimit(RLIMIT_NOFILE, &files) != 0 ||
	    files.rlim_cur != 100 || files.rlim_max != 100;
}

static void
test_files_max(void **state)
{
	struct sandbox s = sandbox_at(SANDBOX_OFF);

	(void)state;
	s.files_max = 100;
	assert_int_equal(run(&s, has_files_100), 0);
}

static int
has_memory_64m(void)
{
	struct rlimit data;
	void *volatile p; /* else clang needs no memory to be sure of it */

	if (getrlimit(RLIMIT_DATA, &data) != 0 ||
	    data.rlim_cur != 64 << 20 || data.rlim_max != 64 << 20)
		return 1;
	p = malloc(128 << 20);
	free(p);
	return p != NULL ? 2 : 0;
}

static void
test_memory_max(void **state)
{
	struct sandbox s = sandbox_at(SANDBOX_OFF);

	(void)state;
	if (!IS_PLAIN)
		skip();
	s.memory_max = 64 << 20;
	assert_int_equal(run(&s, has_memory_64m), 0);
}

static void
test_auto(void **state)
{
	(void)state;
	assert_int_equal(sandbox_level_of(SANDBOX_BASIC), SANDBOX_BASIC);
	if (!IS_PLAIN)
		assert_int_equal(sandbox_level_of(SANDBOX_AUTO), SANDBOX_OFF);
	setenv("LD_PRELOAD", "/usr/libexec/valgrind/vgpreload_core.so", 1);
	assert_int_equal(sandbox_level_of(SANDBOX_AUTO), SANDBOX_OFF);
	unsetenv("LD_PRELOAD");
}

static void
test_description(void **state)
{
	struct sandbox s = { .level = SANDBOX_OFF, .root = "/var/empty" };
	struct proc_account weir = { .user = "weir" };
	char memory[512];
	struct str text;

	(void)state;
	str_init(&text, memory, sizeof(memory));
	sandbox_describe(&s, &text);
	assert_string_equal(str_terminate(&text), "off: not started by root, "
	    "so no change of user, no chroot, no capabilities, system calls "
	    "not filtered");
	s.account = &weir;
	s.may_dump = true;
	s.memory_max = UINT64_C(512) << 20;
	str_init(&text, memory, sizeof(memory));
	sandbox_describe(&s, &text);
	assert_string_equal(str_terminate(&text), "off: user weir, chroot "
	    "/var/empty, no capabilities, core dumps allowed, at most 512 "
	    "MB, system calls not filtered");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_off),
		cmocka_unit_test(test_root_is_refused),
		cmocka_unit_test(test_strict),
		cmocka_unit_test(test_basic),
		cmocka_unit_test(test_files_max),
		cmocka_unit_test(test_memory_max),
		cmocka_unit_test(test_auto),
		cmocka_unit_test(test_description),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

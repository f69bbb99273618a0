/* SPDX-License-Identifier: BSD-2-Clause */
/* Processes: titles, accounts, detaching, giving up rights. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "os/proc.h"

static void
read_all(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);

	assert_true(n >= 0);
	text[n] = '\0';
	close(fd);
}

static void
test_title(void **state)
{
	char text[512];

	(void)state;
	setenv("WEIR_TEST_TITLE", "still there", 1);
	proc_title_set("weir: a-name-cut-here", "weir: worker %u", 3);
	read_all("/proc/self/cmdline", text, sizeof(text));
	assert_string_equal(text, "weir: worker 3");
	read_all("/proc/self/comm", text, sizeof(text));
	assert_string_equal(text, "weir: a-name-cu\n");
	assert_string_equal(getenv("WEIR_TEST_TITLE"), "still there");
	assert_non_null(getenv("PATH"));

	/* A longer one, then a shorter one: nothing of it is left. */
	proc_title_set(NULL, "weir: master %s", "/etc/weir/weir.conf");
	read_all("/proc/self/cmdline", text, sizeof(text));
	assert_string_equal(text, "weir: master /etc/weir/weir.conf");
	proc_title_set("weir", "weir");
	read_all("/proc/self/cmdline", text, sizeof(text));
	assert_string_equal(text, "weir");
}

static void
test_descriptors(void **state)
{
	struct rlimit limit;
	rlim_t hard;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	hard = limit.rlim_max;
	limit.rlim_cur = 64;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_true(proc_raise_descriptors() == hard);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_true(limit.rlim_cur == hard && limit.rlim_max == hard);
}

static void
test_account(void **state)
{
	struct proc_account a;
	struct passwd *nobody = getpwnam("nobody");
	struct error err;

	(void)state;
	if (nobody == NULL)
		skip();
	assert_int_equal(proc_account_find(&a, "nobody", NULL, &err), 0);
	assert_int_equal(a.uid, nobody->pw_uid);
	assert_int_equal(a.gid, nobody->pw_gid);
	assert_true(a.group_count >= 1);
	assert_int_equal(proc_account_find(&a, "nobody", "nonesuch", &err),
	    -1);
	assert_string_equal(err.text, "there is no group \"nonesuch\"");
	assert_int_equal(proc_account_find(&a, "nonesuch", NULL, &err), -1);
	assert_string_equal(err.text, "there is no user \"nonesuch\"");
	assert_int_equal(proc_account_find(&a, "root", NULL, &err), -1);
	assert_non_null(strstr(err.text, "is root"));
}

static void
test_owner(void **state)
{
	static const struct {
		const char *user, *group;
		int want;
		unsigned uid, gid;
		const char *message;
	} cases[] = {
		{ NULL, NULL, 0, UINT32_MAX, UINT32_MAX, NULL },
		{ "root", NULL, 0, 0, UINT32_MAX, NULL },
		{ "0", "0", 0, 0, 0, NULL },
		{ "1234", "4321", 0, 1234, 4321, NULL },
		{ "nonesuch", NULL, -1, 0, 0, "there is no user \"nonesuch\"" },
		{ NULL, "nonesuch", -1, 0, 0,
		    "there is no group \"nonesuch\"" },
		{ "12x", NULL, -1, 0, 0, "there is no user \"12x\"" },
		{ "", NULL, -1, 0, 0, "there is no user \"\"" },
		{ "4294967295", NULL, -1, 0, 0,
		    "there is no user \"4294967295\"" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct error err;
		uid_t uid = 7;
		gid_t gid = 7;

		assert_int_equal(proc_owner_find(&uid, &gid, cases[i].user,
		    cases[i].group, &err), cases[i].want);
		if (cases[i].want != 0) {
			assert_string_equal(err.text, cases[i].message);
			continue;
		}
		assert_int_equal(uid, cases[i].uid);
		assert_int_equal(gid, cases[i].gid);
	}
}

static void
test_detach(void **state)
{
	pid_t ids[3] = { 0 }; /* pid, parent, session */
	int ends[2], status;
	pid_t child;

	(void)state;
	assert_int_equal(pipe(ends), 0);
	child = proc_detach();
	if (child == 0) {
		/* The first child may not have gone yet. */
		for (int i = 0; i < 1000 && getppid() == getsid(0); i++)
			usleep(1000);
		ids[0] = getpid();
		ids[1] = getppid();
		ids[2] = getsid(0);
		_exit(write(ends[1], ids, sizeof(ids)) != sizeof(ids));
	}
	assert_true(child > 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(read(ends[0], ids, sizeof(ids)), sizeof(ids));
	assert_int_equal(ids[2], child);
	assert_int_not_equal(ids[2], getsid(0));
	assert_int_not_equal(ids[0], ids[2]);
	assert_int_not_equal(ids[1], getpid());
	close(ends[0]);
	close(ends[1]);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_title),
		cmocka_unit_test(test_descriptors),
		cmocka_unit_test(test_account),
		cmocka_unit_test(test_owner),
		cmocka_unit_test(test_detach),
	};

	proc_title_init(argc, &argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

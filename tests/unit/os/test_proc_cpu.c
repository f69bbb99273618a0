/* SPDX-License-Identifier: BSD-2-Clause */
/* CPU quotas of control groups, read from a tree of files. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <ftw.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "os/proc_cpu.h"

enum { FILES_MAX = 5 };

static const struct {
	const char *name;
	const char *cgroup; /* of /proc/self/cgroup; NULL = there is none */
	struct {
		const char *path; /* below /sys/fs/cgroup */
		const char *text;
	} files[FILES_MAX];
	unsigned want;
} rows[] = {
	{ "no control groups", NULL, { { NULL, NULL } }, 0 },
	{ "version 2, no limit", "0::/a\n",
	    { { "a/cpu.max", "max 100000\n" } }, 0 },
	{ "version 2", "0::/a\n",
	    { { "a/cpu.max", "200000 100000\n" } }, 2 },
	{ "rounded up", "0::/a\n",
	    { { "a/cpu.max", "150000 100000\n" } }, 2 },
	{ "less than one", "0::/a\n",
	    { { "a/cpu.max", "10000 100000\n" } }, 1 },
	{ "the parent has less", "0::/a/b\n",
	    { { "a/b/cpu.max", "800000 100000\n" },
	      { "a/cpu.max", "300000 100000\n" } }, 3 },
	{ "the parent has more", "0::/a/b\n",
	    { { "a/b/cpu.max", "200000 100000\n" },
	      { "a/cpu.max", "900000 100000\n" } }, 2 },
	{ "in a namespace", "0::/\n",
	    { { "cpu.max", "400000 100000\n" } }, 4 },
	{ "version 1", "5:memory:/x\n4:cpu,cpuacct:/a\n",
	    { { "cpu/a/cpu.cfs_quota_us", "250000\n" },
	      { "cpu/a/cpu.cfs_period_us", "50000\n" } }, 5 },
	{ "version 1, no limit", "4:cpu:/a\n",
	    { { "cpu/a/cpu.cfs_quota_us", "-1\n" },
	      { "cpu/a/cpu.cfs_period_us", "100000\n" } }, 0 },
	{ "version 1, the container's own mount", "4:cpu:/docker/0123\n",
	    { { "cpu/cpu.cfs_quota_us", "600000\n" },
	      { "cpu/cpu.cfs_period_us", "100000\n" } }, 6 },
	{ "another controller", "4:cpuset:/a\n",
	    { { "cpu/a/cpu.cfs_quota_us", "250000\n" },
	      { "cpu/a/cpu.cfs_period_us", "50000\n" } }, 0 },
	{ "both versions", "4:cpu:/a\n0::/b\n",
	    { { "cpu/a/cpu.cfs_quota_us", "500000\n" },
	      { "cpu/a/cpu.cfs_period_us", "100000\n" },
	      { "unified/b/cpu.max", "300000 100000\n" } }, 3 },
	{ "nonsense", "0::/a\nx\n:\n::\n",
	    { { "a/cpu.max", "lots\n" } }, 0 },
};

static void
make_folders(char *path)
{
	for (char *at = path + 1; (at = strchr(at, '/')) != NULL; at++) {
		*at = '\0';
		mkdir(path, 0700);
		*at = '/';
	}
}

static void
make_file(const char *root, const char *folder, const char *name,
    const char *text)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s%s/%s", root, folder, name);
	make_folders(path);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

static void
test_quota(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		char root[] = "/tmp/weir-test-cpu-XXXXXX";
		unsigned got;

		assert_non_null(mkdtemp(root));
		if (rows[i].cgroup != NULL)
			make_file(root, "/proc/self", "cgroup",
			    rows[i].cgroup);
		for (unsigned j = 0; j < FILES_MAX &&
		     rows[i].files[j].path != NULL; j++)
			make_file(root, "/sys/fs/cgroup",
			    rows[i].files[j].path, rows[i].files[j].text);
		got = proc_cpu_quota(root);
		nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
		if (got != rows[i].want)
			fail_msg("%s: %u", rows[i].name, got);
	}
}

static void
test_affinity(void **state)
{
	cpu_set_t before, one;

	(void)state;
	assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
	assert_true(proc_cpu_count() <= (unsigned)CPU_COUNT(&before));
	CPU_ZERO(&one);
	for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (CPU_ISSET(cpu, &before)) {
			CPU_SET(cpu, &one);
			break;
		}
	}
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	assert_int_equal(proc_cpu_count(), 1);
	sched_setaffinity(0, sizeof(before), &before);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_quota),
		cmocka_unit_test(test_affinity),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

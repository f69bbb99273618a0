/* SPDX-License-Identifier: BSD-2-Clause */
/* proc_cpu - affinity, and the CPU quota of control groups. */
#include "os/proc_cpu.h"

#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/span.h"

enum { CPUS_MAX = 8192 };

/* The start of a file, as text; -1 if it cannot be read. */
static int
read_file(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -1;
	n = read(fd, text, size - 1);
	close(fd);
	if (n < 0)
		return -1;
	text[n] = '\0';
	return 0;
}

static unsigned
affinity(void)
{
	cpu_set_t *set = CPU_ALLOC(CPUS_MAX);
	size_t size = CPU_ALLOC_SIZE(CPUS_MAX);
	int count = 0;

	if (set == NULL)
		return 1;
	if (sched_getaffinity(0, size, set) == 0)
		count = CPU_COUNT_S(size, set);
	CPU_FREE(set);
	return count > 0 ? (unsigned)count : 1;
}

/* Whole CPUs that quota in period is worth, rounded up; 0 = no quota. */
static unsigned
whole_cpus(const char *quota, const char *period)
{
	long long q = strtoll(quota, NULL, 10);
	long long p = strtoll(period, NULL, 10);

	if (q <= 0 || p <= 0)
		return 0;
	q = (q + p - 1) / p;
	return q < CPUS_MAX ? (unsigned)q : CPUS_MAX;
}

/* Version 2: "max 100000" or "150000 100000". */
static unsigned
quota_v2(const char *folder)
{
	char path[4096], text[128];
	const char *space;

	if (snprintf(path, sizeof(path), "%s/cpu.max", folder) >=
	    (int)sizeof(path) || read_file(path, text, sizeof(text)) != 0)
		return 0;
	space = strchr(text, ' ');
	return space != NULL ? whole_cpus(text, space + 1) : 0;
}

static unsigned
quota_v1(const char *folder)
{
	char path[4096], quota[64], period[64];

	if (snprintf(path, sizeof(path), "%s/cpu.cfs_quota_us", folder) >=
	    (int)sizeof(path) || read_file(path, quota, sizeof(quota)) != 0)
		return 0;
	if (snprintf(path, sizeof(path), "%s/cpu.cfs_period_us", folder) >=
	    (int)sizeof(path) || read_file(path, period, sizeof(period)) != 0)
		return 0;
	return whole_cpus(quota, period);
}

static unsigned
least(unsigned a, unsigned b)
{
	if (a == 0 || b == 0)
		return a + b;
	return a < b ? a : b;
}

/* The least quota of group and of all above it, up to the mount. */
static unsigned
least_upwards(const char *mount, const char *group,
    unsigned (*quota)(const char *folder))
{
	char folder[4096];
	size_t mount_len = strlen(mount);
	unsigned result = 0;

	if (snprintf(folder, sizeof(folder), "%s%s", mount, group) >=
	    (int)sizeof(folder))
		return 0;
	for (;;) {
		char *slash;

		result = least(result, quota(folder));
		slash = strrchr(folder, '/');
		if (slash == NULL || (size_t)(slash - folder) < mount_len)
			return result;
		*slash = '\0';
	}
}

/* Does the comma-separated list of controllers name "cpu"? */
static bool
has_cpu(const char *list, size_t len)
{
	struct span rest = span_of(list, len), item;

	while (span_next_item(&rest, &item)) {
		if (span_eq(item, SPAN("cpu")))
			return true;
	}
	return false;
}

/* One line of /proc/self/cgroup: "0::/group" or "4:cpu,cpuacct:/group". */
static unsigned
quota_of_line(const char *root, char *line)
{
	static const char *const mounts_v1[] = { "cpu", "cpu,cpuacct",
		"cpuacct,cpu" };
	char *list = strchr(line, ':');
	char *group = list != NULL ? strchr(list + 1, ':') : NULL;
	char mount[4096];
	unsigned result = 0;

	if (group == NULL)
		return 0;
	list++;
	group++;
	if (group == list + 1) {
		snprintf(mount, sizeof(mount), "%s/sys/fs/cgroup", root);
		result = least_upwards(mount, group, quota_v2);
		snprintf(mount, sizeof(mount), "%s/sys/fs/cgroup/unified",
		    root);
		return least(result, least_upwards(mount, group, quota_v2));
	}
	if (!has_cpu(list, (size_t)(group - list) - 1))
		return 0;
	for (unsigned i = 0; i < 3; i++) {
		snprintf(mount, sizeof(mount), "%s/sys/fs/cgroup/%s", root,
		    mounts_v1[i]);
		result = least(result,
		    least_upwards(mount, group, quota_v1));
	}
	return result;
}

unsigned
proc_cpu_quota(const char *root)
{
	char path[4096], text[16384];
	char *state = NULL;
	unsigned result = 0;

	if (snprintf(path, sizeof(path), "%s/proc/self/cgroup", root) >=
	    (int)sizeof(path) || read_file(path, text, sizeof(text)) != 0)
		return 0;
	for (char *line = strtok_r(text, "\n", &state); line != NULL;
	     line = strtok_r(NULL, "\n", &state))
		result = least(result, quota_of_line(root, line));
	return result;
}

unsigned
proc_cpu_count(void)
{
	return least(affinity(), proc_cpu_quota(""));
}

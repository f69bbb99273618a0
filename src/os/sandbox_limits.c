/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sandbox_limits - what a process may use of the system's resources.
 *
 * Only limits that no part of serving can meet are set by themselves: it locks
 * no memory, makes no message queues and asks for no better place among other
 * processes.  Not set are those that it would meet one day: RLIMIT_NPROC counts
 * the threads of all processes of the account, RLIMIT_FSIZE ends with the logs,
 * RLIMIT_STACK is the size of each thread's.
 */
#include <errno.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/error.h"
#include "os/sandbox_private.h"

/* glibc has an enum where POSIX has an int. */
#ifdef __GLIBC__
typedef __rlimit_resource_t limit_kind;
#else
typedef int limit_kind;
#endif

/* Of a hard limit nothing is given away: a lower one stays. */
static int
set(limit_kind what, rlim_t most, const char *name, struct error *err)
{
	struct rlimit limit = { 0, 0 };

	if (getrlimit(what, &limit) != 0 ||
	    limit.rlim_max > most)
		limit.rlim_max = most;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(what, &limit) != 0)
		return error_set_errno(err, errno, "setting the limit of %s "
		    "to %llu", name, (unsigned long long)limit.rlim_max);
	return 0;
}

/* Root may have more than it has. */
static int
set_files(uint64_t most, struct error *err)
{
	struct rlimit limit = { most, most };

	if (geteuid() != 0)
		return set(RLIMIT_NOFILE, most, "descriptors", err);
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
		return error_set_errno(err, errno, "setting the limit of "
		    "descriptors to %llu", (unsigned long long)most);
	return 0;
}

int
sandbox_limits_set(const struct sandbox *s, struct error *err)
{
	static const struct {
		limit_kind what;
		const char *name;
	} none[] = {
		{ RLIMIT_MEMLOCK, "locked memory" },
		{ RLIMIT_MSGQUEUE, "message queues" },
		{ RLIMIT_NICE, "priority" },
		{ RLIMIT_RTPRIO, "real-time priority" },
	};

	for (size_t i = 0; i < sizeof(none) / sizeof(*none); i++) {
		if (set(none[i].what, 0, none[i].name, err) != 0)
			return -1;
	}
	if (s->files_max > 0 && set_files(s->files_max, err) != 0)
		return -1;
	/* Sanitizers map more than a machine has. */
	if (s->memory_max > 0 && !SANDBOX_IS_SANITIZED &&
	    set(RLIMIT_DATA, s->memory_max, "private memory", err) != 0)
		return -1;
	return set(RLIMIT_CORE, s->may_dump ? RLIM_INFINITY : 0,
	    "core dumps", err);
}

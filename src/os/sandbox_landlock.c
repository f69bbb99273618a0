/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sandbox_landlock - file system access, by landlock(7).
 *
 * Raw system calls, and numbers of our own: the headers of a build may be older
 * than the kernel that it runs on.  Only rights that are known here are taken
 * away; connecting to Unix sockets is none of them, so backends that are named
 * by path go on working.  Rules hang on what a path names when they are made,
 * so a rule on a folder outlives files in it that are replaced.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/error.h"
#include "os/sandbox_private.h"

#ifndef __NR_landlock_create_ruleset
#define __NR_landlock_create_ruleset 444
#define __NR_landlock_add_rule 445
#define __NR_landlock_restrict_self 446
#endif

#define RIGHT(n) (UINT64_C(1) << (n))

enum { CREATE_VERSION = 1, RULE_PATH_BENEATH = 1 };

static const uint64_t right_write_file = RIGHT(1);
static const uint64_t right_read_file = RIGHT(2);
static const uint64_t right_read_dir = RIGHT(3);
static const uint64_t right_remove_dir = RIGHT(4);
static const uint64_t right_remove_file = RIGHT(5);
static const uint64_t right_make_dir = RIGHT(7);
static const uint64_t right_make_file = RIGHT(8);
static const uint64_t right_refer = RIGHT(13);
static const uint64_t right_truncate = RIGHT(14);
static const uint64_t scope_signal = RIGHT(1);

struct ruleset_attr {
	uint64_t fs;
	uint64_t net;
	uint64_t scoped;
};

struct path_attr {
	uint64_t allowed;
	int32_t parent_fd;
} __attribute__((packed));

/* What is there to read for any process that serves. */
static const struct sandbox_path for_all[] = {
	{ "/dev/null", true },
	{ "/dev/urandom", false },
	{ "/etc/localtime", false },
	{ "/usr/share/zoneinfo", false },
	{ "/proc/self", false },
	{ "/sys/devices/system/cpu", false },
};

/* And for names: the resolver's files, which may be links out of /etc. */
static const struct sandbox_path for_names[] = {
	{ "/etc", false },
	{ "/run/systemd/resolve", false },
	{ "/run/resolvconf", false },
	{ "/run/NetworkManager", false },
	{ "/usr/lib", false },
	{ "/usr/lib64", false },
	{ "/lib", false },
	{ "/lib64", false },
};

int
sandbox_landlock_version(void)
{
	long version = syscall(__NR_landlock_create_ruleset, NULL, 0,
	    CREATE_VERSION);

	return version > 0 ? (int)version : 0;
}

/* All rights over files that this version knows, by which they are denied. */
static uint64_t
known_rights(int version)
{
	unsigned bits = version >= 5 ? 16 : version >= 3 ? 15
	    : version >= 2 ? 14 : 13;

	return RIGHT(bits) - 1;
}

/* A path that is not there needs no rule. */
static int
allow(int ruleset, const struct sandbox_path *p, uint64_t known)
{
	uint64_t of_files = right_read_file |
	    (p->is_writable ? right_write_file | right_truncate : 0);
	uint64_t of_dirs = right_read_dir | (p->is_writable
	    ? right_remove_dir | right_remove_file | right_make_dir |
	    right_make_file | right_refer : 0);
	struct path_attr attr = { .allowed = of_files };
	struct stat st;
	int status = 0;

	attr.parent_fd = open(p->path, O_PATH | O_CLOEXEC);
	if (attr.parent_fd < 0)
		return 0;
	if (fstat(attr.parent_fd, &st) == 0 && S_ISDIR(st.st_mode))
		attr.allowed |= of_dirs;
	attr.allowed &= known;
	if (syscall(__NR_landlock_add_rule, ruleset, RULE_PATH_BENEATH, &attr,
	    0) != 0)
		status = -1;
	close(attr.parent_fd);
	return status;
}

static int
allow_all(int ruleset, const struct sandbox_path *paths, size_t count,
    uint64_t known, struct error *err)
{
	for (size_t i = 0; i < count; i++) {
		if (allow(ruleset, &paths[i], known) != 0)
			return error_set_errno(err, errno, "landlock: "
			    "allowing %s", paths[i].path);
	}
	return 0;
}

/* The kernel writes a core as the process that died. */
static const struct sandbox_path for_dumps[] = {
	{ ".", true },
};

int
sandbox_landlock_enter(const struct sandbox *s, struct error *err)
{
	int version = sandbox_landlock_version();
	uint64_t known = known_rights(version);
	struct ruleset_attr attr = { .fs = known,
		.scoped = version >= 6 ? scope_signal : 0 };
	size_t bytes = version >= 6 ? sizeof(attr) : sizeof(attr.fs);
	int ruleset = (int)syscall(__NR_landlock_create_ruleset, &attr, bytes,
	    0);
	int status = -1;

	if (ruleset < 0)
		return error_set_errno(err, errno, "landlock: making rules");
	if (allow_all(ruleset, for_all, sizeof(for_all) / sizeof(*for_all),
	    known, err) != 0 ||
	    (s->resolves_names && allow_all(ruleset, for_names,
	    sizeof(for_names) / sizeof(*for_names), known, err) != 0) ||
	    (s->may_dump && allow_all(ruleset, for_dumps, 1, known, err) !=
	    0) || allow_all(ruleset, s->paths, s->path_count, known, err) != 0)
		goto fail;
	if (syscall(__NR_landlock_restrict_self, ruleset, 0) != 0) {
		error_set_errno(err, errno, "landlock: enforcing rules");
		goto fail;
	}
	status = 0;
fail:
	close(ruleset);
	return status;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sandbox - what a process gives up before it reads a byte from the network.
 *
 * Always: another account, capabilities, new rights by execution, core dumps,
 * and resources that serving has no use for.  On top of that, by level:
 *
 *	basic	programs and other processes: no exec, no ptrace, and none of
 *		the calls that administer the system
 *	strict	a list of the system calls that serving needs, all others answer
 *		ENOSYS; and the file system but for a few places (Landlock)
 *
 * What the kernel or the build does not have is left out, and the description
 * says so.
 */
#ifndef OS_SANDBOX_H
#define OS_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;
struct proc_account;
struct str;

enum sandbox_level {
	SANDBOX_AUTO, /* the strongest that suits this build */
	SANDBOX_OFF,
	SANDBOX_BASIC,
	SANDBOX_STRICT,
};

/* A place in the file system that stays of use under "strict". */
struct sandbox_path {
	const char *path; /* a file, or a folder with all in it */
	bool is_writable; /* files may be made and removed there, too */
};

struct sandbox {
	const struct proc_account *account; /* NULL: stay who we are */
	const char *root;      /* the only part of the tree to be seen; or NULL */
	enum sandbox_level level;
	bool resolves_names;   /* reads what resolvers read, below /etc */
	bool is_closed;        /* opens nothing: no network, no files */
	bool may_dump;         /* a crash may leave a core */
	uint64_t files_max;    /* descriptors; 0 = as it is */
	uint64_t memory_max;   /* private, in bytes; 0 = as it is */
	const struct sandbox_path *paths; /* beyond what all need */
	size_t path_count;
};

/*
 * For good.  -1 and err on failure; the process must then end.  root needs the
 * rights of root, and is left out without.  A level other than "auto" that the
 * kernel refuses is a failure.
 */
int sandbox_enter(const struct sandbox *s, struct error *err)
    __attribute__((warn_unused_result));

/* A core dump of this process would hold secrets: leave none. */
void sandbox_forbid_dumps(void);

/* What "auto" is here. */
enum sandbox_level sandbox_level_of(enum sandbox_level level);
/*
 * In words what sandbox_enter() will do here and what it cannot: "strict: user
 * weir, no capabilities, system calls filtered, files by Landlock 7".
 */
void sandbox_describe(const struct sandbox *s, struct str *out);

#endif

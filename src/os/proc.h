/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * proc - what a process is to the system: its name, its limits, its account,
 * and how it leaves the terminal.
 */
#ifndef OS_PROC_H
#define OS_PROC_H

#include <stdint.h>
#include <sys/types.h>

struct error;

enum { PROC_GROUPS_MAX = 64 };

/* Who a process shall be. */
struct proc_account {
	char user[64];
	uid_t uid;
	gid_t gid;
	gid_t groups[PROC_GROUPS_MAX]; /* supplementary, gid among them */
	int group_count;
};

/*
 * Keep argv's place for titles; first thing in main.  argv and the environment
 * are moved away from there and stay of use: *argv is set anew.
 */
void proc_title_init(int argc, char ***argv);
/*
 * The title is what ps shows: "weir: worker 3".  name: what top and pgrep go
 * by, of which 15 bytes count; NULL = as it is.
 */
void proc_title_set(const char *name, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Raise the soft limit of descriptors to the hard one; returns the limit. */
uint64_t proc_raise_descriptors(void);

/*
 * Look up user and group (NULL: the user's own).  -1 and err if there is none
 * of that name, or if it is root.
 */
int proc_account_find(struct proc_account *a, const char *user,
    const char *group, struct error *err)
    __attribute__((warn_unused_result));

/*
 * Numbers of a user and a group, given by name or as numbers; NULL is -1, which
 * chown(2) takes for "as it is".  -1 and err if there is none of that name.
 */
int proc_owner_find(uid_t *uid, gid_t *gid, const char *user,
    const char *group, struct error *err)
    __attribute__((warn_unused_result));

/*
 * Leave session and terminal by a double fork.  Returns 0 in the daemon, and
 * in the caller the first child's pid, which is to be waited for; -1 with
 * errno on failure.
 */
pid_t proc_detach(void);

#endif

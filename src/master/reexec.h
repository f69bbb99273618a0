/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reexec - starting the program on disk as this one was started: the same
 * arguments, environment and directory, and one end of a conversation.
 *
 * The path is found when weir starts, because later /proc/self/exe names a file
 * that an installation has replaced.
 */
#ifndef MASTER_REEXEC_H
#define MASTER_REEXEC_H

#include <sys/types.h>

struct error;
struct str;

struct reexec {
	char *path;      /* absolute */
	char **argv;     /* borrowed */
	char *directory; /* NULL = unknown */
};

/* First thing in main, before anybody changes the directory. */
void reexec_init(struct reexec *r, char **argv);
void reexec_fini(struct reexec *r);
/*
 * Fork and execute, with a copy of fd as the end that reexec_inherited() finds
 * there.  The new process's pid; -1 and err on failure.  What cannot be
 * executed says so over fd (HANDOVER_FAILED) and ends with status 127.
 *
 * exit_fd: NULL, or the new process shall be our parent's child: a service
 * manager waits only for its own.  Then *exit_fd gets readable when it ends; -1
 * where the kernel has no such thing, and it is our own child.
 */
pid_t reexec_start(const struct reexec *r, int fd, int *exit_fd,
    struct error *err)
    __attribute__((warn_unused_result));
/* The end that a predecessor left us, -1 = none; asked once. */
int reexec_inherited(void);

#endif

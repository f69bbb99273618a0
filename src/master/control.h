/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * control - the control socket: one line with a command comes in, one line of
 * JSON goes out, and the connection is closed.
 *
 * Commands about processes are rows of the master's table; the others are
 * passed, connection and all, to the background process.  Nothing here waits:
 * a connection that stays silent, or whose reader is slow, is given up.
 */
#ifndef MASTER_CONTROL_H
#define MASTER_CONTROL_H

#include "base/command.h"

struct control;
struct error;
struct loop;

struct control_config {
	struct loop *loop;
	const char *path;
	unsigned mode;     /* of the file */
	const char *owner; /* of the file; NULL = as created */
	const char *group;
	int adopt_fd;      /* a predecessor's listening socket, or -1 */
	const struct command *rows;
	void *arg;         /* of the rows and of pass_on */
	/*
	 * A command that no row has, to the background process: 0, or -1 and
	 * err.  fd stays the caller's.
	 */
	int (*pass_on)(void *arg, int fd, struct span line,
	    struct error *err);
};

/*
 * A stale socket file is replaced; one where somebody answers is refused.
 * NULL and err on failure.  Takes adopt_fd.
 */
struct control *control_open(const struct control_config *config,
    struct error *err);
/* Answers that have not been read are cut, the file is removed if ours. */
void control_close(struct control *c);
/* The listening socket, for a successor; -1 = none. */
int control_fd(const struct control *c);
/* It is the successor's now: those who wait for an answer still get it. */
void control_release(struct control *c);
/* In a forked process: closed and freed, without the loop.  NULL is fine. */
void control_forget(struct control *c);

#endif

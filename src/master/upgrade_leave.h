/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * upgrade_leave - what an upgrade means to the master who leaves: QUIT, USR2,
 * and what becomes of them.
 */
#ifndef MASTER_UPGRADE_LEAVE_H
#define MASTER_UPGRADE_LEAVE_H

#include <stdbool.h>
#include <sys/types.h>

#include "master/upgrade_give.h"

struct master;

void upgrade_leave_on_quit(struct master *m);
void upgrade_leave_on_usr2(struct master *m);
/*
 * What came while all still started, or while too many generations drained, is
 * begun if it may be.
 */
void upgrade_leave_continue(struct master *m);
/*
 * True from QUIT or USR2, also one that has to wait, until it is known what
 * became of it.
 */
bool upgrade_leave_is_running(const struct master *m);
/* What waitpid() said; false if it is none of ours. */
bool upgrade_leave_on_exit(struct master *m, pid_t pid, int status);
/* We stop ourselves: who comes is left alone. */
void upgrade_leave_cancel(struct master *m);
/* The pid of the one who has taken over, 0 = nobody has. */
pid_t upgrade_leave_successor(const struct master *m);
/* See struct upgrade_give_config; arg is the master. */
void upgrade_leave_on_result(void *arg, enum upgrade_give_result result,
    const char *why);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * control_cmds - the commands that the master answers itself: those about
 * processes, configuration and logs.
 */
#ifndef MASTER_CONTROL_CMDS_H
#define MASTER_CONTROL_CMDS_H

#include "base/command.h"

struct error;
struct master;

/* arg: struct master. */
extern const struct command control_cmds[];
/* For control_config: to the background process that serves; arg as above. */
int control_cmds_pass_on(void *arg, int fd, struct span line,
    struct error *err) __attribute__((warn_unused_result));

/* An upgrade is over: who asked for it is told.  why NULL: all is given. */
void control_cmds_on_upgrade(struct master *m, const char *why);

#endif

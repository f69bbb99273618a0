/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * commands - control commands that are not about processes.
 *
 * The master reads the line of a control connection; a command that it does
 * not know comes here with the descriptor.  Whoever has something to ask or to
 * change in the background process offers a table of rows (base/command.h) and
 * registers it in start_tasks() of background.c.  Names must differ from those
 * of the master (master/control_cmds.c).
 */
#ifndef BACKGROUND_COMMANDS_H
#define BACKGROUND_COMMANDS_H

#include <stddef.h>

#include "base/command.h"

struct commands;
struct loop;

struct commands *commands_new(struct loop *loop);
/* What was being answered is cut; NULL is fine. */
void commands_free(struct commands *c);
/* Borrows rows, which end with name NULL; arg is what their calls get. */
void commands_add(struct commands *c, const struct command *rows, void *arg);
/*
 * A connection and the line that came on it: answered.  Takes fd.
 * A call that returned COMMAND_LATER is answered by reply_answer() (os/reply.h).
 */
void commands_serve(struct commands *c, int fd, struct span line);

#endif

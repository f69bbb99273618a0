/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * upgrade_come - what an upgrade means to the master who comes: with -u,
 * started by the one who leaves, or by a plain start that finds orphans.
 */
#ifndef MASTER_UPGRADE_COME_H
#define MASTER_UPGRADE_COME_H

#include <stdbool.h>

#include "master/upgrade_take.h"

struct error;
struct master;

/* True if there is somebody to take over from; asks for orphans. */
bool upgrade_come_is_successor(struct master *m);
/*
 * Begin to wait for the predecessor; what follows is master_start().  -1 and
 * err on failure.
 */
int upgrade_come_wait(struct master *m, struct error *err)
    __attribute__((warn_unused_result));
/* All our processes serve: false if we have to wait for the last word. */
bool upgrade_come_on_ready(struct master *m);
/* We fail before all is ours: the predecessor is told why. */
void upgrade_come_on_failed(struct master *m, const char *why);
/*
 * True while one that we took over from may have processes: they count in
 * slots that are in use for our successor as well.
 */
bool upgrade_come_has_predecessor(const struct master *m);
/* The same, and its end is to be awaited: orphans had not time enough yet. */
bool upgrade_come_is_waiting(const struct master *m);
/* True before all is ours, and files and sockets are still another's. */
bool upgrade_come_is_provisional(const struct master *m);
/* See struct upgrade_take_config; arg is the master. */
void upgrade_come_on_event(void *arg, enum upgrade_take_event event,
    const char *why);
/* Orphans who were busy are asked again. */
void upgrade_come_on_again(struct deadline *d);
/* The predecessor has counted on. */
void upgrade_come_on_sync(struct deadline *d);
/* Orphans had time enough. */
void upgrade_come_on_orphans_end(struct deadline *d);
/* All orphans have gone. */
void upgrade_come_on_forget(struct deadline *d);

#endif

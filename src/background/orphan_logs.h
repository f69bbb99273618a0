/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * orphan_logs - log lines when the master and the background process are both
 * dead: a worker that is left writes the rings, its own and those of the dead.
 *
 * The lock on the zone of the rings says whose turn it is, as among background
 * processes; who is left asks for it now and then.  After a rotation (USR1) a
 * worker has the old files still, and writes there.
 */
#ifndef BACKGROUND_ORPHAN_LOGS_H
#define BACKGROUND_ORPHAN_LOGS_H

struct loop;
struct orphan_logs;
struct shared;

/* In a worker, once the master has died; process: its slot. */
struct orphan_logs *orphan_logs_start(struct shared *shared,
    struct loop *loop, unsigned process);
/* The worker ends: what can be written is.  NULL is fine. */
void orphan_logs_stop(struct orphan_logs *o);

#endif

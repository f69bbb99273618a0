/* SPDX-License-Identifier: BSD-2-Clause */
/* master_start - the start, from settings to processes. */
#ifndef MASTER_MASTER_START_H
#define MASTER_MASTER_START_H

struct error;
struct master;

/* Open what serving needs and fork; failures are told, and end it. */
void master_start(struct master *m);
/*
 * Open the control socket.  Default paths may be an other instance's: one goes
 * without then.  -1 and err on failure.
 */
int master_start_control(struct master *m, struct error *err)
    __attribute__((warn_unused_result));

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/* master_signals - the signals of the master. */
#ifndef MASTER_MASTER_SIGNALS_H
#define MASTER_MASTER_SIGNALS_H

struct error;
struct master;

/* -1 and err on failure. */
int master_signals_start(struct master *m, struct error *err)
    __attribute__((warn_unused_result));

#endif

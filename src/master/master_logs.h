/* SPDX-License-Identifier: BSD-2-Clause */
/* master_logs - the log outputs of the master. */
#ifndef MASTER_MASTER_LOGS_H
#define MASTER_MASTER_LOGS_H

struct master;

/* The log goes where the configuration that serves says. */
void master_logs_use(struct master *m);
/* Said in the log, and to whoever waits and does not see the log. */
void master_logs_say_failure(const struct master *m, const char *why);
/* As USR1 does. */
void master_logs_reopen(struct master *m);

#endif

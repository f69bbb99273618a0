/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * master - the process that starts the others and keeps them.
 *
 * It binds, forks, watches and answers signals; it never reads a byte from the
 * network, and has one thread.
 */
#ifndef MASTER_MASTER_H
#define MASTER_MASTER_H

#include <stdbool.h>

#include "site/boot.h"

struct generation_source;
struct metric_set;
struct orphan_logs;
struct reexec;
struct shared;

struct master_boot {
	struct generation *generation; /* loaded; the master's from here on */
	const struct generation_source *source; /* for reloads */
	const char *conf_name;         /* for the title */
	const char *version;
	/* Counters of the other processes; ends with NULL. */
	const struct metric_set *const *metric_sets;
	const struct reexec *program; /* for USR2 */
	bool is_upgrade;              /* -u */
	int handover_fd; /* a predecessor has started us; -1 = no */
	process_main_fn *worker_main;
	process_main_fn *background_main;
	process_main_fn *signer_main;
	/* In a worker without a master, see background/orphan_logs.h. */
	struct orphan_logs *(*orphan_logs_start)(struct shared *shared,
	    struct loop *loop, unsigned process);
	void (*orphan_logs_stop)(struct orphan_logs *logs);
};

/*
 * Start, serve until told to stop, end.  With `daemon` set it returns in the
 * caller as well, once it is known how the start went.  Returns the exit
 * status.
 */
int master_run(const struct master_boot *boot);

#endif

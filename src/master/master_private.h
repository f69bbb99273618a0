/* SPDX-License-Identifier: BSD-2-Clause */
/* master_private - the master's state, for the files of src/master only. */
#ifndef MASTER_MASTER_PRIVATE_H
#define MASTER_MASTER_PRIVATE_H

#include <stdbool.h>
#include <stdint.h>

#include "master/daemonize.h"
#include "master/generations.h"
#include "master/given.h"
#include "master/master.h"
#include "master/pidfile.h"
#include "master/reload.h"
#include "master/service.h"
#include "master/upgrade.h"
#include "os/deadline.h"
#include "os/exe.h"
#include "os/logtarget.h"
#include "os/proc.h"
#include "os/signals.h"
#include "site/generation.h"

struct control;
struct reply;
struct shared;

enum master_state {
	MASTER_WAITING,  /* for a predecessor that hands over */
	MASTER_STARTING, /* not all processes have said that they serve */
	MASTER_SERVING,
	MASTER_LEAVING,  /* serves on, for shutdown_delay */
	MASTER_DRAINING, /* workers finish what they have */
	MASTER_STOPPING, /* workers were told to end at once */
	MASTER_ENDING,   /* no worker is left; the last log lines */
	MASTER_FORWARDING, /* as process 1: signals go to the successor */
};

struct master {
	const struct master_boot *boot;
	struct generation_source source; /* of the next reload */
	const struct settings *settings; /* of the generation that serves */
	struct generation *waiting; /* loaded, and nobody else's yet */
	struct loop *loop;
	struct signals signals;
	struct deadline deadline; /* of the state */
	struct deadline tend;     /* generation_tend() */
	struct daemonize daemonize;
	struct pidfile pidfile;
	struct service service;
	struct given given; /* sockets, until the first generation */
	struct upgrade upgrade;
	struct control *control;   /* NULL = there is none */
	struct reply *upgrade_waiter; /* is told how it went; or NULL */
	struct reply *stop_waiter; /* is told once all have ended; or NULL */
	struct exe exe;
	struct proc_account account;
	struct logtarget_output log_output;
	struct shared *shared;
	struct generations generations;
	struct reload reload;
	int directory_fd; /* where weir was started */
	bool is_in_directory; /* and has gone to its working_directory */
	int lifeline[2];
	enum master_state state;
	int exit_status;
	uint64_t started_ms; /* monotonic */
	uint64_t started_wall_ms;
};

/* As INT (now) and TERM do: end at once, or drain and end. */
void master_stop(struct master *m, bool now);
/* All processes serve, and are ours to keep. */
void master_serve(struct master *m);
/* A start that cannot succeed: said in the log, and to whoever waits. */
void master_fail(struct master *m, const char *why);
/*
 * A successor has taken over: drain, and leave it what is its own.  gone: see
 * generations_leave().
 */
void master_leave(struct master *m, const uint8_t *gone);
/*
 * What systemctl status shows: it serves.  is_end: a start, a reload or an
 * upgrade is over.
 */
void master_tell_service(struct master *m, bool is_end);
/* The next state once nobody is left whom this one waits for. */
void master_check_ended(struct master *m);
/* The state ends then. */
void master_set_deadline(struct master *m, uint64_t after_ms);

#endif

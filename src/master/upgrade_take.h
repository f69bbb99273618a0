/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * upgrade_take - the coming side of an upgrade.
 *
 *	WAITING -> RECEIVING -> STARTING -> READY -> TAKEN -> OVER
 *
 * With -u it waits at upgrade_sock for the running instance; started by that
 * one it has a connection from the beginning.  Until TAKEN the predecessor
 * serves, and takes back everything when this one fails.
 */
#ifndef MASTER_UPGRADE_TAKE_H
#define MASTER_UPGRADE_TAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "master/estate.h"
#include "master/handover.h"
#include "os/deadline.h"

struct error;

enum upgrade_take_event {
	UPGRADE_TAKE_ESTATE, /* t->estate is there: start with it */
	UPGRADE_TAKE_TAKEN,  /* all is ours: the pid file, the service; who
	                        cannot says so by upgrade_take_fail() */
	UPGRADE_TAKE_FAILED, /* why says what: end, with all processes */
	UPGRADE_TAKE_GONE,   /* after TAKEN: the predecessor has ended, or was
	                        killed: see has_ended */
};

struct upgrade_take_config {
	struct loop *loop;
	const char *sock_path;
	uint64_t timeout_ms; /* how long to wait for a predecessor */
	const char *version; /* of weir */
	void (*on_event)(void *arg, enum upgrade_take_event event,
	    const char *why);
	void *arg;
};

enum upgrade_take_state {
	TAKE_NONE,      /* this is no upgrade */
	TAKE_WAITING,   /* nobody has come */
	TAKE_RECEIVING, /* the manifest is not whole */
	TAKE_STARTING,  /* our processes start */
	TAKE_READY,     /* all serve; the predecessor is to say the word */
	TAKE_TAKEN,     /* ours; the predecessor drains */
	TAKE_OVER,
};

struct upgrade_take {
	struct upgrade_take_config config;
	enum upgrade_take_state state;
	int door_fd;            /* listens at upgrade_sock */
	struct loop_watch door; /* while nobody is there */
	bool was_invited;       /* by a connection from the start */
	bool was_refused;       /* in words, before anything came */
	bool has_ended;         /* it, with all its processes */
	struct handover talk;
	struct deadline deadline;
	uint64_t wait_until_ms;
	struct estate estate;
};

void upgrade_take_init(struct upgrade_take *t,
    const struct upgrade_take_config *config);
/* Wait at upgrade_sock; fd >= 0: for the one at the other end (takes fd). */
int upgrade_take_start(struct upgrade_take *t, int fd, struct error *err)
    __attribute__((warn_unused_result));
void upgrade_take_stop(struct upgrade_take *t);
/* In a forked process. */
void upgrade_take_forget(struct upgrade_take *t);
/* True until all is ours: a failure is to be told and to end us. */
bool upgrade_take_is_running(const struct upgrade_take *t);
/* All processes serve; kept: numbers of the listeners that we go on with. */
void upgrade_take_ready(struct upgrade_take *t, const uint32_t *kept,
    size_t count);
/* We cannot: the predecessor is to log why. */
void upgrade_take_fail(struct upgrade_take *t, const char *why);

#endif

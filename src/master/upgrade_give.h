/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * upgrade_give - the leaving side of an upgrade.
 *
 *	IDLE -> CONNECTING -> GREETING -> SENDING -> COMMITTING -> GIVEN -> OVER
 *
 * QUIT looks for a successor at upgrade_sock, again and again for five
 * seconds; USR2 starts one.  Whatever fails before the successor has taken
 * over leads back to IDLE, and is told once.
 */
#ifndef MASTER_UPGRADE_GIVE_H
#define MASTER_UPGRADE_GIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "master/handover.h"
#include "master/manifest.h"
#include "os/deadline.h"
#include "os/loop.h"

struct error;
struct reexec;

enum { UPGRADE_GIVE_CONNECT_MS = 5000 }; /* QUIT waits so long for -u */

enum upgrade_give_result {
	UPGRADE_GIVE_DONE,   /* the successor has taken over: drain */
	UPGRADE_GIVE_FAILED, /* why says what; serve on */
	UPGRADE_GIVE_NOBODY, /* nobody waits at upgrade_sock */
	UPGRADE_GIVE_FOLLOWED, /* after DONE: another has its place now */
	UPGRADE_GIVE_GONE,   /* after DONE: the successor has ended */
};

struct upgrade_give_config {
	struct loop *loop;
	const char *sock_path;
	uint64_t timeout_ms; /* until it must be ready */
	const char *version; /* of weir */
	const struct reexec *program;
	bool has_manager; /* the successor is to be its child, not ours */
	/* Everything that is to be handed over; lends the descriptors. */
	void (*collect)(void *arg, struct manifest *m);
	/* DONE: kept are the numbers of the listeners that it goes on with. */
	void (*on_result)(void *arg, enum upgrade_give_result result,
	    const char *why);
	void *arg;
};

enum upgrade_give_state {
	GIVE_IDLE,
	GIVE_CONNECTING, /* nobody waits there yet */
	GIVE_GREETING,   /* it has not said hello */
	GIVE_SENDING,    /* it takes, and starts */
	GIVE_COMMITTING, /* it was told that all is its own */
	GIVE_GIVEN,      /* it serves */
	GIVE_OVER,       /* it has ended */
};

struct upgrade_give {
	struct upgrade_give_config config;
	enum upgrade_give_state state;
	struct handover talk;
	struct manifest manifest;
	struct deadline retry;
	struct deadline deadline;
	uint64_t connect_until_ms;
	pid_t successor;    /* 0 = unknown; the last that followed */
	int exit_status;    /* of it, as a shell says it; GIVE_OVER */
	bool is_our_child;  /* the successor was started here */
	struct loop_watch exit; /* of it, where we are not its parent */
	bool has_why;
	char why[1024];     /* the first reason that was given */
	uint32_t *kept;     /* numbers of listeners, see READY */
	size_t kept_count;
};

void upgrade_give_init(struct upgrade_give *g,
    const struct upgrade_give_config *config);
/* In whatever state; the successor notices by itself. */
void upgrade_give_stop(struct upgrade_give *g);
/* In a forked process: the conversation is the master's alone. */
void upgrade_give_forget(struct upgrade_give *g);
/* True from start to result, but not any more once all is given. */
bool upgrade_give_is_running(const struct upgrade_give *g);
/* Look for a successor at upgrade_sock. */
void upgrade_give_connect(struct upgrade_give *g);
/* Start one. */
void upgrade_give_execute(struct upgrade_give *g);
/* What waitpid() said; false if pid is not the successor that we started. */
bool upgrade_give_on_exit(struct upgrade_give *g, pid_t pid, int status);
/* The process that goes on with everything, 0 = nobody does. */
pid_t upgrade_give_successor(const struct upgrade_give *g);
/* All our processes have ended: the successor has all for itself. */
void upgrade_give_say_ended(struct upgrade_give *g);
/* True if the successor goes on with the listener of that number. */
bool upgrade_give_keeps(const struct upgrade_give *g, size_t listener);

#endif

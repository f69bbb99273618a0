/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reload - another configuration takes the place of the one that serves.
 *
 *	IDLE -> WAITING -> CHECKING -> EMPTYING -> STARTING -> IDLE
 *
 * WAITING until a generation that drains has ended, where there are
 * max_draining_generations of them; CHECKING in a process that loads the
 * configuration first; EMPTYING, for a moment, where an address comes back that
 * the last reload took out, and whose queue is still being emptied; STARTING
 * until all processes of the new generation are ready.  Whatever fails, the old
 * generation serves on.  Requests that come before CHECKING are merged with
 * those before them; later ones make one more reload.
 */
#ifndef MASTER_RELOAD_H
#define MASTER_RELOAD_H

#include <stdbool.h>
#include <stddef.h>

#include "master/reload_check.h"
#include "os/deadline.h"

struct generation_source;
struct generations;
struct loop;

/* How it went. */
struct reload_outcome {
	bool is_done;  /* the new configuration serves */
	bool is_declined; /* nothing was tried: it stops, or was replaced */
	/*
	 * What was reported (warnings, errors, why not), and when it is done
	 * what has changed: a line each, without its end.
	 */
	char **lines;
	size_t line_count;
	char **changes; /* "added route web/api", "changed option workers" */
	size_t change_count;
	unsigned generation; /* its number; 0 unless it is done */
};

/*
 * Called once for each request, for the last one first.  The outcome is valid
 * during the call, which makes no new request.
 */
typedef void reload_done_fn(void *arg, const struct reload_outcome *outcome);

enum reload_state {
	RELOAD_IDLE,
	RELOAD_WAITING,  /* for a place among those that drain */
	RELOAD_CHECKING, /* deadline: daemon_ready_timeout */
	RELOAD_EMPTYING, /* deadline: LISTENERS_EMPTY_MS */
	RELOAD_STARTING, /* deadline: the same */
};

struct reload_config {
	struct loop *loop;
	struct generations *generations;
	const struct generation_source *source; /* borrowed */
	int directory_fd; /* where paths begin; -1 = here */
	/* In the process that checks: close what is the master's alone. */
	void (*in_child)(void *arg);
	/* False = not now; reload_continue() follows.  NULL = always. */
	bool (*may_begin)(void *arg);
	/* The state is IDLE no more, or again. */
	void (*on_state)(void *arg, enum reload_state state);
	void *arg;
};

struct reload_waiters {
	struct reload_waiter *items;
	size_t count;
};

struct reload {
	struct reload_config config;
	enum reload_state state;
	struct deadline deadline; /* of EMPTYING, STARTING */
	struct reload_check check;
	struct reload_outcome outcome;
	struct reload_waiters now;  /* for whom it is done */
	struct reload_waiters next; /* who came later */
	bool is_wanted;  /* once more */
	bool is_stopped; /* no more reloads */
};

void reload_init(struct reload *r, const struct reload_config *config);
/* Asked for, and nothing was read of it yet. */
bool reload_is_waiting(const struct reload *r);
/* Ends what is under way; who waits is told why. */
void reload_stop(struct reload *r, const char *why);
/* What belongs to a reload that cannot begin yet begins now, if it can. */
void reload_continue(struct reload *r);
/* fn may be NULL. */
void reload_request(struct reload *r, reload_done_fn *fn, void *arg);
/* Of the generation that starts, as struct generations_config tells it. */
void reload_on_ready(struct reload *r);
void reload_on_failed(struct reload *r, const char *why);
/* What waitpid() said; false if pid is none of its. */
bool reload_on_exit(struct reload *r, pid_t pid, int status);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * generations - the configurations that live side by side, each with its own
 * sockets and processes.
 *
 *	STARTING -> SERVING -> DRAINING -> ENDING -> LINGERING -> freed
 *
 * One serves; one may start, to follow it when all its processes are ready; the
 * others drain, each until its own deadline.  A generation that fails to start
 * goes to ENDING at once, and nobody has noticed it.
 */
#ifndef MASTER_GENERATIONS_H
#define MASTER_GENERATIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/list.h"
#include "base/span.h"
#include "net/listener.h"
#include "os/deadline.h"
#include "site/boot.h"

struct children;
struct error;
struct generation;
struct given;
struct loop;
struct proc_account;
struct settings;
struct shared;

enum generations_state {
	GENERATIONS_STARTING,  /* not all processes have said READY */
	GENERATIONS_SERVING,
	GENERATIONS_DRAINING,  /* its workers finish what they have */
	GENERATIONS_ENDING,    /* its processes were told to end */
	GENERATIONS_LINGERING, /* its last log lines are being written */
};

struct generations_config {
	struct loop *loop;
	struct shared *shared;
	const struct proc_account *account; /* NULL: not root */
	int lifeline[2]; /* see struct process_boot */
	int directory_fd; /* where paths begin; -1 = here */
	struct given *given; /* for the first generation; NULL = none */
	/*
	 * The sockets of a predecessor that still serves, or NULL: then the
	 * first generation waits for generations_take_over().  Borrowed until
	 * that.
	 */
	struct listener_set *left;
	process_main_fn *worker_main;
	process_main_fn *background_main;
	process_main_fn *signer_main;
	/* In each new process, see struct children_config; own: its sockets. */
	void (*in_child)(void *arg, struct process_boot *boot,
	    struct listener_set *own);
	/*
	 * The one that was started serves; the one before it drains.  With
	 * `left`: the first one is ready.
	 */
	void (*on_ready)(void *arg);
	/* It cannot; generations_abandon() or a stop is to follow. */
	void (*on_failed)(void *arg, const char *why);
	/* A process has ended, or a generation. */
	void (*on_ended)(void *arg);
	void *arg;
};

/* One of them. */
struct generations_live {
	struct list node;
	struct generations *owner;
	struct generation *generation;
	struct children *children;
	struct listener_set listeners;
	struct deadline deadline; /* of the state */
	enum generations_state state;
	unsigned number;          /* counted from 1 */
	uint64_t since_ms;        /* in this state, monotonic */
};

struct generations {
	struct generations_config config;
	struct list all; /* struct generations_live, oldest first */
	struct generations_live *serving;  /* or the first, while it starts */
	struct generations_live *starting; /* to follow it; NULL = none */
	struct deadline surplus; /* sockets that nobody needs any more */
	unsigned last_number;
	char sandbox[512]; /* as it was logged last */
	unsigned predecessors; /* see generations_set_predecessors() */
	bool has_held_keys; /* the master, without key_isolation */
	bool is_stopping;
	bool is_ending;
};

void generations_init(struct generations *gs,
    const struct generations_config *config);
/* No process is left. */
void generations_fini(struct generations *gs);

/*
 * For how long one of g's addresses may still be that of a generation that
 * drains, which empties it; 0 = for none.  *text: that address.  g NULL: any
 * address.
 */
uint64_t generations_emptying_ms(const struct generations *gs,
    const struct generation *g, const char **text);
/*
 * Logs, zones, sockets of one that is to serve; takes g, also on failure: then
 * -1 and err, and all is undone.  generations_fork() follows; on failure of
 * that generations_abandon().
 */
int generations_prepare(struct generations *gs, struct generation *g,
    struct error *err) __attribute__((warn_unused_result));
int generations_fork(struct generations *gs, struct error *err)
    __attribute__((warn_unused_result));
/* Too late: which process of the one that starts was not ready in time. */
void generations_describe_late(const struct generations *gs,
    uint64_t timeout_ms, struct error *why);
/* The one that is to follow will not; the one that serves goes on. */
void generations_abandon(struct generations *gs);

/*
 * The predecessor lets go: the first generation serves.  -1 and err when a
 * socket cannot listen; nothing was changed then.  is_lent: its master lives,
 * and ends the addresses that go itself once it has heard of it.
 */
int generations_take_over(struct generations *gs, bool is_lent,
    struct error *err)
    __attribute__((warn_unused_result));
/* The numbers of the listeners in `left` that it goes on with; caller frees. */
uint32_t *generations_kept(const struct generations *gs, size_t *count);
/* What the one that serves is configured by; NULL before the first. */
struct generation *generations_serving(const struct generations *gs);
const struct settings *generations_settings(const struct generations *gs);
/* True once the first one serves, until a stop. */
bool generations_are_serving(const struct generations *gs);
/*
 * Others drain beside these: a predecessor, and what drained when it left.
 */
void generations_set_predecessors(struct generations *gs, unsigned count);
/* How many drain or end, predecessors among them. */
unsigned generations_draining(const struct generations *gs);
const char *generations_state_name(enum generations_state state);

/* What waitpid() said; false if pid is none of theirs. */
bool generations_on_exit(struct generations *gs, pid_t pid, int status);
/* New descriptors of log targets, for all that may write to them. */
void generations_replace_logs(struct generations *gs,
    const uint32_t *targets, const int *fds, size_t count);
/* As children_files_check(), _spread(), _keys(): of the one that serves. */
bool generations_check_file(struct generations *gs, uint32_t number,
    uint32_t version, int fd);
bool generations_spread_files(struct generations *gs);
void generations_tell_signer(struct generations *gs);
/* All processes log from this level on (enum log_level). */
void generations_set_log_level(struct generations *gs, uint32_t level);
/* See children_pass_command(): to the generation that serves. */
int generations_pass_command(struct generations *gs, int fd,
    struct span line, struct error *err) __attribute__((warn_unused_result));
/* In a process of the master's that is none of theirs; while none starts. */
void generations_forget(struct generations *gs);

/*
 * A successor of this instance serves: workers finish what they have until
 * deadline_ms.  gone: for each listener (bytes) whether its address ends.
 */
void generations_leave(struct generations *gs, uint64_t deadline_ms,
    const uint8_t *gone);

/* ---- a stop ---- */

/* It comes soon: those who serve say so. */
void generations_announce_drain(struct generations *gs);
/* Everybody finishes what he has until deadline_ms; nobody follows. */
void generations_drain(struct generations *gs, uint64_t deadline_ms);
void generations_stop(struct generations *gs);
/* Returns how many workers there were to kill. */
unsigned generations_kill_workers(struct generations *gs);
/*
 * No worker is left: background processes end, the log writer last.  To be
 * called again when a process has ended.
 */
void generations_end_background(struct generations *gs);
void generations_kill_background(struct generations *gs);
unsigned generations_count_workers(const struct generations *gs);
bool generations_have_background(const struct generations *gs);

#endif

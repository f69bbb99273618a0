/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * children - the processes of one generation: forked, heard, replaced.
 *
 * There is a slot for each worker and one for the background process.  A slot
 * whose process dies gets another at once; when several die soon after they
 * were started, after a pause that doubles.  Until the new one serves, a
 * neighbour also accepts from the sockets of a worker's slot.  A process that
 * was told by a signal to go makes room for its successor first and leaves when
 * it is done.
 */
#ifndef MASTER_CHILDREN_H
#define MASTER_CHILDREN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/span.h"
#include "metrics/counter.h"
#include "site/boot.h"

struct children;
struct error;
struct loop;

struct children_config {
	struct loop *loop;
	struct generation *generation;
	struct listener_set *listeners;
	const struct proc_account *account;
	unsigned workers;
	/*
	 * Serve at once; else they wait for children_serve(), and the death of
	 * one is a failure of them all.
	 */
	bool is_serving;
	int lifeline[2]; /* reading and writing end, see struct process_boot */
	process_main_fn *worker_main;
	process_main_fn *background_main;
	process_main_fn *signer_main;
	/*
	 * In each new process: close what is the master's alone, and fill in
	 * what it is for when the master has died.
	 */
	void (*in_child)(void *arg, struct process_boot *boot);
	/* All serve for the first time. */
	void (*on_ready)(void *arg);
	/* Before that: one has said that it cannot, or ended. */
	void (*on_failed)(void *arg, const char *why);
	/* A process has ended. */
	void (*on_ended)(void *arg);
	void *arg;
};

/* A block of the master's own, see metrics_block(). */
extern const struct metric_set children_metrics;

struct children *children_new(const struct children_config *config);
/* Of a set without living processes. */
void children_free(struct children *c);
/* Fork them all.  -1 and err on failure; some may then be running. */
int children_start(struct children *c, struct error *err)
    __attribute__((warn_unused_result));
/* The first that has not said that it is ready, or NULL. */
const char *children_late(const struct children *c);
/* What waitpid() said; false if pid is none of these. */
bool children_on_exit(struct children *c, pid_t pid, int status);

/*
 * All are ready, and it is their turn: workers accept, the background process
 * writes the logs.  surplus_stays: see struct process_boot.
 */
void children_serve(struct children *c, bool surplus_stays);
/*
 * A successor serves: no more replacements; workers finish what they have until
 * deadline_ms, the background process stays but leaves the logs alone.  gone:
 * for each listener whether nobody has its address any more.
 */
void children_retire(struct children *c, uint64_t deadline_ms,
    const uint8_t *gone, size_t gone_count);
/*
 * A successor of the whole instance serves: as children_retire(), but the
 * background process goes on writing this instance's logs.
 */
void children_leave(struct children *c, uint64_t deadline_ms,
    const uint8_t *gone, size_t gone_count);
/* In a new process of others: nothing of these stays open. */
void children_forget(struct children *c);

/* New descriptors of log targets, for the background process. */
void children_replace_logs(struct children *c, const uint32_t *targets,
    const int *fds, size_t count);

/*
 * A file has changed, and the background process is to check it.  False: it has
 * not got it.  fd is borrowed.
 */
bool children_files_check(struct children *c, uint32_t number,
    uint32_t version, int fd);
/*
 * Whatever has changed goes to those processes that do not have it yet; to be
 * called now and then.  What gets lost on the way is sent again.  False: some
 * process has not said yet that it uses the newest of all.
 */
bool children_files_spread(struct children *c);
/* To the signer: keys have been released. */
void children_files_keys(struct children *c);

/* All processes log from this level on (enum log_level), new ones too. */
void children_set_log_level(struct children *c, uint32_t level);
/*
 * A control connection and its line, to the background process.  -1 and err
 * if there is none that serves.  fd stays the caller's.
 */
int children_pass_command(struct children *c, int fd, struct span line,
    struct error *err) __attribute__((warn_unused_result));

/* Workers serve on, but say that they are about to drain. */
void children_announce_drain(struct children *c);
/* No more replacements; workers finish what they have until deadline_ms. */
void children_drain(struct children *c, uint64_t deadline_ms);
/* No more replacements; workers end at once. */
void children_stop(struct children *c);
/* Returns how many workers there were to kill. */
unsigned children_kill_workers(struct children *c);
/* Once no worker lives: write what the log rings hold, and end. */
void children_end_background(struct children *c);
void children_kill_background(struct children *c);
struct children_info {
	const char *name;  /* "worker 3" */
	const char *state; /* "starting", "serving", "leaving" */
	pid_t pid;
	unsigned process;  /* slot of counters */
	uint64_t started_ms; /* monotonic */
};

typedef void children_each_fn(void *arg, const struct children_info *info);

/* Living processes, also those that are leaving. */
void children_each(const struct children *c, children_each_fn *fn,
    void *arg);
unsigned children_count_workers(const struct children *c);
bool children_has_background(const struct children *c);

#endif

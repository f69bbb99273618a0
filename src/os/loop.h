/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * loop - the event loop: readiness of descriptors, deadlines, deferred work.
 *
 * One per process.  Back ends: epoll, and poll as the portable one.  Streams
 * are registered once for both directions and reported edge-triggered: after a
 * report the owner remembers `readable`/`writable` itself until a short read
 * or EAGAIN, and tells the loop with loop_blocked() (a no-op with epoll, where
 * the kernel reports the next edge by itself; poll watches that direction
 * again from then on).
 */
#ifndef OS_LOOP_H
#define OS_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "os/deadline.h"

struct error;
struct loop;
struct loop_watch;

enum loop_events {
	LOOP_READABLE = 1,
	LOOP_WRITABLE = 2,
	LOOP_PEER_CLOSED = 4, /* the peer sent FIN (EPOLLRDHUP) */
	/* EPOLLERR or EPOLLHUP: read or write says why; both are set too */
	LOOP_FAILED = 8,
};

typedef void loop_event_fn(struct loop_watch *w, unsigned events);

/* Embedded in what is watched. */
struct loop_watch {
	loop_event_fn *on_event;
	int fd;              /* -1 = not watched */
	uint32_t poll_index; /* the poll back end's own */
};

struct loop_task;
typedef void loop_task_fn(struct loop_task *t);

/* Work put off to the end of this turn; embedded, queued at most once. */
struct loop_task {
	struct loop_task *next;
	loop_task_fn *run;
	bool is_queued;
};

enum loop_backend { LOOP_AUTO, LOOP_EPOLL, LOOP_POLL };

/* NULL and err filled on failure.  Create it after fork. */
struct loop *loop_new(enum loop_backend backend, struct error *err);
void loop_free(struct loop *loop);
const char *loop_backend_name(const struct loop *loop);

/*
 * Watch a stream in both directions, edge-triggered.  -1 with errno on
 * failure.  The watch must stay where it is until loop_remove(); after that
 * nothing is reported to it, not even what this turn has fetched already.
 */
int loop_add_stream(struct loop *loop, struct loop_watch *w, int fd);
/*
 * Watch for reading, level-triggered: listeners, channels, signals.
 * exclusive: wake only one of the processes that share fd (EPOLLEXCLUSIVE).
 */
int loop_add_reader(struct loop *loop, struct loop_watch *w, int fd,
    bool exclusive);
/*
 * Stop watching; before close(), and before the descriptor is sent away.
 * Harmless where fd is -1.
 */
void loop_remove(struct loop *loop, struct loop_watch *w);
/*
 * The same for a descriptor that is closed right after and has no duplicate in
 * another process: the kernel forgets it by itself, so no system call is made.
 */
void loop_forget(struct loop *loop, struct loop_watch *w);
/* The owner met EAGAIN or a short transfer in these directions. */
void loop_blocked(struct loop *loop, struct loop_watch *w, unsigned events);

/* Run t->run at the end of this turn (from a task: of the next turn). */
void loop_defer(struct loop *loop, struct loop_task *t);
/* Before the memory of a task that may be queued goes. */
void loop_cancel(struct loop *loop, struct loop_task *t);
void loop_task_init(struct loop_task *t, loop_task_fn *run);

/* Turns until loop_stop(): wait, clocks, events, deadlines, tasks. */
void loop_run(struct loop *loop);
/* One turn; waits at most max_wait_ms (-1 = as long as nothing is due). */
void loop_turn(struct loop *loop, int max_wait_ms);
void loop_stop(struct loop *loop);
struct deadline_heap *loop_deadlines(struct loop *loop);

#endif

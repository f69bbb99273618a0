/* SPDX-License-Identifier: BSD-2-Clause */
/* loop - turns of events, deadlines and deferred work over a back end. */
#include "os/loop.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/heap_alloc.h"
#include "base/now.h"
#include "os/loop_private.h"

/* Deadlines run in one turn; what is left runs in the next. */
enum { DEADLINES_PER_TURN = 1024 };

static int
open_backend(struct loop *loop, const struct loop_ops *ops, struct error *err)
{
	loop->ops = ops;
	return ops->open(loop, err);
}

struct loop *
loop_new(enum loop_backend backend, struct error *err)
{
	struct loop *loop = heap_alloc_zeroed(1, sizeof(*loop));
	int status = -1;

	loop->tasks_end = &loop->tasks;
	if (backend != LOOP_POLL)
		status = open_backend(loop, &loop_epoll_ops, err);
	if (status != 0 && backend != LOOP_EPOLL)
		status = open_backend(loop, &loop_poll_ops, err);
	if (status != 0) {
		free(loop);
		return NULL;
	}
	now_update();
	return loop;
}

void
loop_free(struct loop *loop)
{
	if (loop == NULL)
		return;
	loop->ops->close(loop);
	deadline_heap_fini(&loop->deadlines);
	free(loop);
}

const char *
loop_backend_name(const struct loop *loop)
{
	return loop->ops->name;
}

static int
add(struct loop *loop, struct loop_watch *w, int fd, enum loop_kind kind)
{
	w->fd = fd;
	if (loop->ops->add(loop, w, kind) == 0)
		return 0;
	w->fd = -1;
	return -1;
}

int
loop_add_stream(struct loop *loop, struct loop_watch *w, int fd)
{
	return add(loop, w, fd, LOOP_STREAM);
}

int
loop_add_reader(struct loop *loop, struct loop_watch *w, int fd,
    bool exclusive)
{
	return add(loop, w, fd,
	    exclusive ? LOOP_READER_EXCLUSIVE : LOOP_READER);
}

void
loop_remove(struct loop *loop, struct loop_watch *w)
{
	if (w->fd < 0)
		return;
	loop->ops->remove(loop, w, false);
	w->fd = -1;
}

void
loop_forget(struct loop *loop, struct loop_watch *w)
{
	if (w->fd < 0)
		return;
	loop->ops->remove(loop, w, true);
	w->fd = -1;
}

void
loop_blocked(struct loop *loop, struct loop_watch *w, unsigned events)
{
	if (loop->ops->blocked != NULL)
		loop->ops->blocked(loop, w, events);
}

void
loop_task_init(struct loop_task *t, loop_task_fn *run)
{
	*t = (struct loop_task){ .run = run };
}

void
loop_defer(struct loop *loop, struct loop_task *t)
{
	if (t->is_queued)
		return;
	t->is_queued = true;
	t->next = NULL;
	*loop->tasks_end = t;
	loop->tasks_end = &t->next;
}

static void
forget_task(struct loop *loop, struct loop_task **at)
{
	struct loop_task *t = *at;

	*at = t->next;
	if (t->next == NULL)
		loop->tasks_end = at;
	t->is_queued = false;
}

void
loop_cancel(struct loop *loop, struct loop_task *t)
{
	struct loop_task **at = &loop->tasks;

	if (!t->is_queued)
		return;
	while (*at != t) {
		assert(*at != NULL);
		at = &(*at)->next;
	}
	forget_task(loop, at);
}

/*
 * A marker ends this turn's share: what tasks defer lies behind it, and a task
 * may cancel any other meanwhile.
 */
static void
run_tasks(struct loop *loop)
{
	struct loop_task marker = { .run = NULL };

	if (loop->tasks == NULL)
		return;
	loop_defer(loop, &marker);
	while (loop->tasks != &marker) {
		struct loop_task *t = loop->tasks;

		forget_task(loop, &loop->tasks);
		t->run(t);
	}
	forget_task(loop, &loop->tasks);
}

/* Milliseconds to wait for events; -1 = without end. */
static int
wait_ms(const struct loop *loop, int max_wait_ms)
{
	uint64_t next_ms, wait;

	if (loop->tasks != NULL)
		return 0;
	next_ms = deadline_next(&loop->deadlines);
	if (next_ms == DEADLINE_NEVER)
		return max_wait_ms;
	wait = next_ms > now_ms() ? next_ms - now_ms() : 0;
	if (max_wait_ms >= 0 && wait > (uint64_t)max_wait_ms)
		return max_wait_ms;
	return wait < INT_MAX ? (int)wait : INT_MAX;
}

void
loop_turn(struct loop *loop, int max_wait_ms)
{
	loop->ops->wait(loop, wait_ms(loop, max_wait_ms));
	if (deadline_next(&loop->deadlines) <= now_ms())
		deadline_run(&loop->deadlines, now_ms(), DEADLINES_PER_TURN);
	run_tasks(loop);
}

void
loop_run(struct loop *loop)
{
	loop->is_stopped = false;
	while (!loop->is_stopped)
		loop_turn(loop, -1);
}

void
loop_stop(struct loop *loop)
{
	loop->is_stopped = true;
}

struct deadline_heap *
loop_deadlines(struct loop *loop)
{
	return &loop->deadlines;
}

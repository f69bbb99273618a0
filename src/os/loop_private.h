/* SPDX-License-Identifier: BSD-2-Clause */
/* loop_private - what the loop and its back ends share. */
#ifndef OS_LOOP_PRIVATE_H
#define OS_LOOP_PRIVATE_H

#include "os/deadline.h"
#include "os/loop.h"

enum loop_kind { LOOP_STREAM, LOOP_READER, LOOP_READER_EXCLUSIVE };

struct loop_ops {
	const char *name;
	/* -1 and err on failure. */
	int (*open)(struct loop *loop, struct error *err);
	void (*close)(struct loop *loop);
	/* w->fd is set; -1 with errno on failure. */
	int (*add)(struct loop *loop, struct loop_watch *w,
	    enum loop_kind kind);
	void (*remove)(struct loop *loop, struct loop_watch *w,
	    bool is_closing);
	void (*blocked)(struct loop *loop, struct loop_watch *w,
	    unsigned events); /* NULL: nothing to do */
	/* Wait, read the clocks, call back for each event. */
	void (*wait)(struct loop *loop, int timeout_ms);
};

struct loop {
	const struct loop_ops *ops;
	void *backend; /* the back end's own */
	struct deadline_heap deadlines;
	struct loop_task *tasks; /* oldest first */
	struct loop_task **tasks_end;
	bool is_stopped;
};

extern const struct loop_ops loop_epoll_ops;
extern const struct loop_ops loop_poll_ops;

#endif

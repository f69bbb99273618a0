/* SPDX-License-Identifier: BSD-2-Clause */
/* loop_epoll - the event loop's back end on epoll(7). */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/error.h"
#include "base/heap_alloc.h"
#include "base/now.h"
#include "os/loop_private.h"

enum { EVENTS_PER_TURN = 512 };

struct backend {
	int fd;
	int at;    /* event being reported; those before it are done */
	int count; /* events of this turn; 0 outside of one */
	struct epoll_event events[EVENTS_PER_TURN];
};

static int
epoll_open(struct loop *loop, struct error *err)
{
	int fd = epoll_create1(EPOLL_CLOEXEC);
	struct backend *b;

	if (fd < 0)
		return error_set_errno(err, errno, "creating an epoll set");
	b = heap_alloc_zeroed(1, sizeof(*b));
	b->fd = fd;
	loop->backend = b;
	return 0;
}

static void
epoll_close(struct loop *loop)
{
	struct backend *b = loop->backend;

	close(b->fd);
	free(b);
}

static int
epoll_add(struct loop *loop, struct loop_watch *w, enum loop_kind kind)
{
	struct backend *b = loop->backend;
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = w };

	if (kind == LOOP_STREAM)
		ev.events |= EPOLLOUT | EPOLLRDHUP | EPOLLET;
	else if (kind == LOOP_READER_EXCLUSIVE)
		ev.events |= EPOLLEXCLUSIVE;
	return epoll_ctl(b->fd, EPOLL_CTL_ADD, w->fd, &ev);
}

static void
epoll_remove(struct loop *loop, struct loop_watch *w, bool is_closing)
{
	struct backend *b = loop->backend;

	if (!is_closing)
		epoll_ctl(b->fd, EPOLL_CTL_DEL, w->fd, NULL);
	/* What was fetched for it is no longer of use to anyone. */
	for (int i = b->at + 1; i < b->count; i++) {
		if (b->events[i].data.ptr == w) {
			b->events[i].data.ptr = NULL;
			break;
		}
	}
}

static unsigned
events_of(uint32_t bits)
{
	unsigned events = 0;

	if (bits & EPOLLIN)
		events |= LOOP_READABLE;
	if (bits & EPOLLOUT)
		events |= LOOP_WRITABLE;
	if (bits & EPOLLRDHUP)
		events |= LOOP_PEER_CLOSED;
	if (bits & (EPOLLERR | EPOLLHUP))
		events |= LOOP_FAILED | LOOP_READABLE | LOOP_WRITABLE;
	return events;
}

static void
epoll_wait_events(struct loop *loop, int timeout_ms)
{
	struct backend *b = loop->backend;
	int count = epoll_wait(b->fd, b->events, EVENTS_PER_TURN, timeout_ms);

	now_update();
	b->count = count;
	for (b->at = 0; b->at < count; b->at++) {
		struct epoll_event *ev = &b->events[b->at];
		struct loop_watch *w = ev->data.ptr;

		if (w != NULL)
			w->on_event(w, events_of(ev->events));
	}
	b->count = 0;
}

const struct loop_ops loop_epoll_ops = {
	.name = "epoll",
	.open = epoll_open,
	.close = epoll_close,
	.add = epoll_add,
	.remove = epoll_remove,
	.wait = epoll_wait_events,
};

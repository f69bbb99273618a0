/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * loop_poll - the event loop's back end on poll(2).
 *
 * poll knows no edges: a direction of a stream that was reported is taken out
 * of what is polled until its owner says that it would block.  The end of the
 * peer's stream and failures are reported once for the same reason.
 */
#include <assert.h>
#include <poll.h>
#include <stdlib.h>

#include "base/heap_alloc.h"
#include "base/now.h"
#include "os/loop_private.h"

struct slot {
	struct loop_watch *watch;
	bool is_stream;
};

struct backend {
	struct pollfd *polled; /* parallel to slots */
	struct slot *slots;
	uint32_t count;
	uint32_t size;
};

static int
poll_open(struct loop *loop, struct error *err)
{
	(void)err;
	loop->backend = heap_alloc_zeroed(1, sizeof(struct backend));
	return 0;
}

static void
poll_close(struct loop *loop)
{
	struct backend *b = loop->backend;

	free(b->polled);
	free(b->slots);
	free(b);
}

static int
poll_add(struct loop *loop, struct loop_watch *w, enum loop_kind kind)
{
	struct backend *b = loop->backend;
	bool is_stream = kind == LOOP_STREAM;

	if (b->count == b->size) {
		b->size = b->size > 0 ? b->size * 2 : 64;
		b->polled = heap_alloc_grow(b->polled, b->size,
		    sizeof(*b->polled));
		b->slots = heap_alloc_grow(b->slots, b->size,
		    sizeof(*b->slots));
	}
	w->poll_index = b->count++;
	b->slots[w->poll_index] = (struct slot){ w, is_stream };
	b->polled[w->poll_index] = (struct pollfd){ .fd = w->fd,
		.events = is_stream ? POLLIN | POLLOUT | POLLRDHUP : POLLIN };
	return 0;
}

/* The last one fills the gap; see poll_wait_events() for why that is safe. */
static void
poll_remove(struct loop *loop, struct loop_watch *w, bool is_closing)
{
	struct backend *b = loop->backend;
	uint32_t last;

	(void)is_closing;
	assert(w->poll_index < b->count && b->slots[w->poll_index].watch == w);
	last = --b->count;
	if (w->poll_index == last)
		return;
	b->polled[w->poll_index] = b->polled[last];
	b->slots[w->poll_index] = b->slots[last];
	b->slots[w->poll_index].watch->poll_index = w->poll_index;
}

static void
poll_blocked(struct loop *loop, struct loop_watch *w, unsigned events)
{
	struct backend *b = loop->backend;
	struct pollfd *p;

	if (w->fd < 0)
		return;
	p = &b->polled[w->poll_index];
	p->fd = w->fd;
	if (events & LOOP_READABLE)
		p->events |= POLLIN;
	if (events & LOOP_WRITABLE)
		p->events |= POLLOUT;
}

static unsigned
events_of(short bits)
{
	unsigned events = 0;

	if (bits & POLLIN)
		events |= LOOP_READABLE;
	if (bits & POLLOUT)
		events |= LOOP_WRITABLE;
	if (bits & POLLRDHUP)
		events |= LOOP_PEER_CLOSED;
	if (bits & (POLLERR | POLLHUP | POLLNVAL))
		events |= LOOP_FAILED | LOOP_READABLE | LOOP_WRITABLE;
	return events;
}

static void
report(struct backend *b, uint32_t i)
{
	struct pollfd *p = &b->polled[i];
	struct loop_watch *w = b->slots[i].watch;
	short bits = p->revents;

	p->revents = 0;
	if (b->slots[i].is_stream) {
		p->events = (short)(p->events & ~bits);
		/* A failure is reported whether it is asked for or not. */
		if (bits & (POLLERR | POLLHUP | POLLNVAL)) {
			p->events = 0;
			p->fd = -1;
		}
	}
	w->on_event(w, events_of(bits));
}

/*
 * From the last to the first: a callback that removes a watch moves the last
 * one, which has been looked at, and what it adds comes behind.
 */
static void
poll_wait_events(struct loop *loop, int timeout_ms)
{
	struct backend *b = loop->backend;
	int ready = poll(b->polled, b->count, timeout_ms);

	now_update();
	if (ready <= 0)
		return;
	for (uint32_t i = b->count; i-- > 0;) {
		if (i < b->count && b->polled[i].revents != 0)
			report(b, i);
	}
}

const struct loop_ops loop_poll_ops = {
	.name = "poll",
	.open = poll_open,
	.close = poll_close,
	.add = poll_add,
	.remove = poll_remove,
	.blocked = poll_blocked,
	.wait = poll_wait_events,
};

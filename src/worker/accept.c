/* SPDX-License-Identifier: BSD-2-Clause */
/* accept - watching listening sockets. */
#include "worker/accept.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/heap_alloc.h"
#include "base/list.h"
#include "base/log.h"
#include "base/now.h"
#include "net/listener.h"
#include "os/sock.h"

/* Batches in a row for one queue; what is left has its turn later. */
enum { EMPTY_BATCHES = 64, ADMIN_RETRY_MS = 100 };

struct accept_socket {
	struct loop_watch watch;
	struct accept *accept;
	const struct listener_spec *spec;
	size_t listener; /* its number in the set */
	int fd;          /* -1 = closed */
	unsigned slot;
	bool is_shared;  /* one for all slots */
	bool is_given;   /* the service manager's, who has it open too */
	bool is_surplus;
	bool is_last;    /* once its queue is empty it goes */
};

static void on_readable(struct loop_watch *w, unsigned events);

static void
add_listener(struct accept *a, struct listener *l, size_t number)
{
	for (size_t i = 0; i < l->fd_count + l->surplus_count; i++) {
		struct accept_socket *s = &a->sockets[a->socket_count++];
		bool is_surplus = i >= l->fd_count;
		int *fd = listener_socket(l, i);

		*s = (struct accept_socket){
			.watch = { on_readable, -1, 0 },
			.accept = a,
			.spec = l->spec,
			.listener = number,
			.fd = *fd,
			.slot = (unsigned)(i % a->workers),
			.is_shared = l->fd_count == 1 && !is_surplus,
			.is_given = l->is_given,
			.is_surplus = is_surplus,
		};
		*fd = -1;
	}
}

void
accept_init(struct accept *a, struct listener_set *set, unsigned slot,
    unsigned workers)
{
	size_t count = 0;

	memset(a, 0, sizeof(*a));
	a->slot = slot;
	a->workers = workers;
	a->adopted = heap_alloc_zeroed(workers, sizeof(*a->adopted));
	for (size_t i = 0; i < set->count; i++)
		count += set->items[i].fd_count + set->items[i].surplus_count;
	a->sockets = heap_alloc_zeroed(count, sizeof(*a->sockets));
	for (size_t i = 0; i < set->count; i++)
		add_listener(a, &set->items[i], i);
	listener_set_close(set);
}

static bool
is_served(const struct accept_socket *s)
{
	const struct accept *a = s->accept;

	return s->is_shared || s->slot == a->slot || a->adopted[s->slot];
}

static bool
is_wanted(const struct accept_socket *s)
{
	const struct accept *a = s->accept;

	if (s->fd < 0)
		return false;
	if (s->spec->is_admin)
		return !a->is_admin_paused;
	if (a->is_paused || (a->is_draining && !a->is_emptying))
		return false;
	return is_served(s);
}

static void
update(struct accept_socket *s)
{
	struct accept *a = s->accept;
	bool is_watched = s->watch.fd >= 0;
	/* Others may watch it too. */
	bool is_exclusive = a->workers > 1 &&
	    (s->is_shared || s->slot != a->slot);

	if (a->loop == NULL || is_wanted(s) == is_watched)
		return;
	if (is_watched)
		loop_remove(a->loop, &s->watch);
	else if (loop_add_reader(a->loop, &s->watch, s->fd,
	    is_exclusive) != 0)
		log_error(NULL, "watching listener \"%s\": %s", s->spec->text,
		    strerror(errno));
}

static void
update_all(struct accept *a)
{
	for (size_t i = 0; i < a->socket_count; i++)
		update(&a->sockets[i]);
}

static void
close_socket(struct accept_socket *s)
{
	if (s->fd < 0)
		return;
	if (s->watch.fd >= 0)
		loop_remove(s->accept->loop, &s->watch);
	close(s->fd);
	s->fd = -1;
}

static bool
has_waiting(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) > 0;
}

/* Accept what waits; with an empty queue the socket goes. */
static void
empty(struct accept_socket *s)
{
	struct accept *a = s->accept;

	for (int i = 0; i < EMPTY_BATCHES && !a->is_paused; i++) {
		if (!has_waiting(s->fd)) {
			close_socket(s);
			return;
		}
		a->on_readable(a->arg, s->spec, s->fd);
	}
	update(s);
}

/* What still waits could not be accepted: without a pause we would spin. */
static void
accept_admin(struct accept_socket *s)
{
	struct accept *a = s->accept;

	a->on_readable(a->arg, s->spec, s->fd);
	if (!a->is_paused || !has_waiting(s->fd))
		return;
	a->is_admin_paused = true;
	deadline_set(a->loop, &a->admin_retry, now_ms() + ADMIN_RETRY_MS);
	update_all(a);
}

static void
on_admin_retry(struct deadline *d)
{
	struct accept *a = LIST_OF(d, struct accept, admin_retry);

	a->is_admin_paused = false;
	update_all(a);
}

static void
on_readable(struct loop_watch *w, unsigned events)
{
	struct accept_socket *s = LIST_OF(w, struct accept_socket, watch);
	struct accept *a = s->accept;

	(void)events;
	if (!s->spec->is_admin)
		a->seen_ms = now_ms();
	if (s->spec->is_admin)
		accept_admin(s);
	else if (s->is_last)
		empty(s);
	else
		a->on_readable(a->arg, s->spec, s->fd);
}

/* Those whose turn it is to go. */
static void
empty_last(struct accept *a)
{
	for (size_t i = 0; i < a->socket_count; i++) {
		struct accept_socket *s = &a->sockets[i];

		if (s->fd >= 0 && s->is_last)
			empty(s);
	}
}

/* The queues that were being emptied go on where they stopped. */
static void
on_resume(struct loop_task *t)
{
	struct accept *a = LIST_OF(t, struct accept, resume);

	empty_last(a);
}

static void
on_last_call(struct deadline *d)
{
	struct accept *a = LIST_OF(d, struct accept, last_call);

	a->is_last_call = true;
	for (size_t i = 0; i < a->socket_count; i++)
		a->sockets[i].is_last |= !a->sockets[i].spec->is_admin;
	empty_last(a);
	a->on_emptied(a->arg);
}

static void
on_surplus(struct deadline *d)
{
	struct accept *a = LIST_OF(d, struct accept, surplus);

	a->is_surplus_over = true;
	for (size_t i = 0; i < a->socket_count; i++) {
		struct accept_socket *s = &a->sockets[i];

		if (!s->is_surplus || s->fd < 0)
			continue;
		if (is_served(s) && !a->is_draining)
			s->is_last = true;
		else
			close_socket(s);
	}
	empty_last(a);
}

void
accept_start(struct accept *a, struct loop *loop, accept_fn *on_readable_fn,
    void (*on_emptied)(void *arg), void *arg)
{
	a->loop = loop;
	loop_task_init(&a->resume, on_resume);
	deadline_init(&a->admin_retry, on_admin_retry);
	deadline_init(&a->last_call, on_last_call);
	deadline_init(&a->surplus, on_surplus);
	a->on_readable = on_readable_fn;
	a->on_emptied = on_emptied;
	a->arg = arg;
	update_all(a);
}

void
accept_fini(struct accept *a)
{
	for (size_t i = 0; i < a->socket_count; i++)
		close_socket(&a->sockets[i]);
	if (a->loop != NULL) {
		loop_cancel(a->loop, &a->resume);
		deadline_stop(a->loop, &a->admin_retry);
		deadline_stop(a->loop, &a->last_call);
		deadline_stop(a->loop, &a->surplus);
	}
	free(a->sockets);
	free(a->adopted);
	memset(a, 0, sizeof(*a));
}

void
accept_adopt(struct accept *a, unsigned slot, bool adopt)
{
	if (slot >= a->workers || slot == a->slot)
		return;
	a->adopted[slot] = adopt;
	update_all(a);
}

void
accept_adopt_all(struct accept *a)
{
	for (unsigned slot = 0; slot < a->workers; slot++)
		a->adopted[slot] = true;
	update_all(a);
}

void
accept_set_paused(struct accept *a, bool is_paused)
{
	a->is_paused = is_paused;
	update_all(a);
	/* Not from here: the proxy may be in the middle of something. */
	if (!is_paused && (a->is_last_call || a->is_surplus_over))
		loop_defer(a->loop, &a->resume);
}

void
accept_close_surplus(struct accept *a, uint64_t surplus_ms)
{
	for (size_t i = 0; i < a->socket_count; i++) {
		if (a->sockets[i].is_surplus) {
			deadline_set(a->loop, &a->surplus,
			    now_ms() + surplus_ms);
			return;
		}
	}
}

/* Nobody new gets in; who is on the way does. */
static void
start_emptying(struct accept_socket *s)
{
	if (!is_served(s)) {
		close_socket(s);
	} else if (s->spec->addr.u.sa.sa_family != AF_UNIX) {
		/* The master has done it, where there is one. */
		if (!s->is_given)
			(void)sock_refuse_new(s->fd);
		(void)sock_defer_accept(s->fd, false);
	}
}

/* One that is idle, and nobody follows it, need not wait for the silent. */
static bool
may_have_silent(const struct accept *a, bool is_stop)
{
	if (is_stop && (a->seen_ms == 0 ||
	    now_ms() > a->seen_ms + 2 * ACCEPT_SILENT_MS))
		return false;
	for (size_t i = 0; i < a->socket_count; i++) {
		const struct accept_socket *s = &a->sockets[i];

		if (s->fd >= 0 && s->spec->defer_accept && is_served(s))
			return true;
	}
	return false;
}

static void
start_last_call(struct accept *a, bool is_stop)
{
	a->is_emptying = true;
	deadline_set(a->loop, &a->last_call, now_ms() +
	    (may_have_silent(a, is_stop) ? ACCEPT_SILENT_MS
					 : ACCEPT_LAST_CALL_MS));
}

void
accept_drain(struct accept *a, bool is_stop)
{
	a->is_draining = true;
	if (is_stop && !a->is_emptying) {
		for (size_t i = 0; i < a->socket_count; i++) {
			struct accept_socket *s = &a->sockets[i];

			if (s->fd >= 0 && !s->spec->is_admin)
				start_emptying(s);
		}
		start_last_call(a, true);
	}
	update_all(a);
}

void
accept_leave(struct accept *a)
{
	a->is_draining = true;
	if (!a->is_emptying)
		start_last_call(a, false);
	update_all(a);
}

static bool
has_bit(const uint8_t *bits, size_t count, size_t at)
{
	return at < count && (bits[at / 8] >> at % 8 & 1) != 0;
}

void
accept_retire(struct accept *a, const uint8_t *gone, size_t gone_count)
{
	bool is_any_gone = false;

	a->is_draining = true;
	if (a->is_emptying)
		return; /* a stop has everything in hand */
	for (size_t i = 0; i < a->socket_count; i++) {
		struct accept_socket *s = &a->sockets[i];

		if (s->fd < 0)
			continue;
		if (s->spec->is_admin ||
		    !has_bit(gone, gone_count, s->listener)) {
			close_socket(s);
		} else {
			is_any_gone = true;
			start_emptying(s);
		}
	}
	if (is_any_gone)
		start_last_call(a, false);
	update_all(a);
}

bool
accept_is_emptying(const struct accept *a)
{
	if (!a->is_emptying)
		return false;
	for (size_t i = 0; i < a->socket_count; i++) {
		if (a->sockets[i].fd >= 0 && !a->sockets[i].spec->is_admin)
			return true;
	}
	return false;
}

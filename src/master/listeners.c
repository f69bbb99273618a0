/* SPDX-License-Identifier: BSD-2-Clause */
/* listeners - sockets that stay, come and go. */
#include "master/listeners.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/heap_alloc.h"
#include "base/log.h"
#include "os/sock.h"

static size_t
socket_count(const struct listener *l)
{
	return l->fd_count + l->surplus_count;
}

static bool
is_unix(const struct listener *l)
{
	return l->spec->addr.u.sa.sa_family == AF_UNIX;
}

/* ---- before it serves ---- */

static bool
is_same_socket(const struct listener_spec *a, const struct listener_spec *b)
{
	return addr_equal(&a->addr, &b->addr) &&
	    (a->addr.u.sa.sa_family != AF_INET6 ||
	    a->ipv6_only == b->ipv6_only);
}

/* The listener of that address that nobody has claimed yet, or NULL. */
static struct listener *
find(const struct listener_set *before, const bool *claimed,
    const struct listener_spec *spec)
{
	for (size_t i = 0; i < before->count; i++) {
		if (!claimed[i] && before->items[i].spec != NULL &&
		    is_same_socket(before->items[i].spec, spec))
			return &before->items[i];
	}
	return NULL;
}

/* As many of its sockets as are needed; the others are surplus. */
static int
keep(struct listener *l, struct listener *from,
    const struct listener_spec *spec, size_t slots, struct error *err)
{
	size_t want = from->is_given ? 1 : listener_sockets(spec, slots);
	size_t have = socket_count(from);

	*l = (struct listener){ .spec = spec, .fd_count = want,
		.surplus_count = have > want ? have - want : 0, .kept = have,
		.file_dev = from->file_dev, .file_ino = from->file_ino,
		.is_steered = from->is_steered, .is_given = from->is_given };
	l->fds = heap_alloc(want * sizeof(*l->fds));
	l->surplus = heap_alloc_zeroed(l->surplus_count + 1,
	    sizeof(*l->surplus));
	for (size_t i = 0; i < socket_count(l); i++)
		*listener_socket(l, i) =
		    i < have ? *listener_socket(from, i) : -1;
	return listener_bind_siblings(l, have, err);
}

int
listeners_follow(struct listener_set *set, const struct listener_set *before,
    const struct listener_spec *specs, size_t count, size_t slots,
    struct error *err)
{
	bool *claimed = heap_alloc_zeroed(before->count + 1,
	    sizeof(*claimed));
	int result = 0;

	*set = (struct listener_set){
		.items = heap_alloc_zeroed(count + 1, sizeof(*set->items)) };
	for (; set->count < count && result == 0; set->count++) {
		struct listener *l = &set->items[set->count];
		const struct listener_spec *spec = &specs[set->count];
		struct listener *from = find(before, claimed, spec);

		if (from == NULL) {
			result = listener_open(l, spec, slots, err);
			continue;
		}
		claimed[from - before->items] = true;
		result = keep(l, from, spec, slots, err);
	}
	free(claimed);
	if (result != 0)
		listeners_abandon(set);
	return result;
}

void
listeners_abandon(struct listener_set *set)
{
	for (size_t i = 0; i < set->count; i++) {
		struct listener *l = &set->items[i];

		/* The file of a Unix socket that stays is not ours alone. */
		if (l->kept > 0)
			l->file_ino = 0;
	}
	listener_set_remove_files(set);
	for (size_t i = 0; i < set->count; i++)
		listener_close(&set->items[i], set->items[i].kept);
	free(set->items);
	*set = (struct listener_set){ .items = NULL };
}

/* ---- when it serves ---- */

static int
start_siblings(const struct listener *l, struct error *err)
{
	for (size_t i = l->kept; l->kept > 0 && i < l->fd_count; i++) {
		if (sock_start(l->fds[i], (int)l->spec->backlog) != 0)
			return error_set_errno(err, errno, "listener \"%s\": "
			    "listening on another socket", l->spec->text);
	}
	return 0;
}

static void
complain(const struct listener *l, const char *what)
{
	log_warn(NULL, "listener \"%s\": changing its %s: %s", l->spec->text,
	    what, strerror(errno));
}

static void
change_file(const struct listener *l, const struct listener_spec *old)
{
	const struct listener_spec *spec = l->spec;
	const char *path = spec->addr.u.un.sun_path;

	if (spec->mode != old->mode && chmod(path, (mode_t)spec->mode) != 0)
		complain(l, "mode");
	if (spec->has_owner && (!old->has_owner || spec->uid != old->uid ||
	    spec->gid != old->gid) && chown(path, spec->uid, spec->gid) != 0)
		complain(l, "owner");
}

/* What can be changed on a socket that listens. */
static void
change_options(const struct listener *l, const struct listener_spec *old)
{
	const struct listener_spec *spec = l->spec;

	if (is_unix(l) && !l->is_given)
		change_file(l, old);
	for (size_t i = 0; i < l->kept && i < l->fd_count; i++) {
		int fd = l->fds[i];

		if (spec->backlog != old->backlog &&
		    sock_start(fd, (int)spec->backlog) != 0)
			complain(l, "backlog");
		if (is_unix(l))
			continue;
		if (spec->defer_accept != old->defer_accept &&
		    sock_defer_accept(fd, spec->defer_accept) != 0)
			complain(l, "defer_accept");
		if (spec->keepalive_s != old->keepalive_s &&
		    sock_keepalive(fd, spec->keepalive_s) != 0)
			complain(l, "tcp_keepalive");
	}
}

/* True if all that come from now on go to fds. */
static bool
steer(struct listener *l)
{
	if (l->surplus_count == 0 && !l->is_steered)
		return true;
	if (sock_steer(l->fds[0], (unsigned)l->fd_count) != 0) {
		complain(l, "number of sockets");
		return false;
	}
	l->is_steered = true;
	for (size_t i = 0; i < l->surplus_count; i++)
		sock_defer_accept(l->surplus[i], false);
	return true;
}

/* What l had of it is l's alone now. */
static void
release(struct listener_set *before, const struct listener *l)
{
	for (size_t i = 0; i < before->count; i++) {
		struct listener *from = &before->items[i];

		if (from->spec == NULL || from->fds[0] != l->fds[0])
			continue;
		change_options(l, from->spec);
		listener_close(from, socket_count(from));
	}
}

int
listeners_take_over(struct listener_set *set, struct listener_set *before,
    uint8_t **gone, bool *stays, struct error *err)
{
	for (size_t i = 0; i < set->count; i++) {
		if (start_siblings(&set->items[i], err) != 0)
			return -1;
	}
	*stays = false;
	for (size_t i = 0; i < set->count; i++) {
		struct listener *l = &set->items[i];

		if (l->kept > 0)
			release(before, l);
		l->kept = 0;
		if (!steer(l))
			*stays = true;
	}
	*gone = heap_alloc_zeroed(before->count + 1, 1);
	for (size_t i = 0; i < before->count; i++)
		(*gone)[i] = before->items[i].spec != NULL;
	listener_set_remove_files(before);
	listener_set_close(before);
	return 0;
}

bool
listeners_have_surplus(const struct listener_set *set)
{
	for (size_t i = 0; i < set->count; i++) {
		if (set->items[i].surplus_count > 0)
			return true;
	}
	return false;
}

void
listeners_close_surplus(struct listener_set *set)
{
	for (size_t i = 0; i < set->count; i++) {
		struct listener *l = &set->items[i];

		while (l->surplus_count > 0)
			close(l->surplus[--l->surplus_count]);
	}
}

/* ---- in a new process ---- */

static bool
has_socket(struct listener_set *set, int fd)
{
	for (size_t i = 0; i < set->count; i++) {
		struct listener *l = &set->items[i];

		for (size_t j = 0; j < socket_count(l); j++) {
			if (*listener_socket(l, j) == fd)
				return true;
		}
	}
	return false;
}

void
listeners_close_others(struct listener_set *set, struct listener_set *own)
{
	for (size_t i = 0; i < set->count; i++) {
		struct listener *l = &set->items[i];

		for (size_t j = 0; j < socket_count(l); j++) {
			int fd = *listener_socket(l, j);

			if (fd >= 0 && !has_socket(own, fd))
				close(fd);
		}
	}
}

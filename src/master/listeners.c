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

/* Could one client reach both? */
static bool
overlap(const struct listener_spec *a, const struct listener_spec *b)
{
	int family = a->addr.u.sa.sa_family;
	int other = b->addr.u.sa.sa_family;

	if (family == AF_UNIX || other == AF_UNIX ||
	    addr_port(&a->addr) == 0 ||
	    addr_port(&a->addr) != addr_port(&b->addr))
		return false;
	if (family == other)
		return addr_is_any(&a->addr) || addr_is_any(&b->addr) ||
		    addr_equal(&a->addr, &b->addr);
	if (family == AF_INET)
		return addr_is_any(&b->addr) && !b->ipv6_only;
	return addr_is_any(&a->addr) && !a->ipv6_only;
}

/* What has that address already, of the same configuration; or NULL. */
static const struct listener_spec *
find_overlap(const struct listener_set *set, const struct listener_spec *spec)
{
	for (size_t i = 0; i < set->count; i++) {
		if (overlap(set->items[i].spec, spec))
			return set->items[i].spec;
	}
	return NULL;
}

/*
 * True if spec overlaps sockets of ours that go, and none that stay: then it
 * would be refused at a plain start too, and is by its bind.  What the service
 * manager gave listens on, whatever we do.
 */
static bool
is_beside(const struct listener_set *before, const bool *claimed,
    const struct listener_spec *spec)
{
	bool found = false;

	for (size_t i = 0; i < before->count; i++) {
		const struct listener *l = &before->items[i];

		if (l->spec == NULL || !overlap(l->spec, spec))
			continue;
		if (claimed[i] || l->is_given)
			return false;
		found = true;
	}
	return found;
}

/* So that others may bind there; of no effect until somebody does. */
static int
share_ports(const struct listener_set *before,
    const struct listener_spec *spec, struct error *err)
{
	for (size_t i = 0; i < before->count; i++) {
		struct listener *l = &before->items[i];

		if (l->spec == NULL || !overlap(l->spec, spec))
			continue;
		for (size_t j = 0; j < socket_count(l); j++) {
			if (sock_allow_reuseport(*listener_socket(l, j)) != 0)
				return error_set_errno(err, errno,
				    "listener \"%s\": sharing its port with "
				    "\"%s\"", l->spec->text, spec->text);
		}
	}
	return 0;
}

static int
open_new(struct listener_set *set, const struct listener_set *before,
    const bool *claimed, const struct listener_spec *spec, size_t slots,
    struct error *err)
{
	struct listener *l = &set->items[set->count];
	const struct listener_spec *other = find_overlap(set, spec);

	/* Bound beside one that goes, it would be bound beside this one too. */
	if (other != NULL)
		return error_set(err, "%s:%u:%u: listener \"%s\": Address "
		    "already in use by \"%s\"", spec->place.file != NULL
		    ? spec->place.file : "?", spec->place.line,
		    spec->place.column, spec->text, other->text);
	if (!is_beside(before, claimed, spec))
		return listener_open(l, spec, slots, err);
	if (share_ports(before, spec, err) != 0)
		return -1;
	return listener_open_late(l, spec, slots, err);
}

/* For each spec the listener that it goes on with, or NULL. */
static struct listener **
claim(const struct listener_set *before, const struct listener_spec *specs,
    size_t count, bool *claimed)
{
	struct listener **from = heap_alloc_zeroed(count + 1, sizeof(*from));

	for (size_t i = 0; i < count; i++) {
		from[i] = find(before, claimed, &specs[i]);
		if (from[i] != NULL)
			claimed[from[i] - before->items] = true;
	}
	return from;
}

int
listeners_follow(struct listener_set *set, const struct listener_set *before,
    const struct listener_spec *specs, size_t count, size_t slots,
    struct error *err)
{
	bool *claimed = heap_alloc_zeroed(before->count + 1,
	    sizeof(*claimed));
	struct listener **from = claim(before, specs, count, claimed);
	int result = 0;

	*set = (struct listener_set){
		.items = heap_alloc_zeroed(count + 1, sizeof(*set->items)) };
	for (size_t i = 0; i < count && result == 0; i++) {
		if (from[i] != NULL)
			result = keep(&set->items[i], from[i], &specs[i],
			    slots, err);
		else
			result = open_new(set, before, claimed, &specs[i],
			    slots, err);
		set->count++;
	}
	free(claimed);
	free(from);
	if (result != 0)
		listeners_abandon(set);
	return result;
}

static bool
is_among(const struct listener_set *set, const struct listener_spec *spec)
{
	for (size_t i = 0; i < set->count; i++) {
		if (set->items[i].spec != NULL &&
		    is_same_socket(set->items[i].spec, spec))
			return true;
	}
	return false;
}

const struct listener_spec *
listeners_meet(const struct listener_spec *specs, size_t count,
    const struct listener_set *stay, const struct listener_spec *go,
    size_t go_count)
{
	for (size_t i = 0; i < count; i++) {
		if (is_among(stay, &specs[i]))
			continue;
		for (size_t j = 0; j < go_count; j++) {
			if (!is_among(stay, &go[j]) &&
			    overlap(&specs[i], &go[j]))
				return &specs[i];
		}
	}
	return NULL;
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
start_new(struct listener *l, struct error *err)
{
	size_t from = l->is_late ? 0 : l->kept > 0 ? l->kept : l->fd_count;

	for (size_t i = from; i < l->fd_count; i++) {
		if (sock_start(l->fds[i], (int)l->spec->backlog) != 0)
			return error_set_errno(err, errno, "listener \"%s\": "
			    "listening on another socket", l->spec->text);
	}
	l->is_late = false;
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

/* What is left out now is what new sockets have. */
static void
change_tune(const struct listener *l, const struct sock_tune *old, int fd)
{
	const struct sock_tune *tune = &l->spec->tune;

	for (int i = 0; i < SOCK_TUNE_COUNT; i++) {
		enum sock_tune_row row = (enum sock_tune_row)i;

		if (tune->values[i] == old->values[i] ||
		    sock_tune_set(fd, row, tune->values[i]) == 0)
			continue;
		if (errno == ENOPROTOOPT)
			log_warn(NULL, "listener \"%s\": its %s stays %u: this "
			    "kernel does not take it back from a socket",
			    l->spec->text, sock_tune_name(row),
			    old->values[i]);
		else
			complain(l, sock_tune_name(row));
	}
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
			complain(l, "keepalive");
		change_tune(l, &old->tune, fd);
	}
	if (!is_unix(l) && memcmp(&spec->tune, &old->tune,
	    sizeof(spec->tune)) != 0)
		listener_warn_short(l);
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

void
listeners_shut(struct listener_set *set, const uint8_t *which)
{
	for (size_t i = 0; i < set->count; i++) {
		struct listener *l = &set->items[i];

		if (l->spec == NULL || l->is_given || l->spec->is_admin ||
		    is_unix(l) || (which != NULL && which[i] == 0))
			continue;
		for (size_t j = 0; j < socket_count(l); j++)
			(void)sock_refuse_new(*listener_socket(l, j));
	}
}

int
listeners_take_over(struct listener_set *set, struct listener_set *before,
    bool is_lent, uint8_t **gone, bool *stays, struct error *err)
{
	for (size_t i = 0; i < set->count; i++) {
		if (start_new(&set->items[i], err) != 0)
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
	if (!is_lent) {
		listeners_shut(before, NULL);
		listener_set_remove_files(before);
	}
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

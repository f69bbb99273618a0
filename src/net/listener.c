/* SPDX-License-Identifier: BSD-2-Clause */
/* listener - binding every address of a configuration, or none. */
#include "net/listener.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/heap_alloc.h"
#include "base/log.h"
#include "os/sock.h"

static int
fail_at(const struct listener_spec *spec, struct error *err)
{
	if (spec->place.file == NULL)
		return error_set(err, "listener \"%s\": %s", spec->text,
		    err->text);
	return error_set(err, "%s:%u:%u: listener \"%s\": %s",
	    spec->place.file, spec->place.line, spec->place.column,
	    spec->text, err->text);
}

static bool
is_dual_any(const struct addr *a, const struct sock_listen_options *o)
{
	return a->u.sa.sa_family == AF_INET6 && !o->ipv6_only &&
	    IN6_IS_ADDR_UNSPECIFIED(&a->u.in6.sin6_addr);
}

static int
open_first(struct addr *a, const struct sock_listen_options *o,
    struct error *err)
{
	struct addr any = { .len = sizeof(any.u.in) };
	int fd = sock_listen(a, o, err);

	if (fd >= 0 || errno != EAFNOSUPPORT || !is_dual_any(a, o))
		return fd;
	any.u.in.sin_family = AF_INET;
	any.u.in.sin_port = a->u.in6.sin6_port;
	*a = any;
	return sock_listen(a, o, err);
}

static struct sock_listen_options
options_of(const struct listener_spec *spec)
{
	return (struct sock_listen_options){
		.backlog = (int)spec->backlog,
		.defer_accept = spec->defer_accept,
		.ipv6_only = spec->ipv6_only,
		.keepalive_s = spec->keepalive_s,
		.mode = spec->mode,
		.tune = &spec->tune,
	};
}

/* All that is behind `from`; fds[0] is bound. */
static int
open_siblings(struct listener *l, size_t from, bool is_late,
    struct error *err)
{
	struct sock_listen_options options = options_of(l->spec);
	struct addr a;

	/* Port 0 became one of the kernel's choice: the siblings' too. */
	sock_local(l->fds[0], &a);
	if (sock_allow_reuseport(l->fds[0]) != 0)
		return error_set(err, "sharing the port between workers is "
		    "refused; reuseport = false avoids it");
	options.reuseport = true;
	options.is_late = is_late;
	for (size_t i = from; i < l->fd_count; i++) {
		l->fds[i] = sock_listen(&a, &options, err);
		if (l->fds[i] < 0)
			return -1;
	}
	return 0;
}

int
listener_bind_siblings(struct listener *l, size_t from, struct error *err)
{
	if (from < l->fd_count && open_siblings(l, from, true, err) != 0)
		return fail_at(l->spec, err);
	return 0;
}

/*
 * Without SO_REUSEPORT the first bind fails where the port is another's; only
 * then are its siblings let in.
 */
static int
open_group(struct listener *l, struct error *err)
{
	struct sock_owner owner = { l->spec->uid, l->spec->gid };
	struct sock_listen_options options = options_of(l->spec);
	struct addr a = l->spec->addr;

	if (l->spec->has_owner)
		options.owner = &owner;
	options.reuseport = options.is_late = l->is_late;
	l->fds[0] = open_first(&a, &options, err);
	if (l->fds[0] < 0)
		return -1;
	return l->fd_count == 1 ? 0 : open_siblings(l, 1, l->is_late, err);
}

void
listener_warn_short(const struct listener *l)
{
	for (int i = 0; i < SOCK_TUNE_COUNT; i++) {
		enum sock_tune_row row = (enum sock_tune_row)i;
		uint32_t asked = l->spec->tune.values[i], got;

		if (sock_tune_is_short(l->fds[0], row, asked, &got))
			log_warn(NULL, "listener \"%s\": %s is %u bytes, not "
			    "%u: the limit is net.core.%s", l->spec->text,
			    sock_tune_name(row), got, asked,
			    row == SOCK_TUNE_SEND_BUFFER ? "wmem_max"
			    : "rmem_max");
	}
}

static void
note_file(struct listener *l)
{
	struct stat st;

	if (lstat(l->spec->addr.u.un.sun_path, &st) != 0)
		return;
	l->file_dev = st.st_dev;
	l->file_ino = st.st_ino;
}

size_t
listener_sockets(const struct listener_spec *spec, size_t slots)
{
	/* The admin's must be answered until the last worker has drained. */
	bool is_group = spec->reuseport && slots > 1 && !spec->is_admin &&
	    spec->addr.u.sa.sa_family != AF_UNIX;

	return is_group ? slots : 1;
}

static int
open_one(struct listener *l, const struct listener_spec *spec, size_t slots,
    bool is_late, struct error *err)
{
	*l = (struct listener){ .spec = spec, .is_late = is_late };
	l->fd_count = listener_sockets(spec, slots);
	l->fds = heap_alloc(l->fd_count * sizeof(*l->fds));
	for (size_t i = 0; i < l->fd_count; i++)
		l->fds[i] = -1;
	if (open_group(l, err) != 0) {
		listener_close(l, 0);
		return fail_at(spec, err);
	}
	if (spec->addr.u.sa.sa_family == AF_UNIX)
		note_file(l);
	listener_warn_short(l);
	return 0;
}

int
listener_open(struct listener *l, const struct listener_spec *spec,
    size_t slots, struct error *err)
{
	return open_one(l, spec, slots, false, err);
}

int
listener_open_late(struct listener *l, const struct listener_spec *spec,
    size_t slots, struct error *err)
{
	return open_one(l, spec, slots, true, err);
}

int
listener_set_open(struct listener_set *set,
    const struct listener_spec *specs, size_t count, size_t slots,
    struct error *err)
{
	set->items = heap_alloc_zeroed(count, sizeof(*set->items));
	set->count = count;
	for (size_t i = 0; i < count; i++) {
		if (listener_open(&set->items[i], &specs[i], slots, err) != 0) {
			listener_set_remove_files(set);
			listener_set_close(set);
			return -1;
		}
	}
	return 0;
}

int *
listener_socket(struct listener *l, size_t i)
{
	return i < l->fd_count ? &l->fds[i] : &l->surplus[i - l->fd_count];
}

void
listener_close(struct listener *l, size_t keep)
{
	for (size_t i = keep; i < l->fd_count + l->surplus_count; i++) {
		if (*listener_socket(l, i) >= 0)
			close(*listener_socket(l, i));
	}
	free(l->fds);
	free(l->surplus);
	*l = (struct listener){ .spec = NULL };
}

void
listener_set_close(struct listener_set *set)
{
	for (size_t i = 0; i < set->count; i++)
		listener_close(&set->items[i], 0);
	free(set->items);
	*set = (struct listener_set){ .items = NULL };
}

static bool
is_our_file(const struct listener *l)
{
	struct stat st;

	return l->spec != NULL && l->file_ino != 0 &&
	    lstat(l->spec->addr.u.un.sun_path, &st) == 0 &&
	    st.st_dev == l->file_dev && st.st_ino == l->file_ino;
}

void
listener_set_remove_files(const struct listener_set *set)
{
	for (size_t i = 0; i < set->count; i++) {
		const struct listener *l = &set->items[i];

		if (is_our_file(l))
			unlink(l->spec->addr.u.un.sun_path);
	}
}

int
listener_fd(const struct listener *l, size_t slot)
{
	return l->fds[slot < l->fd_count ? slot : 0];
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* listener - binding every address of a configuration, or none. */
#include "net/listener.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/heap_alloc.h"
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

/*
 * Without SO_REUSEPORT the first bind fails where the port is another's; only
 * then are its siblings let in.
 */
static int
open_group(struct listener *l, struct sock_listen_options *options,
    struct error *err)
{
	struct addr a = l->spec->addr;

	l->fds[0] = open_first(&a, options, err);
	if (l->fds[0] < 0)
		return -1;
	if (l->fd_count == 1)
		return 0;
	/* Port 0 became one of the kernel's choice: the siblings' too. */
	sock_local(l->fds[0], &a);
	if (sock_allow_reuseport(l->fds[0]) != 0)
		return error_set(err, "sharing the port between workers is "
		    "refused; reuseport = false avoids it");
	options->reuseport = true;
	for (size_t i = 1; i < l->fd_count; i++) {
		l->fds[i] = sock_listen(&a, options, err);
		if (l->fds[i] < 0)
			return -1;
	}
	return 0;
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

static int
open_listener(struct listener *l, const struct listener_spec *spec,
    size_t slots, struct error *err)
{
	struct sock_owner owner = { spec->uid, spec->gid };
	struct sock_listen_options options = {
		.backlog = (int)spec->backlog,
		.defer_accept = spec->defer_accept,
		.ipv6_only = spec->ipv6_only,
		.keepalive_s = spec->keepalive_s,
		.mode = spec->mode,
		.owner = spec->has_owner ? &owner : NULL,
	};
	/* The admin's must be answered until the last worker has drained. */
	bool is_group = spec->reuseport && slots > 1 && !spec->is_admin &&
	    spec->addr.u.sa.sa_family != AF_UNIX;

	l->spec = spec;
	l->fd_count = is_group ? slots : 1;
	l->fds = heap_alloc(l->fd_count * sizeof(*l->fds));
	for (size_t i = 0; i < l->fd_count; i++)
		l->fds[i] = -1;
	if (open_group(l, &options, err) != 0)
		return fail_at(spec, err);
	if (spec->addr.u.sa.sa_family == AF_UNIX)
		note_file(l);
	return 0;
}

int
listener_set_open(struct listener_set *set,
    const struct listener_spec *specs, size_t count, size_t slots,
    struct error *err)
{
	set->items = heap_alloc_zeroed(count, sizeof(*set->items));
	set->count = count;
	for (size_t i = 0; i < count; i++) {
		if (open_listener(&set->items[i], &specs[i], slots, err) != 0) {
			listener_set_remove_files(set);
			listener_set_close(set);
			return -1;
		}
	}
	return 0;
}

void
listener_set_close(struct listener_set *set)
{
	for (size_t i = 0; i < set->count; i++) {
		struct listener *l = &set->items[i];

		for (size_t j = 0; j < l->fd_count; j++) {
			if (l->fds[j] >= 0)
				close(l->fds[j]);
		}
		free(l->fds);
	}
	free(set->items);
	*set = (struct listener_set){ .items = NULL };
}

static bool
is_our_file(const struct listener *l)
{
	struct stat st;

	return l->file_ino != 0 &&
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

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * listener - an address that weir listens on, and its sockets.
 *
 * The master binds, before workers are forked; workers inherit all sockets.
 * With reuseport there is one socket a worker slot, and slot i serves fds[i];
 * otherwise, and for the admin's, one socket is shared (EPOLLEXCLUSIVE).
 */
#ifndef NET_LISTENER_H
#define NET_LISTENER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "conf/report.h"
#include "os/addr.h"
#include "os/sock_tune.h"

struct error;
struct tls_server;

/* What the configuration says. */
struct listener_spec {
	struct addr addr;
	const char *text; /* the address as written */
	struct conf_place place;
	bool reuseport;
	bool defer_accept;
	bool ipv6_only;
	bool proxy_protocol; /* begins with what a proxy says */
	bool h2c;      /* HTTP/2 in clear text, by its preface */
	bool is_admin; /* stays open until a drain has ended */
	uint32_t backlog;
	uint32_t keepalive_s; /* probe silent clients after; 0 = off */
	struct sock_tune tune;
	uint32_t mode; /* of a Unix socket's file */
	bool has_owner; /* of it: uid and gid, of which -1 changes nothing */
	uid_t uid;
	gid_t gid;
	struct tls_server *tls; /* NULL: clear text; owned by the generation */
	void *service; /* the proxy's: who serves what is accepted */
};

struct listener {
	const struct listener_spec *spec; /* borrowed from the generation */
	int *fds;
	size_t fd_count; /* 1, or the number of worker slots */
	/*
	 * Sockets of the same address that no slot serves any more: emptied
	 * by slot i % slots, and closed when nothing more comes.
	 */
	int *surplus;
	size_t surplus_count;
	/* Of both together, the first ones are another set's too. */
	size_t kept;
	bool is_steered; /* see sock_steer() */
	bool is_late;    /* bound, and does not listen yet */
	bool is_given;   /* the service manager's: one socket for all */
	dev_t file_dev;  /* of a Unix socket's file, as we made it */
	ino_t file_ino;
};

struct listener_set {
	struct listener *items;
	size_t count;
};

/*
 * Bind everything for slots workers, or nothing: on failure all is closed
 * again, -1 and err naming file, line and address.  specs are borrowed.  What
 * is accepted has TCP_NODELAY.  Without IPv6 in the kernel, [::] that is not
 * ipv6_only becomes 0.0.0.0.
 */
int listener_set_open(struct listener_set *set,
    const struct listener_spec *specs, size_t count, size_t slots,
    struct error *err);
void listener_set_close(struct listener_set *set);
/*
 * Before closing for good: the files of Unix sockets go, so that nobody new
 * finds them.  A file that another one has put there since stays.
 */
void listener_set_remove_files(const struct listener_set *set);
/* Of one listener: bind and listen, as of a set.  On failure it is closed. */
int listener_open(struct listener *l, const struct listener_spec *spec,
    size_t slots, struct error *err) __attribute__((warn_unused_result));
/*
 * The same beside sockets of ours that are about to go, which this address
 * overlaps: bound, but none of them listens yet.  Those of ours must have
 * SO_REUSEPORT (sock_allow_reuseport()).
 */
int listener_open_late(struct listener *l, const struct listener_spec *spec,
    size_t slots, struct error *err) __attribute__((warn_unused_result));
/* How many sockets an address has with so many slots. */
size_t listener_sockets(const struct listener_spec *spec, size_t slots);
/*
 * Bind fds[from] and those behind it as siblings of fds[0]; they do not listen
 * yet.  -1 and err on failure, with what was bound in fds.
 */
int listener_bind_siblings(struct listener *l, size_t from,
    struct error *err) __attribute__((warn_unused_result));
/* Frees what l has and closes its sockets, but for the first `keep`. */
void listener_close(struct listener *l, size_t keep);
/* Warn of what the kernel gave less of than spec->tune asks for. */
void listener_warn_short(const struct listener *l);
/* The i-th of fds and surplus together. */
int *listener_socket(struct listener *l, size_t i);
/* The socket that worker slot serves. */
int listener_fd(const struct listener *l, size_t slot);

#endif

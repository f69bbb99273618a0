/* SPDX-License-Identifier: BSD-2-Clause */
/* sock - sockets as weir wants them: non-blocking, close-on-exec. */
#ifndef OS_SOCK_H
#define OS_SOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "os/addr.h"

struct error;
struct sock_tune;

/* -1 leaves the user or the group as it is. */
struct sock_owner {
	uid_t uid;
	gid_t gid;
};

struct sock_listen_options {
	bool reuseport;   /* set before bind, for siblings */
	int backlog;
	bool defer_accept;
	bool ipv6_only;
	unsigned keepalive_s; /* probe idle connections after; 0 = off */
	unsigned mode;    /* of a Unix socket's file */
	const struct sock_owner *owner; /* of it; NULL = as created */
	const struct sock_tune *tune;   /* of TCP; NULL = as it is */
	bool is_late;     /* bind now, sock_start() later */
};

/*
 * Bound and listening; -1, errno and err on failure.  A stale Unix socket file
 * (one that nobody answers on) is replaced.
 */
int sock_listen(const struct addr *a, const struct sock_listen_options *o,
    struct error *err);
/* Begin to listen, or change the length of the queue; -1 with errno. */
int sock_start(int fd, int backlog);
bool sock_is_ipv6_only(int fd);
/* Probe idle connections that are accepted from now on; 0 = off. */
int sock_keepalive(int fd, unsigned keepalive_s);
/*
 * Spread new connections over the first count sockets of the SO_REUSEPORT group
 * that fd is in, in the order in which they began to listen; the others get
 * none.  -1 with errno where the kernel cannot.
 */
int sock_steer(int fd, unsigned count);
/* Set SO_REUSEPORT on a socket that is bound, so that siblings may join. */
int sock_allow_reuseport(int fd);
/* True if fd listens at a (port 0 stands for any; [::] for 0.0.0.0 too). */
bool sock_listens_at(int fd, const struct addr *a);
/* Let connections wait in the kernel until they have sent something. */
int sock_defer_accept(int fd, bool on);
/*
 * A TCP listener that is about to go: who connects from now on does not find it
 * and is refused, or comes to another one of the same address, while those on
 * their way still arrive in its queue.  For all processes that share it, and
 * until sock_admit_new().  A kernel without SO_BINDTOIFINDEX for ordinary users (5.7) only
 * passes over the first packet, where it may: the client tries again then.
 * Who was sent a SYN cookie (a full queue) counts as one who connects from now
 * on.  -1 with errno.
 */
int sock_refuse_new(int fd);
/*
 * The socket of somebody who goes, maybe, serves on: undo sock_refuse_new(),
 * which needs CAP_NET_RAW.  0 also where there is nothing to undo; -1 with
 * errno.
 */
int sock_admit_new(int fd);
/* The pending error of a connect: 0 or an errno. */
int sock_error(int fd);
int sock_nodelay(int fd);
/* Close so that the peer sees a reset rather than an orderly end. */
void sock_reset(int fd);
/* True while the connection is idle and open: nothing to read, no FIN. */
bool sock_is_quiet(int fd);
/* a->len is 0 where the socket has none. */
void sock_local(int fd, struct addr *a);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fdpass - messages with descriptors over Unix sockets (SCM_RIGHTS).
 */
#ifndef OS_FDPASS_H
#define OS_FDPASS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum { FDPASS_MAX = 64 }; /* descriptors in one message */

/* SOCK_SEQPACKET pair, close-on-exec, non-blocking.  -1 with errno. */
int fdpass_pair(int fds[2]);
/*
 * One message; never blocks, never raises SIGPIPE.  -1 with errno: EAGAIN
 * (queue full), ETOOMANYREFS (too many descriptors in flight), EPIPE.
 */
int fdpass_send(int sock, const void *data, size_t len, const int *fds,
    size_t fd_count);
/*
 * One message; returns its bytes (0 = closed) or -1 with errno.  At most
 * *fd_count descriptors are taken, close-on-exec; more are closed and EMSGSIZE
 * is returned.  *fd_count becomes their number; the caller owns them.  EMFILE:
 * there were some that this process cannot have.
 */
ssize_t fdpass_receive(int sock, void *data, size_t len, int *fds,
    size_t *fd_count);
/* The same, but instead of EMFILE: the bytes, *is_cut, no descriptors. */
ssize_t fdpass_receive_cut(int sock, void *data, size_t len, int *fds,
    size_t *fd_count, bool *is_cut);

#endif

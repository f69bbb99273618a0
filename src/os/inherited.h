/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * inherited - listening sockets that the service manager has bound for us
 * (sd_listen_fds(3): LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES).
 */
#ifndef OS_INHERITED_H
#define OS_INHERITED_H

#include <stddef.h>

#include "os/addr.h"

enum { INHERITED_MAX = 256 };

struct inherited_socket {
	int fd;           /* -1 = another's now */
	struct addr addr; /* where it is bound */
	char *name;       /* "unknown" where the manager gave none */
};

struct inherited {
	struct inherited_socket *items;
	size_t count;
};

/*
 * What was passed to this process; before it detaches, and before anything is
 * opened.  The variables leave the environment.  Descriptors that are no
 * listening stream sockets are left out, which *ignored counts; all become
 * close-on-exec and non-blocking.
 */
void inherited_init(struct inherited *in, size_t *ignored);
/* Closes what nobody has taken. */
void inherited_fini(struct inherited *in);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * notify - telling the service manager what goes on: sd_notify(3) as far as it
 * is needed, without its library.
 *
 * Without NOTIFY_SOCKET in the environment every call does nothing.  No call
 * blocks for longer than a moment: a message that the manager does not take is
 * lost.
 */
#ifndef OS_NOTIFY_H
#define OS_NOTIFY_H

#include <stdint.h>

struct notify {
	int fd;               /* -1 = nobody listens */
	uint64_t watchdog_ms; /* send as often as that; 0 = not wanted */
};

/*
 * Before the process detaches.  Whom the watchdog looks at leaves the
 * environment; how often, and the socket, stay there for successors.
 */
void notify_init(struct notify *n);
/* No more messages, also from a forked process; harmless without a socket. */
void notify_close(struct notify *n);

/* It serves, and this process is the main one: the end of a start, reload or upgrade. */
void notify_ready(const struct notify *n, const char *status);
/* A reload or an upgrade begins. */
void notify_reloading(const struct notify *n, const char *status);
/* The end begins, and may take so long. */
void notify_stopping(const struct notify *n, uint64_t timeout_ms,
    const char *status);
/* A start or stop goes on: not before so long is it to be given up. */
void notify_extend(const struct notify *n, uint64_t timeout_ms);
void notify_status(const struct notify *n, const char *status);
void notify_watchdog(const struct notify *n);

#endif

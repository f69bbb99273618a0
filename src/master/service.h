/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * service - what the service manager (systemd) is told, and when.
 *
 * Every call is harmless without a manager.
 */
#ifndef MASTER_SERVICE_H
#define MASTER_SERVICE_H

#include <stdint.h>

#include "os/deadline.h"
#include "os/notify.h"

struct loop;

struct service {
	struct notify notify;
	struct deadline watchdog;
	struct loop *loop; /* NULL before service_start() */
};

/* First thing, before the process detaches. */
void service_init(struct service *s);
/* From now on the watchdog is fed. */
void service_start(struct service *s, struct loop *loop);
/* No more words: the end, or a successor speaks now. */
void service_stop(struct service *s);
/* In a forked process. */
void service_forget(struct service *s);

/* It serves: after a start, a reload (also one that failed) or an upgrade. */
void service_serving(struct service *s, const char *status);
/* The same goes on, with something to say about it. */
void service_status(struct service *s, const char *status);
/* A reload or an upgrade begins. */
void service_changing(struct service *s, const char *status);
/* The end begins, and takes at most so long. */
void service_ending(struct service *s, uint64_t timeout_ms,
    const char *status);

#endif

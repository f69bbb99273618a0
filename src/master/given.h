/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * given - sockets that the service manager has bound for us (os/inherited.h),
 * as the set that the first generation's listeners follow.
 *
 * An address of the configuration that is among them takes its socket, and all
 * workers share it, whatever reuseport says: siblings cannot be bound beside a
 * socket that somebody else holds.
 */
#ifndef MASTER_GIVEN_H
#define MASTER_GIVEN_H

#include "net/listener.h"
#include "os/inherited.h"

struct error;

struct given {
	struct inherited inherited;
	struct listener_spec *specs;
	struct listener_set set; /* by the order in which they came */
};

/* First thing, before the process detaches. */
void given_init(struct given *g);
/*
 * The first generation's sockets are set, as listeners_follow() made them: what
 * they took of ours is theirs now, the rest is reported and closed.  -1 and err
 * on failure.
 */
int given_settle(struct given *g, struct listener_set *set,
    struct error *err) __attribute__((warn_unused_result));
/* Closes what nobody has taken. */
void given_fini(struct given *g);

#endif

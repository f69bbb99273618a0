/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lane - idle backend connections parked in the kernel for any worker to take.
 *
 * One SOCK_SEQPACKET pair per backend slot, made by the master before the
 * fork and inherited by all: a descriptor sent into it with SCM_RIGHTS wakes
 * nobody and waits there, first in, first out.  A message names slot, version
 * of the slot, times, and the terms under which the connection was made; what
 * does not match is closed by whoever meets it.
 *
 * A descriptor must have left epoll before it is sent: the copy in the lane
 * would keep it registered with the sender.
 */
#ifndef UPSTREAM_LANE_H
#define UPSTREAM_LANE_H

#include <stddef.h>
#include <stdint.h>

#include "os/addr.h"

struct backend;
struct backend_zone;
struct error;
struct lane_set;

/* What travels with a connection. */
struct lane_meta {
	uint64_t idle_since_ms; /* monotonic: one clock for all processes */
	uint64_t expires_ms;
	uint32_t served;        /* requests that it has carried */
	uint32_t tenancy;       /* of the backend, when it was made */
	struct addr_ip peer;    /* AF_UNIX: the backend's own path */
};

/* Of this process; in shared memory or anywhere. */
struct lane_counts {
	uint64_t parked;  /* sent */
	uint64_t taken;   /* and good */
	uint64_t expired; /* met after their time and closed */
	uint64_t dead;    /* met with data or a FIN and closed */
	uint64_t stale;   /* of another slot version, address, terms: closed */
	uint64_t refused_full; /* EAGAIN */
	uint64_t refused_refs; /* ETOOMANYREFS: descriptors in flight */
};

enum lane_result {
	LANE_PARKED,  /* the lane has it; the descriptor was closed here */
	LANE_FULL,    /* not taken: the caller still owns the descriptor */
	LANE_NO_REFS, /* the same: too many in flight over all lanes */
	LANE_FAILED,  /* the same: there is no lane, or an error */
};

/*
 * Lanes for slots backend slots, or for as many as half of the descriptors
 * that this process may have allow (with a warning).  Slots beyond have none.
 * NULL and err on failure.
 */
struct lane_set *lane_set_new(size_t slots, struct error *err);
/*
 * Those that a predecessor left, two descriptors a slot, which are taken; NULL
 * and err where they are no such lanes.
 */
struct lane_set *lane_set_adopt(int *fds, size_t fd_count,
    struct error *err);
/* Both descriptors of each slot: borrowed, into an array of 2 * count. */
void lane_set_descriptors(const struct lane_set *lanes, int *fds);
void lane_set_free(struct lane_set *lanes);
size_t lane_set_count(const struct lane_set *lanes);

/* Park fd, which has left the event loop; lanes NULL = LANE_FAILED. */
enum lane_result lane_send(const struct lane_set *lanes,
    const struct backend *b, int fd, const struct lane_meta *meta,
    struct lane_counts *counts);
/*
 * A connection that is open, quiet and in time, or -1.  The caller owns the
 * descriptor, which is in no event loop.  No system call while the slot's
 * count says that nothing is parked.
 */
int lane_take(const struct lane_set *lanes, const struct backend *b,
    uint64_t now_ms, struct lane_meta *meta, struct lane_counts *counts);
/*
 * For the background process, about once a second: close what has expired.
 * Descriptors in time are left where they are.  Looks at a bounded
 * number of each lane; returns how many were closed.
 */
size_t lane_reap(const struct lane_set *lanes, struct backend_zone *zone,
    uint64_t now_ms, struct lane_counts *counts);

#endif

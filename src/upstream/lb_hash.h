/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lb_hash - consistent hashing: the same key meets the same backend, and when
 * one of n goes, only its keys move.
 *
 * The ring is ketama's with the points of nginx's `hash ... consistent`: 160
 * for each unit of weight, from the CRC-32 of host, a NUL, port and the point
 * before.  A key's backend is the one of the first point at or behind the
 * CRC-32 of the key; one that cannot be used is passed over along the ring.
 * With a limit of load (`hash_load_max`) so is one that has too much in
 * flight.  An exchange without a key goes to any backend.
 */
#ifndef UPSTREAM_LB_HASH_H
#define UPSTREAM_LB_HASH_H

#include "base/span.h"
#include "upstream/lb.h"

enum {
	LB_HASH_POINTS = 160,        /* for each unit of weight */
	LB_HASH_WEIGHT_MAX = 10000,  /* of an upstream: 13 MB of points */
};

extern const struct lb_ops lb_hash;

/* The place of a key on the ring. */
uint32_t lb_hash_key(struct span key);

#endif

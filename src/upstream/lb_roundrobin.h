/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lb_roundrobin - smooth weighted round robin.
 *
 * In each step every backend gains its weight, the one with most is chosen and
 * pays the sum of all weights: {5, 1, 1} gives a a b a c a a.  The cycle is
 * written down once per generation, and all workers walk along it together: a
 * turn is claimed from one counter in shared memory, a busy worker claims
 * several at once.
 */
#ifndef UPSTREAM_LB_ROUNDROBIN_H
#define UPSTREAM_LB_ROUNDROBIN_H

#include "upstream/lb.h"

extern const struct lb_ops lb_roundrobin;

#endif

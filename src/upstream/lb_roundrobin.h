/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lb_roundrobin - smooth weighted round robin.
 *
 * In each step every backend gains its weight, the one with most is chosen and
 * pays the sum of all weights: {5, 1, 1} gives a a b a c a a.  The cycle is
 * written down once per generation; a worker walks along it from a place of
 * its own, so that N workers do not all begin with the first backend.
 */
#ifndef UPSTREAM_LB_ROUNDROBIN_H
#define UPSTREAM_LB_ROUNDROBIN_H

#include "upstream/lb.h"

extern const struct lb_ops lb_roundrobin;

#endif

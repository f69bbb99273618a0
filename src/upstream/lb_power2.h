/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lb_power2 - the better of two: draw two backends by weight and take the one
 * with less in flight.
 *
 * Nearly as even as the least of all, at the cost of two looks however many
 * there are, and without the stampede on one that has just come back.
 */
#ifndef UPSTREAM_LB_POWER2_H
#define UPSTREAM_LB_POWER2_H

#include "upstream/lb.h"

extern const struct lb_ops lb_power2;

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lb_random - any backend, each as likely as its weight says.
 *
 * Needs no agreement between workers.  A chosen one that cannot be used is
 * drawn again, so that its share goes to the others by their weights.
 */
#ifndef UPSTREAM_LB_RANDOM_H
#define UPSTREAM_LB_RANDOM_H

#include "upstream/lb.h"

extern const struct lb_ops lb_random;

/* For balancers that begin with a draw: the sums of the weights so far. */
const void *lb_random_plan(struct arena *a, const struct lb_view *view);
/* A place in the view, by weight. */
uint32_t lb_random_draw(const struct lb_view *view, const void *plan);

#endif

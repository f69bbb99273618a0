/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tier - the members of an upstream that are asked together, and the
 * balancer's plan of them.
 *
 * Tier 0 are the servers, tier 1 the backups: those are asked while no server
 * can be used.
 */
#ifndef UPSTREAM_TIER_H
#define UPSTREAM_TIER_H

#include "upstream/lb.h"

enum { TIER_COUNT = 2 };

struct tier {
	struct lb_view view;
	const void *plan; /* NULL without members */
};

/* The tier's members as they are now, with their weights; memory from a. */
void tier_plan(struct tier *t, struct arena *a, const struct group *g,
    bool is_backup);

#endif

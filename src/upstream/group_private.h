/* SPDX-License-Identifier: BSD-2-Clause */
/* group_private - what a worker knows of an upstream, for the files of group. */
#ifndef UPSTREAM_GROUP_PRIVATE_H
#define UPSTREAM_GROUP_PRIVATE_H

#include "base/arena.h"
#include "upstream/group.h"

/* Of one backend in one worker. */
struct group_local {
	uint64_t avoid_until_ms;
	uint64_t published; /* the answer that `avoid` is about */
	uint8_t avoid;      /* bit i: address i refused */
	uint8_t turn;
};

struct group_state {
	void *lb[TIER_COUNT];
	struct tier tiers[TIER_COUNT]; /* the group's, or of `arena` */
	struct arena arena;            /* of plans made since */
	uint32_t changes;              /* that they know of */
	struct retry_budget budget;
	struct group_local *locals;
};

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/* tier - collecting members and weights for a balancer. */
#include "upstream/tier.h"

#include <string.h>

#include "base/arena.h"
#include "upstream/group.h"

void
tier_plan(struct tier *t, struct arena *a, const struct group *g,
    bool is_backup)
{
	const struct backend **members = arena_alloc(a,
	    g->backend_count * sizeof(*members));
	uint32_t *weights = arena_alloc(a,
	    g->backend_count * sizeof(*weights));

	memset(t, 0, sizeof(*t));
	t->view.group = g;
	t->view.members = members;
	t->view.weights = weights;
	for (uint32_t i = 0; i < g->backend_count; i++) {
		const struct backend *b = &g->backends[i];
		uint32_t weight = backend_weight(b);

		if (b->is_backup != is_backup || !backend_is_resolved(b))
			continue;
		members[t->view.count] = b;
		weights[t->view.count++] = weight;
		t->view.weight_sum += weight;
	}
	if (t->view.count > 0)
		t->plan = g->lb->plan(a, &t->view);
}

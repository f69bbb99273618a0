/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lb_power2 - two draws, one look at each.
 *
 * The draws follow the weights already, so the loads are compared as they are
 * relative to the weights too: a large backend is asked more often and may
 * have more to do.
 */
#include "upstream/lb_power2.h"

#include "base/entropy.h"
#include "upstream/group.h"
#include "upstream/lb_leastconn.h"
#include "upstream/lb_random.h"

enum { DRAWS_MAX = 16 };

/* A usable place other than `not`; view->count if the draws find none. */
static uint32_t
draw(const struct lb_view *view, const void *plan, uint32_t not,
    const struct lb_query *query)
{
	for (int i = 0; i < DRAWS_MAX; i++) {
		uint32_t at = lb_random_draw(view, plan);

		if (at != not && lb_is_usable(view->members[at], query))
			return at;
	}
	return view->count;
}

static const struct backend *
pick(const struct lb_view *view, const void *plan, void *state,
    const struct lb_query *query)
{
	uint32_t first = draw(view, plan, view->count, query);
	uint32_t second;

	(void)state;
	if (first == view->count)
		return lb_walk(view, (uint32_t)(entropy_fast() % view->count),
		    query);
	if (view->count == 1)
		return view->members[first];
	second = draw(view, plan, first, query);
	if (second < view->count && lb_leastconn_is_less(view, second, first))
		first = second;
	return view->members[first];
}

const struct lb_ops lb_power2 = {
	.name = "power_of_two",
	.needs_in_flight = true,
	.plan = lb_random_plan,
	.pick = pick,
};

/* SPDX-License-Identifier: BSD-2-Clause */
/* lb_random - draws by weight, in a table of sums. */
#include "upstream/lb_random.h"

#include <stddef.h>

#include "base/arena.h"
#include "base/entropy.h"
#include "upstream/group.h"

/* Draws that may meet one that cannot be used; then whoever is next. */
enum { DRAWS_MAX = 16 };

const void *
lb_random_plan(struct arena *a, const struct lb_view *view)
{
	uint64_t *sums = arena_alloc(a, view->count * sizeof(*sums));
	uint64_t sum = 0;

	for (uint32_t i = 0; i < view->count; i++) {
		sum += view->weights[i];
		sums[i] = sum;
	}
	return sums;
}

uint32_t
lb_random_draw(const struct lb_view *view, const void *plan)
{
	const uint64_t *sums = plan;
	uint64_t x = entropy_fast() % view->weight_sum;
	uint32_t low = 0;
	uint32_t high = view->count - 1;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (x < sums[middle])
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

static const struct backend *
pick(const struct lb_view *view, const void *plan, void *state,
    const struct lb_query *query)
{
	(void)state;
	for (int i = 0; i < DRAWS_MAX; i++) {
		const struct backend *b =
		    view->members[lb_random_draw(view, plan)];

		if (lb_is_usable(b, query))
			return b;
	}
	return lb_walk(view, (uint32_t)(entropy_fast() % view->count), query);
}

const struct lb_ops lb_random = {
	.name = "random",
	.plan = lb_random_plan,
	.pick = pick,
};

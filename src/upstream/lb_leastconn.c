/* SPDX-License-Identifier: BSD-2-Clause */
/* lb_leastconn - one look at each, the least loaded wins. */
#include "upstream/lb_leastconn.h"

#include <stdlib.h>

#include "base/entropy.h"
#include "base/heap_alloc.h"
#include "upstream/group.h"

struct state {
	uint32_t from; /* where to begin */
};

bool
lb_leastconn_is_less(const struct lb_view *view, uint32_t a, uint32_t b)
{
	uint64_t load_a = (uint64_t)backend_in_flight(view->members[a]) + 1;
	uint64_t load_b = (uint64_t)backend_in_flight(view->members[b]) + 1;

	return load_a * view->weights[b] < load_b * view->weights[a];
}

static const void *
plan(struct arena *a, const struct lb_view *view)
{
	(void)a;
	(void)view;
	return NULL;
}

static void *
start(void)
{
	struct state *s = heap_alloc_zeroed(1, sizeof(*s));

	s->from = (uint32_t)entropy_fast();
	return s;
}

static const struct backend *
pick(const struct lb_view *view, const void *unused, void *state,
    const struct lb_query *query)
{
	struct state *s = state;
	uint32_t from = s->from++ % view->count;
	uint32_t best = view->count;

	(void)unused;
	for (uint32_t i = 0; i < view->count; i++) {
		uint32_t at = (from + i) % view->count;

		if ((best == view->count ||
		    lb_leastconn_is_less(view, at, best)) &&
		    lb_is_usable(view->members[at], query))
			best = at;
	}
	return best < view->count ? view->members[best] : NULL;
}

const struct lb_ops lb_leastconn = {
	.name = "least_connections",
	.needs_in_flight = true,
	.plan = plan,
	.start = start,
	.stop = free,
	.pick = pick,
};

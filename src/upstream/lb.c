/* SPDX-License-Identifier: BSD-2-Clause */
/* lb - what all balancing algorithms share. */
#include "upstream/lb.h"

#include "base/now.h"
#include "upstream/group.h"

static bool
is_tried(const struct group_tries *tries, uint32_t index)
{
	for (uint32_t i = 0; i < tries->count; i++)
		if (tries->tried[i] == index)
			return true;
	return false;
}

/* It has failed requests, and nothing else speaks against it. */
static bool
may_be_tried(const struct backend *b, uint32_t state,
    const struct lb_query *query)
{
	return state == BACKEND_FAILED && (query->any ||
	    now_ms() >= atomic_load_explicit(&b->shared->retry_ms,
	    memory_order_relaxed));
}

bool
lb_is_usable(const struct backend *b, const struct lb_query *query)
{
	uint32_t state = backend_state(b);

	if (state != 0 && !may_be_tried(b, state, query))
		return false;
	if (!backend_is_resolved(b) || is_tried(query->tries, b->index))
		return false;
	if (!backend_is_full(b))
		return true;
	*query->is_full = true;
	return false;
}

bool
lb_is_any_usable(const struct lb_view *view, const struct lb_query *query)
{
	for (uint32_t i = 0; i < view->count; i++)
		if (lb_is_usable(view->members[i], query))
			return true;
	return false;
}

const struct backend *
lb_walk(const struct lb_view *view, uint32_t from,
    const struct lb_query *query)
{
	for (uint32_t i = 0; i < view->count; i++) {
		uint32_t at = (from + i) % view->count;

		if (lb_is_usable(view->members[at], query))
			return view->members[at];
	}
	return NULL;
}

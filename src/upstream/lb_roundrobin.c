/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lb_roundrobin - smooth weighted round robin along a cycle written down.
 *
 * A turn that meets a backend which is down or was tried is passed over by
 * claiming the next one: its share goes to all others alike, not to whoever
 * stands behind it.
 */
#include "upstream/lb_roundrobin.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/heap_alloc.h"
#include "base/now.h"
#include "upstream/group.h"

enum {
	/*
	 * Turns that a worker claims at once while it needs several in one
	 * millisecond: fewer trips of the shared line between processors.
	 */
	CLAIM_MAX = 8,
	CYCLE_MAX = 65536,
	PLAN_STEPS_MAX = 1 << 26, /* some 50 ms at load */
	/* Claims for one pick; then the cycle is followed without claiming. */
	PICK_CLAIMS_MAX = 16,
};

struct plan {
	uint64_t length;
	uint16_t cycle[]; /* places in the view */
};

struct state {
	uint64_t turn;
	uint32_t left; /* of the claimed turns */
	uint32_t claim;
	uint64_t claimed_ms;
	uint64_t own_turns; /* of a group that was not bound: tests */
};

static uint32_t
gcd(uint32_t a, uint32_t b)
{
	while (b != 0) {
		uint32_t rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

/*
 * The weights in lowest terms; returns their sum.  Where that would make too
 * long a cycle (hundreds of backends with weights prime to each other) they
 * are rounded.
 */
static uint32_t
reduce(const struct lb_view *view, int32_t *weights)
{
	uint32_t n = view->count;
	uint64_t max = PLAN_STEPS_MAX / n;
	uint64_t sum;
	uint32_t divisor = 0;
	uint32_t total = 0;

	for (uint32_t i = 0; i < n; i++)
		divisor = gcd(view->weights[i], divisor);
	sum = view->weight_sum / divisor;
	if (max > CYCLE_MAX)
		max = CYCLE_MAX;
	for (uint32_t i = 0; i < n; i++) {
		uint64_t weight = view->weights[i] / divisor;

		if (sum > max)
			weight = weight * max / sum;
		weights[i] = weight > 0 ? (int32_t)weight : 1;
		total += (uint32_t)weights[i];
	}
	return total;
}

static void
write_cycle(struct plan *plan, const int32_t *weights, int32_t *current,
    uint32_t n)
{
	for (size_t step = 0; step < plan->length; step++) {
		uint32_t best = 0;

		for (uint32_t i = 0; i < n; i++) {
			current[i] += weights[i];
			if (current[i] > current[best])
				best = i;
		}
		current[best] -= (int32_t)plan->length;
		plan->cycle[step] = (uint16_t)best;
	}
}

static const void *
make_plan(struct arena *a, const struct lb_view *view)
{
	uint32_t n = view->count;
	int32_t *weights = heap_alloc_zeroed((size_t)n * 2, sizeof(*weights));
	size_t length = reduce(view, weights);
	struct plan *plan = arena_alloc(a,
	    sizeof(*plan) + length * sizeof(plan->cycle[0]));

	assert(n > 0 && n <= GROUP_BACKENDS_MAX);
	plan->length = length;
	if (length == n) {
		for (uint32_t i = 0; i < n; i++)
			plan->cycle[i] = (uint16_t)i;
	} else {
		write_cycle(plan, weights, weights + n, n);
	}
	free(weights);
	return plan;
}

static void *
start(void)
{
	return heap_alloc_zeroed(1, sizeof(struct state));
}

__attribute__((noinline)) static void
claim(const struct lb_view *view, struct state *s)
{
	struct backend_slot *slot = view->members[0]->shared;
	uint64_t now = now_ms();

	if (now != s->claimed_ms)
		s->claim = 1;
	else if (s->claim < CLAIM_MAX)
		s->claim *= 2;
	s->claimed_ms = now;
	s->left = s->claim;
	if (slot != NULL) {
		s->turn = atomic_fetch_add_explicit(&slot->turns, s->claim,
		    memory_order_relaxed);
	} else {
		s->turn = s->own_turns;
		s->own_turns += s->claim;
	}
}

static inline const struct backend *
at_turn(const struct lb_view *view, const struct plan *plan, uint64_t turn)
{
	return view->members[plan->cycle[turn % plan->length]];
}

static inline const struct backend *
next(const struct lb_view *view, const struct plan *plan, struct state *s)
{
	if (s->left == 0)
		claim(view, s);
	s->left--;
	return at_turn(view, plan, s->turn++);
}

/* The turn that was ours belongs to one that cannot be used. */
__attribute__((noinline)) static const struct backend *
pick_another(const struct lb_view *view, const struct plan *plan,
    struct state *s, const struct lb_query *query)
{
	const struct backend *b;

	if (!lb_is_any_usable(view, query))
		return NULL;
	for (int i = 0; i < PICK_CLAIMS_MAX; i++) {
		b = next(view, plan, s);
		if (lb_is_usable(b, query))
			return b;
	}
	for (size_t i = 0; i < plan->length; i++) {
		b = at_turn(view, plan, s->turn + i);
		if (lb_is_usable(b, query))
			return b;
	}
	return NULL;
}

static const struct backend *
pick(const struct lb_view *view, const void *plan, void *state,
    const struct lb_query *query)
{
	const struct backend *b = next(view, plan, state);

	return lb_is_usable(b, query) ? b :
	    pick_another(view, plan, state, query);
}

const struct lb_ops lb_roundrobin = {
	.name = "round_robin",
	.plan = make_plan,
	.start = start,
	.stop = free,
	.pick = pick,
};

/* SPDX-License-Identifier: BSD-2-Clause */
/* group - upstreams: their backends, and whose turn it is. */
#include "upstream/group.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/heap_alloc.h"
#include "upstream/group_private.h"
#include "upstream/health.h"
#include "upstream/lb_hash.h"
#include "upstream/lb_leastconn.h"
#include "upstream/lb_power2.h"
#include "upstream/lb_random.h"
#include "upstream/lb_roundrobin.h"

static const struct lb_ops *const lbs[] = {
	[GROUP_ROUND_ROBIN] = &lb_roundrobin,
	[GROUP_RANDOM] = &lb_random,
	[GROUP_LEAST_CONNECTIONS] = &lb_leastconn,
	[GROUP_POWER_OF_TWO] = &lb_power2,
	[GROUP_HASH] = &lb_hash,
};

static void
add_backends(struct group *g, struct arena *a, uint32_t conf_index)
{
	const struct backend_conf *backends = g->conf->backends.items;
	uint32_t places = group_conf_places(g->conf, &backends[conf_index]);

	for (uint32_t i = 0; i < places; i++) {
		struct backend *b = &g->backends[g->backend_count];

		backend_init(b, a, &backends[conf_index], g, i);
		b->index = g->backend_count++;
		b->conf_index = conf_index;
		b->places = places;
		b->is_counted = g->lb->needs_in_flight ||
		    g->conf->hash_load_max != 0;
		g->is_limited |= b->limit != 0;
		g->has_names |= b->is_name;
	}
}

struct group *
group_new(struct arena *a, const struct group_conf *conf)
{
	struct group *g = arena_zalloc(a, sizeof(*g));

	g->magic = GROUP_MAGIC;
	g->conf = conf;
	g->name = span_cstr(conf->name);
	g->backends = arena_alloc(a, group_conf_all_places(conf) *
	    sizeof(*g->backends));
	g->lb = lbs[conf->balance];
	for (uint32_t i = 0; i < conf->backends.count; i++)
		add_backends(g, a, i);
	for (unsigned i = 0; i < TIER_COUNT; i++)
		tier_plan(&g->tiers[i], a, g, i > 0);
	return g;
}

int
group_bind(struct group *g, struct backend_zone *zone, struct error *err)
{
	for (uint32_t i = 0; i < g->backend_count; i++) {
		if (backend_bind(&g->backends[i], zone, err) != 0) {
			group_unbind(g, zone);
			return -1;
		}
	}
	return 0;
}

void
group_unbind(struct group *g, struct backend_zone *zone)
{
	for (uint32_t i = 0; i < g->backend_count; i++)
		backend_unbind(&g->backends[i], zone);
}

static uint32_t
changes_of(const struct group *g)
{
	const struct backend_slot *slot = g->backends[0].shared;

	return slot == NULL ? 0 : atomic_load_explicit(&slot->changes,
	    memory_order_acquire);
}

void
group_changed(struct group *g)
{
	if (g->backends[0].shared != NULL)
		atomic_fetch_add(&g->backends[0].shared->changes, 1);
}

static bool
is_as_configured(const struct group *g)
{
	if (g->has_names)
		return false;
	for (uint32_t i = 0; i < g->backend_count; i++)
		if (backend_weight(&g->backends[i]) != g->backends[i].weight)
			return false;
	return true;
}

/* Plan anew, or go back to the plans of the load where nothing differs. */
__attribute__((noinline)) static void
plan_again(struct group *g)
{
	struct group_state *state = g->state;

	state->changes = changes_of(g);
	memcpy(state->tiers, g->tiers, sizeof(state->tiers));
	arena_fini(&state->arena);
	arena_init(&state->arena, NULL);
	if (is_as_configured(g))
		return;
	for (unsigned i = 0; i < TIER_COUNT; i++)
		tier_plan(&state->tiers[i], &state->arena, g, i > 0);
}

void
group_start(struct group *g, struct backend_cell *cells)
{
	struct group_state *state = heap_alloc_zeroed(1, sizeof(*state));

	assert(g->state == NULL);
	state->locals = heap_alloc_zeroed(g->backend_count,
	    sizeof(*state->locals));
	retry_budget_init(&state->budget, &g->conf->retry_budget);
	arena_init(&state->arena, NULL);
	for (unsigned i = 0; i < TIER_COUNT; i++)
		state->lb[i] = g->lb->start != NULL ? g->lb->start() : NULL;
	for (uint32_t i = 0; i < g->backend_count; i++)
		g->backends[i].own = cells != NULL ?
		    &cells[g->backends[i].slot] : NULL;
	g->state = state;
	plan_again(g);
}

void
group_stop(struct group *g)
{
	if (g->state == NULL)
		return;
	for (unsigned i = 0; i < TIER_COUNT && g->lb->stop != NULL; i++)
		g->lb->stop(g->state->lb[i]);
	arena_fini(&g->state->arena);
	free(g->state->locals);
	free(g->state);
	g->state = NULL;
}

static const struct backend *
pick_of(struct group *g, unsigned tier, const struct lb_query *query)
{
	struct group_state *state = g->state;
	const struct tier *t = &state->tiers[tier];

	return t->view.count == 0 ? NULL : g->lb->pick(&t->view, t->plan,
	    state->lb[tier], query);
}

/* Backups; then whoever has merely failed of late. */
__attribute__((noinline)) static const struct backend *
pick_last(struct group *g, struct lb_query *query)
{
	const struct backend *b = NULL;

	for (unsigned i = 1; b == NULL && i < TIER_COUNT; i++)
		b = pick_of(g, i, query);
	query->any = true;
	for (unsigned i = 0; b == NULL && i < TIER_COUNT; i++)
		b = pick_of(g, i, query);
	return b;
}

static const struct backend *
pick_any(struct group *g, struct lb_query *query)
{
	const struct backend *b = pick_of(g, 0, query);

	return b != NULL ? b : pick_last(g, query);
}

bool
group_has_room(const struct group *g, const struct group_tries *tries)
{
	bool is_full;
	const struct lb_query query = { .tries = tries, .any = true,
		.is_full = &is_full };

	for (uint32_t i = 0; i < g->backend_count; i++)
		if (lb_is_usable(&g->backends[i], &query))
			return true;
	return false;
}

const struct backend *
group_pick(struct group *g, struct group_tries *tries)
{
	struct lb_query query = { .tries = tries,
		.is_full = &tries->is_full };
	const struct backend *b;

	tries->is_full = false;
	assert(g->magic == GROUP_MAGIC);
	if (tries->count >= GROUP_TRIES_MAX)
		return NULL;
	if (changes_of(g) != g->state->changes)
		plan_again(g);
	b = pick_any(g, &query);
	/* One that is to be tried once more is for one request alone. */
	while (b != NULL && !query.any &&
	    backend_state(b) == BACKEND_FAILED && !health_claim_trial(b))
		b = pick_any(g, &query);
	if (b != NULL)
		tries->tried[tries->count++] = (uint16_t)b->index;
	return b;
}

struct retry_budget *
group_budget(struct group *g)
{
	return &g->state->budget;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* upstreams - upkeep of the backends' shared state, and its gauges. */
#include "background/upstreams.h"

#include <stdlib.h>

#include "background/checks.h"
#include "background/commands.h"
#include "background/upstreams_cmds.h"
#include "base/heap_alloc.h"
#include "base/list.h"
#include "base/now.h"
#include "metrics/metrics.h"
#include "os/loop.h"
#include "proxy/stats.h"
#include "site/generation.h"
#include "upstream/backend.h"
#include "upstream/backend_inherit.h"
#include "upstream/backend_zone.h"
#include "upstream/group.h"
#include "upstream/places.h"

enum { TICK_MS = 500 };

struct upstreams {
	struct loop *loop;
	const struct generation_shared *shared;
	struct checks *checks;
	struct deadline tick;
	unsigned process;
	bool is_serving;
};

/* With is_shown false: nothing, for what a successor shows is added. */
static void
show_backend(const struct upstreams *u, const struct backend *b,
    bool is_shown)
{
	_Atomic uint64_t *block = metrics_block(u->shared->metrics,
	    &stats_backend, u->process, b->metric_index);
	const struct backend_slot *slot = b->shared;

	counter_set(&block[BACKEND_STAT_UP],
	    is_shown && backend_is_up(b) ? 1 : 0);
	counter_set(&block[BACKEND_STAT_IN_FLIGHT],
	    is_shown ? tally_sum(&slot->in_flight) : 0);
	counter_set(&block[BACKEND_STAT_OPEN],
	    is_shown ? tally_sum(&slot->connections) : 0);
	counter_set(&block[BACKEND_STAT_WAITING],
	    is_shown ? tally_sum(&slot->waiters) : 0);
	counter_set(&block[BACKEND_STAT_WEIGHT],
	    is_shown ? backend_weight(b) : 0);
}

static void
show_group(const struct upstreams *u, const struct group *g, bool is_shown)
{
	for (uint32_t k = 0; k < g->backend_count; k++) {
		const struct backend *b = &g->backends[k];

		show_backend(u, b, is_shown);
		if (b->is_name && is_shown)
			metrics_hide(u->shared->metrics, METRIC_SCOPE_BACKEND,
			    b->metric_index, !places_is_shown(b));
	}
}

static void
show(const struct upstreams *u, bool is_shown)
{
	for (size_t i = 0; i < u->shared->group_count; i++)
		show_group(u, u->shared->groups[i], is_shown);
}

static void
on_tick(struct deadline *d)
{
	struct upstreams *u = LIST_OF(d, struct upstreams, tick);

	backend_zone_mend(u->shared->backends);
	if (u->is_serving)
		show(u, true);
	deadline_set(u->loop, d, now_ms() + TICK_MS);
}

struct upstreams *
upstreams_start(struct loop *loop, const struct generation_shared *shared,
    unsigned process)
{
	struct upstreams *u = heap_alloc_zeroed(1, sizeof(*u));

	u->loop = loop;
	u->shared = shared;
	u->process = process;
	deadline_init(&u->tick, on_tick);
	on_tick(&u->tick);
	u->checks = checks_start(loop, shared->groups, shared->group_count);
	return u;
}

void
upstreams_add_commands(struct upstreams *u, struct commands *commands)
{
	/* Commands only look at it, but for what lies in the slots. */
	commands_add(commands, upstreams_cmds,
	    (void *)(uintptr_t)u->shared);
}

void
upstreams_on_come(struct upstreams *u, const struct backend *b)
{
	checks_begin(u->checks, b);
}

void
upstreams_on_change(struct upstreams *u, const struct group *g)
{
	if (u->is_serving)
		show_group(u, g, true);
}

/* What its predecessor changed since this generation was made. */
static void
tell_workers(const struct upstreams *u)
{
	for (size_t i = 0; i < u->shared->group_count; i++)
		if (u->shared->groups[i]->has_names)
			group_changed(u->shared->groups[i]);
}

void
upstreams_serve(struct upstreams *u, bool is_serving)
{
	u->is_serving = is_serving;
	backend_inherit_serve(u->shared->backends, is_serving);
	if (is_serving)
		tell_workers(u);
	show(u, is_serving);
	if (is_serving)
		return;
	checks_stop(u->checks);
	u->checks = NULL;
}

void
upstreams_stop(struct upstreams *u)
{
	if (u == NULL)
		return;
	checks_stop(u->checks);
	deadline_stop(u->loop, &u->tick);
	free(u);
}

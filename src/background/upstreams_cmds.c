/* SPDX-License-Identifier: BSD-2-Clause */
/* upstreams_cmds - showing backends, draining them, changing weights. */
#include "background/upstreams_cmds.h"

#include <string.h>
#include <time.h>

#include "base/error.h"
#include "base/log.h"
#include "base/str.h"
#include "metrics/histogram.h"
#include "metrics/metrics.h"
#include "proxy/stats.h"
#include "site/generation.h"
#include "upstream/backend.h"
#include "upstream/backend_zone.h"
#include "upstream/group.h"
#include "upstream/health.h"
#include "upstream/lb_hash.h"
#include "upstream/places.h"

static struct group *
find_group(const struct generation_shared *shared, const char *name,
    struct error *err)
{
	for (size_t i = 0; i < shared->group_count; i++)
		if (span_eq(shared->groups[i]->name, span_cstr(name)))
			return shared->groups[i];
	(void)error_set(err, "there is no upstream \"%s\"", name);
	return NULL;
}

/* As it is written in the configuration, or an address of a name. */
static bool
is_called(const struct backend *b, struct span address)
{
	char memory[BACKEND_NAME_MAX];
	struct str now;

	if (span_ieq(b->text, address))
		return true;
	str_init(&now, memory, sizeof(memory));
	backend_put_address(b, &now);
	return span_ieq(str_view(&now), address);
}

/* The first that is called so; all others that are follow it. */
static const struct backend *
find_backend(const struct group *g, const char *address, struct error *err)
{
	for (uint32_t i = 0; i < g->backend_count; i++)
		if (is_called(&g->backends[i], span_cstr(address)))
			return &g->backends[i];
	(void)error_set(err, "upstream %.*s has no backend \"%s\"",
	    SPAN_ARG(g->name), address);
	return NULL;
}

/* ---- weirctl upstreams ---- */

static uint64_t
row(const struct generation_shared *shared, const struct backend *b,
    size_t at)
{
	return metrics_sum(shared->metrics, &stats_backend, b->metric_index,
	    at);
}

/* The bound in milliseconds below which so many percent of them are. */
static void
put_quantile(struct json *j, const char *name,
    const struct generation_shared *shared, const struct backend *b,
    unsigned percent)
{
	enum { BUCKETS = METRIC_HISTOGRAM_WORDS - 1 };
	uint64_t counts[BUCKETS];
	uint64_t total = 0, seen = 0;

	for (unsigned i = 0; i < BUCKETS; i++) {
		counts[i] = row(shared, b, UPSTREAM_STAT_FIRST_BYTE + i);
		total += counts[i];
	}
	for (unsigned i = 0; i + 1 < BUCKETS && total > 0; i++) {
		uint64_t us = histogram_bound_us(i);

		seen += counts[i];
		if (seen * 100 < total * percent)
			continue;
		json_printf(j, name, "<%llu.%llu",
		    (unsigned long long)(us / 1000),
		    (unsigned long long)(us / 100 % 10));
		return;
	}
	json_cstr(j, name, total > 0 ? "more" : "-");
}

static void
put_since(struct json *j, uint64_t since_ms)
{
	time_t seconds = (time_t)(since_ms / 1000);
	char text[32];
	struct tm tm;

	gmtime_r(&seconds, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	json_cstr(j, "since", text);
}

static void
put_backend(struct json *j, const struct generation_shared *shared,
    const struct backend *b)
{
	const struct backend_slot *slot = b->shared;
	char memory[BACKEND_NAME_MAX];
	struct str address;
	uint64_t requests = row(shared, b, UPSTREAM_STAT_REQUESTS);
	uint64_t reused = row(shared, b, UPSTREAM_STAT_REUSED) +
	    row(shared, b, UPSTREAM_STAT_TAKEN);

	json_object(j, NULL);
	json_span(j, "upstream", b->group->name);
	str_init(&address, memory, sizeof(memory));
	backend_put_address(b, &address);
	json_span(j, "backend", str_view(&address));
	if (b->is_name)
		json_span(j, "name", b->text);
	json_cstr(j, "state", health_state_name(b));
	json_cstr(j, "why", health_why_name(atomic_load(&slot->why)));
	put_since(j, atomic_load(&slot->since_ms));
	json_u64(j, "weight", backend_weight(b));
	json_bool(j, "backup", b->is_backup);
	json_u64(j, "in_flight", tally_sum(&slot->in_flight));
	json_u64(j, "requests", requests);
	json_u64(j, "failures", row(shared, b, UPSTREAM_STAT_FAILURES));
	json_printf(j, "reused", "%llu%%", (unsigned long long)(requests > 0 ?
	    reused * 100 / requests : 0));
	put_quantile(j, "p50_ms", shared, b, 50);
	put_quantile(j, "p99_ms", shared, b, 99);
	json_close(j);
}

static int
show_upstreams(struct command_call *call)
{
	const struct generation_shared *shared = call->arg;
	const struct group *only = NULL;

	if (call->arg_count > 0) {
		only = find_group(shared, call->args[0], call->err);
		if (only == NULL)
			return -1;
	}
	backend_zone_mend(shared->backends);
	json_array(call->json, "backends");
	for (size_t i = 0; i < shared->group_count; i++) {
		const struct group *g = shared->groups[i];

		for (uint32_t k = 0; (only == NULL || g == only) &&
		    k < g->backend_count; k++)
			if (places_is_shown(&g->backends[k]))
				put_backend(call->json, shared,
				    &g->backends[k]);
	}
	json_close(call->json);
	return 0;
}

/* ---- drain and enable ---- */

static bool
set_drained(const struct backend *b, bool is_drained)
{
	char name[BACKEND_LOG_NAME_MAX];
	bool changed = health_change(b, BACKEND_DRAINED, is_drained,
	    is_drained ? HEALTH_DRAINED : HEALTH_ENABLED);

	/* Whoever enables one wants it tried at once. */
	if (!is_drained && health_change(b, BACKEND_FAILED, false,
	    HEALTH_ENABLED))
		changed = true;
	if (changed && places_is_shown(b))
		log_notice(NULL, "backend %s %s", backend_log_name(b, name),
		    health_why_words(is_drained ? HEALTH_DRAINED :
		    HEALTH_ENABLED));
	return changed && places_is_shown(b);
}

static int
change_drained(struct command_call *call, bool is_drained)
{
	const struct generation_shared *shared = call->arg;
	const struct group *g = find_group(shared, call->args[0], call->err);
	uint64_t changed = 0;

	if (g == NULL)
		return -1;
	if (call->arg_count > 1 &&
	    find_backend(g, call->args[1], call->err) == NULL)
		return -1;
	for (uint32_t i = 0; i < g->backend_count; i++)
		if (call->arg_count < 2 || is_called(&g->backends[i],
		    span_cstr(call->args[1])))
			changed += set_drained(&g->backends[i], is_drained);
	json_u64(call->json, "changed", changed);
	return 0;
}

static int
drain(struct command_call *call)
{
	return change_drained(call, true);
}

static int
enable(struct command_call *call)
{
	return change_drained(call, false);
}

/* ---- weight ---- */

/* 0 = as configured. */
static int
read_weight(const char *text, uint64_t *weight, struct error *err)
{
	*weight = 0;
	if (strcmp(text, "configured") == 0)
		return 0;
	if (span_u64(span_cstr(text), weight) == 0 && *weight >= 1 &&
	    *weight <= 1000)
		return 0;
	return error_set(err, "weight \"%s\": 1 to 1000 or \"configured\" is "
	    "expected; to give a backend no requests, drain it", text);
}

static int
check_ring(const struct group *g, struct span address, uint64_t weight,
    struct error *err)
{
	uint64_t sum = 0;

	if (g->conf->balance != GROUP_HASH)
		return 0;
	for (uint32_t i = 0; i < g->backend_count; i++)
		sum += weight != 0 && is_called(&g->backends[i], address) ?
		    weight : backend_weight(&g->backends[i]);
	if (sum <= LB_HASH_WEIGHT_MAX)
		return 0;
	return error_set(err, "the weights of upstream %.*s would be %llu "
	    "together, at most %d are possible with balance = \"hash\"",
	    SPAN_ARG(g->name), (unsigned long long)sum, LB_HASH_WEIGHT_MAX);
}

static void
change_weight(const struct backend *b, uint32_t weight)
{
	char name[BACKEND_LOG_NAME_MAX];

	if (b->is_name && !backend_is_resolved(b))
		return; /* whoever comes has the configured one */
	/* First: who sees the change plans with it. */
	atomic_store(&b->shared->weight, weight);
	log_notice(NULL, "backend %s has weight %u by weirctl",
	    backend_log_name(b, name), backend_weight(b));
}

static int
set_weight(struct command_call *call)
{
	const struct generation_shared *shared = call->arg;
	const struct group *g = find_group(shared, call->args[0], call->err);
	const struct backend *b;
	struct span address = span_cstr(call->args[1]);
	uint64_t weight;

	if (g == NULL)
		return -1;
	b = find_backend(g, call->args[1], call->err);
	if (b == NULL || read_weight(call->args[2], &weight, call->err) != 0 ||
	    check_ring(g, address, weight, call->err) != 0)
		return -1;
	json_u64(call->json, "before", backend_weight(b));
	for (uint32_t i = 0; i < g->backend_count; i++)
		if (is_called(&g->backends[i], address))
			change_weight(&g->backends[i], (uint32_t)weight);
	group_changed(find_group(shared, call->args[0], call->err));
	json_u64(call->json, "weight", backend_weight(b));
	return 0;
}

const struct command upstreams_cmds[] = {
	{ .name = "upstreams", .arguments = "[UPSTREAM]",
	    .help = "backends: state, why, since when, what they do",
	    .run = show_upstreams },
	{ .name = "upstream drain", .arguments = "UPSTREAM [BACKEND]",
	    .help = "give a backend, or all, no more requests",
	    .is_change = true, .run = drain },
	{ .name = "upstream enable", .arguments = "UPSTREAM [BACKEND]",
	    .help = "end a drain; one that failed is tried at once",
	    .is_change = true, .run = enable },
	{ .name = "upstream weight", .arguments = "UPSTREAM BACKEND WEIGHT",
	    .help = "1 to 1000, or \"configured\"",
	    .is_change = true, .run = set_weight },
	{ .name = NULL },
};

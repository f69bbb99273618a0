/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ratelimit - hold each client to a rate, and to a number of requests at once.
 *
 * The counts lie in shared memory, so that they are one for all workers and
 * outlive them, a reload and an upgrade.  A limit is checked where the request
 * is known and nothing has been done for it; one whose key needs what `auth`
 * finds out is checked behind that.  A request that one limit refuses costs
 * nothing with the others.  May suspend an exchange (delay).
 */
#include "module.h"

#include "gcra.h"
#include "leases.h"
#include "limit.h"

enum {
	RATELIMIT_ORDER = 200,      /* behind access, before auth */
	RATELIMIT_LATE_ORDER = 400, /* behind auth */
	LIMITS_MAX = 16,
	FIELD_BYTES = 2048,
};

struct ratelimit_conf {
	struct conf_list limits; /* of struct limit */
	uint64_t zone_bytes;
	/* Made of them. */
	bool has_rates, has_leases;
	bool needs_ctx; /* delays, leases and fields do */
	/* In shared memory. */
	struct gcra rates;
	struct leases leases;
};

/* What an exchange has of one limit. */
struct part {
	struct lease lease;
	uint64_t ahead;    /* see gcra_remaining() */
	bool is_known;     /* ahead is */
};

struct ratelimit_ctx {
	struct exchange *ex;
	struct deadline timer;
	struct part parts[]; /* by limit */
};

enum {
	COUNT_CHECKED,
	COUNT_DELAYED,
	COUNT_REFUSED_RATE,
	COUNT_REFUSED_CONCURRENT,
	COUNT_SHADOW_RATE,
	COUNT_SHADOW_CONCURRENT,
	COUNT_EVICTED,
	COUNT_FULL,
	COUNTS,
};

static const struct metric rows[COUNTS] = {
	[COUNT_CHECKED] = { "checked_total",
	    "Requests held against a limit, once for each limit.",
	    METRIC_COUNTER, NULL, false },
	[COUNT_DELAYED] = { "delayed_total", "Requests that were held up.",
	    METRIC_COUNTER, NULL, false },
	[COUNT_REFUSED_RATE] = { "refused_total",
	    "Requests that a limit refused.", METRIC_COUNTER,
	    "limit=\"rate\"", false },
	[COUNT_REFUSED_CONCURRENT] = { "refused_total", NULL, METRIC_COUNTER,
	    "limit=\"concurrent\"", false },
	[COUNT_SHADOW_RATE] = { "shadow_total",
	    "Requests that a limit in shadow mode would have refused.",
	    METRIC_COUNTER, "limit=\"rate\"", false },
	[COUNT_SHADOW_CONCURRENT] = { "shadow_total", NULL, METRIC_COUNTER,
	    "limit=\"concurrent\"", false },
	[COUNT_EVICTED] = { "evicted_total",
	    "Keys that still counted and had to go for others.",
	    METRIC_COUNTER, NULL, false },
	[COUNT_FULL] = { "full_total",
	    "Checks for which the zone had no room: let through.",
	    METRIC_COUNTER, NULL, false },
};

static const struct metric_set metrics =
    METRIC_SET("ratelimit", METRIC_SCOPE_PROCESS, rows);

/* ---- configuration ---- */

static int
check_limits(struct conf_ctx *ctx, const struct conf_node *node, void *conf_ptr)
{
	const struct ratelimit_conf *conf = conf_ptr;
	const struct conf_node *list = conf_node_get(node, "ratelimit");

	if (list == NULL || conf->limits.count <= LIMITS_MAX)
		return 0;
	conf_report_error(ctx->report, &list->place,
	    "ratelimit: %zu limits are too many, %d may stand in one place",
	    conf->limits.count, LIMITS_MAX);
	return -1;
}

static const struct conf_item items[] = {
	CONF_LIST("ratelimit", struct ratelimit_conf, limits, &limit_table, 0,
	    "limits of rate and concurrency"),
	CONF_SIZE("ratelimit_zone", struct ratelimit_conf, zone_bytes,
	    GCRA_BYTES_MIN, UINT64_C(64) << 30, "24MB", 0,
	    "shared memory for the clients that limits know"),
	CONF_END,
};

static const struct conf_table table = {
	.name = "ratelimit",
	.items = items,
	.struct_bytes = sizeof(struct ratelimit_conf),
	.check = check_limits,
};

static bool
ratelimit_is_active(const void *conf_ptr)
{
	const struct ratelimit_conf *conf = conf_ptr;

	return conf->limits.count > 0;
}

/* Whether one of the limits needs handlers in that phase. */
static bool
needs(const struct ratelimit_conf *conf, enum phase phase, bool is_late)
{
	const struct limit *limits = conf->limits.items;

	for (size_t i = 0; i < conf->limits.count; i++) {
		const struct limit *l = &limits[i];

		if ((phase == PHASE_REQUEST && l->is_late == is_late) ||
		    (phase == PHASE_RESPONSE && l->fields) ||
		    (phase == PHASE_LOG &&
		    (l->delay_ms > 0 || l->concurrent > 0)))
			return true;
	}
	return false;
}

static bool
ratelimit_runs_in(const void *conf, enum phase phase)
{
	return needs(conf, phase, false);
}

static bool
ratelimit_late_runs_in(const void *conf, enum phase phase)
{
	return needs(conf, phase, true);
}

static int
ratelimit_start(const struct module_env *env, void *conf_ptr,
    struct error *err)
{
	struct ratelimit_conf *conf = conf_ptr;
	struct limit *limits = conf->limits.items;

	(void)err;
	for (size_t i = 0; i < conf->limits.count; i++) {
		limit_start(&limits[i], env->arena, env->place, i);
		conf->has_rates |= limits[i].rate.requests > 0;
		conf->has_leases |= limits[i].concurrent > 0;
	}
	conf->needs_ctx = needs(conf, PHASE_RESPONSE, false) ||
	    needs(conf, PHASE_LOG, false);
	return 0;
}

/* ---- shared memory ---- */

/* The zone has another size than before: what counts comes along. */
static void
inherit_rates(const struct module_env *env, struct ratelimit_conf *conf,
    const struct shmem *zone)
{
	const struct shmem *former = env->former_zone(env, zone);
	struct gcra from;

	if (former == NULL)
		return;
	gcra_open(&from, former->data, former->data_bytes, false);
	gcra_copy(&conf->rates, zone->data, &from, now_exact_us());
}

static int
ratelimit_attach(const struct module_env *env, void *conf_ptr,
    struct error *err)
{
	struct ratelimit_conf *conf = conf_ptr;
	const struct shmem *zone;
	int is_new;

	if (conf->has_rates) {
		is_new = env->zone(env, "ratelimit", GCRA_VERSION,
		    conf->zone_bytes, &zone, err);
		if (is_new < 0)
			return -1;
		gcra_open(&conf->rates, zone->data, zone->data_bytes,
		    is_new == 1);
		if (is_new == 1)
			inherit_rates(env, conf, zone);
	}
	if (conf->has_leases) {
		is_new = env->zone(env, "ratelimit.leases",
		    LEASES_VERSION(env->processes), conf->zone_bytes, &zone, err);
		if (is_new < 0)
			return -1;
		leases_open(&conf->leases, zone->data, zone->data_bytes,
		    env->processes, is_new == 1);
	}
	return 0;
}

static void
ratelimit_on_process(const void *conf_ptr, unsigned process)
{
	const struct ratelimit_conf *conf = conf_ptr;

	if (conf->has_leases)
		leases_begin_life(&conf->leases, process);
}

/* ---- exchanges ---- */

static size_t
ctx_bytes(const struct ratelimit_conf *conf)
{
	return sizeof(struct ratelimit_ctx) +
	    conf->limits.count * sizeof(struct part);
}

/* NULL where no limit needs one. */
static struct part *
part_of(struct exchange *ex, const struct ratelimit_conf *conf, size_t i)
{
	struct ratelimit_ctx *ctx;

	if (!conf->needs_ctx)
		return NULL;
	ctx = exchange_ctx(ex, ctx_bytes(conf));
	return &ctx->parts[i];
}

/* One request and the limits of one turn. */
struct turn {
	struct exchange *ex;
	const struct ratelimit_conf *conf;
	_Atomic uint64_t *counts;
	uint64_t hashes[LIMITS_MAX]; /* of the rates taken; 0 = none */
	uint64_t wait_us;
	bool is_late;
};

/* Another limit has refused: to be refused costs nothing. */
static void
undo(struct turn *t, size_t count)
{
	const struct limit *limits = t->conf->limits.items;

	for (size_t i = 0; i < count; i++) {
		struct part *part = part_of(t->ex, t->conf, i);

		if (limits[i].is_late != t->is_late)
			continue;
		if (part != NULL)
			leases_return(&part->lease);
		if (t->hashes[i] != 0)
			gcra_give_back(&t->conf->rates, t->hashes[i],
			    &limits[i].gcra);
	}
}

/* The verdict of a limit that has no room: that of its mode. */
static bool
passes(struct turn *t, const struct limit *l, unsigned refused,
    unsigned shadow, const char *what)
{
	if (l->mode == LIMIT_ENFORCE) {
		counter_add(&t->counts[refused], 1);
		return false;
	}
	counter_add(&t->counts[shadow], 1);
	log_info(&t->ex->log, "ratelimit would refuse: %s", what);
	return true;
}

static bool
take_lease(struct turn *t, const struct limit *l, struct part *part,
    struct span key)
{
	const struct leases *leases = &t->conf->leases;
	bool is_full;

	if (leases_take(leases, leases_hash(leases, key.p, key.len),
	    exchange_worker(t->ex)->process, l->concurrent,
	    l->mode == LIMIT_SHADOW, now_ms(), &part->lease, &is_full)) {
		if (is_full)
			counter_add(&t->counts[COUNT_FULL], 1);
		return true;
	}
	t->ex->retry_after_s = 1;
	return passes(t, l, COUNT_REFUSED_CONCURRENT,
	    COUNT_SHADOW_CONCURRENT, l->concurrent_text);
}

static bool
take_rate(struct turn *t, const struct limit *l, struct part *part,
    struct span key, uint64_t *hash)
{
	const struct gcra *rates = &t->conf->rates;
	uint64_t h = gcra_hash(rates, key.p, key.len);
	struct gcra_answer a;

	gcra_take(rates, h, &l->gcra, now_us(), &a);
	if (a.evicted)
		counter_add(&t->counts[COUNT_EVICTED], 1);
	if (a.is_full)
		counter_add(&t->counts[COUNT_FULL], 1);
	if (part != NULL) {
		part->ahead = a.ahead;
		part->is_known = true;
	}
	if (a.verdict == GCRA_TAKEN) {
		*hash = h;
		if (l->mode == LIMIT_ENFORCE && a.wait_us > t->wait_us)
			t->wait_us = a.wait_us;
		return true;
	}
	/* Whole seconds, rounded up: who keeps to it is let in. */
	t->ex->retry_after_s = (uint32_t)((a.wait_us + 999999) / 1000000);
	return passes(t, l, COUNT_REFUSED_RATE, COUNT_SHADOW_RATE,
	    l->rate_text);
}

/* False and the text of what refuses it. */
static bool
take(struct turn *t, size_t i, const char **refused_by)
{
	const struct limit *l =
	    (const struct limit *)t->conf->limits.items + i;
	struct part *part = part_of(t->ex, t->conf, i);
	char memory[LIMIT_KEY_BYTES_MAX];
	size_t len = limit_key(l, t->ex, memory);

	if (len == 0)
		return true;
	counter_add(&t->counts[COUNT_CHECKED], 1);
	*refused_by = l->concurrent_text;
	if (l->concurrent > 0 &&
	    !take_lease(t, l, part, span_of(memory, len)))
		return false;
	*refused_by = l->rate_text;
	return l->rate.requests == 0 || take_rate(t, l, part,
	    span_of(memory, len), &t->hashes[i]);
}

static void
on_timer(struct deadline *d)
{
	struct ratelimit_ctx *ctx = (struct ratelimit_ctx *)(void *)
	    ((char *)d - offsetof(struct ratelimit_ctx, timer));

	exchange_resume(ctx->ex, VERDICT_NEXT);
}

static enum verdict
hold_up(struct turn *t)
{
	struct ratelimit_ctx *ctx =
	    exchange_ctx(t->ex, ctx_bytes(t->conf));

	counter_add(&t->counts[COUNT_DELAYED], 1);
	ctx->ex = t->ex;
	deadline_init(&ctx->timer, on_timer);
	deadline_set(exchange_loop(t->ex), &ctx->timer,
	    now_ms() + (t->wait_us + 999) / 1000);
	return VERDICT_WAIT;
}

static enum verdict
run(struct exchange *ex, const struct ratelimit_conf *conf, bool is_late)
{
	struct turn t = { .ex = ex, .conf = conf, .is_late = is_late,
		.counts = exchange_counters(ex) };
	const struct limit *limits = conf->limits.items;

	for (size_t i = 0; i < conf->limits.count; i++) {
		const char *refused_by;

		if (limits[i].is_late != is_late || take(&t, i, &refused_by))
			continue;
		undo(&t, i + 1);
		ex->fail_status = (uint16_t)limits[i].status;
		return exchange_fail(ex, REASON_LIMITED, refused_by);
	}
	ex->retry_after_s = 0; /* shadows */
	return t.wait_us > 0 ? hold_up(&t) : VERDICT_NEXT;
}

static enum verdict
ratelimit_on_request(struct exchange *ex, const void *conf)
{
	return run(ex, conf, false);
}

static enum verdict
ratelimit_late_on_request(struct exchange *ex, const void *conf)
{
	return run(ex, conf, true);
}

/* draft-ietf-httpapi-ratelimit-headers: what is left, and until when. */
static void
put_field(struct exchange *ex, struct span name, const struct str *value)
{
	if (value->len > 0 && !value->overflow)
		http_fields_set(&ex->res.fields, &ex->arena, name,
		    span_of(arena_dup(&ex->arena, str_view(value)),
		    value->len));
}

static enum verdict
ratelimit_on_response(struct exchange *ex, const void *conf_ptr)
{
	const struct ratelimit_conf *conf = conf_ptr;
	const struct limit *limits = conf->limits.items;
	char policy_memory[FIELD_BYTES], state_memory[FIELD_BYTES];
	struct str policy, state;

	str_init(&policy, policy_memory, sizeof(policy_memory));
	str_init(&state, state_memory, sizeof(state_memory));
	for (size_t i = 0; i < conf->limits.count; i++) {
		const struct limit *l = &limits[i];
		const struct part *part = part_of(ex, conf, i);

		if (!l->fields || !part->is_known)
			continue;
		if (policy.len > 0) {
			str_lit(&policy, ", ");
			str_lit(&state, ", ");
		}
		str_span(&policy, l->policy);
		str_printf(&state, "\"%.*s\";r=%u;t=%llu",
		    SPAN_ARG(l->label), gcra_remaining(&l->gcra, part->ahead),
		    (unsigned long long)(gcra_reset_us(part->ahead) +
		    999999) / 1000000);
	}
	put_field(ex, SPAN("RateLimit-Policy"), &policy);
	put_field(ex, SPAN("RateLimit"), &state);
	return VERDICT_NEXT;
}

static bool
ratelimit_on_cancel(struct exchange *ex, const void *conf)
{
	struct ratelimit_ctx *ctx = exchange_ctx(ex, ctx_bytes(conf));

	deadline_stop(exchange_loop(ex), &ctx->timer);
	return true;
}

static enum verdict
ratelimit_on_log(struct exchange *ex, const void *conf_ptr)
{
	const struct ratelimit_conf *conf = conf_ptr;
	struct ratelimit_ctx *ctx = exchange_ctx(ex, ctx_bytes(conf));

	if (ctx->ex != NULL)
		deadline_stop(exchange_loop(ex), &ctx->timer);
	for (size_t i = 0; i < conf->limits.count; i++)
		leases_return(&ctx->parts[i].lease);
	return VERDICT_NEXT;
}

static const struct module_late late = {
	.order = RATELIMIT_LATE_ORDER,
	.runs_in = ratelimit_late_runs_in,
	.hooks = { [PHASE_REQUEST] = ratelimit_late_on_request },
};

const struct module mod_ratelimit = {
	.name = "ratelimit",
	.help = "limits of rate and concurrency",
	.table = &table,
	.conf_size = sizeof(struct ratelimit_conf),
	.order = RATELIMIT_ORDER,
	.metrics = &metrics,
	.is_active = ratelimit_is_active,
	.runs_in = ratelimit_runs_in,
	.start = ratelimit_start,
	.attach = ratelimit_attach,
	.on_process = ratelimit_on_process,
	.on_cancel = ratelimit_on_cancel,
	.hooks = {
		[PHASE_REQUEST] = ratelimit_on_request,
		[PHASE_RESPONSE] = ratelimit_on_response,
		[PHASE_LOG] = ratelimit_on_log,
	},
	.late = &late,
};

/* SPDX-License-Identifier: BSD-2-Clause */
/* generation - loading a configuration, and what its processes share. */
#include "site/generation.h"

#include <assert.h>
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/heap_alloc.h"
#include "base/log.h"
#include "base/str.h"
#include "conf/dump.h"
#include "conf/origins.h"
#include "metrics/metrics.h"
#include "os/logring.h"
#include "os/logtarget.h"
#include "os/proc.h"
#include "os/proc_cpu.h"
#include "proxy/proxy.h"
#include "proxy/stats.h"
#include "proxy/vars.h"
#include "site/build.h"
#include "site/modules.h"
#include "upstream/group.h"
#include "upstream/lane.h"

#define DEFAULT_PID_FILE WEIR_RUNSTATEDIR "/weir/weir.pid"

enum {
	WORKERS_MAX = 256,
	/* A worker that leaves keeps its slot while its successor runs. */
	PROCESSES_MAX = GENERATION_WORKER + 2 * WORKERS_MAX,
	METRIC_SETS_MAX = 16,
	DESCRIPTORS_SPARE = 8, /* loop, channel, what modules open */
};

struct generation {
	struct arena arena;
	struct conf_ctx ctx;
	struct conf_origins *origins;
	struct conf_node *tree;
	struct settings settings;
	struct conf_list upstream_confs; /* struct group_conf */
	struct build_level http;
	struct build build;
	struct group **groups;
	size_t group_count;
	uint32_t *group_metric_index;
	/* Of generation_prepare(). */
	struct logtargets targets;
	const struct metric_set *metric_sets[METRIC_SETS_MAX];
	size_t metric_set_count;
	struct logring rings[PROCESSES_MAX];
	struct logring *ring_list[PROCESSES_MAX];
	struct metrics metrics;
	struct generation_shared shared;
	size_t workers;
	bool is_prepared;
};

/* ---- the top level ---- */

static int
accept_node(struct conf_ctx *ctx, const struct conf_node *node, void *field)
{
	(void)ctx;
	(void)node;
	(void)field;
	return 0; /* read by itself, later */
}

static const struct conf_item root_items[] = {
	CONF_LIST("upstreams", struct generation, upstream_confs,
	    &group_table, 0, "groups of backends"),
	{ .name = "http", .type = CONF_TYPE_CUSTOM, .parse = accept_node,
	    .help = "options of all services" },
	{ .name = "services", .type = CONF_TYPE_CUSTOM, .parse = accept_node,
	    .table = &route_conf_service_table,
	    .help = "what is served, and where" },
	{ .name = "custom", .type = CONF_TYPE_CUSTOM, .parse = accept_node,
	    .help = "yours: ${custom.NAME} in templates" },
	CONF_END,
};

static const struct conf_table root_table = {
	.name = "root",
	.items = root_items,
	.struct_bytes = sizeof(struct generation),
};

/* Where a key that stands in the wrong place may belong. */
static const struct conf_level levels[] = {
	{ "the top level", &settings_table },
	{ "an upstream", &group_table },
	{ "a service", &route_conf_service_table },
	{ "a route", &route_conf_table },
	{ "http, a service or a route", &core_conf_table },
	{ NULL, NULL },
};

/* Unknown keys are judged by a key, so it is read first. */
static void
read_unknown_settings(struct generation *g)
{
	const struct conf_node *node =
	    conf_node_get(g->tree, "unknown_settings");

	g->ctx.unknown = CONF_UNKNOWN_ERROR;
	if (node == NULL || node->type != CONF_NODE_STRING)
		return;
	if (span_eq(node->v.string, SPAN("warn")))
		g->ctx.unknown = CONF_UNKNOWN_WARN;
	else if (span_eq(node->v.string, SPAN("ignore")))
		g->ctx.unknown = CONF_UNKNOWN_IGNORE;
}

/* A group that has errors: a name for routes to find, nothing to serve by. */
static struct group *
group_placeholder(struct generation *g, const struct group_conf *conf)
{
	struct group *group = arena_zalloc(&g->arena, sizeof(*group));

	group->conf = conf;
	group->name = span_cstr(conf->name);
	return group;
}

static bool
is_whole(const struct group_conf *conf)
{
	const struct backend_conf *backends = conf->backends.items;

	for (size_t i = 0; i < conf->backends.count; i++) {
		if (backends[i].address == NULL)
			return false;
	}
	return conf->backends.count > 0;
}

static void
build_groups(struct generation *g)
{
	const struct group_conf *confs = g->upstream_confs.items;
	size_t count = g->upstream_confs.count;

	hash_map_init(&g->build.groups, false);
	g->groups = arena_zalloc(&g->arena, (count + 1) * sizeof(*g->groups));
	g->group_metric_index = arena_zalloc(&g->arena,
	    (count + 1) * sizeof(*g->group_metric_index));
	for (size_t i = 0; i < count; i++) {
		const struct conf_node *node = g->upstream_confs.nodes[i];

		if (confs[i].name == NULL)
			continue; /* reported already */
		if (conf_report_errors(g->ctx.report) > 0 ||
		    !is_whole(&confs[i]))
			g->groups[g->group_count] =
			    group_placeholder(g, &confs[i]);
		else
			g->groups[g->group_count] =
			    group_new(&g->arena, &confs[i]);
		g->groups[g->group_count]->number = (uint32_t)g->group_count;
		if (hash_map_put(&g->build.groups, span_cstr(confs[i].name),
		    g->groups[g->group_count]) != NULL)
			conf_report_error(g->ctx.report, &node->place,
			    "there are two upstreams called %s",
			    confs[i].name);
		g->group_count++;
	}
}

static void
start_modules(struct generation *g)
{
	const struct module_env env = {
		.arena = &g->arena,
		.log_targets = &g->targets,
		.workers = g->settings.workers,
	};

	for (struct build_started *s = g->build.started; s != NULL;
	     s = s->next) {
		struct error err;

		if (s->module->start == NULL || (s->module->is_active !=
		    NULL && !s->module->is_active(s->conf)))
			continue;
		if (s->module->start(&env, s->conf, &err) != 0)
			conf_report_error(g->ctx.report, &s->place, "%s: %s",
			    s->module->name, err.text);
	}
}

static void
apply_source(struct generation *g, const struct generation_source *source)
{
	static const struct conf_place command_line = {
		.file = "command line" };
	struct settings *s = &g->settings;
	struct error err;

	if (source->workers != 0) {
		s->workers = source->workers;
		conf_origins_set(g->origins, &s->workers, &command_line);
	}
	if (s->workers == SETTINGS_WORKERS_AUTO)
		s->workers = proc_cpu_count();
	if (s->workers > WORKERS_MAX)
		s->workers = WORKERS_MAX;
	if (source->log_level >= 0) {
		s->error_log.level = (uint32_t)source->log_level;
		conf_origins_set(g->origins, &s->error_log.level,
		    &command_line);
	}
	if (source->is_daemon) {
		s->daemon = true;
		conf_origins_set(g->origins, &s->daemon, &command_line);
	}
	if (s->pid_file == NULL && source->path != NULL && geteuid() == 0)
		s->pid_file = DEFAULT_PID_FILE;
	if (logtarget_add(&g->targets, s->error_log.path, &err) < 0)
		conf_report_error(g->ctx.report, NULL, "error_log: %s",
		    err.text);
}

static void
read_tree(struct generation *g, const struct generation_source *source)
{
	struct conf_part parts[] = {
		{ &settings_table, &g->settings },
		{ &root_table, g },
	};
	const struct conf_node *http = conf_node_get(g->tree, "http");
	const struct conf_node *custom = conf_node_get(g->tree, "custom");

	vars_set_custom(custom);
	conf_defaults(&g->ctx, &settings_table, &g->settings);
	(void)conf_apply(&g->ctx, g->tree, parts, 2);
	apply_source(g, source);
	build_groups(g);
	(void)build_http(&g->build, http, &g->http);
	(void)build_services(&g->build, conf_node_get(g->tree, "services"),
	    &g->http);
	if (g->settings.admin.address != NULL)
		build_admin(&g->build, g->settings.admin.address, &g->http);
	start_modules(g);
	if (g->build.listener_count == 0 &&
	    conf_report_errors(g->ctx.report) == 0)
		conf_report_error(g->ctx.report, &g->tree->place,
		    "nothing to do: no service listens anywhere");
}

struct generation *
generation_load(const struct generation_source *source,
    struct conf_report *report)
{
	struct generation *g = heap_alloc_zeroed(1, sizeof(*g));

	arena_init(&g->arena, NULL);
	logtarget_init(&g->targets);
	g->origins = conf_origins_new();
	g->ctx = (struct conf_ctx){ .arena = &g->arena, .report = report,
		.vars = &vars_all, .origins = g->origins, .levels = levels };
	g->build.ctx = &g->ctx;
	g->tree = source->path != NULL
	    ? conf_tree_load(&g->arena, source->path, source->conf_dir,
	    report)
	    : conf_tree_parse(&g->arena, source->text_name, source->text,
	    report);
	if (g->tree == NULL) {
		generation_free(g);
		return NULL;
	}
	read_unknown_settings(g);
	read_tree(g, source);
	if (conf_report_errors(report) > 0) {
		generation_free(g);
		return NULL;
	}
	return g;
}

void
generation_free(struct generation *g)
{
	if (g == NULL)
		return;
	if (g->is_prepared) {
		for (size_t i = 0; i < g->shared.ring_count; i++)
			logring_close(&g->rings[i]);
		metrics_close(&g->metrics);
		for (size_t i = 0; i < g->group_count; i++)
			group_unbind(g->groups[i], g->shared.backends);
		backend_zone_free(g->shared.backends);
		lane_set_free(g->shared.lanes);
		close(g->shared.kick_fd);
	}
	for (size_t i = 0; i < g->build.service_count; i++)
		route_table_fini(&g->build.services[i]->table);
	hash_map_fini(&g->build.groups);
	free(g->build.services);
	free(g->build.listeners);
	logtarget_fini(&g->targets);
	conf_origins_free(g->origins);
	conf_regex_free_all(g->ctx.regexes);
	arena_fini(&g->arena);
	free(g);
}

const struct settings *
generation_settings(const struct generation *g)
{
	return &g->settings;
}

const struct listener_spec *
generation_listeners(const struct generation *g, size_t *count)
{
	*count = g->build.listener_count;
	return g->build.listeners;
}

/* ---- what processes share ---- */

static size_t
process_count(size_t workers)
{
	return GENERATION_WORKER + 2 * workers;
}

static int
prepare_logs(struct generation *g, size_t workers, struct error *err)
{
	struct generation_shared *s = &g->shared;
	size_t count = process_count(workers);
	int id = logtarget_add(&g->targets, g->settings.error_log.path, err);

	if (id < 0)
		return -1;
	s->targets = &g->targets;
	s->error_log = (unsigned)id;
	s->kick_fd = logring_kick_open(err);
	if (s->kick_fd < 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		if (logring_open(&g->rings[i], (unsigned)i,
		    g->settings.log_ring_bytes, s->kick_fd, err) != 0)
			return -1;
		g->ring_list[i] = &g->rings[i];
		s->ring_count = i + 1;
	}
	s->rings = g->ring_list;
	return logtarget_open_all(&g->targets, err);
}

static int
prepare_metrics(struct generation *g, size_t workers, struct error *err)
{
	struct metrics_config config = {
		.sets = g->metric_sets,
		.process_slots = (uint32_t)process_count(workers),
		.routes_max = g->settings.routes_max,
		.upstreams_max = g->settings.backends_max,
		.backends_max = g->settings.backends_max,
	};

	generation_add_metrics(g, &stats_proxy);
	generation_add_metrics(g, &stats_route);
	generation_add_metrics(g, &stats_upstream);
	config.set_count = g->metric_set_count;
	if (metrics_open(&g->metrics, &config, err) != 0)
		return -1;
	g->shared.metrics = &g->metrics;
	for (size_t i = 0; i < g->group_count; i++)
		g->group_metric_index[i] = metrics_register(&g->metrics,
		    METRIC_SCOPE_UPSTREAM, span_of(NULL, 0),
		    g->groups[i]->name);
	for (size_t i = 0; i < g->build.service_count; i++) {
		struct service *service = g->build.services[i];
		struct span name = span_cstr(service->name);

		service->fallback.metric_index = metrics_register(
		    &g->metrics, METRIC_SCOPE_ROUTE, name,
		    span_cstr(service->fallback.name));
		for (size_t j = 0; j < service->route_count; j++)
			service->routes[j]->metric_index = metrics_register(
			    &g->metrics, METRIC_SCOPE_ROUTE, name,
			    span_cstr(service->routes[j]->name));
	}
	return 0;
}

static int
prepare_backends(struct generation *g, size_t workers, struct error *err)
{
	struct generation_shared *s = &g->shared;

	s->backends = backend_zone_new(g->settings.backends_max, err);
	if (s->backends == NULL)
		return -1;
	for (size_t i = 0; i < g->group_count; i++) {
		if (group_bind(g->groups[i], s->backends, err) != 0)
			return -1;
	}
	s->groups = g->groups;
	s->group_count = g->group_count;
	if (workers < 2)
		return 0;
	s->lanes = lane_set_new(g->settings.backends_max, err);
	return s->lanes == NULL ? -1 : 0;
}

void
generation_add_metrics(struct generation *g, const struct metric_set *set)
{
	assert(g->metric_set_count < METRIC_SETS_MAX);
	g->metric_sets[g->metric_set_count++] = set;
}

/* Descriptors that are open now; a guess where that cannot be seen. */
static size_t
count_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	size_t n = 0;

	if (d == NULL)
		return 64;
	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}

/*
 * A client may need a backend connection: half of the descriptors that a
 * worker has left are for clients.
 */
static void
clamp_connections(struct generation *g, size_t workers)
{
	size_t used = count_descriptors() + DESCRIPTORS_SPARE +
	    g->build.listener_count * workers;
	size_t limit = (size_t)proc_raise_descriptors();
	size_t fit = limit > used + 2 ? (limit - used) / 2 : 1;

	if (g->settings.connections_max <= fit)
		return;
	log_warn(NULL, "connections_max is %u, but the limit of %zu "
	    "descriptors is enough for %zu connections a worker",
	    g->settings.connections_max, limit, fit);
	g->settings.connections_max = (uint32_t)fit;
}

int
generation_prepare(struct generation *g, size_t workers, struct error *err)
{
	g->workers = workers;
	g->is_prepared = true;
	g->shared.kick_fd = -1;
	if (prepare_logs(g, workers, err) != 0 ||
	    prepare_metrics(g, workers, err) != 0 ||
	    prepare_backends(g, workers, err) != 0)
		return -1;
	clamp_connections(g, workers);
	return 0;
}

const struct generation_shared *
generation_shared(const struct generation *g)
{
	return &g->shared;
}

void
generation_boot_proxy(const struct generation *g, unsigned slot,
    struct proxy_boot *boot)
{
	const struct settings *s = &g->settings;

	boot->connections_max = s->connections_max;
	boot->body_memory_bytes = (size_t)s->body_memory_bytes;
	boot->pool_idle_max = s->upstream_keepalive_pool_size;
	boot->groups = g->groups;
	boot->group_count = g->group_count;
	boot->group_metric_index = g->group_metric_index;
	boot->routes_max = s->routes_max;
	boot->module_count = modules_count();
	boot->metrics = g->shared.metrics;
	boot->metrics_slot = GENERATION_WORKER + slot;
	boot->lanes = g->shared.lanes;
	boot->backends = g->shared.backends;
	boot->log_ring = g->ring_list[GENERATION_WORKER + slot];
	boot->slot = slot;
	boot->workers = (unsigned)g->workers;
}

void
generation_process_ended(struct generation *g, unsigned process,
    struct str *was_serving)
{
	const struct metrics *m = g->shared.metrics;
	uint64_t open, active;

	open = metrics_value(m, &stats_proxy, process, 0,
	    PROXY_STAT_CONN_OPEN);
	active = metrics_value(m, &stats_proxy, process, 0,
	    PROXY_STAT_ACTIVE);
	if (open > 0)
		str_printf(was_serving, "%llu connection%s and %llu "
		    "exchange%s", (unsigned long long)open,
		    open == 1 ? "" : "s", (unsigned long long)active,
		    active == 1 ? "" : "s");
	metrics_reset_gauges(&g->metrics, process);
}

/* ---- tables and dumps ---- */

void
generation_each_table(void (*fn)(void *arg, const char *place,
    const struct conf_table *table), void *arg)
{
	fn(arg, "", &settings_table);
	fn(arg, "", &root_table);
	fn(arg, "http", &core_conf_table);
	for (size_t i = 0; i < modules_count(); i++)
		fn(arg, "http", modules_get(i)->table);
}

const struct template_vars *
generation_vars(void)
{
	return &vars_all;
}

/* What level has that outer (NULL = nothing) does not have as well. */
static void
dump_level(struct conf_dump *d, const struct build_level *level,
    const struct build_level *outer)
{
	if (outer == NULL || level->core != outer->core)
		conf_dump_table(d, &core_conf_table, level->core);
	for (size_t i = 0; i < modules_count(); i++) {
		if (outer == NULL || level->modules[i] != outer->modules[i])
			conf_dump_table(d, modules_get(i)->table,
			    level->modules[i]);
	}
}

static void
line(const struct conf_dump *d, const char *text)
{
	for (unsigned i = 0; i < d->indent; i++)
		fputc('\t', d->out);
	fprintf(d->out, "%s\n", text);
}

static void
dump_phases(const struct conf_dump *d, const struct route *r)
{
	for (unsigned i = 0; i < PHASE_COUNT; i++) {
		const struct phase_chain *chain = &r->phases.chains[i];

		if (chain->count == 0)
			continue;
		for (unsigned j = 0; j < d->indent; j++)
			fputc('\t', d->out);
		fprintf(d->out, "# phase %s:", phase_name((enum phase)i));
		for (uint32_t j = 0; j < chain->count; j++)
			fprintf(d->out, " %s", chain->items[j].module);
		fputc('\n', d->out);
	}
}

static void
dump_route(struct conf_dump *d, const struct route *r,
    const struct build_level *outer, const char *end)
{
	struct build_level level = { r->core, r->module_confs };

	line(d, "{");
	d->indent++;
	d->hidden = CONF_NOT_IN_ROUTE;
	conf_dump_table(d, &route_conf_table, r);
	dump_level(d, &level, outer);
	d->hidden = 0;
	dump_phases(d, r);
	d->indent--;
	line(d, end);
}

static void
dump_service(struct conf_dump *d, const struct service *service,
    const struct build_level *outer, const char *end)
{
	struct build_level level = { service->core,
		service->fallback.module_confs };

	line(d, "{");
	d->indent++;
	conf_dump_table(d, &route_conf_service_table, service);
	dump_level(d, &level, outer);
	line(d, "routes = (");
	d->indent++;
	for (size_t i = 0; i < service->route_count; i++)
		dump_route(d, service->routes[i], &level,
		    i + 1 < service->route_count ? "}," : "}");
	d->indent--;
	line(d, ");");
	d->indent--;
	line(d, end);
}

/* What one can do with the phases, in their order. */
static void
dump_phase_table(const struct conf_dump *d)
{
	line(d, "# phases, and the handlers of all modules in their order:");
	for (unsigned i = 0; i < PHASE_COUNT; i++) {
		fprintf(d->out, "#   %-27s", phase_name((enum phase)i));
		for (size_t j = 0; j < modules_count(); j++) {
			const struct module *m = modules_get(j);

			if (m->hooks[i] != NULL || m->body_hooks[i] != NULL ||
			    m->trailers_hooks[i] != NULL)
				fprintf(d->out, " %s", m->name);
		}
		fputc('\n', d->out);
	}
}

void
generation_dump(const struct generation *g, FILE *out)
{
	struct conf_dump d = { .out = out, .origins = g->origins };
	const struct conf_node *custom = conf_node_get(g->tree, "custom");
	size_t count = g->build.service_count;

	/* The admin listener is a service too, the last. */
	if (count > 0 && g->build.services[count - 1]->is_admin)
		count--;
	conf_dump_table(&d, &settings_table, &g->settings);
	if (custom != NULL)
		conf_dump_node(&d, custom);
	conf_dump_table(&d, &root_table, g);
	line(&d, "http = {");
	d.indent++;
	dump_level(&d, &g->http, NULL);
	d.indent--;
	line(&d, "};");
	line(&d, "services = (");
	d.indent++;
	d.only_set = true;
	for (size_t i = 0; i < count; i++)
		dump_service(&d, g->build.services[i], &g->http,
		    i + 1 < count ? "}," : "}");
	d.indent--;
	line(&d, ");");
	dump_phase_table(&d);
}

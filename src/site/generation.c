/* SPDX-License-Identifier: BSD-2-Clause */
/* generation - loading a configuration. */
#include "site/generation.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/heap_alloc.h"
#include "base/log.h"
#include "base/now.h"
#include "base/str.h"
#include "conf/files.h"
#include "conf/origins.h"
#include "metrics/metrics.h"
#include "net/tls_ctx.h"
#include "net/tls_keys.h"
#include "net/tls_ticket.h"
#include "net/tls_watch.h"
#include "os/proc_cpu.h"
#include "proxy/proxy.h"
#include "proxy/serving.h"
#include "proxy/stats.h"
#include "proxy/vars.h"
#include "site/generation_private.h"
#include "site/modules.h"
#include "upstream/group.h"

#define DEFAULT_PID_FILE WEIR_RUNSTATEDIR "/weir/weir.pid"
#define DEFAULT_CONTROL WEIR_RUNSTATEDIR "/weir/control.sock"

/* ---- the top level ---- */

enum {
	TEND_MAX_MS = 3600000, /* nothing to do */
	TEND_MIN_MS = 1000,    /* between two looks at files */
	TEND_EACH_MS = 2,      /* and so much for each of them */
};

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
	    &group_conf_table, 0, "groups of backends"),
	{ .name = "http", .type = CONF_TYPE_CUSTOM, .parse = accept_node,
	    .help = "options of all services" },
	{ .name = "services", .type = CONF_TYPE_CUSTOM, .parse = accept_node,
	    .table = &route_conf_service_table,
	    .help = "what is served, and where" },
	{ .name = "custom", .type = CONF_TYPE_CUSTOM, .parse = accept_node,
	    .help = "yours: ${custom.NAME} in templates" },
	CONF_END,
};

const struct conf_table generation_root_table = {
	.name = "root",
	.items = root_items,
	.struct_bytes = sizeof(struct generation),
};

/* Where a key that stands in the wrong place may belong. */
static const struct conf_level levels[] = {
	{ "the top level", &settings_table },
	{ "an upstream", &group_conf_table },
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
	const struct tls_ctx_about about = {
		.report = g->ctx.report,
		.files = g->files_named,
		.keys = g->build.keys,
		.is_test = g->build.is_test,
	};

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
		(void)group_tls_open(g->groups[g->group_count], &about,
		    &node->place);
		g->groups[g->group_count]->number = (uint32_t)g->group_count;
		if (hash_map_put(&g->build.groups, span_cstr(confs[i].name),
		    g->groups[g->group_count]) != NULL)
			conf_report_error(g->ctx.report, &node->place,
			    "there are two upstreams called %s",
			    confs[i].name);
		g->group_count++;
	}
}

static size_t
module_number(const struct module *m)
{
	size_t i = 0;

	while (modules_get(i) != m)
		i++;
	return i;
}

static void
start_modules(struct generation *g)
{
	void **commons = arena_zalloc(&g->arena,
	    modules_count() * sizeof(*commons));
	struct module_env env = {
		.arena = &g->arena,
		.log_targets = &g->targets,
		.workers = g->settings.workers,
		.files = g->files_named,
	};

	for (struct build_started *s = g->build.started; s != NULL;
	     s = s->next) {
		struct error err;

		if (s->module->start == NULL || (s->module->is_active !=
		    NULL && !s->module->is_active(s->conf)))
			continue;
		env.place = build_place(&g->arena, s);
		env.common = &commons[module_number(s->module)];
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
	if (s->workers > SETTINGS_WORKERS_MAX)
		s->workers = SETTINGS_WORKERS_MAX;
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
	if (s->control.path == NULL && source->path != NULL &&
	    geteuid() == 0) {
		s->control.path = DEFAULT_CONTROL;
		s->control.is_default = true;
	}
	if (logtarget_add(&g->targets, s->error_log.path, &err) < 0)
		conf_report_error(g->ctx.report, NULL, "error_log: %s",
		    err.text);
}

/* Before the first key is read. */
static void
isolate_keys(struct generation *g)
{
	struct error err;

	g->build.keys = tls_keys_new(&err);
	if (g->build.keys == NULL)
		conf_report_error(g->ctx.report, NULL, "%s", err.text);
}

static void
read_tree(struct generation *g, const struct generation_source *source)
{
	struct conf_part parts[] = {
		{ &settings_table, &g->settings },
		{ &generation_root_table, g },
	};
	const struct conf_node *http = conf_node_get(g->tree, "http");

	g->vars = vars_all;
	g->vars.context = conf_node_get(g->tree, "custom");
	conf_defaults(&g->ctx, &settings_table, &g->settings);
	(void)conf_apply(&g->ctx, g->tree, parts, 2);
	apply_source(g, source);
	if (g->settings.key_isolation)
		isolate_keys(g);
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

/* Kept-alive clients would be cut where they may wait longer than a drain. */
static void
check_drain(struct generation *g)
{
	const struct conf_node *node =
	    conf_node_get(g->tree, "shutdown_timeout");

	if (g->http.core != NULL && g->settings.shutdown_timeout_ms <=
	    g->http.core->keepalive_timeout_ms)
		conf_report_warning(g->ctx.report,
		    node != NULL ? &node->place : NULL, "shutdown_timeout "
		    "does not exceed keepalive_timeout (%llu ms): idle "
		    "connections are cut at the end of a drain",
		    (unsigned long long)g->http.core->keepalive_timeout_ms);
}

struct generation *
generation_load(const struct generation_source *source,
    struct conf_report *report)
{
	struct generation *g = heap_alloc_zeroed(1, sizeof(*g));

	arena_init(&g->arena, NULL);
	logtarget_init(&g->targets);
	g->origins = conf_origins_new();
	g->files_named = files_new(source->is_test, report);
	g->ctx = (struct conf_ctx){ .arena = &g->arena, .report = report,
		.vars = &g->vars, .origins = g->origins, .levels = levels };
	g->build.ctx = &g->ctx;
	g->build.is_test = source->is_test;
	g->build.files = g->files_named;
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
	files_loaded(g->files_named);
	generation_files_list_pairs(g);
	tls_keys_rest(g->build.keys);
	check_drain(g);
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
	generation_detach(g);
	for (size_t i = 0; i < g->build.service_count; i++)
		route_table_fini(&g->build.services[i]->table);
	for (size_t i = 0; i < g->group_count; i++)
		group_tls_close(g->groups[i]);
	hash_map_fini(&g->build.groups);
	free(g->build.services);
	for (size_t i = 0; i < g->build.listener_count; i++)
		tls_ctx_server_free(g->build.listeners[i].tls);
	free(g->build.listeners);
	free(g->pairs);
	tls_keys_free(g->build.keys);
	logtarget_fini(&g->targets);
	files_free(g->files_named);
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

/* ---- what is attached ---- */

void
generation_detach(struct generation *g)
{
	generation_attach_undo(g);
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

	boot->connections_max = g->connections_max;
	boot->body_memory_bytes = (size_t)s->body_memory_bytes;
	boot->pool_idle_max = s->upstream_keepalive_pool_size;
	boot->groups = g->groups;
	boot->group_count = g->group_count;
	boot->group_metric_index = g->group_metric_index;
	boot->routes_max = g->shared.shared->routes_max;
	boot->module_count = modules_count();
	boot->helper_threads = s->helper_threads;
	boot->helper_queue = s->helper_queue;
	boot->module_sets = modules_metrics();
	boot->metrics = g->shared.metrics;
	/* With one worker nothing is shared. */
	boot->lanes = g->workers > 1 ? g->shared.lanes : NULL;
	boot->backends = g->shared.backends;
	boot->tls_sessions = g->sessions;
	boot->custom = g->vars.context;
	boot->slot = slot;
	boot->workers = (unsigned)g->workers;
}

void
generation_load_of(const struct generation *g, unsigned process,
    struct generation_load *load)
{
	const struct metrics *m = g->shared.metrics;

	load->connections = metrics_value(m, &stats_proxy, process, 0,
	    PROXY_STAT_CONN_OPEN);
	load->exchanges = metrics_value(m, &stats_proxy, process, 0,
	    PROXY_STAT_ACTIVE);
	load->requests = metrics_value(m, &stats_proxy, process, 0,
	    PROXY_STAT_REQUESTS);
}

static const char *
module_name(const void *arg, uint32_t index)
{
	(void)arg;
	return index < modules_count() ? modules_get(index)->name : NULL;
}

/* Behind routes_max several have one number: then it is nobody's name. */
static const char *
route_name(const void *arg, uint32_t index)
{
	const struct generation *g = arg;
	const char *found = NULL;
	unsigned count = 0;

	for (size_t i = 0; i < g->build.service_count; i++) {
		const struct service *service = g->build.services[i];

		for (size_t j = 0; j < service->route_count; j++) {
			if (service->routes[j]->metric_index != index)
				continue;
			found = service->routes[j]->name;
			count++;
		}
	}
	return count == 1 ? found : NULL;
}

void
generation_process_ended(const struct generation *g, unsigned process,
    struct str *was_serving)
{
	const struct metrics *m = g->shared.metrics;
	const struct serving_names names = { module_name, route_name, g };
	struct serving *serving = &g->shared.shared->serving[process];
	char memory[512];
	struct str what;
	uint64_t open, active;

	str_init(&what, memory, sizeof(memory));
	serving_describe(serving, &names, &what);
	if (what.len > 0)
		str_printf(was_serving, " while serving %.*s",
		    SPAN_ARG(str_view(&what)));
	serving->what = SERVING_NOTHING;
	serving->owner = 0;
	open = metrics_value(m, &stats_proxy, process, 0,
	    PROXY_STAT_CONN_OPEN);
	active = metrics_value(m, &stats_proxy, process, 0,
	    PROXY_STAT_ACTIVE);
	if (open > 0)
		str_printf(was_serving, "; %llu connection%s and %llu "
		    "exchange%s were lost", (unsigned long long)open,
		    open == 1 ? "" : "s", (unsigned long long)active,
		    active == 1 ? "" : "s");
	generation_attach_process(g, process);
}

void
generation_process_begun(const struct generation *g, unsigned process)
{
	generation_attach_process(g, process);
}

/* ---- tables ---- */

/*
 * Certificates that have changed.  Returns when the first of all expires, 0 if
 * there are none.
 */
static int64_t
look_at_certs(struct generation *g)
{
	int64_t first = 0;

	for (size_t i = 0; i < g->pair_count; i++) {
		const struct generation_pair *pair = &g->pairs[i];
		struct tls_watch_info info;

		tls_watch_look(pair->server, pair->index);
		tls_watch_describe(pair->server, pair->index, &info);
		if (first == 0 || info.not_after_s < first)
			first = info.not_after_s;
	}
	return first;
}

static void
show_expiry(const struct generation *g, int64_t first_s, int64_t now_s)
{
	_Atomic uint64_t *stats = metrics_block(g->shared.metrics,
	    &stats_proxy, SHARED_MASTER, 0);
	int64_t days = (first_s - now_s) / 86400;

	counter_set(&stats[PROXY_STAT_TLS_EXPIRES], (uint64_t)first_s);
	counter_set(&stats[PROXY_STAT_TLS_DAYS],
	    days > 0 ? (uint64_t)days : 0);
}

/* What was replaced goes once everybody has had the new one for a while. */
static void
tend_keys(struct generation *g, const struct generation_send *send,
    bool is_even)
{
	if (g->build.keys == NULL)
		return;
	if (!is_even)
		tls_keys_vault_hold(g->build.keys, now_ms());
	else if (tls_keys_vault_release(g->build.keys, now_ms()))
		send->keys(send->arg);
}

uint64_t
generation_tend(struct generation *g, const struct generation_send *send)
{
	uint64_t now_s = now_wall_ms() / 1000;
	size_t count;
	uint64_t wait_ms;

	if (g == NULL)
		return TEND_MAX_MS;
	count = generation_files_look(g, send);
	if (g->tickets != NULL) {
		(void)tls_ticket_rotate(g->tickets, now_s);
		show_expiry(g, look_at_certs(g), (int64_t)now_s);
	}
	count += g->pair_count;
	if (count == 0)
		return TEND_MAX_MS;
	tend_keys(g, send, send->spread(send->arg));
	/* The later the more there are. */
	wait_ms = count * TEND_EACH_MS;
	return wait_ms > TEND_MIN_MS ? wait_ms : TEND_MIN_MS;
}

bool
generation_has_signer(const struct generation *g)
{
	return g->build.keys != NULL && tls_keys_count(g->build.keys) > 0;
}

struct tls_keys *
generation_keys(const struct generation *g)
{
	return g->build.keys;
}

void
generation_keep_keys(const struct generation *g, bool is_signer)
{
	if (is_signer)
		tls_keys_be_signer(g->build.keys);
	else
		tls_keys_be_other(g->build.keys);
}

void
generation_forget_keys(const struct generation *g)
{
	tls_keys_forget(g->build.keys);
}

void
generation_each_table(void (*fn)(void *arg, const char *place,
    const struct conf_table *table), void *arg)
{
	fn(arg, "", &settings_table);
	fn(arg, "", &generation_root_table);
	fn(arg, "http", &core_conf_table);
	for (size_t i = 0; i < modules_count(); i++)
		fn(arg, "http", modules_get(i)->table);
}

const struct template_vars *
generation_vars(void)
{
	return &vars_all;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* settings - the table of the process settings. */
#include "site/settings.h"

#include "base/arena.h"
#include "base/error.h"
#include "base/log.h"
#include "base/str.h"
#include "conf/report.h"
#include "conf/tree.h"
#include "os/loop.h"
#include "os/sandbox.h"

#define KB UINT64_C(1024)
#define MB (1024 * KB)
#define GB (1024 * MB)
#define DAY_MS UINT64_C(86400000)

static const struct conf_enum words_workers[] = {
	{ "auto", SETTINGS_WORKERS_AUTO }, { NULL, 0 },
};

static const struct conf_enum levels[] = {
	{ "error", LOG_LEVEL_ERROR }, { "warn", LOG_LEVEL_WARN },
	{ "notice", LOG_LEVEL_NOTICE }, { "info", LOG_LEVEL_INFO },
	{ "debug", LOG_LEVEL_DEBUG }, { NULL, 0 },
};

static const struct conf_enum unknown_settings[] = {
	{ "error", CONF_UNKNOWN_ERROR }, { "warn", CONF_UNKNOWN_WARN },
	{ "ignore", CONF_UNKNOWN_IGNORE }, { NULL, 0 },
};

static const struct conf_enum quit_alone[] = {
	{ "upgrade", SETTINGS_QUIT_UPGRADE }, { "serve", SETTINGS_QUIT_SERVE },
	{ "stop", SETTINGS_QUIT_STOP }, { NULL, 0 },
};

static const struct conf_enum event_loops[] = {
	{ "auto", LOOP_AUTO }, { "epoll", LOOP_EPOLL }, { "poll", LOOP_POLL },
	{ NULL, 0 },
};

static const struct conf_enum sandboxes[] = {
	{ "auto", SANDBOX_AUTO }, { "strict", SANDBOX_STRICT },
	{ "basic", SANDBOX_BASIC }, { "off", SANDBOX_OFF }, { NULL, 0 },
};

static const struct conf_enum words_inherit[] = {
	{ "inherit", 0 }, { NULL, 0 },
};

static const struct conf_item error_log_items[] = {
	CONF_VALUE("path", STRING, struct settings_error_log, path, NULL, 0,
	    "file, \"syslog\" or \"stderr\""),
	CONF_ENUM("level", struct settings_error_log, level, levels,
	    "notice", 0, "least important lines that are written"),
	CONF_END,
};

static const struct conf_item admin_items[] = {
	CONF_VALUE("address", ADDRESS, struct settings_admin, address, NULL,
	    0, "where /metrics and /healthz are served"),
	CONF_END,
};

static const struct conf_item control_items[] = {
	CONF_VALUE("path", STRING, struct settings_control, path, NULL,
	    CONF_RESTART, "Unix socket of weirctl; \"\" = none"),
	CONF_UINT("mode", struct settings_control, mode, 0, 511, "384", NULL,
	    CONF_RESTART, "mode of its file"),
	CONF_VALUE("owner", STRING, struct settings_control, owner, NULL,
	    CONF_RESTART, "owner of its file"),
	CONF_VALUE("group", STRING, struct settings_control, group, NULL,
	    CONF_RESTART, "group of its file"),
	CONF_END,
};

static const struct conf_item resolver_items[] = {
	CONF_VALUE("servers", STRINGS, struct settings_resolver, servers,
	    NULL, 0, "name servers, as \"10.0.0.2\" or \"10.0.0.2:5353\"; "
	    "unset = those of resolv.conf"),
	CONF_DURATION("timeout", struct settings_resolver, timeout_ms, 1,
	    60000, "2s", 0, "of a first try; each further one has twice as "
	    "much"),
	CONF_UINT("tries", struct settings_resolver, tries, 1, 16, "3", NULL,
	    0, "how often each server is asked"),
	CONF_END,
};

#ifdef HAVE_CARES
static int
check_servers(struct conf_ctx *ctx, const struct conf_node *node,
    struct settings_resolver *conf)
{
	size_t max = conf->servers.count * 64 + 1;
	struct str list;
	int status = 0;

	str_init(&list, arena_alloc(ctx->arena, max), max);
	for (size_t i = 0; i < conf->servers.count; i++) {
		struct addr_spec spec;
		struct error err;

		if (addr_parse(span_cstr(conf->servers.items[i]), 53, &spec,
		    &err) != 0 || spec.is_name || spec.is_any ||
		    spec.addr.u.sa.sa_family == AF_UNIX) {
			conf_report_error(ctx->report, &node->place,
			    "servers: \"%s\": an IP address is expected, "
			    "perhaps with a port", conf->servers.items[i]);
			status = -1;
			continue;
		}
		if (list.len > 0)
			str_char(&list, ',');
		addr_put(&list, &spec.addr);
	}
	conf->server_list = str_terminate(&list);
	return status;
}
#endif

static int
check_resolver(struct conf_ctx *ctx, const struct conf_node *node,
    void *conf_ptr)
{
	struct settings_resolver *conf = conf_ptr;

	if (conf->servers.count == 0)
		return 0;
#ifndef HAVE_CARES
	conf_report_error(ctx->report, &node->place,
	    "resolver: servers needs a weir that was built with c-ares");
	return -1;
#else
	return check_servers(ctx, node, conf);
#endif
}

static const struct conf_table resolver_table = {
	.name = "resolver",
	.items = resolver_items,
	.struct_bytes = sizeof(struct settings_resolver),
	.check = check_resolver,
};

static const struct conf_table error_log_table = {
	.name = "error_log",
	.items = error_log_items,
	.struct_bytes = sizeof(struct settings_error_log),
};

static const struct conf_table admin_table = {
	.name = "admin",
	.items = admin_items,
	.struct_bytes = sizeof(struct settings_admin),
};

static const struct conf_table control_table = {
	.name = "control",
	.items = control_items,
	.struct_bytes = sizeof(struct settings_control),
};

static const struct conf_item items[] = {
	CONF_UINT("version", struct settings, version, 1, 1, NULL, NULL,
	    CONF_REQUIRED, "format of this file: 1"),
	{ .name = "workers", .type = CONF_TYPE_UINT,
	    .offset = offsetof(struct settings, workers), .min = 1,
	    .max = 256, .def = "auto", .values = words_workers,
	    .help = "worker processes; auto = as many as usable CPUs" },
	CONF_VALUE("user", STRING, struct settings, user, "weir",
	    CONF_RESTART, "user of workers and background process"),
	CONF_VALUE("group", STRING, struct settings, group, NULL,
	    CONF_RESTART, "their group (default: the user's)"),
	CONF_BOOL("daemon", struct settings, daemon, "false", CONF_RESTART,
	    "detach from the terminal"),
	CONF_DURATION("daemon_ready_timeout", struct settings,
	    daemon_ready_timeout_ms, 1, DAY_MS, "60s", 0,
	    "how long -d waits for the workers"),
	CONF_VALUE("pid_file", STRING, struct settings, pid_file, NULL,
	    CONF_RESTART, "file with the master's number"),
	CONF_VALUE("upgrade_sock", STRING, struct settings, upgrade_sock,
	    WEIR_RUNSTATEDIR "/weir/upgrade.sock", CONF_RESTART,
	    "socket over which an upgrade hands over"),
	CONF_DURATION("upgrade_timeout", struct settings, upgrade_timeout_ms,
	    1, DAY_MS, "30s", CONF_RESTART,
	    "how long an upgrade may take until the successor serves"),
	CONF_ENUM("quit_alone", struct settings, quit_alone, quit_alone,
	    "upgrade", CONF_RESTART,
	    "what QUIT does when no successor waits"),
	CONF_BOOL("daemon_wait_for_ready", struct settings,
	    daemon_wait_for_ready, "false", CONF_RESTART,
	    "-d -u takes over before it returns"),
	CONF_VALUE("working_directory", STRING, struct settings,
	    working_directory, NULL, CONF_RESTART,
	    "directory to run in"),
	CONF_ENUM("sandbox", struct settings, sandbox, sandboxes, "auto", 0,
	    "what workers and background process may ask of the kernel"),
	CONF_VALUE("chroot", STRING, struct settings, chroot, NULL, 0,
	    "directory that is all that workers see"),
	CONF_BOOL("key_isolation", struct settings, key_isolation, "false", 0,
	    "private keys are in a process of their own, which signs"),
	CONF_BOOL("core_dumps", struct settings, core_dumps, "false", 0,
	    "a crash may leave a core dump, with secrets in it"),
	{ .name = "open_files_max", .type = CONF_TYPE_UINT,
	    .offset = offsetof(struct settings, open_files_max), .min = 64,
	    .max = 1073741816, .values = words_inherit, .def = "inherit",
	    .flags = CONF_RESTART,
	    .help = "descriptors of a process (default: the limit it has)" },
	CONF_SIZE("memory_max", struct settings, memory_max_bytes, 0,
	    1024 * GB, "0", 0,
	    "private memory of a process; 0 = no limit of its own"),
	CONF_GROUP("error_log", struct settings, error_log, &error_log_table,
	    0, "where errors are written"),
	CONF_ENUM("unknown_settings", struct settings, unknown_settings,
	    unknown_settings, "error", 0, "what keys nobody knows are"),
	CONF_ENUM("event_loop", struct settings, event_loop, event_loops,
	    "auto", CONF_RESTART, "kernel interface of the event loop"),
	CONF_UINT("connections_max", struct settings, connections_max, 1,
	    1048576, "65536", NULL, 0,
	    "client connections of a worker"),
	CONF_SIZE("body_memory", struct settings, body_memory_bytes, MB,
	    1024 * GB, "256MB", 0,
	    "memory of a worker for bodies that wait"),
	CONF_UINT("helper_threads", struct settings, helper_threads, 1, 64,
	    "2", NULL, 0, "threads of a worker for hashes of passwords"),
	CONF_UINT("helper_queue", struct settings, helper_queue, 1, 65536,
	    "256", NULL, 0, "work that may wait for them"),
	CONF_UINT("backends_max", struct settings, backends_max, 1, 65536,
	    "512", NULL, CONF_RESTART, "slots for backends"),
	CONF_UINT("routes_max", struct settings, routes_max, 1, 65536, "512",
	    NULL, CONF_RESTART, "routes with counters of their own"),
	CONF_SIZE("log_ring", struct settings, log_ring_bytes, 64 * KB, GB,
	    "1MB", CONF_RESTART, "memory of a process for log lines"),
	CONF_DURATION("shutdown_timeout", struct settings,
	    shutdown_timeout_ms, 0, DAY_MS, "90s", 0,
	    "how long a drain may last"),
	CONF_DURATION("shutdown_delay", struct settings, shutdown_delay_ms, 0,
	    DAY_MS, "0", 0,
	    "how long to serve on after TERM, while /healthz says 503"),
	CONF_UINT("max_draining_generations", struct settings,
	    max_draining_generations, 1, 32, "4", NULL, CONF_RESTART,
	    "configurations that may drain at a time"),
	CONF_DURATION("orphan_timeout", struct settings, orphan_timeout_ms,
	    0, 365 * DAY_MS, "1h", 0,
	    "how long workers serve on without a master"),
	CONF_UINT("upstream_keepalive_pool_size", struct settings,
	    upstream_keepalive_pool_size, 0, 1048576, "1024", NULL,
	    0, "idle backend connections of a worker"),
	CONF_GROUP("admin", struct settings, admin, &admin_table,
	    0, "listener for /metrics and /healthz"),
	CONF_GROUP("control", struct settings, control, &control_table,
	    CONF_RESTART, "socket of weirctl"),
	CONF_GROUP("resolver", struct settings, resolver, &resolver_table, 0,
	    "who is asked for the names of backends"),
	CONF_END,
};

/* What a process has beside bodies; the option's page says so. */
#define MEMORY_BESIDE (64 * MB)

static int
settings_check(struct conf_ctx *ctx, const struct conf_node *node, void *conf)
{
	const struct settings *s = conf;
	const struct conf_node *at = conf_node_get(node, "memory_max");

	if (s->memory_max_bytes == 0 ||
	    s->memory_max_bytes >= s->body_memory_bytes + MEMORY_BESIDE)
		return 0;
	conf_report_error(ctx->report, at != NULL ? &at->place : &node->place,
	    "memory_max must exceed body_memory (%llu MB) by 64MB: a process "
	    "that gets no memory ends",
	    (unsigned long long)(s->body_memory_bytes / MB));
	return -1;
}

const struct conf_table settings_table = {
	.name = "settings",
	.items = items,
	.struct_bytes = sizeof(struct settings),
	.check = settings_check,
};

void
settings_resolver(const struct settings *s, struct resolver_options *options)
{
	*options = (struct resolver_options){
		.servers = s->resolver.servers.count > 0 ?
		    s->resolver.server_list : NULL,
		.timeout_ms = (uint32_t)s->resolver.timeout_ms,
		.tries = s->resolver.tries,
	};
}

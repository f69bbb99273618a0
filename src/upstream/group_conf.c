/* SPDX-License-Identifier: BSD-2-Clause */
/* group_conf - the options of an upstream, and what of them goes together. */
#include "upstream/group_conf.h"

#include <string.h>

#include "base/arena.h"
#include "base/hash.h"
#include "base/str.h"
#include "os/addr.h"
#include "upstream/backend.h"
#include "upstream/group_socket.h"
#include "upstream/lb_hash.h"

static const struct conf_item timeouts_items[] = {
	CONF_DURATION("connect", struct group_timeouts, connect_ms, 1,
	    86400000, "5s", 0, "until a connection to the backend stands"),
	CONF_DURATION("connect_total", struct group_timeouts,
	    connect_total_ms, 0, 86400000, "0", 0, "until a connection with "
	    "all its handshakes can carry requests; 0 = off"),
	CONF_DURATION("first_byte", struct group_timeouts, first_byte_ms, 1,
	    86400000, "60s", 0,
	    "from the end of the request to the head of the response"),
	CONF_DURATION("between_bytes", struct group_timeouts,
	    between_bytes_ms, 1, 86400000, "60s", 0,
	    "between two pieces of the response, or of the request where the "
	    "backend does not read"),
	CONF_DURATION("total", struct group_timeouts, total_ms, 0, 604800000,
	    "0", 0, "for the whole exchange with all its attempts; 0 = off"),
	CONF_END,
};

static const struct conf_table timeouts_table = {
	.name = "timeouts",
	.items = timeouts_items,
	.struct_bytes = sizeof(struct group_timeouts),
};

static const struct conf_item keepalive_items[] = {
	CONF_DURATION("idle_timeout", struct group_keepalive, idle_timeout_ms,
	    0, 86400000, "60s", 0, "how long an idle connection is kept; "
	    "0 = connections are not kept"),
	CONF_UINT("idle_max", struct group_keepalive, idle_max, 0, 65536,
	    "256", NULL, 0, "idle connections per backend and worker"),
	CONF_UINT("requests_max", struct group_keepalive, requests_max, 0,
	    UINT32_MAX, "0", NULL, 0,
	    "requests over one connection; 0 = no limit"),
	CONF_END,
};

static const struct conf_table keepalive_table = {
	.name = "keepalive",
	.items = keepalive_items,
	.struct_bytes = sizeof(struct group_keepalive),
};

static const struct conf_item queue_items[] = {
	CONF_UINT("size", struct group_queue, size, 0, 1000000, "1000", NULL,
	    0, "requests of all workers that may wait"),
	CONF_DURATION("timeout", struct group_queue, timeout_ms, 1, 3600000,
	    "5s", 0, "how long one may wait"),
	CONF_END,
};

static const struct conf_table queue_table = {
	.name = "queue",
	.items = queue_items,
	.struct_bytes = sizeof(struct group_queue),
};

static const struct conf_item resolve_items[] = {
	CONF_DURATION("ttl_min", struct group_resolve, ttl_min_ms, 100,
	    86400000, "5s", 0, "an answer is good at least so long"),
	CONF_DURATION("ttl_max", struct group_resolve, ttl_max_ms, 100,
	    86400000, "5m", 0, "and at most so long, whatever its TTL says"),
	CONF_UINT("addresses_max", struct group_resolve, addresses_max, 1,
	    BACKEND_PLACES_MAX, "8", NULL, 0,
	    "addresses of a name that are used, each a backend of its own"),
	CONF_END,
};

static int
check_resolve(struct conf_ctx *ctx, const struct conf_node *node,
    void *conf_ptr)
{
	const struct group_resolve *conf = conf_ptr;

	if (conf->ttl_min_ms <= conf->ttl_max_ms)
		return 0;
	conf_report_error(ctx->report, &node->place,
	    "resolve: ttl_min is more than ttl_max");
	return -1;
}

static const struct conf_table resolve_table = {
	.name = "resolve",
	.items = resolve_items,
	.struct_bytes = sizeof(struct group_resolve),
	.check = check_resolve,
};

static const struct conf_enum balances[] = {
	{ "round_robin", GROUP_ROUND_ROBIN },
	{ "random", GROUP_RANDOM },
	{ "least_connections", GROUP_LEAST_CONNECTIONS },
	{ "power_of_two", GROUP_POWER_OF_TWO },
	{ "hash", GROUP_HASH },
	{ NULL, 0 },
};

static const struct conf_enum proxy_protocols[] = {
	{ "off", 0 },
	{ "v1", 1 },
	{ "v2", 2 },
	{ NULL, 0 },
};

static const struct conf_enum protocols[] = {
	{ "h1", GROUP_H1 },
	{ "h2", GROUP_H2 },
	{ "auto", GROUP_AUTO },
	{ NULL, 0 },
};

static const struct conf_item items[] = {
	CONF_VALUE("name", STRING, struct group_conf, name, NULL,
	    CONF_REQUIRED, "by which routes refer to it"),
	CONF_ENUM("balance", struct group_conf, balance, balances,
	    "round_robin", 0, "how a backend is chosen"),
	CONF_VALUE("hash_key", TEMPLATE, struct group_conf, hash_key, NULL, 0,
	    "what balance = \"hash\" hashes"),
	CONF_UINT("hash_load_max", struct group_conf, hash_load_max, 0, 10000,
	    "0", "%", 0, "requests in flight at a backend that pass its keys "
	    "on, relative to a fair share; 0 = never"),
	CONF_LIST("backends", struct group_conf, backends, &backend_table,
	    CONF_REQUIRED, "the servers"),
	CONF_VALUE("host", TEMPLATE, struct group_conf, host, NULL, 0,
	    "Host of the requests; unset = what the client sent"),
	CONF_GROUP("timeouts", struct group_conf, timeouts, &timeouts_table, 0,
	    "how long to wait for a backend"),
	CONF_UINT("retries", struct group_conf, retries, 0, GROUP_RETRIES_MAX,
	    "2", NULL, 0, "further attempts after the first"),
	CONF_GROUP("retry_budget", struct group_conf, retry_budget,
	    &retry_budget_table, 0, "bounds the retries of all requests"),
	CONF_GROUP("resolve", struct group_conf, resolve, &resolve_table, 0,
	    "how long answers for names of backends are good"),
	CONF_UINT("max_connections", struct group_conf, max_connections, 0,
	    1000000, "0", NULL, 0,
	    "connections of all workers to each backend; 0 = no limit"),
	CONF_GROUP("queue", struct group_conf, queue, &queue_table, 0,
	    "where requests wait for a connection within that limit"),
	CONF_UINT("max_fails", struct group_conf, max_fails, 0, 10000, "5",
	    NULL, 0, "failed requests in a row that leave a backend out; "
	    "0 = never"),
	CONF_DURATION("fail_window", struct group_conf, fail_window_ms, 1,
	    86400000, "10s", 0, "time in which they count"),
	CONF_DURATION("fail_timeout", struct group_conf, fail_timeout_ms, 1,
	    86400000, "10s", 0,
	    "how long it is left out, until one request tries it"),
	{ .name = "health_check", .type = CONF_TYPE_GROUP,
	    .offset = offsetof(struct group_conf, health_check),
	    .table = &check_conf_table,
	    .present = offsetof(struct group_conf, has_check),
	    .help = "checks of the background process" },
	CONF_GROUP("keepalive", struct group_conf, keepalive,
	    &keepalive_table, 0, "connections that wait for a next request"),
	CONF_DURATION("pool_share_after", struct group_conf,
	    pool_share_after_ms, 0, 3600000, "100ms", 0,
	    "idle time after which any worker may take a connection"),
	CONF_SIZE("response_header_max", struct group_conf,
	    response_header_max_bytes, 1024, 131072, "32KB", 0,
	    "the head of a response"),
	CONF_UINT("response_fields_max", struct group_conf,
	    response_fields_max, 1, 1000, "100", NULL, 0,
	    "fields in the head of a response"),
	CONF_UINT("interim_responses_max", struct group_conf,
	    interim_responses_max, 0, 1000, "16", NULL, 0,
	    "1xx responses before the final one"),
	CONF_ENUM("protocol", struct group_conf, protocol, protocols, "h1",
	    0, "HTTP/1.1, HTTP/2, or what TLS negotiates"),
	CONF_ENUM("proxy_protocol", struct group_conf, proxy_protocol,
	    proxy_protocols, "off", 0,
	    "tell the backend of the client before the first byte"),
	CONF_VALUE("bind", STRINGS, struct group_conf, bind, NULL, 0,
	    "addresses of this host to connect from, or with ports"),
	CONF_BOOL("bind_fallback", struct group_conf, bind_fallback, "false",
	    0, "any port where none of bind is free"),
	CONF_GROUP("tcp", struct group_conf, tcp, &group_socket_tcp_table, 0,
	    "options of the sockets"),
	{ .name = "via", .type = CONF_TYPE_GROUP,
	    .offset = offsetof(struct group_conf, via),
	    .table = &via_conf_table,
	    .present = offsetof(struct group_conf, has_via),
	    .help = "a next hop that is asked by CONNECT for connections" },
	CONF_UINT("h2_streams_max", struct group_conf, h2_streams_max, 1,
	    100000, "100", NULL, 0,
	    "requests at once on one HTTP/2 connection"),
	CONF_DURATION("h2_ping_interval", struct group_conf,
	    h2_ping_interval_ms, 0, 86400000, "30s", 0,
	    "silence of an HTTP/2 backend after which it is pinged; 0 = off"),
	CONF_DURATION("h2_ping_timeout", struct group_conf,
	    h2_ping_timeout_ms, 1, 3600000, "10s", 0,
	    "how soon a backend must answer a PING"),
	{ .name = "tls", .type = CONF_TYPE_GROUP,
	    .offset = offsetof(struct group_conf, tls),
	    .table = &tls_conf_client_table,
	    .present = offsetof(struct group_conf, has_tls),
	    .help = "speak TLS to the backends" },
	CONF_END,
};

uint32_t
group_conf_places(const struct group_conf *conf, const struct backend_conf *backend)
{
	uint32_t max = conf->resolve.addresses_max;

	return backend->address != NULL && backend->address->is_name &&
	    max > 0 ? max : 1;
}

uint32_t
group_conf_all_places(const struct group_conf *conf)
{
	const struct backend_conf *backends = conf->backends.items;
	uint64_t count = 0;

	for (size_t i = 0; i < conf->backends.count; i++)
		count += group_conf_places(conf, &backends[i]);
	return count < UINT32_MAX ? (uint32_t)count : UINT32_MAX;
}

/* What a backend is called within its upstream. */
static struct span
backend_key(struct conf_ctx *ctx, const struct addr_spec *spec)
{
	char memory[BACKEND_NAME_MAX];
	struct str text;

	str_init(&text, memory, sizeof(memory));
	backend_text(spec, &text);
	return span_of(arena_dup(ctx->arena, str_view(&text)), text.len);
}

static int
check_backend(struct conf_ctx *ctx, const struct conf_node *node,
    const struct addr_spec *spec, struct hash_map *seen, struct span key,
    size_t name_len)
{
	if (spec->is_any) {
		conf_report_error(ctx->report, &node->place,
		    "address \":%u\": a backend needs a host, as in "
		    "\"127.0.0.1:%u\"", (unsigned)spec->port,
		    (unsigned)spec->port);
		return -1;
	}
	if (name_len + 1 + key.len >= BACKEND_NAME_MAX) {
		conf_report_error(ctx->report, &node->place,
		    "the name of the upstream and the address have together "
		    "more than %d bytes", BACKEND_NAME_MAX - 2);
		return -1;
	}
	if (hash_map_put(seen, key, seen) != NULL) {
		conf_report_error(ctx->report, &node->place,
		    "address \"%.*s\" is listed twice; use weight to give a "
		    "backend a larger share", SPAN_ARG(key));
		return -1;
	}
	return 0;
}

static int
check_hash(struct conf_ctx *ctx, const struct conf_node *node,
    const struct group_conf *conf, uint64_t weights)
{
	int status = 0;

	if (conf->hash_key == NULL) {
		conf_report_error(ctx->report, &node->place,
		    "balance = \"hash\" needs a hash_key, as in "
		    "hash_key = \"${client.ip}\"");
		status = -1;
	}
	if (conf->hash_load_max != 0 && conf->hash_load_max <= 100) {
		conf_report_error(ctx->report, &node->place,
		    "hash_load_max = %u: more than 100 %% of a fair share is "
		    "needed, or 0 for no limit", conf->hash_load_max);
		status = -1;
	}
	if (weights > LB_HASH_WEIGHT_MAX) {
		conf_report_error(ctx->report, &node->place,
		    "the weights of an upstream with balance = \"hash\" are "
		    "together at most %d, these are %llu%s",
		    LB_HASH_WEIGHT_MAX, (unsigned long long)weights,
		    conf->resolve.addresses_max > 1 ?
		    " (that of a name counts for each of the addresses that "
		    "it may have: see addresses_max)" : "");
		status = -1;
	}
	return status;
}

static int
check_balance(struct conf_ctx *ctx, const struct conf_node *node,
    const struct group_conf *conf)
{
	const struct backend_conf *backends = conf->backends.items;
	uint64_t weights = 0;
	size_t backups = 0;

	for (size_t i = 0; i < conf->backends.count; i++) {
		weights += (uint64_t)backends[i].weight *
		    group_conf_places(conf, &backends[i]);
		backups += backends[i].backup;
	}
	if (backups > 0 && backups == conf->backends.count) {
		conf_report_error(ctx->report, &node->place,
		    "all backends are backups: at least one must not be");
		return -1;
	}
	if (conf->balance == GROUP_HASH)
		return check_hash(ctx, node, conf, weights);
	if (conf->hash_key == NULL && conf->hash_load_max == 0)
		return 0;
	conf_report_error(ctx->report, &node->place,
	    "hash_key and hash_load_max belong to balance = \"hash\"");
	return -1;
}

static int
check_health(struct conf_ctx *ctx, const struct conf_node *node,
    const struct group_conf *conf)
{
	const struct backend_conf *backends = conf->backends.items;
	bool has_tls = conf->has_tls;

	for (size_t i = 0; i < conf->backends.count; i++)
		has_tls |= backends[i].has_tls;
	if (!conf->has_check || conf->health_check.type != CHECK_CONF_TLS ||
	    has_tls)
		return 0;
	conf_report_error(ctx->report, &node->place,
	    "health_check: type \"tls\" needs the option tls of the upstream "
	    "or of a backend");
	return -1;
}

static int
check_protocol(struct conf_ctx *ctx, const struct conf_node *node,
    const struct group_conf *conf)
{
#ifndef HAVE_NGHTTP2
	if (conf->protocol != GROUP_H1) {
		conf_report_error(ctx->report, &node->place,
		    "protocol: HTTP/2 needs a weir that was built with "
		    "nghttp2");
		return -1;
	}
#endif
	if (conf->protocol != GROUP_H1 && conf->proxy_protocol != 0) {
		conf_report_error(ctx->report, &node->place,
		    "proxy_protocol belongs to protocol = \"h1\": HTTP/2 "
		    "connections are shared by clients");
		return -1;
	}
	if (conf->protocol == GROUP_AUTO && !conf->has_tls)
		conf_report_warning(ctx->report, &node->place,
		    "protocol = \"auto\" is HTTP/1.1 without tls, where "
		    "nothing is negotiated");
	return 0;
}

static int
check_via(struct conf_ctx *ctx, const struct conf_node *node,
    const struct group_conf *conf)
{
	const struct backend_conf *backends = conf->backends.items;

	for (size_t i = 0; conf->has_via && i < conf->backends.count; i++) {
		const struct addr_spec *spec = backends[i].address;

		if (spec == NULL || spec->is_name ||
		    spec->addr.u.sa.sa_family != AF_UNIX)
			continue;
		conf_report_error(ctx->report,
		    &conf_node_get(node, "via")->value_place,
		    "via: a backend is at a Unix socket, which a next hop "
		    "cannot be asked for by CONNECT");
		return -1;
	}
	return 0;
}

static int
check(struct conf_ctx *ctx, const struct conf_node *node, void *conf_ptr)
{
	struct group_conf *conf = conf_ptr;
	const struct backend_conf *backends = conf->backends.items;
	const struct conf_node *list = conf_node_get(node, "backends");
	size_t name_len = conf->name != NULL ? strlen(conf->name) : 0;
	struct hash_map seen;
	int status = 0;

	if (conf->name != NULL && name_len == 0) {
		conf_report_error(ctx->report, &node->place,
		    "the name of an upstream is empty");
		status = -1;
	}
	if (conf->backends.count == 0 && list != NULL) {
		conf_report_error(ctx->report, &list->value_place,
		    "upstream has no backends");
		status = -1;
	}
	if (group_conf_all_places(conf) > GROUP_BACKENDS_MAX) {
		conf_report_error(ctx->report, &node->place,
		    "upstream has more than %d backends, for each name "
		    "addresses_max of them", GROUP_BACKENDS_MAX);
		status = -1;
	}
	if (check_balance(ctx, node, conf) != 0 ||
	    check_health(ctx, node, conf) != 0)
		status = -1;
	if (check_protocol(ctx, node, conf) != 0 ||
	    group_socket_check(ctx, node, conf) != 0 ||
	    check_via(ctx, node, conf) != 0)
		status = -1;
	hash_map_init(&seen, false);
	for (size_t i = 0; i < conf->backends.count; i++) {
		const struct addr_spec *spec = backends[i].address;

		if (spec != NULL && check_backend(ctx,
		    conf->backends.nodes[i], spec, &seen,
		    backend_key(ctx, spec), name_len) != 0)
			status = -1;
	}
	hash_map_fini(&seen);
	return status;
}

const struct conf_table group_conf_table = {
	.name = "upstream",
	.items = items,
	.struct_bytes = sizeof(struct group_conf),
	.check = check,
};

/* SPDX-License-Identifier: BSD-2-Clause */
/* route_conf - the option tables of services and routes. */
#include <errno.h>
#include <stdio.h>

#include "base/arena.h"
#include "conf/template.h"
#include "proxy/route.h"

enum { FILE_MAX = 1048576, BUFFER_MAX = 512 << 20 };
#define DAY_MS UINT64_C(86400000)

/* The bytes of a file that a route answers with, read once. */
static int
read_file(struct conf_ctx *ctx, const struct conf_node *node,
    const char *path, struct span *bytes)
{
	FILE *file = fopen(path, "rbe");
	long len = -1;
	char *p;

	if (file != NULL && fseek(file, 0, SEEK_END) == 0)
		len = ftell(file);
	if (len < 0 || len > FILE_MAX) {
		conf_report_error(ctx->report, &node->place,
		    "cannot read %s: %s", path, len > FILE_MAX
		    ? "it is larger than 1 MB" : strerror(errno));
		if (file != NULL)
			fclose(file);
		return -1;
	}
	p = arena_alloc(ctx->arena, (size_t)len + 1);
	rewind(file);
	*bytes = span_of(p, fread(p, 1, (size_t)len, file));
	fclose(file);
	return 0;
}

static int
respond_check(struct conf_ctx *ctx, const struct conf_node *node, void *conf)
{
	struct route_respond *r = conf;

	if (r->body != NULL && r->file != NULL) {
		conf_report_error(ctx->report, &node->place,
		    "respond: give body or file, not both");
		return -1;
	}
	if (r->file == NULL)
		return 0;
	return read_file(ctx, node, r->file, &r->file_bytes);
}

static const struct conf_item respond_items[] = {
	CONF_UINT("status", struct route_respond, status, 200, 599, "200",
	    NULL, 0, "status of the answer"),
	CONF_VALUE("body", TEMPLATE, struct route_respond, body, NULL, 0,
	    "text of the answer"),
	CONF_VALUE("file", STRING, struct route_respond, file, NULL, 0,
	    "file with the answer's body, read at load"),
	CONF_VALUE("content_type", STRING, struct route_respond,
	    content_type, "text/plain; charset=utf-8", 0, "Content-Type"),
	CONF_VALUE("headers", MAP, struct route_respond, headers, NULL,
	    CONF_FIELD_NAME, "further fields of the answer"),
	CONF_END,
};

static const struct conf_table respond_table = {
	.name = "respond",
	.items = respond_items,
	.struct_bytes = sizeof(struct route_respond),
	.check = respond_check,
};

static const struct conf_enum redirect_statuses[] = {
	{ "301", 301 }, { "302", 302 }, { "303", 303 }, { "307", 307 },
	{ "308", 308 }, { NULL, 0 },
};

static int
redirect_check(struct conf_ctx *ctx, const struct conf_node *node, void *conf)
{
	const struct route_redirect *r = conf;

	for (const struct conf_enum *e = redirect_statuses; e->name != NULL;
	     e++) {
		if (e->value == r->status)
			return 0;
	}
	conf_report_error(ctx->report, &node->place,
	    "redirect: status %u is none of 301, 302, 303, 307, 308",
	    r->status);
	return -1;
}

static const struct conf_item redirect_items[] = {
	CONF_VALUE("location", TEMPLATE, struct route_redirect, location,
	    NULL, CONF_REQUIRED, "where to"),
	CONF_UINT("status", struct route_redirect, status, 300, 399, "302",
	    NULL, 0, "301, 302, 303, 307 or 308"),
	CONF_END,
};

static const struct conf_table redirect_table = {
	.name = "redirect",
	.items = redirect_items,
	.struct_bytes = sizeof(struct route_redirect),
	.check = redirect_check,
};

static int
match_check(struct conf_ctx *ctx, const struct conf_node *node, void *conf)
{
	const struct route_match *m = conf;

	if (m->value != NULL && m->regex != NULL) {
		conf_report_error(ctx->report, &node->place,
		    "give value or regex, not both");
		return -1;
	}
	if (!m->present && (m->value != NULL || m->regex != NULL)) {
		conf_report_error(ctx->report, &node->place,
		    "what must be absent has no value to match");
		return -1;
	}
	return 0;
}

static const struct conf_item match_items[] = {
	CONF_VALUE("name", STRING, struct route_match, name, NULL,
	    CONF_REQUIRED, "name of the field or argument"),
	CONF_VALUE("value", STRING, struct route_match, value, NULL, 0,
	    "exact value"),
	CONF_VALUE("regex", REGEX, struct route_match, regex, NULL, 0,
	    "expression that the value must match"),
	CONF_BOOL("present", struct route_match, present, "true", 0,
	    "false: it must be absent"),
	CONF_END,
};

static const struct conf_table match_table = {
	.name = "match",
	.items = match_items,
	.struct_bytes = sizeof(struct route_match),
	.check = match_check,
};

static const struct conf_enum inherit_time[] = {
	{ "inherit", UINT32_MAX }, { NULL, 0 },
};

/* What a route does not name is its upstream's. */
static const struct conf_item timeouts_items[] = {
	CONF_DURATION("connect", struct route_timeouts, connect_ms, 1, DAY_MS,
	    NULL, 0, "connect to the backend (default: the upstream's)"),
	CONF_DURATION("connect_total", struct route_timeouts,
	    connect_total_ms, 0, DAY_MS, NULL, 0,
	    "connect with all handshakes (default: the upstream's)"),
	CONF_DURATION("first_byte", struct route_timeouts, first_byte_ms, 1,
	    DAY_MS, NULL, 0,
	    "until the response's head (default: the upstream's)"),
	CONF_DURATION("between_bytes", struct route_timeouts,
	    between_bytes_ms, 1, DAY_MS, NULL, 0,
	    "between pieces of the response (default: the upstream's)"),
	CONF_DURATION("total", struct route_timeouts, total_ms, 0, 7 * DAY_MS,
	    NULL, 0, "of the whole exchange (default: the upstream's)"),
	CONF_END,
};

static const struct conf_table timeouts_table = {
	.name = "timeouts",
	.items = timeouts_items,
	.struct_bytes = sizeof(struct route_timeouts),
};

static const struct conf_item route_items[] = {
	CONF_VALUE("name", STRING, struct route, name, NULL, 0,
	    "name in logs and counters (default: SERVICE/N)"),
	CONF_VALUE("host", STRINGS, struct route, hosts, NULL, 0,
	    "hosts: exact, or *.suffix for one label and more before it"),
	CONF_VALUE("path", STRING, struct route, path, NULL, 0,
	    "path prefix, ending at a slash or the path's end"),
	CONF_VALUE("path_exact", STRING, struct route, path_exact, NULL, 0,
	    "the whole path"),
	CONF_VALUE("path_regex", REGEX, struct route, path_regex, NULL, 0,
	    "expression over the path"),
	CONF_VALUE("methods", STRINGS, struct route, methods, NULL, 0,
	    "methods it takes"),
	CONF_LIST("match_headers", struct route, match_headers, &match_table,
	    0, "request fields that must match, all of them"),
	CONF_LIST("match_query", struct route, match_query, &match_table, 0,
	    "query arguments that must match, all of them"),
	CONF_VALUE("upstream", STRING, struct route, upstream, NULL, 0,
	    "name of the upstream that requests go to"),
	{ .name = "respond", .type = CONF_TYPE_GROUP,
	    .offset = offsetof(struct route, respond),
	    .table = &respond_table,
	    .present = offsetof(struct route, has_respond),
	    .help = "answer of weir's own" },
	{ .name = "redirect", .type = CONF_TYPE_GROUP,
	    .offset = offsetof(struct route, redirect),
	    .table = &redirect_table,
	    .present = offsetof(struct route, has_redirect),
	    .help = "answer with a redirect" },
	CONF_VALUE("rewrite_path", TEMPLATE, struct route, rewrite_path,
	    NULL, 0, "path (and, with a ?, query) that the backend sees"),
	CONF_GROUP("timeouts", struct route, timeouts, &timeouts_table, 0,
	    "times that differ from the upstream's"),
	{ .name = "retries", .type = CONF_TYPE_UINT,
	    .offset = offsetof(struct route, retries), .min = 0, .max = 16,
	    .values = inherit_time, .def = "inherit",
	    .help = "further attempts (default: the upstream's)" },
	CONF_END,
};

const struct conf_table route_conf_table = {
	.name = "route",
	.items = route_items,
	.struct_bytes = sizeof(struct route),
};

static const struct conf_item listen_items[] = {
	CONF_VALUE("address", ADDRESS, struct service_listen, address, NULL,
	    CONF_REQUIRED, "address:port, [v6]:port, :port or unix:/path"),
	CONF_BOOL("reuseport", struct service_listen, reuseport, "true", 0,
	    "a socket for each worker"),
	CONF_BOOL("defer_accept", struct service_listen, defer_accept,
	    "true", 0, "wake a worker once the first bytes are there"),
	CONF_BOOL("ipv6_only", struct service_listen, ipv6_only, "false", 0,
	    "an IPv6 address takes no IPv4 connections"),
	CONF_BOOL("proxy_protocol", struct service_listen, proxy_protocol,
	    "false", 0,
	    "connections begin with the PROXY protocol, of trusted_proxies"),
	CONF_BOOL("http2", struct service_listen, http2, "false", 0,
	    "offer HTTP/2 over TLS (ALPN h2) beside HTTP/1"),
	CONF_BOOL("h2c", struct service_listen, h2c, "false", 0,
	    "HTTP/2 in clear text beside HTTP/1, for those who begin with it"),
	CONF_UINT("backlog", struct service_listen, backlog, 1, 65535,
	    "4096", NULL, 0, "connections that may wait to be accepted"),
	CONF_DURATION("keepalive", struct service_listen, keepalive_ms, 0,
	    9 * 3600 * 1000, "0", 0,
	    "probe clients that are silent for so long; 0 = never"),
	CONF_DURATION("keepalive_interval", struct service_listen,
	    keepalive_interval_ms, 0, 9 * 3600 * 1000, "0", 0,
	    "from one probe to the next; 0 = the kernel's"),
	CONF_UINT("keepalive_count", struct service_listen, keepalive_count,
	    0, 127, "0", NULL, 0,
	    "probes without an answer until the end; 0 = the kernel's"),
	CONF_DURATION("user_timeout", struct service_listen, user_timeout_ms,
	    0, DAY_MS, "0", 0,
	    "end a connection whose data nobody confirms; 0 = the kernel's"),
	CONF_UINT("fast_open", struct service_listen, fast_open, 0, 65535,
	    "0", NULL, 0,
	    "connections with data in their SYN that may wait; 0 = none"),
	CONF_SIZE("receive_buffer", struct service_listen, receive_buffer, 0,
	    BUFFER_MAX, "0", 0,
	    "the kernel's buffer for what comes; 0 = it adapts"),
	CONF_SIZE("send_buffer", struct service_listen, send_buffer, 0,
	    BUFFER_MAX, "0", 0,
	    "the kernel's buffer for what goes; 0 = it adapts"),
	CONF_UINT("dscp", struct service_listen, dscp, 0, 63, "0", NULL, 0,
	    "class of the packets that go (RFC 2474)"),
	CONF_UINT("mode", struct service_listen, mode, 0, 511, "438", NULL,
	    0, "file mode of a Unix socket, 438 = octal 666"),
	CONF_VALUE("owner", STRING, struct service_listen, owner, NULL, 0,
	    "user that a Unix socket's file is given to"),
	CONF_VALUE("group", STRING, struct service_listen, group, NULL, 0,
	    "group that it is given to"),
	{ .name = "tls", .type = CONF_TYPE_GROUP,
	    .offset = offsetof(struct service_listen, tls),
	    .table = &tls_conf_server_table,
	    .present = offsetof(struct service_listen, has_tls),
	    .help = "speak TLS" },
	CONF_END,
};

const struct conf_table route_conf_listen_table = {
	.name = "listen",
	.items = listen_items,
	.struct_bytes = sizeof(struct service_listen),
};

/* Their own options and what they inherit are read one by one later. */
static int
parse_routes(struct conf_ctx *ctx, const struct conf_node *node, void *field)
{
	(void)field;
	if (node->type == CONF_NODE_LIST)
		return 0;
	conf_report_error(ctx->report, &node->value_place,
	    "routes must be a list ( { … }, { … } )");
	return -1;
}

static const struct conf_item service_items[] = {
	CONF_VALUE("name", STRING, struct service, name, NULL, CONF_REQUIRED,
	    "name in logs and counters"),
	CONF_LIST("listen", struct service, listens, &route_conf_listen_table, 0,
	    "addresses it listens on"),
	{ .name = "routes", .type = CONF_TYPE_CUSTOM,
	    .offset = offsetof(struct service, route_confs),
	    .parse = parse_routes, .table = &route_conf_table,
	    .help = "routes, the strongest match wins" },
	CONF_END,
};

const struct conf_table route_conf_service_table = {
	.name = "service",
	.items = service_items,
	.struct_bytes = sizeof(struct service),
};

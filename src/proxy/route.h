/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * route - services, their routes, and finding the one that a request meets.
 *
 * Built at load, immutable afterwards, and free of I/O, so that a tool can ask
 * the same question.  A lookup costs a few hash probes, whether there are ten
 * hosts or ten thousand.
 *
 * Strength: exact host, longest wildcard, none; within a host: exact path,
 * longest path prefix, regular expressions in file order, "/" or no path.
 * A route whose methods, fields or query do not match is passed over for the
 * next weaker one.
 */
#ifndef PROXY_ROUTE_H
#define PROXY_ROUTE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/hash.h"
#include "conf/item.h"
#include "http/message.h"
#include "net/tls_conf.h"
#include "proxy/core_conf.h"
#include "proxy/phase.h"

struct arena;
struct conf_node;
struct exchange;
struct group;
struct template;

/* A condition on a field or a query argument. */
struct route_match {
	const char *name;
	const char *value;        /* exact; NULL = not asked */
	struct conf_regex *regex; /* NULL = not asked */
	bool present;             /* wanted at all, or wanted absent */
};

struct route_respond {
	uint32_t status;
	const struct template *body;
	const char *file;
	struct span file_bytes;
	const char *content_type;
	struct conf_map headers;
};

struct route_redirect {
	const struct template *location;
	uint32_t status;
};

struct route_timeouts {
	uint64_t connect_ms, connect_total_ms;
	uint64_t first_byte_ms, between_bytes_ms, total_ms;
};

#define ROUTE_INHERIT UINT64_MAX    /* a time of the upstream's */
#define ROUTE_INHERIT_32 UINT32_MAX

enum route_action {
	ROUTE_UPSTREAM,
	ROUTE_RESPOND,
	ROUTE_REDIRECT,
	ROUTE_INTERNAL, /* weir's own answer: the admin listener's */
	ROUTE_NONE,     /* the service's own, where nothing matched */
};

struct route {
	const char *name;
	const struct service *service;
	uint32_t metric_index;
	/* The options of a route group. */
	struct conf_strings hosts;
	const char *path;
	const char *path_exact;
	struct conf_regex *path_regex;
	struct conf_strings methods;
	struct conf_list match_headers; /* struct route_match */
	struct conf_list match_query;
	const char *upstream;
	bool has_respond, has_redirect;
	struct route_respond respond;
	struct route_redirect redirect;
	const struct template *rewrite_path;
	struct route_timeouts timeouts; /* UINT64_MAX = the upstream's */
	uint32_t retries;               /* UINT32_MAX = the upstream's */
	/* Made of them. */
	enum route_action action;
	struct group *group;
	enum verdict (*internal)(struct exchange *ex);
	const struct core_conf *core;
	struct phase_table phases;
	const void **module_confs;      /* by module index */
	struct conf_place place;
};

/* Routes under one key, in file order. */
struct route_link {
	const struct route *route;
	struct route_link *next;
	bool is_warned; /* that it hides the next ones */
};

/* Routes of one host. */
struct route_host {
	struct hash_map exact;    /* path -> struct route_link */
	struct hash_map prefixes; /* "/api", "/api/" -> struct route_link */
	unsigned prefix_slashes;  /* most '/' in a prefix */
	uint64_t exact_lengths;   /* bit N: a key of N bytes (mod 64) exists */
	uint64_t prefix_lengths;
	struct route_link *regexes;
	struct route_link *any;
};

struct route_table {
	struct hash_map hosts;     /* exact -> struct route_host */
	struct hash_map wildcards; /* ".example.com" -> struct route_host */
	struct route_host *any;
};

/* A module that may refuse connections of a service. */
struct service_guard {
	bool (*on_connection)(const void *conf, const struct addr_ip *peer,
	    _Atomic uint64_t *counters);
	const void *conf;
	size_t module_index;
};

struct service {
	const char *name;
	struct conf_list listens; /* struct service_listen */
	struct conf_list route_confs; /* struct route */
	const struct core_conf *core;
	struct route_table table;
	struct route fallback; /* no route: carries the service's modules */
	struct route **routes;    /* in file order, for the dump */
	size_t route_count;
	const struct service_guard *guards;
	size_t guard_count;
	const struct conf_node *node;
	bool is_admin;
};

/* Options of a route and of a service, without what they inherit. */
extern const struct conf_table route_conf_table;
extern const struct conf_table route_conf_service_table;
extern const struct conf_table route_conf_listen_table;

/* listen = ( { … } ) of a service. */
struct service_listen {
	const struct addr_spec *address;
	bool reuseport;
	bool defer_accept;
	bool ipv6_only;
	bool proxy_protocol;
	bool http2;
	bool h2c;
	uint32_t backlog;
	uint64_t keepalive_ms; /* 0: no probes */
	/* Of these 0 is the kernel's way. */
	uint64_t keepalive_interval_ms;
	uint32_t keepalive_count;
	uint64_t user_timeout_ms;
	uint32_t fast_open;
	uint64_t receive_buffer;
	uint64_t send_buffer;
	uint32_t dscp;
	uint32_t mode;
	const char *owner; /* of a Unix socket's file; NULL: as it is */
	const char *group;
	bool has_tls;
	struct tls_server_conf tls;
};

void route_table_init(struct route_table *t);
void route_table_fini(struct route_table *t);
/* Keys borrow from the route.  Warns of a route that can never be reached. */
void route_table_add(struct route_table *t, struct arena *a, struct route *r,
    struct conf_report *report);

enum { ROUTE_CAPTURES_MAX = 16, ROUTE_OTHERS_MAX = 8 };

/* What a request brings to the search. */
struct route_request {
	const struct http_request *req;
	struct span path; /* decoded for matching, without query */
	uint32_t *captures; /* room for 2 * ROUTE_CAPTURES_MAX offsets */
	uint32_t capture_count; /* set by the search: pairs */
	/* Routes that would have matched, but for their methods. */
	const struct route *others[ROUTE_OTHERS_MAX];
	uint32_t other_count;
};

/* NULL if none matches. */
const struct route *route_find(const struct route_table *t,
    struct route_request *request);

#endif

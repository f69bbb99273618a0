/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * build - makes services, routes and their phase tables of the tree.
 *
 * Part of generation_load(); everything it makes lives in the generation's
 * arena.
 */
#ifndef SITE_BUILD_H
#define SITE_BUILD_H

#include "conf/item.h"
#include "proxy/route.h"

struct files;
struct generation;
struct tls_keys;

/* The options of one level: the proxy's own and every module's. */
struct build_level {
	const struct core_conf *core;
	const void **modules; /* conf structs by module index */
};

/* A module's conf struct that was made, for module.start(). */
struct build_started {
	const struct module *module;
	void *conf;
	struct conf_place place;
	/* Of which service and route it is; both NULL = of `http`. */
	const struct service *service;
	const struct route *route;
	struct build_started *next;
};

/* "http", "web", "web/route": module_env.place; in the generation's arena. */
const char *build_place(struct arena *arena, const struct build_started *s);

struct build {
	struct conf_ctx *ctx;
	struct hash_map groups; /* name -> struct group */
	struct hash_map route_names; /* of the service being built */
	struct build_started *started;
	struct service **services;
	size_t service_count;
	struct listener_spec *listeners;
	size_t listener_count;
	struct files *files; /* that may change while it serves */
	struct tls_keys *keys; /* NULL: no isolation */
	bool is_test; /* -t: nothing will be served */
};

/* http = { … }: the defaults of all services; node may be NULL. */
int build_http(struct build *b, const struct conf_node *node,
    struct build_level *http);
/* services = ( … ); errors are in the report. */
int build_services(struct build *b, const struct conf_node *node,
    const struct build_level *http);
/* The service behind the admin listener. */
void build_admin(struct build *b, const struct addr_spec *address,
    const struct build_level *http);

#endif

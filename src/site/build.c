/* SPDX-License-Identifier: BSD-2-Clause */
/* build - services, with what they inherit, and the one for the admin. */
#include "site/build.h"

#include <stdarg.h>
#include <string.h>

#include "base/arena.h"
#include "base/heap_alloc.h"
#include "base/str.h"
#include "proxy/admin.h"
#include "site/build_private.h"
#include "site/modules.h"

enum { ADMIN_ROUTES = 2 };

const char *
build_place(struct arena *arena, const struct build_started *s)
{
	const char *service = s->service != NULL ? s->service->name : "http";

	if (service == NULL)
		service = "";
	if (s->route == NULL)
		return service;
	/* Routes without a name are called "service/number". */
	if (strchr(s->route->name, '/') != NULL)
		return s->route->name;
	return arena_printf(arena, "%s/%s", service, s->route->name);
}

int
build_wrong(struct build *b, const struct conf_node *node, const char *fmt, ...)
{
	char memory[512];
	struct str text;
	va_list ap;

	str_init(&text, memory, sizeof(memory));
	va_start(ap, fmt);
	str_vprintf(&text, fmt, ap);
	va_end(ap);
	conf_report_error(b->ctx->report, &node->place, "%s",
	    str_terminate(&text));
	return -1;
}

int
build_http(struct build *b, const struct conf_node *node,
    struct build_level *http)
{
	struct build_level defaults;

	build_level_defaults(b, &defaults);
	*http = defaults;
	if (node == NULL)
		return 0;
	if (node->type != CONF_NODE_GROUP) {
		conf_report_error(b->ctx->report, &node->value_place,
		    "http must be a group { }");
		return -1;
	}
	return build_level_read(b, node, &defaults, NULL, NULL, http);
}

/* ---- services ---- */

static int
build_routes(struct build *b, const struct conf_node *node,
    struct service *service, const struct build_level *level)
{
	const struct conf_node *routes = conf_node_get(node, "routes");
	size_t number = 0;
	int result = 0;

	if (routes == NULL || routes->count == 0) {
		conf_report_warning(b->ctx->report, &node->place,
		    "service %s has no routes: it answers 404 to everything",
		    service->name != NULL ? service->name : "");
		return 0;
	}
	if (routes->type != CONF_NODE_LIST)
		return -1; /* reported already */
	service->routes = arena_alloc(b->ctx->arena,
	    routes->count * sizeof(*service->routes));
	for (const struct conf_node *at = routes->first; at != NULL;
	     at = at->next) {
		if (build_route(b, at, service, level, ++number) != 0)
			result = -1;
	}
	return result;
}

static void
add_service(struct build *b, struct service *service)
{
	b->services = heap_alloc_grow(b->services, b->service_count + 1,
	    sizeof(*b->services));
	b->services[b->service_count++] = service;
}

/* Modules that look at connections before there is a request. */
static void
find_guards(struct build *b, struct service *service,
    const struct build_level *level)
{
	size_t modules = modules_count();
	struct service_guard *guards =
	    arena_alloc(b->ctx->arena, (modules + 1) * sizeof(*guards));

	for (size_t i = 0; i < modules; i++) {
		const struct module *m = modules_get(i);
		const void *conf = level->modules[i];

		if (m->on_connection == NULL ||
		    (m->is_active != NULL && !m->is_active(conf)) ||
		    !m->guards_connections(conf))
			continue;
		guards[service->guard_count++] = (struct service_guard){
			m->on_connection, conf, i };
	}
	service->guards = guards;
}

static int
build_service(struct build *b, const struct conf_node *node,
    const struct build_level *http)
{
	const struct conf_node *listen = conf_node_get(node, "listen");
	struct service *service =
	    arena_zalloc(b->ctx->arena, sizeof(*service));
	struct build_level level;
	int result;

	if (node->type != CONF_NODE_GROUP)
		return build_wrong(b, node, "a service must be a group { }");
	conf_defaults(b->ctx, &route_conf_service_table, service);
	result = build_level_read(b, node, http, &route_conf_service_table, service,
	    &level);
	service->node = node;
	for (size_t i = 0; i < b->service_count; i++) {
		if (service->name != NULL &&
		    b->services[i]->name != NULL &&
		    strcmp(b->services[i]->name, service->name) == 0)
			result = build_wrong(b, node, "there are two services "
			    "called %s", service->name);
	}
	route_table_init(&service->table);
	add_service(b, service);
	service->core = level.core;
	build_route_init(b, &service->fallback, service);
	service->fallback.name = "none";
	build_route_inherit(b, &service->fallback, &level, http, NULL);
	find_guards(b, service, &level);
	hash_map_init(&b->route_names, false);
	if (build_routes(b, node, service, &level) != 0)
		result = -1;
	hash_map_fini(&b->route_names);
	if (build_listen(b, service) != 0)
		result = -1;
	/* What is there and is no list was reported. */
	if (service->listens.count == 0 && (listen == NULL ||
	    listen->type == CONF_NODE_LIST))
		conf_report_warning(b->ctx->report, &node->place,
		    "service %s listens nowhere",
		    service->name != NULL ? service->name : "");
	return result;
}

int
build_services(struct build *b, const struct conf_node *node,
    const struct build_level *http)
{
	int result = 0;

	if (node == NULL)
		return 0;
	if (node->type != CONF_NODE_LIST) {
		conf_report_error(b->ctx->report, &node->value_place,
		    "services must be a list ( { … }, { … } )");
		return -1;
	}
	for (const struct conf_node *at = node->first; at != NULL;
	     at = at->next) {
		if (build_service(b, at, http) != 0)
			result = -1;
	}
	return result;
}

/* ---- the admin listener ---- */

static void
add_internal(struct build *b, struct service *service, const char *path,
    enum verdict (*internal)(struct exchange *ex))
{
	struct route *r = arena_alloc(b->ctx->arena, sizeof(*r));

	build_route_init(b, r, service);
	r->name = path;
	r->path_exact = path;
	r->action = ROUTE_INTERNAL;
	r->internal = internal;
	r->core = service->core;
	route_table_add(&service->table, b->ctx->arena, r, b->ctx->report);
	service->routes[service->route_count++] = r;
}

void
build_admin(struct build *b, const struct addr_spec *address,
    const struct build_level *http)
{
	struct service *service =
	    arena_zalloc(b->ctx->arena, sizeof(*service));
	struct service_listen listen = { .address = address, .backlog = 128,
		.mode = 0600 };

	service->name = "admin";
	service->is_admin = true;
	service->core = http->core;
	route_table_init(&service->table);
	build_route_init(b, &service->fallback, service);
	service->fallback.name = "admin";
	service->fallback.core = http->core;
	service->routes = arena_alloc(b->ctx->arena,
	    ADMIN_ROUTES * sizeof(*service->routes));
	add_internal(b, service, "/metrics", admin_metrics);
	add_internal(b, service, "/healthz", admin_healthz);
	add_service(b, service);
	build_listen_add(b, &listen, service, NULL);
}

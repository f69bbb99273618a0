/* SPDX-License-Identifier: BSD-2-Clause */
/* build_route - one route: what it must say, what it takes from around it. */
#include "site/build_private.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/heap_alloc.h"
#include "conf/template.h"
#include "http/field.h"
#include "upstream/group.h"

static int
check_hosts(struct build *b, const struct conf_node *node,
    const struct route *r)
{
	for (size_t i = 0; i < r->hosts.count; i++) {
		const char *host = r->hosts.items[i];
		const char *rest = strncmp(host, "*.", 2) == 0 ? host + 2
							       : host;

		bool literal = rest == host && host[0] == '[';

		if (*rest == '\0' ||
		    strpbrk(rest, literal ? "*/ @" : "*/ :@") != NULL)
			return build_wrong(b, node, "host \"%s\" is neither a name "
			    "nor *.suffix (no port, no path)", host);
	}
	return 0;
}

static int
check_path(struct build *b, const struct conf_node *node,
    const struct route *r)
{
	int given = (r->path != NULL) + (r->path_exact != NULL) +
	    (r->path_regex != NULL);

	if (given > 1)
		return build_wrong(b, node, "%s: give one of path, path_exact and "
		    "path_regex", r->name);
	if (r->path != NULL && r->path[0] != '/')
		return build_wrong(b, node, "path \"%s\" must begin with /",
		    r->path);
	if (r->path_exact != NULL && r->path_exact[0] != '/' &&
	    strcmp(r->path_exact, "*") != 0)
		return build_wrong(b, node, "path_exact \"%s\" must begin with /",
		    r->path_exact);
	return 0;
}

static int
check_methods(struct build *b, const struct conf_node *node,
    const struct route *r)
{
	for (size_t i = 0; i < r->methods.count; i++) {
		if (!http_is_token(span_cstr(r->methods.items[i])))
			return build_wrong(b, conf_node_get(node, "methods"),
			    "methods: \"%s\" is no method",
			    r->methods.items[i]);
	}
	return 0;
}

static int
check_name(struct build *b, const struct conf_node *node,
    const struct service *service, struct route *r)
{
	if (hash_map_put(&b->route_names, span_cstr(r->name), r) == NULL)
		return 0;
	return build_wrong(b, node, "service %s has two routes called %s",
	    service->name != NULL ? service->name : "", r->name);
}

/* What a template of the route asks of its path_regex. */
struct capture_check {
	uint32_t captures;
	bool is_regex;
	struct span bad; /* the variable that asks too much */
};

static void
check_capture(void *arg, struct span name)
{
	static const struct span prefix = { "route.match.", 12 };
	struct capture_check *c = arg;
	uint64_t n;

	if (!span_starts(name, prefix) || span_u64(span_of(
	    name.p + prefix.len, name.len - prefix.len), &n) != 0)
		return;
	if (!c->is_regex || n > c->captures)
		c->bad = name;
}

static int
check_captures(struct build *b, const struct conf_node *node,
    const struct route *r)
{
	struct capture_check c = { .is_regex = r->path_regex != NULL,
		.captures = r->path_regex != NULL
		? r->path_regex->captures : 0 };
	const struct template *templates[] = { r->respond.body,
		r->redirect.location, r->rewrite_path };

	for (size_t i = 0; i < sizeof(templates) / sizeof(*templates); i++) {
		if (templates[i] != NULL)
			template_each_var(templates[i], check_capture, &c);
	}
	for (size_t i = 0; i < r->respond.headers.count; i++)
		template_each_var(r->respond.headers.items[i].value,
		    check_capture, &c);
	if (c.bad.len == 0)
		return 0;
	if (!c.is_regex)
		return build_wrong(b, node, "${%.*s} needs a path_regex",
		    SPAN_ARG(c.bad));
	return build_wrong(b, node, "${%.*s}: path_regex has %u captures",
	    SPAN_ARG(c.bad), c.captures);
}

static int
by_name(const void *a, const void *b)
{
	const char *const *x = a, *const *y = b;

	return strcmp(*x, *y);
}

static int
find_upstream(struct build *b, const struct conf_node *node, struct route *r)
{
	const struct conf_node *at = conf_node_get(node, "upstream");
	const char **names;
	const char *nearest;
	size_t count = 0;

	r->group = hash_map_get(&b->groups, span_cstr(r->upstream));
	if (r->group != NULL)
		return 0;
	names = heap_alloc_zeroed(b->groups.used + 1, sizeof(*names));
	for (size_t i = 0; i < b->groups.size; i++) {
		if (b->groups.entries[i].value != NULL)
			names[count++] = b->groups.entries[i].key.p;
	}
	qsort(names, count, sizeof(*names), by_name);
	nearest = conf_nearest(r->upstream, names);
	conf_report_error(b->ctx->report, &at->value_place,
	    "there is no upstream \"%s\"%s%s%s", r->upstream,
	    nearest != NULL ? "; did you mean \"" : "",
	    nearest != NULL ? nearest : "", nearest != NULL ? "\"?" : "");
	free(names);
	return -1;
}

static int
choose_action(struct build *b, const struct conf_node *node, struct route *r)
{
	int given = (r->upstream != NULL) + r->has_respond + r->has_redirect;

	if (given != 1)
		return build_wrong(b, node, given == 0
		    ? "route %s does nothing: give upstream, respond or "
		      "redirect"
		    : "route %s: give only one of upstream, respond and "
		      "redirect", r->name);
	if (r->has_respond)
		r->action = ROUTE_RESPOND;
	else if (r->has_redirect)
		r->action = ROUTE_REDIRECT;
	else
		r->action = ROUTE_UPSTREAM;
	if (r->action == ROUTE_UPSTREAM)
		return find_upstream(b, node, r);
	if (r->rewrite_path != NULL)
		return build_wrong(b, node, "%s: rewrite_path needs an upstream",
		    r->name);
	return 0;
}

/* Times that the route does not say are its upstream's. */
static void
inherit_times(struct route *r)
{
	const struct group_timeouts *from;

	if (r->group == NULL)
		return;
	from = &r->group->conf->timeouts;
	if (r->timeouts.connect_ms == ROUTE_INHERIT)
		r->timeouts.connect_ms = from->connect_ms;
	if (r->timeouts.connect_total_ms == ROUTE_INHERIT)
		r->timeouts.connect_total_ms = from->connect_total_ms;
	if (r->timeouts.first_byte_ms == ROUTE_INHERIT)
		r->timeouts.first_byte_ms = from->first_byte_ms;
	if (r->timeouts.between_bytes_ms == ROUTE_INHERIT)
		r->timeouts.between_bytes_ms = from->between_bytes_ms;
	if (r->timeouts.total_ms == ROUTE_INHERIT)
		r->timeouts.total_ms = from->total_ms;
	if (r->retries == ROUTE_INHERIT_32)
		r->retries = r->group->conf->retries;
}

void
build_route_init(struct build *b, struct route *r, const struct service *service)
{
	memset(r, 0, sizeof(*r));
	conf_defaults(b->ctx, &route_conf_table, r);
	r->service = service;
	r->timeouts = (struct route_timeouts){ ROUTE_INHERIT, ROUTE_INHERIT,
		ROUTE_INHERIT, ROUTE_INHERIT, ROUTE_INHERIT };
	r->retries = ROUTE_INHERIT_32;
	r->action = ROUTE_NONE;
}

void
build_route_inherit(struct build *b, struct route *r, const struct build_level *level,
    const struct build_level *outer, const struct phase_table *outer_phases)
{
	r->core = level->core;
	r->module_confs = level->modules;
	if (outer_phases != NULL && level->modules == outer->modules)
		r->phases = *outer_phases;
	else
		build_phases(b, level, &r->phases);
}

int
build_route(struct build *b, const struct conf_node *node,
    struct service *service, const struct build_level *outer, size_t number)
{
	struct route *r = arena_alloc(b->ctx->arena, sizeof(*r));
	struct build_level level;
	int result;

	build_route_init(b, r, service);
	if (node->type != CONF_NODE_GROUP)
		return build_wrong(b, node, "a route must be a group { }");
	result = build_level_read(b, node, outer, &route_conf_table, r, &level);
	r->place = node->place;
	if (r->name == NULL)
		r->name = arena_printf(b->ctx->arena, "%s/%zu",
		    service->name != NULL ? service->name : "", number);
	build_route_inherit(b, r, &level, outer, &service->fallback.phases);
	/* Each of them, so that one run finds all. */
	result |= check_hosts(b, node, r);
	result |= check_path(b, node, r);
	result |= check_methods(b, node, r);
	result |= check_captures(b, node, r);
	result |= check_name(b, node, service, r);
	result |= choose_action(b, node, r);
	if (result != 0)
		return -1;
	inherit_times(r);
	route_table_add(&service->table, b->ctx->arena, r, b->ctx->report);
	service->routes[service->route_count++] = r;
	return result;
}

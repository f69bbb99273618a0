/* SPDX-License-Identifier: BSD-2-Clause */
/* build - services and routes, with what they inherit. */
#include "site/build.h"

#include <stdarg.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/heap_alloc.h"
#include "base/str.h"
#include "conf/origins.h"
#include "conf/template.h"
#include "http/field.h"
#include "net/listener.h"
#include "net/tls_ctx.h"
#include "os/proc.h"
#include "proxy/admin.h"
#include "site/modules.h"
#include "upstream/group.h"

enum { PARTS_MAX = 64, ADMIN_ROUTES = 2 };

/* ---- levels: what is inherited ---- */

static bool
mentions(const struct conf_node *group, const struct conf_table *table)
{
	for (const struct conf_item *i = table->items; i->name != NULL; i++) {
		if (conf_node_get(group, i->name) != NULL)
			return true;
	}
	return false;
}

static void *
copy_of(struct build *b, const void *conf, size_t len)
{
	void *copy = arena_alloc(b->ctx->arena, len);

	memcpy(copy, conf, len);
	conf_origins_inherit(b->ctx->origins, copy, conf);
	return copy;
}

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

static struct build_started *
note_started(struct build *b, const struct module *m, void *conf,
    const struct conf_node *node)
{
	struct build_started *s = arena_zalloc(b->ctx->arena, sizeof(*s));

	s->module = m;
	s->conf = conf;
	if (node != NULL)
		s->place = node->place;
	s->next = b->started;
	b->started = s;
	return s;
}

/* Whose struct `own` is, by its table. */
static void
note_owner(struct build_started *s, const struct conf_table *table,
    const void *own)
{
	if (table == &route_conf_service_table) {
		s->service = own;
	} else if (table == &route_conf_table) {
		s->route = own;
		s->service = s->route->service;
	}
}

/*
 * Read node's own table, and beside it the options that are inherited: a
 * struct of its own is made only for what the group mentions.
 */
static int
read_level(struct build *b, const struct conf_node *node,
    const struct build_level *outer, const struct conf_table *own_table,
    void *own, struct build_level *level)
{
	struct conf_part parts[PARTS_MAX];
	size_t count = 0, modules = modules_count();
	int result;

	*level = *outer;
	if (own_table != NULL)
		parts[count++] = (struct conf_part){ own_table, own };
	/*
	 * Tables that the group does not mention are given too, with a struct
	 * that is thrown away, so that unknown keys get the best suggestion.
	 */
	if (mentions(node, &core_conf_table)) {
		void *core = copy_of(b, outer->core, sizeof(*outer->core));

		level->core = core;
		parts[count++] = (struct conf_part){ &core_conf_table, core };
	} else {
		parts[count++] = (struct conf_part){ &core_conf_table, NULL };
	}
	for (size_t i = 0; i < modules; i++) {
		const struct module *m = modules_get(i);
		void *conf;

		if (!mentions(node, m->table)) {
			parts[count++] = (struct conf_part){ m->table, NULL };
			continue;
		}
		if (level->modules == outer->modules)
			level->modules = copy_of(b, outer->modules,
			    modules * sizeof(*level->modules));
		conf = copy_of(b, outer->modules[i], m->conf_size);
		level->modules[i] = conf;
		note_owner(note_started(b, m, conf, node), own_table, own);
		parts[count++] = (struct conf_part){ m->table, conf };
	}
	if (own_table == &route_conf_table)
		b->ctx->refused = CONF_NOT_IN_ROUTE;
	result = conf_apply(b->ctx, node, parts, count);
	b->ctx->refused = 0;
	return result;
}

int
build_http(struct build *b, const struct conf_node *node,
    struct build_level *http)
{
	size_t modules = modules_count();
	struct core_conf *core =
	    arena_zalloc(b->ctx->arena, sizeof(*core));
	struct build_level defaults = { .core = core };

	conf_defaults(b->ctx, &core_conf_table, core);
	defaults.modules = arena_zalloc(b->ctx->arena,
	    (modules + 1) * sizeof(*defaults.modules));
	for (size_t i = 0; i < modules; i++) {
		const struct module *m = modules_get(i);
		void *conf = arena_zalloc(b->ctx->arena, m->conf_size);

		conf_defaults(b->ctx, m->table, conf);
		defaults.modules[i] = conf;
		(void)note_started(b, m, conf, NULL);
	}
	*http = defaults;
	if (node == NULL)
		return 0;
	if (node->type != CONF_NODE_GROUP) {
		conf_report_error(b->ctx->report, &node->value_place,
		    "http must be a group { }");
		return -1;
	}
	return read_level(b, node, &defaults, NULL, NULL, http);
}

/* ---- phases ---- */

/* A handler and its place in the order. */
struct ordered {
	struct phase_handler handler;
	int order;
};

static int
by_order(const void *a, const void *b)
{
	const struct ordered *x = a, *y = b;

	if (x->order != y->order)
		return x->order < y->order ? -1 : 1;
	return strcmp(x->handler.module, y->handler.module);
}

/* False if the module has no handler there, or none for this conf. */
static bool
find_handler(const struct module *m, const void *conf, enum phase phase,
    struct ordered *o)
{
	if (m->is_active != NULL && !m->is_active(conf))
		return false;
	if (m->hooks[phase] != NULL)
		o->handler.fn.hook = m->hooks[phase];
	else if (m->body_hooks[phase] != NULL)
		o->handler.fn.body = m->body_hooks[phase];
	else if (m->trailers_hooks[phase] != NULL)
		o->handler.fn.trailers = m->trailers_hooks[phase];
	else
		return false;
	o->handler.cancel = m->on_cancel;
	o->handler.module = m->name;
	o->order = m->order;
	return m->runs_in == NULL || m->runs_in(conf, phase);
}

static bool
find_late_handler(struct build *b, const struct module *m, const void *conf,
    enum phase phase, struct ordered *o)
{
	const struct module_late *late = m->late;

	if (late == NULL || late->hooks[phase] == NULL ||
	    (m->is_active != NULL && !m->is_active(conf)) ||
	    (late->runs_in != NULL && !late->runs_in(conf, phase)))
		return false;
	o->handler.fn.hook = late->hooks[phase];
	o->handler.cancel = m->on_cancel;
	o->handler.module = arena_printf(b->ctx->arena, "%s(late)", m->name);
	o->order = late->order;
	return true;
}

static void
fill_chain(struct build *b, const struct build_level *level,
    enum phase phase, struct phase_chain *chain)
{
	struct ordered found[2 * PARTS_MAX];
	struct phase_handler *items;
	uint32_t count = 0;

	for (size_t i = 0; i < modules_count(); i++) {
		const struct module *m = modules_get(i);
		const void *conf = level->modules[i];

		memset(&found[count], 0, 2 * sizeof(*found));
		count += find_handler(m, conf, phase, &found[count]);
		count += find_late_handler(b, m, conf, phase, &found[count]);
		for (uint32_t j = count > 2 ? count - 2 : 0; j < count; j++) {
			if (found[j].handler.conf != NULL)
				continue;
			found[j].handler.conf = conf;
			found[j].handler.module_index = (uint32_t)i;
		}
	}
	if (count == 0) {
		*chain = (struct phase_chain){ NULL, 0 };
		return;
	}
	qsort(found, count, sizeof(*found), by_order);
	items = arena_alloc(b->ctx->arena, count * sizeof(*items));
	for (uint32_t i = 0; i < count; i++)
		items[i] = found[i].handler;
	*chain = (struct phase_chain){ items, count };
}

static void
fill_phases(struct build *b, const struct build_level *level,
    struct phase_table *table)
{
	table->used = 0;
	for (unsigned i = 0; i < PHASE_COUNT; i++) {
		fill_chain(b, level, (enum phase)i, &table->chains[i]);
		if (table->chains[i].count > 0)
			table->used |= PHASE_BIT(i);
	}
}

/* ---- routes ---- */

static int __attribute__((format(printf, 3, 4)))
wrong(struct build *b, const struct conf_node *node, const char *fmt, ...)
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
			return wrong(b, node, "host \"%s\" is neither a name "
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
		return wrong(b, node, "%s: give one of path, path_exact and "
		    "path_regex", r->name);
	if (r->path != NULL && r->path[0] != '/')
		return wrong(b, node, "path \"%s\" must begin with /",
		    r->path);
	if (r->path_exact != NULL && r->path_exact[0] != '/' &&
	    strcmp(r->path_exact, "*") != 0)
		return wrong(b, node, "path_exact \"%s\" must begin with /",
		    r->path_exact);
	return 0;
}

static int
check_methods(struct build *b, const struct conf_node *node,
    const struct route *r)
{
	for (size_t i = 0; i < r->methods.count; i++) {
		if (!http_is_token(span_cstr(r->methods.items[i])))
			return wrong(b, conf_node_get(node, "methods"),
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
	return wrong(b, node, "service %s has two routes called %s",
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
		return wrong(b, node, "${%.*s} needs a path_regex",
		    SPAN_ARG(c.bad));
	return wrong(b, node, "${%.*s}: path_regex has %u captures",
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
		return wrong(b, node, given == 0
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
		return wrong(b, node, "%s: rewrite_path needs an upstream",
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
	if (r->timeouts.first_byte_ms == ROUTE_INHERIT)
		r->timeouts.first_byte_ms = from->first_byte_ms;
	if (r->timeouts.between_bytes_ms == ROUTE_INHERIT)
		r->timeouts.between_bytes_ms = from->between_bytes_ms;
	if (r->timeouts.total_ms == ROUTE_INHERIT)
		r->timeouts.total_ms = from->total_ms;
	if (r->retries == ROUTE_INHERIT_32)
		r->retries = r->group->conf->retries;
}

static void
init_route(struct build *b, struct route *r, const struct service *service)
{
	memset(r, 0, sizeof(*r));
	conf_defaults(b->ctx, &route_conf_table, r);
	r->service = service;
	r->timeouts = (struct route_timeouts){ ROUTE_INHERIT, ROUTE_INHERIT,
		ROUTE_INHERIT, ROUTE_INHERIT };
	r->retries = ROUTE_INHERIT_32;
	r->action = ROUTE_NONE;
}

static void
take_level(struct build *b, struct route *r, const struct build_level *level,
    const struct build_level *outer, const struct phase_table *outer_phases)
{
	r->core = level->core;
	r->module_confs = level->modules;
	if (outer_phases != NULL && level->modules == outer->modules)
		r->phases = *outer_phases;
	else
		fill_phases(b, level, &r->phases);
}

static int
build_route(struct build *b, const struct conf_node *node,
    struct service *service, const struct build_level *outer, size_t number)
{
	struct route *r = arena_alloc(b->ctx->arena, sizeof(*r));
	struct build_level level;
	int result;

	init_route(b, r, service);
	if (node->type != CONF_NODE_GROUP)
		return wrong(b, node, "a route must be a group { }");
	result = read_level(b, node, outer, &route_conf_table, r, &level);
	r->place = node->place;
	if (r->name == NULL)
		r->name = arena_printf(b->ctx->arena, "%s/%zu",
		    service->name != NULL ? service->name : "", number);
	take_level(b, r, &level, outer, &service->fallback.phases);
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

/* ---- services ---- */

static struct listener_spec *
add_listener(struct build *b, const struct service_listen *listen,
    struct service *service, const struct conf_node *node)
{
	struct listener_spec *spec;
	struct str text;

	b->listeners = heap_alloc_grow(b->listeners, b->listener_count + 1,
	    sizeof(*b->listeners));
	spec = &b->listeners[b->listener_count++];
	memset(spec, 0, sizeof(*spec));
	spec->addr = listen->address->addr;
	str_init(&text, arena_alloc(b->ctx->arena, 160), 160);
	addr_put(&text, &spec->addr);
	spec->text = str_terminate(&text);
	if (node != NULL)
		spec->place = node->place;
	spec->reuseport = listen->reuseport &&
	    spec->addr.u.sa.sa_family != AF_UNIX;
	spec->defer_accept = listen->defer_accept;
	spec->ipv6_only = listen->ipv6_only;
	spec->h2c = listen->h2c;
	spec->proxy_protocol = listen->proxy_protocol;
	spec->backlog = listen->backlog;
	/* Whole seconds, and none of them is off. */
	spec->keepalive_s = (uint32_t)((listen->keepalive_ms + 999) / 1000);
	spec->mode = listen->mode;
	spec->service = service;
	spec->is_admin = service->is_admin;
	return spec;
}

/*
 * The context of a listener's TLS; not tried while there are errors, which may
 * be in its own options.
 */
static int
build_tls(struct build *b, struct listener_spec *spec,
    const struct service_listen *listen, const struct conf_node *node)
{
	static const char *const both[] = { "h2", "http/1.1", NULL };
	static const char *const h1[] = { "http/1.1", NULL };
	const struct conf_node *tls = conf_node_get(node, "tls");
	const struct tls_ctx_about about = {
		.name = spec->text,
		.alpn = listen->http2 ? both : h1,
		.place = tls != NULL ? &tls->place : &node->place,
		.report = b->ctx->report,
		.files = b->files,
		.keys = b->keys,
		.is_test = b->is_test,
	};

	if (!listen->has_tls || conf_report_errors(b->ctx->report) > 0)
		return 0;
	spec->tls = tls_ctx_server_new(&listen->tls, &about);
	return spec->tls == NULL ? -1 : 0;
}

/* Who owns the file of a Unix socket; of no other address. */
static int
find_owner(struct build *b, const struct service_listen *listen,
    struct listener_spec *spec, const struct conf_node *node)
{
	struct error err;

	if (listen->owner == NULL && listen->group == NULL)
		return 0;
	if (spec->addr.u.sa.sa_family != AF_UNIX)
		return wrong(b, node, "listen: \"%s\" has no file: owner and "
		    "group are for Unix sockets", spec->text);
	if (proc_owner_find(&spec->uid, &spec->gid, listen->owner,
	    listen->group, &err) != 0)
		return wrong(b, node, "listen: \"%s\": %s", spec->text,
		    err.text);
	spec->has_owner = true;
	return 0;
}

static int
check_http2(struct build *b, const struct service_listen *listen,
    const struct conf_node *node)
{
#ifndef HAVE_NGHTTP2
	if (listen->h2c || listen->http2)
		return wrong(b, node, "listen: HTTP/2 needs a weir that was "
		    "built with nghttp2");
#endif
	if (listen->http2 && !listen->has_tls)
		return wrong(b, node, "listen: http2 needs tls; HTTP/2 in "
		    "clear text is h2c");
	if (listen->h2c && listen->has_tls)
		return wrong(b, node, "listen: h2c is for clear text; with "
		    "tls it is http2");
	return 0;
}

static int
build_listens(struct build *b, struct service *service)
{
	const struct service_listen *listens = service->listens.items;
	int result = 0;

	for (size_t i = 0; i < service->listens.count; i++) {
		const struct conf_node *node = service->listens.nodes[i];
		struct listener_spec *spec;
		bool duplicate = false;

		if (listens[i].address == NULL)
			continue; /* reported already */
		if (check_http2(b, &listens[i], node) != 0) {
			result = -1;
			continue;
		}
		if (listens[i].address->is_name) {
			result = wrong(b, node, "listen: \"%s\" is a name; an "
			    "address is needed", listens[i].address->host);
			continue;
		}
		for (size_t j = 0; j < b->listener_count; j++) {
			if (!addr_equal(&b->listeners[j].addr,
			    &listens[i].address->addr))
				continue;
			duplicate = true;
			if (b->listeners[j].service == service) {
				conf_report_warning(b->ctx->report,
				    &node->place, "duplicate listen %s",
				    b->listeners[j].text);
				continue;
			}
			conf_report_error(b->ctx->report, &node->place,
			    "listen %s: another service listens there (%s:%u)",
			    b->listeners[j].text,
			    b->listeners[j].place.file != NULL
			    ? b->listeners[j].place.file : "?",
			    b->listeners[j].place.line);
			result = -1;
		}
		if (duplicate)
			continue;
		spec = add_listener(b, &listens[i], service, node);
		if (find_owner(b, &listens[i], spec, node) != 0 ||
		    build_tls(b, spec, &listens[i], node) != 0)
			result = -1;
	}
	return result;
}

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
	struct service *service =
	    arena_zalloc(b->ctx->arena, sizeof(*service));
	struct build_level level;
	int result;

	if (node->type != CONF_NODE_GROUP)
		return wrong(b, node, "a service must be a group { }");
	conf_defaults(b->ctx, &route_conf_service_table, service);
	result = read_level(b, node, http, &route_conf_service_table, service,
	    &level);
	service->node = node;
	for (size_t i = 0; i < b->service_count; i++) {
		if (service->name != NULL &&
		    b->services[i]->name != NULL &&
		    strcmp(b->services[i]->name, service->name) == 0)
			result = wrong(b, node, "there are two services "
			    "called %s", service->name);
	}
	route_table_init(&service->table);
	add_service(b, service);
	service->core = level.core;
	init_route(b, &service->fallback, service);
	service->fallback.name = "none";
	take_level(b, &service->fallback, &level, http, NULL);
	find_guards(b, service, &level);
	hash_map_init(&b->route_names, false);
	if (build_routes(b, node, service, &level) != 0)
		result = -1;
	hash_map_fini(&b->route_names);
	if (build_listens(b, service) != 0)
		result = -1;
	if (service->listens.count == 0)
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

	init_route(b, r, service);
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
	init_route(b, &service->fallback, service);
	service->fallback.name = "admin";
	service->fallback.core = http->core;
	service->routes = arena_alloc(b->ctx->arena,
	    ADMIN_ROUTES * sizeof(*service->routes));
	add_internal(b, service, "/metrics", admin_metrics);
	add_internal(b, service, "/healthz", admin_healthz);
	add_service(b, service);
	add_listener(b, &listen, service, NULL);
}

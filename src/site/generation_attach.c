/* SPDX-License-Identifier: BSD-2-Clause */
/* generation_attach - a generation takes its place in what all share. */
#include <assert.h>
#include <dirent.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "base/now.h"
#include "base/str.h"
#include "net/tls_ctx.h"
#include "net/tls_early.h"
#include "net/tls_session.h"
#include "net/tls_ticket.h"
#include "os/proc.h"
#include "proxy/proxy.h"
#include "proxy/stats.h"
#include "site/generation_private.h"
#include "site/modules.h"
#include "upstream/backend_zone.h"
#include "upstream/group.h"
#include "upstream/lane.h"

enum {
	DESCRIPTORS_SPARE = 8, /* loop, channel, what modules open */
};

static int
attach_logs(struct generation *g, struct shared *s, struct error *err)
{
	for (size_t i = 0; i < g->targets.count; i++) {
		if (shared_book_target(s, &g->use, g->targets.items[i].path,
		    err) < 0)
			return -1;
	}
	g->shared.targets = &s->targets;
	g->shared.error_log = (unsigned)logtarget_number(&s->targets,
	    g->settings.error_log.path);
	g->shared.kick_fd = s->kick_fd;
	g->shared.rings = s->ring_list;
	g->shared.ring_count = s->process_count;
	return logtarget_open_all(&s->targets, err);
}

static void
name_service(struct metrics *m, struct service *service)
{
	struct span name = span_cstr(service->name);

	service->fallback.metric_index = metrics_register(m,
	    METRIC_SCOPE_ROUTE, name, span_cstr(service->fallback.name));
	for (size_t i = 0; i < service->route_count; i++)
		service->routes[i]->metric_index = metrics_register(m,
		    METRIC_SCOPE_ROUTE, name,
		    span_cstr(service->routes[i]->name));
}

static void
name_backends(struct group *group, struct metrics *m)
{
	for (uint32_t i = 0; i < group->backend_count; i++) {
		struct backend *b = &group->backends[i];

		b->metric_index = metrics_register(m, METRIC_SCOPE_BACKEND,
		    group->name, b->label);
		/* Until an address comes to that place of the name. */
		if (b->place > 0 && !metrics_is_shared(m,
		    METRIC_SCOPE_BACKEND, b->metric_index))
			metrics_hide(m, METRIC_SCOPE_BACKEND, b->metric_index,
			    true);
	}
}

static void
forget_backends(const struct group *group, struct metrics *m)
{
	for (uint32_t i = 0; i < group->backend_count; i++)
		metrics_release(m, METRIC_SCOPE_BACKEND,
		    group->backends[i].metric_index, SHARED_MASTER);
}

static void
name_counters(struct generation *g, struct shared *s)
{
	g->shared.metrics = &s->metrics;
	for (size_t i = 0; i < g->group_count; i++)
		g->group_metric_index[i] = metrics_register(&s->metrics,
		    METRIC_SCOPE_UPSTREAM, span_of(NULL, 0),
		    g->groups[i]->name);
	for (size_t i = 0; i < g->group_count; i++)
		name_backends(g->groups[i], &s->metrics);
	for (size_t i = 0; i < g->build.service_count; i++)
		name_service(&s->metrics, g->build.services[i]);
	g->has_names = true;
}

static void
forget_counters(struct generation *g, struct metrics *m)
{
	if (!g->has_names)
		return;
	for (size_t i = 0; i < g->group_count; i++) {
		metrics_release(m, METRIC_SCOPE_UPSTREAM,
		    g->group_metric_index[i], SHARED_MASTER);
		forget_backends(g->groups[i], m);
	}
	for (size_t i = 0; i < g->build.service_count; i++) {
		const struct service *service = g->build.services[i];

		metrics_release(m, METRIC_SCOPE_ROUTE,
		    service->fallback.metric_index, SHARED_MASTER);
		for (size_t j = 0; j < service->route_count; j++)
			metrics_release(m, METRIC_SCOPE_ROUTE,
			    service->routes[j]->metric_index, SHARED_MASTER);
	}
	g->has_names = false;
}

static bool
has_limits(const struct generation *g)
{
	for (size_t i = 0; i < g->group_count; i++)
		if (g->groups[i]->is_limited)
			return true;
	return false;
}

static int
attach_backends(struct generation *g, struct shared *s, struct error *err)
{
	g->shared.backends = s->backends;
	g->shared.groups = g->groups;
	g->shared.group_count = g->group_count;
	for (; g->groups_bound < g->group_count; g->groups_bound++) {
		if (group_bind(g->groups[g->groups_bound], s->backends,
		    err) != 0)
			return -1;
	}
	if (has_limits(g) && backend_zone_need_wakers(s->backends,
	    s->process_count, err) != 0)
		return -1;
	if (g->workers >= 2 && shared_need_lanes(s, err) != 0)
		return -1;
	g->shared.lanes = s->lanes;
	return 0;
}

static int
book_zone(const struct module_env *env, const char *name,
    uint32_t layout_version, size_t bytes, const struct shmem **zone,
    struct error *err)
{
	struct generation *g = env->owner;
	struct shmem want = { .version = layout_version, .data_bytes = bytes };

	if (strlen(name) >= sizeof(want.name))
		return error_set(err, "shared memory \"%s\": the name is too "
		    "long", name);
	strcpy(want.name, name);
	return shared_book_zone(g->shared.shared, &g->use, &want, zone, err);
}

static const struct shmem *
former_zone(const struct module_env *env, const struct shmem *zone)
{
	const struct generation *g = env->owner;

	return shared_former_zone(g->shared.shared, zone);
}

static int
attach_modules(struct generation *g, struct shared *s, struct error *err)
{
	struct module_env env = {
		.arena = &g->arena,
		.log_targets = &s->targets,
		.workers = (unsigned)g->workers,
		.processes = (unsigned)s->process_count,
		.zone = book_zone,
		.former_zone = former_zone,
		.owner = g,
	};

	for (struct build_started *b = g->build.started; b != NULL;
	     b = b->next) {
		const struct module *m = b->module;
		struct error why;

		if (m->attach == NULL ||
		    (m->is_active != NULL && !m->is_active(b->conf)))
			continue;
		env.place = build_place(&g->arena, b);
		if (m->attach(&env, b->conf, &why) != 0)
			return error_set(err, "%s:%u: %s: %s",
			    b->place.file != NULL ? b->place.file : "",
			    b->place.line, m->name, why.text);
	}
	return 0;
}

/* Tell modules that a process begins or has ended. */
void
generation_attach_process(const struct generation *g, unsigned process)
{
	for (const struct build_started *b = g->build.started; b != NULL;
	     b = b->next) {
		const struct module *m = b->module;

		if (m->on_process != NULL &&
		    (m->is_active == NULL || m->is_active(b->conf)))
			m->on_process(b->conf, process);
	}
}

/* Sessions with backends, where any is spoken to over TLS. */
static int
attach_sessions(struct generation *g, struct shared *s, struct error *err)
{
	const struct shmem want = { .name = "tls.sessions",
		.version = TLS_SESSION_LAYOUT,
		.data_bytes = sizeof(struct tls_session_zone) };
	const struct shmem *zone = NULL;
	bool is_wanted = false;

	for (size_t i = 0; i < g->group_count; i++) {
		const struct group *group = g->groups[i];

		for (uint32_t j = 0; j < group->backend_count; j++)
			is_wanted |= group->backends[j].tls != NULL;
	}
	if (!is_wanted)
		return 0;
	if (shared_book_zone(s, &g->use, &want, &zone, err) < 0)
		return -1;
	g->sessions = zone->data;
	return 0;
}

/* Where early data is taken: what has been taken before. */
static int
attach_early(struct generation *g, struct shared *s, bool is_first,
    struct error *err)
{
	const struct shmem want = { .name = "tls.early",
		.version = TLS_EARLY_LAYOUT,
		.data_bytes = sizeof(struct tls_early_zone) };
	const struct shmem *zone = NULL;

	for (size_t i = 0; i < g->build.listener_count; i++) {
		struct tls_server *server = g->build.listeners[i].tls;

		if (server == NULL || !tls_ctx_wants_early(server))
			continue;
		is_first = is_first && !tls_ctx_shares_tickets(server);
	}
	for (size_t i = 0; i < g->build.listener_count; i++) {
		struct tls_server *server = g->build.listeners[i].tls;

		if (server == NULL || !tls_ctx_wants_early(server))
			continue;
		if (zone == NULL &&
		    shared_book_zone(s, &g->use, &want, &zone, err) < 0)
			return -1;
		now_update();
		tls_early_begin(zone->data, (struct tls_early_time){ now_ms(),
		    now_wall_ms() }, is_first);
		tls_ctx_set_early(server, zone->data);
	}
	return 0;
}

/* Keys of tickets, where any listener speaks TLS: the same for all of them. */
static int
attach_tls(struct generation *g, struct shared *s, struct error *err)
{
	const struct shmem want = { .name = "tls.tickets",
		.version = TLS_TICKET_LAYOUT,
		.data_bytes = sizeof(struct tls_ticket_zone) };
	const struct shmem *zone = NULL;
	bool is_first = false; /* no ticket was given out before */

	for (size_t i = 0; i < g->build.listener_count; i++) {
		struct tls_server *server = g->build.listeners[i].tls;

		if (server == NULL)
			continue;
		if (zone == NULL) {
			int result = shared_book_zone(s, &g->use, &want,
			    &zone, err);

			if (result < 0)
				return -1;
			is_first = result == 1;
		}
		g->tickets = zone->data;
		tls_ctx_set_tickets(server, g->tickets);
	}
	if (g->tickets != NULL)
		(void)tls_ticket_rotate(g->tickets, now_wall_ms() / 1000);
	if (attach_early(g, s, is_first, err) != 0)
		return -1;
	return attach_sessions(g, s, err);
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
clamp_connections(struct generation *g, struct shared *s)
{
	size_t used = count_descriptors() + DESCRIPTORS_SPARE +
	    g->build.listener_count * g->workers;
	size_t limit = (size_t)proc_raise_descriptors();
	size_t most = g->settings.open_files_max;
	size_t fit;

	/* Only root gets more than it has. */
	if (most > 0 && (geteuid() == 0 || most < limit))
		limit = most;
	fit = limit > used + 2 ? (limit - used) / 2 : 1;
	g->connections_max = g->settings.connections_max;
	if (g->connections_max <= fit)
		return;
	/* Once, not at every reload. */
	if (g->settings.connections_max != s->connections_warned)
		log_warn(NULL, "connections_max is %u, but the limit of %zu "
		    "descriptors is enough for %zu connections a worker",
		    g->settings.connections_max, limit, fit);
	s->connections_warned = g->settings.connections_max;
	g->connections_max = (uint32_t)fit;
}

int
generation_attach(struct generation *g, struct shared *s, struct error *err)
{
	assert(g->shared.shared == NULL);
	g->shared.shared = s;
	g->workers = g->settings.workers;
	shared_begin(s, &g->use);
	generation_changes_note(g);
	name_counters(g, s);
	if (attach_logs(g, s, err) != 0 || attach_backends(g, s, err) != 0 ||
	    attach_modules(g, s, err) != 0 || attach_tls(g, s, err) != 0) {
		generation_detach(g);
		return -1;
	}
	clamp_connections(g, s);
	return 0;
}

void
generation_attach_undo(struct generation *g)
{
	struct shared *s = g->shared.shared;

	if (s == NULL)
		return;
	for (; g->groups_bound > 0; g->groups_bound--)
		group_unbind(g->groups[g->groups_bound - 1], s->backends);
	if (!s->is_given)
		forget_counters(g, &s->metrics);
	g->has_names = false;
	shared_end(s, &g->use);
	g->tickets = NULL;
	g->sessions = NULL;
	g->shared = (struct generation_shared){ .shared = NULL };
}

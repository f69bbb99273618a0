/* SPDX-License-Identifier: BSD-2-Clause */
/* upgrade_estate - an estate, filled from this master. */
#include "master/upgrade_estate.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/heap_alloc.h"
#include "master/control.h"
#include "master/master_private.h"
#include "metrics/metrics_inherit.h"
#include "os/shmem.h"
#include "os/sock.h"
#include "site/shared.h"

static void
add_listener(struct estate *e, struct listener *l)
{
	struct estate_listener *left = estate_add_listener(e);
	const struct listener_spec *spec = l->spec;

	left->addr = spec->addr;
	left->reuseport = l->fd_count > 1;
	left->ipv6_only = spec->ipv6_only;
	left->is_admin = spec->is_admin;
	left->defer_accept = spec->defer_accept;
	left->is_steered = l->is_steered;
	left->has_owner = spec->has_owner;
	left->is_given = l->is_given;
	left->backlog = spec->backlog;
	left->keepalive_s = spec->keepalive_s;
	left->tune = spec->tune;
	left->mode = spec->mode;
	left->uid = (uint32_t)spec->uid;
	left->gid = (uint32_t)spec->gid;
	left->file_dev = (uint64_t)l->file_dev;
	left->file_ino = (uint64_t)l->file_ino;
	left->fd_count = l->fd_count + l->surplus_count;
	left->fds = heap_alloc(left->fd_count * sizeof(*left->fds));
	for (size_t i = 0; i < left->fd_count; i++)
		left->fds[i] = *listener_socket(l, i);
}

struct zones {
	const struct master *m;
	struct estate *estate;
};

/* The rings are said apart: each instance has its own. */
static void
add_zone(void *arg, const struct shmem *zone)
{
	const struct zones *z = arg;
	struct estate_zone *left;

	if (zone->fd == z->m->shared->log_zone.fd)
		return;
	left = estate_add_zone(z->estate);
	left->name = heap_alloc_strdup(zone->name);
	left->version = zone->version;
	left->bytes = zone->data_bytes;
	left->fd = zone->fd;
}

static void
add_backends(const struct master *m, struct estate *e)
{
	struct shared_owner *owners = shared_leave_backends(m->shared,
	    &e->backend_count, &e->backend_versions);

	e->backends =
	    heap_alloc_zeroed(e->backend_count + 1, sizeof(*e->backends));
	for (size_t i = 0; i < e->backend_count; i++) {
		if (owners[i].name != NULL)
			e->backends[i].name =
			    heap_alloc_strdup(owners[i].name);
		e->backends[i].version = owners[i].version;
	}
	free(owners);
	e->lanes = shared_leave_lanes(m->shared, &e->lane_fd_count);
}

static void
add_logs(const struct master *m, struct estate *e)
{
	const struct logtargets *targets = &m->shared->targets;

	for (unsigned i = 0; i < targets->count; i++) {
		struct estate_log *log;

		if (targets->items[i].uses == 0)
			continue;
		log = estate_add_log(e);
		log->path = heap_alloc_strdup(targets->items[i].path);
		log->target = i;
		log->fd = targets->items[i].fd;
	}
	e->kick_fd = m->shared->kick_fd;
	e->rings = heap_alloc(sizeof(*e->rings));
	e->rings[0] = m->shared->log_zone.fd;
	e->ring_count = 1;
}

static void
add_processes(const struct master *m, struct estate *e)
{
	e->process_slots = (uint32_t)m->shared->process_count;
	for (uint32_t i = 0; i < m->shared->process_count; i++) {
		if (m->shared->process_used[i])
			estate_add_process(e)->slot = i;
	}
}

static void
give(struct master *m, struct listener_set *listeners,
    struct manifest *manifest)
{
	struct zones zones = { .m = m };
	struct estate e;

	estate_init(&e);
	e.weir_version = heap_alloc_strdup(m->boot->version);
	e.pid = getpid();
	if (listeners != &m->upgrade.own)
		e.draining = generations_draining(&m->generations);
	for (size_t i = 0; i < listeners->count; i++)
		add_listener(&e, &listeners->items[i]);
	zones.estate = &e;
	shared_each_zone(m->shared, add_zone, &zones);
	e.counters = metrics_inherit_describe(&m->shared->metrics);
	if (m->upgrade.orphans.page != NULL)
		add_zone(&zones, &m->upgrade.orphans.memory);
	add_backends(m, &e);
	add_logs(m, &e);
	add_processes(m, &e);
	if (m->pidfile.fd >= 0) {
		e.pid_path = heap_alloc_strdup(m->pidfile.path);
		e.pid_fd = m->pidfile.fd;
	}
	/* A worker has none, whatever the master had. */
	if (listeners != &m->upgrade.own && m->control != NULL &&
	    control_fd(m->control) >= 0) {
		e.control_path = heap_alloc_strdup(m->settings->control.path);
		e.control_fd = control_fd(m->control);
	}
	if (m->upgrade.orphans.door_fd >= 0)
		e.orphans_fd = m->upgrade.orphans.door_fd;
	e.init_fd = upgrade_init_fd(m);
	estate_encode(&e, manifest);
	estate_fini(&e, false);
}

void
upgrade_estate_collect(void *arg, struct manifest *manifest)
{
	struct master *m = arg;

	give(m, &m->generations.serving->listeners, manifest);
}

/* A worker closes surplus; such a number may be anything's by now. */
static void
drop_closed(struct listener_set *own)
{
	for (size_t i = 0; i < own->count; i++) {
		struct listener *l = &own->items[i];
		size_t have = l->fd_count;

		l->fd_count = 0;
		for (size_t j = 0; j < have; j++) {
			if (sock_listens_at(l->fds[j], &l->spec->addr))
				l->fds[l->fd_count++] = l->fds[j];
		}
	}
}

void
upgrade_estate_collect_orphan(void *arg, struct manifest *manifest)
{
	struct master *m = arg;

	drop_closed(&m->upgrade.own);
	give(m, &m->upgrade.own, manifest);
}

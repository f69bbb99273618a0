/* SPDX-License-Identifier: BSD-2-Clause */
/* upgrade_left - from an estate to those who use it. */
#include "master/upgrade_left.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/heap_alloc.h"
#include "base/log.h"
#include "master/master_private.h"
#include "os/shmem.h"
#include "os/sock.h"
#include "site/shared.h"

static struct estate_zone *
find_zone(struct estate *e, const char *name)
{
	for (size_t i = 0; i < e->zone_count; i++) {
		if (strcmp(e->zones[i].name, name) == 0)
			return &e->zones[i];
	}
	return NULL;
}

static void
note_processes(struct upgrade *u, const struct estate *e)
{
	u->used = heap_alloc(e->process_count * sizeof(*u->used) + 1);
	u->used_count = 0;
	for (size_t i = 0; i < e->process_count; i++)
		u->used[u->used_count++] = e->processes[i].slot;
}

/* Those of modules, and what others have there by name. */
static bool
is_offered(const struct estate_zone *z)
{
	return strcmp(z->name, "metrics") != 0 &&
	    strcmp(z->name, "backends") != 0 &&
	    strcmp(z->name, orphans_zone) != 0;
}

/* For those who will ask for them. */
static void
offer_zones(struct master *m, struct estate *e)
{
	for (size_t i = 0; i < e->zone_count; i++) {
		struct estate_zone *z = &e->zones[i];
		struct shmem want = { .version = z->version,
			.data_bytes = (size_t)z->bytes };
		struct error err;
		int fd = z->fd;

		if (fd < 0 || strlen(z->name) >= sizeof(want.name) ||
		    !is_offered(z))
			continue;
		strcpy(want.name, z->name);
		z->fd = -1;
		if (shared_adopt_zone(m->shared, fd, &want, &err) != 0)
			log_notice(NULL, "zone \"%s\" starts empty: %s",
			    z->name, err.text);
	}
}

/*
 * A version that says otherwise who counts where leaves nothing that could be
 * shared: two processes must never have one slot.
 */
static void
drop_zones(struct estate *e)
{
	log_notice(NULL, "upgrade: it was not said which processes the "
	    "predecessor has: nothing is shared with them");
	for (size_t i = 0; i < e->zone_count; i++) {
		struct estate_zone *z = &e->zones[i];

		if (z->fd < 0 || strcmp(z->name, orphans_zone) == 0)
			continue;
		close(z->fd);
		z->fd = -1;
		if (is_offered(z))
			log_notice(NULL, "zone \"%s\" starts empty", z->name);
	}
}

/* So that workers hear of us whatever becomes of their master. */
static void
take_page(struct upgrade *u, struct estate *e)
{
	struct estate_zone *z = find_zone(e, orphans_zone);
	struct error err;
	int fd;

	if (z == NULL || z->fd < 0)
		return;
	fd = z->fd;
	z->fd = -1;
	if (shmem_adopt(&u->page, fd, orphans_zone, ORPHANS_ZONE_VERSION,
	    orphans_zone_bytes(), &err) != 0)
		log_debug(NULL, "%s", err.text);
}

/*
 * One of the workers without a master may have begun to go a moment before
 * another one handed over: nobody would find the socket any more.
 */
static bool
serves_on(const struct estate_listener *left, int fd)
{
	if (left->is_given || left->addr.u.sa.sa_family == AF_UNIX)
		return true;
	return sock_admit_new(fd) == 0 && (!left->defer_accept ||
	    sock_defer_accept(fd, true) == 0);
}

/* What was left as a listener, if all of it listens there. */
static bool
is_listener(const struct estate_listener *left)
{
	for (size_t i = 0; i < left->fd_count; i++) {
		if (!sock_listens_at(left->fds[i], &left->addr) ||
		    !serves_on(left, left->fds[i]))
			return false;
	}
	return left->fd_count > 0;
}

static void
take_listener(struct upgrade *u, struct estate_listener *left,
    size_t number)
{
	struct listener_spec *spec = &u->left_specs[u->left.count];
	struct listener *l = &u->left.items[u->left.count];

	*spec = (struct listener_spec){
		.addr = left->addr,
		.text = "of the predecessor",
		.ipv6_only = left->ipv6_only,
		.is_admin = left->is_admin,
		.defer_accept = left->defer_accept,
		.has_owner = left->has_owner,
		.backlog = left->backlog,
		.keepalive_s = left->keepalive_s,
		.tune = left->tune,
		.mode = left->mode,
		.uid = (uid_t)left->uid,
		.gid = (gid_t)left->gid,
	};
	*l = (struct listener){
		.spec = spec,
		.fds = left->fds,
		.fd_count = left->fd_count,
		.is_steered = left->is_steered,
		.is_given = left->is_given,
		.file_dev = (dev_t)left->file_dev,
		.file_ino = (ino_t)left->file_ino,
	};
	left->fds = NULL;
	left->fd_count = 0;
	u->left_numbers[u->left.count++] = number;
}

static void
take_listeners(struct upgrade *u, struct estate *e)
{
	size_t count = e->listener_count + 1;

	u->left.items = heap_alloc_zeroed(count, sizeof(*u->left.items));
	u->left_specs = heap_alloc_zeroed(count, sizeof(*u->left_specs));
	u->left_numbers = heap_alloc_zeroed(count, sizeof(*u->left_numbers));
	for (size_t i = 0; i < e->listener_count; i++) {
		if (is_listener(&e->listeners[i]))
			take_listener(u, &e->listeners[i], i);
		else
			log_warn(NULL, "upgrade: what came as listener %zu "
			    "is none", i);
	}
}

int
upgrade_left_open_shared(struct master *m, struct shared_config *config,
    struct error *err)
{
	struct estate *e = &m->upgrade.take.estate;
	struct estate_zone *metrics = find_zone(e, "metrics");
	struct estate_zone *backends = find_zone(e, "backends");
	struct shared_owner *owners = NULL;
	struct shared_legacy legacy = {
		.process_count = e->process_slots,
		.metrics_fd = metrics != NULL ? &metrics->fd : NULL,
		.backends_fd = backends != NULL ? &backends->fd : NULL,
		.owner_count = e->backend_count,
		.versions = e->backend_versions,
		.lanes = e->lanes,
		.lane_fd_count = e->lane_fd_count,
	};

	if (!m->upgrade.has_estate) {
		m->shared = shared_new(config, err);
		return m->shared == NULL ? -1 : 0;
	}
	if (e->process_count == 0)
		drop_zones(e);
	take_listeners(&m->upgrade, e);
	take_page(&m->upgrade, e);
	note_processes(&m->upgrade, e);
	if (metrics != NULL) {
		legacy.metrics_version = metrics->version;
		legacy.metrics_bytes = metrics->bytes;
	}
	if (e->counters != NULL)
		legacy.metrics_layout = span_cstr(e->counters);
	legacy.used = m->upgrade.used;
	legacy.used_count = m->upgrade.used_count;
	owners = heap_alloc_zeroed(e->backend_count + 1, sizeof(*owners));
	for (size_t i = 0; i < e->backend_count; i++)
		owners[i] = (struct shared_owner){ e->backends[i].name,
			e->backends[i].version };
	legacy.owners = owners;
	config->legacy = &legacy;
	m->shared = shared_new(config, err);
	config->legacy = NULL;
	free(owners);
	if (m->shared == NULL)
		return -1;
	offer_zones(m, e);
	return 0;
}

/* One that is used now, and was left with another layout only. */
static void
say_if_empty(void *arg, const struct shmem *zone)
{
	const struct estate *e = arg;
	const struct estate_zone *other = NULL;

	for (size_t i = 0; i < e->zone_count; i++) {
		const struct estate_zone *z = &e->zones[i];

		if (strcmp(z->name, zone->name) != 0 || !is_offered(z))
			continue;
		if (z->version == zone->version)
			return;
		other = z;
	}
	if (other != NULL)
		log_notice(NULL, "zone \"%s\" starts empty: layout version %u "
		    "was handed over, version %u is known", zone->name,
		    other->version, zone->version);
}

void
upgrade_left_check_zones(struct master *m)
{
	if (!m->upgrade.has_estate)
		return;
	shared_drop_unbooked(m->shared);
	shared_each_zone(m->shared, say_if_empty, &m->upgrade.take.estate);
}

struct listener_set *
upgrade_left_listeners(struct master *m)
{
	return m->upgrade.has_estate ? &m->upgrade.left : NULL;
}

int
upgrade_left_control(struct master *m, const char *path)
{
	struct estate *e = &m->upgrade.take.estate;
	int fd = e->control_fd;

	if (!m->upgrade.has_estate || fd < 0 ||
	    strcmp(path, e->control_path) != 0)
		return -1;
	e->control_fd = -1;
	return fd;
}

int
upgrade_left_open_pidfile(struct master *m, struct error *err)
{
	struct estate *e = &m->upgrade.take.estate;
	const char *path = m->settings->pid_file;

	if (m->upgrade.has_estate &&
	    pidfile_adopt(&m->pidfile, path, e->pid_fd) == 0) {
		e->pid_fd = -1;
		return 0;
	}
	return pidfile_open(&m->pidfile, path, err);
}

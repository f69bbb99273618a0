/* SPDX-License-Identifier: BSD-2-Clause */
/* upgrade - between the master and the two sides of a hand-over. */
#include "master/upgrade.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/heap_alloc.h"
#include "base/list.h"
#include "base/log.h"
#include "base/now.h"
#include "master/control.h"
#include "master/control_cmds.h"
#include "master/master_private.h"
#include "os/shmem.h"
#include "os/sock.h"
#include "site/generation.h"
#include "site/shared.h"

enum { ORPHANS_MS = 3000 }; /* to answer a plain start */

/* ---- leaving: the estate ---- */

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
	left->backlog = spec->backlog;
	left->keepalive_s = spec->keepalive_s;
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
	for (size_t i = 0; i < listeners->count; i++)
		add_listener(&e, &listeners->items[i]);
	zones.estate = &e;
	shared_each_zone(m->shared, add_zone, &zones);
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
	estate_encode(&e, manifest);
	estate_fini(&e, false);
}

static void
collect(void *arg, struct manifest *manifest)
{
	struct master *m = arg;

	give(m, &m->generations.serving->listeners, manifest);
}

/* In a worker whose master has died. */
static void
collect_orphan(void *arg, struct manifest *manifest)
{
	struct master *m = arg;

	give(m, &m->upgrade.own, manifest);
}

/* ---- leaving: what becomes of it ---- */

static void
on_done(struct master *m)
{
	size_t count = m->generations.serving->listeners.count;
	uint8_t *gone;

	log_notice(NULL, "upgrade: process %ld has taken over",
	    (long)m->upgrade.give.successor);
	m->shared->is_given = true;
	orphans_unwatch(&m->upgrade.orphans);
	pidfile_forget(&m->pidfile);
	if (m->control != NULL)
		control_release(m->control);
	gone = heap_alloc_zeroed(count + 1, 1);
	for (size_t i = 0; i < count; i++)
		gone[i] = !upgrade_give_keeps(&m->upgrade.give, i);
	master_leave(m, gone);
	free(gone);
}

/* It may have been so near that it had the pid file already. */
static void
on_failed(struct master *m, const char *why)
{
	struct error err;

	log_error(NULL, "upgrade failed: %s; this instance serves on", why);
	shared_reclaim(m->shared);
	if (m->pidfile.fd >= 0 && !pidfile_is_ours(&m->pidfile) &&
	    pidfile_write(&m->pidfile, &err) != 0)
		log_error(NULL, "%s", err.text);
	if (m->state == MASTER_SERVING)
		master_tell_service(m, true);
	reload_continue(&m->reload);
}

static void
on_nobody(struct master *m, const char *why)
{
	switch (m->settings->quit_alone) {
	case SETTINGS_QUIT_UPGRADE:
		log_notice(NULL, "upgrade: no successor waits: starting one");
		upgrade_give_execute(&m->upgrade.give);
		break;
	case SETTINGS_QUIT_STOP:
		log_notice(NULL, "upgrade: no successor waits: stopping");
		master_stop(m, false);
		break;
	default:
		log_error(NULL, "upgrade failed: no successor waits (%s); "
		    "this instance serves on", why);
		master_tell_service(m, true);
		reload_continue(&m->reload);
		break;
	}
}

static void
on_give(void *arg, enum upgrade_give_result result, const char *why)
{
	struct master *m = arg;

	switch (result) {
	case UPGRADE_GIVE_DONE:
		on_done(m);
		control_cmds_on_upgrade(m, NULL);
		break;
	case UPGRADE_GIVE_FAILED:
		on_failed(m, why);
		control_cmds_on_upgrade(m, why);
		break;
	case UPGRADE_GIVE_NOBODY:
		on_nobody(m, why);
		break;
	case UPGRADE_GIVE_GONE:
		if (m->state == MASTER_FORWARDING)
			loop_stop(m->loop);
		break;
	}
}

static bool
may_leave(struct master *m, const char *signal)
{
	if (upgrade_give_is_running(&m->upgrade.give)) {
		log_notice(NULL, "%s: an upgrade is running already", signal);
		return false;
	}
	if (m->reload.state != RELOAD_IDLE &&
	    m->reload.state != RELOAD_WAITING) {
		log_notice(NULL, "%s: no upgrade while a reload is under way",
		    signal);
		return false;
	}
	if (m->state == MASTER_SERVING) {
		m->upgrade.give.config.sock_path = m->settings->upgrade_sock;
		m->upgrade.give.config.timeout_ms =
		    m->settings->upgrade_timeout_ms;
		service_changing(&m->service, "upgrading");
		return true;
	}
	if (m->state != MASTER_STARTING) {
		log_notice(NULL, "%s: no upgrade while weir waits or stops",
		    signal);
		return false;
	}
	log_notice(NULL, "%s: upgrading once all processes serve", signal);
	return false;
}

void
upgrade_on_quit(struct master *m)
{
	if (may_leave(m, "SIGQUIT"))
		upgrade_give_connect(&m->upgrade.give);
	m->upgrade.wants_quit = m->state == MASTER_STARTING;
}

void
upgrade_on_usr2(struct master *m)
{
	if (may_leave(m, "SIGUSR2"))
		upgrade_give_execute(&m->upgrade.give);
	m->upgrade.wants_usr2 = m->state == MASTER_STARTING;
}

void
upgrade_on_serving(struct master *m)
{
	bool wants_quit = m->upgrade.wants_quit;
	bool wants_usr2 = m->upgrade.wants_usr2;

	m->upgrade.wants_quit = m->upgrade.wants_usr2 = false;
	if (wants_quit)
		upgrade_on_quit(m);
	else if (wants_usr2)
		upgrade_on_usr2(m);
}

bool
upgrade_is_running(const struct master *m)
{
	return upgrade_give_is_running(&m->upgrade.give);
}

bool
upgrade_on_exit(struct master *m, pid_t pid, int status)
{
	return upgrade_give_on_exit(&m->upgrade.give, pid, status);
}

void
upgrade_cancel(struct master *m)
{
	if (upgrade_give_is_running(&m->upgrade.give))
		upgrade_give_stop(&m->upgrade.give);
}

pid_t
upgrade_successor(const struct master *m)
{
	return m->upgrade.give.state == GIVE_GIVEN
	    ? m->upgrade.give.successor : 0;
}

/* ---- coming ---- */

bool
upgrade_is_successor(struct master *m)
{
	struct upgrade *u = &m->upgrade;

	if (m->boot->is_upgrade || m->boot->handover_fd >= 0)
		return true;
	u->orphans_fd = orphans_connect(m->settings->upgrade_sock);
	return u->orphans_fd >= 0;
}

/* ---- for the time after our death ---- */

void
upgrade_open_orphans(struct master *m)
{
	struct upgrade *u = &m->upgrade;
	struct estate *e = &u->take.estate;
	struct error err;
	int fd = u->has_estate ? e->orphans_fd : -1;

	if (u->has_estate)
		e->orphans_fd = -1;
	if (orphans_open(&u->orphans, m->loop, m->settings->upgrade_sock, fd,
	    &err) != 0)
		log_info(NULL, "workers without a master will not be found: "
		    "%s", err.text);
}

/* A copy of what own has: the worker moves its sockets elsewhere. */
static void
copy_listeners(struct listener_set *to, struct listener_set *own)
{
	to->items = heap_alloc_zeroed(own->count + 1, sizeof(*to->items));
	to->count = own->count;
	for (size_t i = 0; i < own->count; i++) {
		struct listener *from = &own->items[i];
		struct listener *l = &to->items[i];

		*l = *from;
		l->fd_count = from->fd_count + from->surplus_count;
		l->surplus = NULL;
		l->surplus_count = 0;
		l->fds = heap_alloc(l->fd_count * sizeof(*l->fds) + 1);
		for (size_t j = 0; j < l->fd_count; j++)
			l->fds[j] = *listener_socket(from, j);
	}
}

void
upgrade_prepare_orphan(struct master *m, struct process_boot *boot,
    struct listener_set *own)
{
	struct upgrade *u = &m->upgrade;

	if (u->orphans.door_fd < 0)
		return;
	if (boot->is_background) {
		/* It could not answer: it has no sockets of clients. */
		close(u->orphans.door_fd);
		return;
	}
	copy_listeners(&u->own, own);
	orphans_prepare(&u->orphans, own->count, collect_orphan, m);
	boot->orphan_start = orphans_start;
	boot->orphan_stop = orphans_stop;
	boot->orphan_arg = &u->orphans;
}

/* Nothing may fail any more that the predecessor would have to know. */
static void
on_taken(struct master *m)
{
	struct error err;

	if (generations_take_over(&m->generations, &err) != 0) {
		master_fail(m, err.text);
		return;
	}
	if (pidfile_write(&m->pidfile, &err) != 0)
		log_error(NULL, "%s", err.text);
	master_serve(m);
	estate_fini(&m->upgrade.take.estate, true);
}

static void
forget_predecessor(struct master *m)
{
	shared_give_inherited(m->shared, m->upgrade.used,
	    m->upgrade.used_count);
	m->upgrade.used_count = 0;
	reload_continue(&m->reload);
}

static void
on_forget(struct deadline *d)
{
	struct upgrade *u = LIST_OF(d, struct upgrade, forget);

	forget_predecessor(LIST_OF(u, struct master, upgrade));
}

/* Of orphans one has ended; the others have as long to drain. */
static void
on_gone(struct master *m)
{
	if (m->upgrade.orphans_fd < 0) {
		log_notice(NULL, "upgrade: the predecessor has ended");
		forget_predecessor(m);
		return;
	}
	deadline_set(m->loop, &m->upgrade.forget,
	    now_ms() + m->settings->shutdown_timeout_ms);
}

static void
on_take(void *arg, enum upgrade_take_event event, const char *why)
{
	struct master *m = arg;

	switch (event) {
	case UPGRADE_TAKE_ESTATE:
		m->upgrade.has_estate = true;
		master_start(m);
		break;
	case UPGRADE_TAKE_TAKEN:
		on_taken(m);
		break;
	case UPGRADE_TAKE_FAILED:
		/* Who had nothing to give is nobody to wait for. */
		if (m->upgrade.orphans_fd >= 0 && m->state == MASTER_WAITING)
			master_start(m);
		else
			master_fail(m, why);
		break;
	case UPGRADE_TAKE_GONE:
		on_gone(m);
		break;
	}
}

/* Lines of the time before the log is known to all processes. */
static void
open_early_log(struct master *m)
{
	struct upgrade *u = &m->upgrade;
	struct error err;
	int id = logtarget_add(&u->early, m->settings->error_log.path, &err);

	if (id < 0 || logtarget_open_all(&u->early, &err) != 0)
		return; /* the start will say so */
	u->early_output.targets = &u->early;
	u->early_output.target = (unsigned)id;
	log_set_sink(logtarget_sink, &u->early_output);
}

/* With daemon_wait_for_ready it is we who ask for the hand-over. */
static int
ask_for_it(struct master *m, struct error *err)
{
	const char *path = m->settings->pid_file;
	struct error why;
	pid_t pid;

	if (path == NULL)
		return error_set(err, "daemon_wait_for_ready needs a "
		    "pid_file");
	if (pidfile_owner(path, &pid, &why) != 0)
		return error_set(err, "daemon_wait_for_ready: %s", why.text);
	if (kill(pid, SIGQUIT) != 0)
		return error_set(err, "daemon_wait_for_ready: process %ld of "
		    "pid file %s cannot be asked", (long)pid, path);
	return 0;
}

int
upgrade_wait(struct master *m, struct error *err)
{
	bool asks = m->settings->daemon && m->settings->daemon_wait_for_ready;

	open_early_log(m);
	m->state = MASTER_WAITING;
	if (m->upgrade.orphans_fd >= 0) {
		m->upgrade.take.config.timeout_ms = ORPHANS_MS;
		if (upgrade_take_start(&m->upgrade.take,
		    m->upgrade.orphans_fd, err) != 0)
			log_warn(NULL, "orphans: %s", err->text);
		else
			return 0;
		upgrade_take_stop(&m->upgrade.take);
		master_start(m);
		return 0;
	}
	if (upgrade_take_start(&m->upgrade.take, m->boot->handover_fd,
	    err) != 0)
		return -1;
	if (m->boot->handover_fd >= 0)
		return 0;
	log_notice(NULL, "upgrade: waiting at %s", m->settings->upgrade_sock);
	if (asks)
		return ask_for_it(m, err);
	daemonize_tell(&m->daemonize, 0);
	return 0;
}

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

/* Zones of modules, for those who will ask for them. */
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
		    strcmp(z->name, "metrics") == 0 ||
		    strcmp(z->name, "backends") == 0)
			continue;
		strcpy(want.name, z->name);
		z->fd = -1;
		if (shared_adopt_zone(m->shared, fd, &want, &err) != 0)
			log_notice(NULL, "zone \"%s\" starts empty: %s",
			    z->name, err.text);
	}
}

/* What was left as a listener, if all of it listens there. */
static bool
is_listener(const struct estate_listener *left)
{
	for (size_t i = 0; i < left->fd_count; i++) {
		if (!sock_listens_at(left->fds[i], &left->addr))
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
		.mode = left->mode,
		.uid = (uid_t)left->uid,
		.gid = (gid_t)left->gid,
	};
	*l = (struct listener){
		.spec = spec,
		.fds = left->fds,
		.fd_count = left->fd_count,
		.is_steered = left->is_steered,
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
upgrade_open_shared(struct master *m, struct shared_config *config,
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
	take_listeners(&m->upgrade, e);
	note_processes(&m->upgrade, e);
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

void
upgrade_check_zones(struct master *m)
{
	if (m->upgrade.has_estate)
		shared_drop_unbooked(m->shared);
}

/* ---- coming: listeners ---- */

struct listener_set *
upgrade_listeners(struct master *m)
{
	return m->upgrade.has_estate ? &m->upgrade.left : NULL;
}

int
upgrade_control(struct master *m, const char *path)
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
upgrade_open_pidfile(struct master *m, struct error *err)
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

bool
upgrade_on_ready(struct master *m)
{
	struct upgrade *u = &m->upgrade;
	uint32_t *kept;
	size_t count;

	if (!u->has_estate)
		return true;
	kept = generations_kept(&m->generations, &count);
	for (size_t i = 0; i < count; i++)
		kept[i] = (uint32_t)u->left_numbers[kept[i]];
	upgrade_take_ready(&u->take, kept, count);
	free(kept);
	return false;
}

void
upgrade_on_failed(struct master *m, const char *why)
{
	upgrade_take_fail(&m->upgrade.take, why);
}

bool
upgrade_is_provisional(const struct master *m)
{
	return m->upgrade.has_estate &&
	    m->upgrade.take.state != TAKE_TAKEN &&
	    m->upgrade.take.state != TAKE_OVER;
}

/* ---- start and end ---- */

void
upgrade_init(struct master *m)
{
	struct upgrade_give_config give = {
		.loop = m->loop,
		.sock_path = m->settings->upgrade_sock,
		.timeout_ms = m->settings->upgrade_timeout_ms,
		.version = m->boot->version,
		.program = m->boot->program,
		.collect = collect,
		.on_result = on_give,
		.arg = m,
	};
	struct upgrade_take_config take = {
		.loop = m->loop,
		.sock_path = m->settings->upgrade_sock,
		.timeout_ms = m->settings->upgrade_timeout_ms,
		.version = m->boot->version,
		.on_event = on_take,
		.arg = m,
	};

	deadline_init(&m->upgrade.forget, on_forget);
	m->upgrade.orphans_fd = -1;
	m->upgrade.orphans.door_fd = -1;
	upgrade_give_init(&m->upgrade.give, &give);
	upgrade_take_init(&m->upgrade.take, &take);
	logtarget_init(&m->upgrade.early);
}

void
upgrade_fini(struct master *m)
{
	pid_t successor = upgrade_successor(m);
	bool is_left = successor != 0 || upgrade_is_provisional(m);

	deadline_stop(m->loop, &m->upgrade.forget);
	upgrade_give_stop(&m->upgrade.give);
	upgrade_take_stop(&m->upgrade.take);
	logtarget_fini(&m->upgrade.early);
	listener_set_close(&m->upgrade.left);
	free(m->upgrade.left_specs);
	free(m->upgrade.left_numbers);
	free(m->upgrade.used);
	orphans_close(&m->upgrade.orphans, is_left);
}

void
upgrade_forget(struct master *m)
{
	upgrade_give_forget(&m->upgrade.give);
	upgrade_take_forget(&m->upgrade.take);
	estate_fini(&m->upgrade.take.estate, true);
}

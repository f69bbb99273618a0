/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * shared - making, booking and giving back.
 *
 * Numbers of log outputs are the delicate part: a line that waits in a ring
 * names its output by number, and a process knows the outputs of the time when
 * it was forked.  Hence a number that was released is another's only after all
 * generations of that time have gone (struct logtargets, epoch).
 */
#include "site/shared.h"

#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/heap_alloc.h"
#include "base/log.h"
#include "metrics/metrics_inherit.h"
#include "net/tls_early_data.h"
#include "net/tls_keys.h"
#include "net/tls_ktls.h"
#include "os/proc_cpu.h"
#include "proxy/serving.h"
#include "proxy/stats.h"
#include "site/modules.h"
#include "site/settings.h"
#include "upstream/backend.h"
#include "upstream/backend_inherit.h"
#include "upstream/backend_zone.h"
#include "upstream/lane.h"

enum {
	WORKERS_MIN = 8,
	/* What the formula of shared.h can give at most. */
	PROCESSES_MAX = SHARED_FIRST_CHILD + SETTINGS_WORKERS_MAX +
	    (SETTINGS_WORKERS_MAX + 2) * (32 + 2),
};

struct shared_zone {
	struct shared_zone *next;
	struct shmem memory;
	unsigned uses;
};

/* ---- making ---- */

static size_t
count_processes(const struct shared_config *c)
{
	size_t workers = c->workers;

	if (c->legacy != NULL && c->legacy->process_count >=
	    SHARED_FIRST_CHILD + c->legacy->used_count + 2 * (workers + 2) &&
	    c->legacy->process_count <= PROCESSES_MAX)
		return c->legacy->process_count;
	if (workers < proc_cpu_count())
		workers = proc_cpu_count();
	if (workers > SETTINGS_WORKERS_MAX)
		workers = SETTINGS_WORKERS_MAX;
	if (workers < WORKERS_MIN)
		workers = WORKERS_MIN;
	return SHARED_FIRST_CHILD + workers + (workers + 2) *
	    ((size_t)c->settings->max_draining_generations + 2);
}

static int
open_rings(struct shared *s, uint64_t bytes, struct error *err)
{
	s->kick_fd = logring_kick_open(err);
	if (s->kick_fd < 0)
		return -1;
	for (size_t i = 0; i < s->process_count; i++)
		s->ring_list[i] = &s->rings[i];
	return logring_open_all(&s->log_zone, s->rings, s->process_count,
	    bytes, s->kick_fd, err);
}

/* Takes the descriptor. */
static int
take(int *fd)
{
	int taken = fd != NULL ? *fd : -1;

	if (fd != NULL)
		*fd = -1;
	return taken;
}

/* What was counted in another layout is shown here as well, name by name. */
static void
inherit_metrics(struct shared *s, const struct shared_legacy *legacy, int fd)
{
	struct error err;

	s->heir = metrics_inherit_open(&s->metrics, fd,
	    legacy->metrics_version, legacy->metrics_bytes,
	    legacy->metrics_layout, &err);
	if (s->heir == NULL)
		log_notice(NULL, "all counters start at zero: %s", err.text);
	else
		log_notice(NULL, "the counters have another layout: what was "
		    "counted is taken over name by name");
}

/* The predecessor's, or a new one. */
static int
open_or_adopt(struct shared *s, const struct shared_legacy *legacy,
    const struct metrics_config *config, struct error *err)
{
	int fd = legacy != NULL ? take(legacy->metrics_fd) : -1;
	int copy;

	if (legacy != NULL && fd < 0)
		log_notice(NULL, "all counters start at zero: none were "
		    "handed over");
	if (fd < 0)
		return metrics_open(&s->metrics, config, err);
	copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (metrics_adopt(&s->metrics, fd, config, err) == 0) {
		if (copy >= 0)
			close(copy);
		return 0;
	}
	log_debug(NULL, "counters: %s", err->text);
	if (metrics_open(&s->metrics, config, err) != 0) {
		if (copy >= 0)
			close(copy);
		return -1;
	}
	if (copy >= 0)
		inherit_metrics(s, legacy, copy);
	return 0;
}

static int
open_metrics(struct shared *s, const struct shared_config *c,
    struct error *err)
{
	static const struct metric_set *const own[] = { &stats_proxy,
		&stats_route, &stats_upstream, &stats_backend,
		&tls_keys_client_metrics, &tls_early_data_metrics,
		&tls_ktls_metrics };
	enum { OWN_COUNT = sizeof(own) / sizeof(*own) };
	size_t count = c->metric_set_count + OWN_COUNT;
	size_t modules = modules_count();
	struct metrics_config config = {
		.process_slots = (uint32_t)s->process_count,
		.routes_max = c->settings->routes_max,
		.upstreams_max = c->settings->backends_max,
		.backends_max = c->settings->backends_max,
	};

	s->metric_sets =
	    heap_alloc_zeroed(count + modules, sizeof(*s->metric_sets));
	for (size_t i = 0; i < count; i++)
		s->metric_sets[i] = i < c->metric_set_count
		    ? c->metric_sets[i] : own[i - c->metric_set_count];
	for (size_t i = 0; i < modules; i++) {
		if (modules_get(i)->metrics != NULL)
			s->metric_sets[count++] = modules_get(i)->metrics;
	}
	config.set_count = count;
	config.sets = s->metric_sets;
	return open_or_adopt(s, c->legacy, &config, err);
}

static struct backend_zone *
adopt_backends(size_t slots, const struct shared_legacy *legacy, int fd,
    struct error *err)
{
	struct backend_owner *owners =
	    heap_alloc_zeroed(legacy->owner_count + 1, sizeof(*owners));
	struct backend_zone *zone;

	for (size_t i = 0; i < legacy->owner_count; i++)
		owners[i] = (struct backend_owner){ legacy->owners[i].name,
			legacy->owners[i].version };
	if (legacy->owner_count == slots)
		zone = backend_zone_adopt(fd, slots, owners, slots,
		    legacy->versions, err);
	else
		zone = backend_inherit_zone(fd, slots, owners,
		    legacy->owner_count, legacy->versions, err);
	free(owners);
	if (zone != NULL && legacy->owner_count != slots)
		log_notice(NULL, "the zone of backends has %zu slots instead "
		    "of %zu: their state is taken over by name, idle "
		    "connections are not", slots, legacy->owner_count);
	return zone;
}

/* Lanes go with the slots that they belong to. */
static int
open_backends(struct shared *s, const struct shared_config *c,
    struct error *err)
{
	const struct shared_legacy *legacy = c->legacy;
	int fd = legacy != NULL ? take(legacy->backends_fd) : -1;
	/* `parked` of a slot and its lane belong together. */
	bool is_same = legacy != NULL &&
	    legacy->owner_count == c->settings->backends_max;

	if (legacy != NULL && fd < 0)
		log_notice(NULL, "the state of all backends starts as new: "
		    "none was handed over");
	if (fd >= 0) {
		s->backends = adopt_backends(c->settings->backends_max,
		    legacy, fd, err);
		if (s->backends == NULL)
			log_notice(NULL, "the state of all backends starts "
			    "as new: %s", err->text);
		else if (is_same && legacy->lane_fd_count > 0)
			s->lanes = lane_set_adopt(legacy->lanes,
			    legacy->lane_fd_count, err);
		if (s->backends != NULL && is_same && s->lanes == NULL &&
		    legacy->lane_fd_count > 0)
			log_notice(NULL, "idle connections to backends are "
			    "not taken over: %s", err->text);
	}
	if (s->backends == NULL)
		s->backends = backend_zone_new(c->settings->backends_max, err);
	return s->backends == NULL ? -1 : 0;
}

static void
mark_used(struct shared *s, const struct shared_legacy *legacy)
{
	s->has_predecessor = true;
	for (size_t i = 0; i < legacy->used_count; i++) {
		if (legacy->used[i] < s->process_count)
			s->process_used[legacy->used[i]] = true;
	}
}

static int
open_serving(struct shared *s, struct error *err)
{
	if (shmem_create(&s->serving_zone, "serving", 1,
	    s->process_count * sizeof(*s->serving), err) != 0)
		return -1;
	s->serving = s->serving_zone.data;
	return 0;
}

struct shared *
shared_new(const struct shared_config *c, struct error *err)
{
	struct shared *s = heap_alloc_zeroed(1, sizeof(*s));

	logtarget_init(&s->targets);
	list_init(&s->uses);
	s->kick_fd = -1;
	s->log_zone.fd = -1;
	s->serving_zone.fd = -1;
	s->routes_max = c->settings->routes_max;
	s->process_count = count_processes(c);
	s->rings = heap_alloc_zeroed(s->process_count, sizeof(*s->rings));
	s->ring_list =
	    heap_alloc_zeroed(s->process_count, sizeof(*s->ring_list));
	s->process_used =
	    heap_alloc_zeroed(s->process_count, sizeof(*s->process_used));
	s->process_used[SHARED_MASTER] = true;
	if (c->legacy != NULL)
		mark_used(s, c->legacy);
	if (open_rings(s, c->settings->log_ring_bytes, err) == 0 &&
	    open_metrics(s, c, err) == 0 && open_serving(s, err) == 0 &&
	    open_backends(s, c, err) == 0)
		return s;
	shared_free(s);
	return NULL;
}

static void
free_zone(struct shared_zone *zone)
{
	shmem_close(&zone->memory);
	free(zone);
}

void
shared_free(struct shared *s)
{
	if (s == NULL)
		return;
	assert(list_is_empty(&s->uses));
	while (s->zones != NULL) {
		struct shared_zone *next = s->zones->next;

		free_zone(s->zones);
		s->zones = next;
	}
	lane_set_free(s->lanes);
	backend_zone_free(s->backends);
	metrics_inherit_close(s->heir, s->heir_process, false);
	metrics_close(&s->metrics);
	shmem_close(&s->serving_zone);
	shmem_close(&s->log_zone);
	if (s->kick_fd >= 0)
		close(s->kick_fd);
	logtarget_fini(&s->targets);
	free(s->metric_sets);
	free(s->process_used);
	free(s->ring_list);
	free(s->rings);
	free(s);
}

/* ---- booking ---- */

static void
find_oldest(struct shared *s)
{
	s->targets.oldest = UINT64_MAX;
	LIST_EACH(&s->uses, node, after) {
		const struct shared_use *use =
		    LIST_OF(node, struct shared_use, node);

		if (use->epoch < s->targets.oldest)
			s->targets.oldest = use->epoch;
	}
}

void
shared_begin(struct shared *s, struct shared_use *use)
{
	memset(use, 0, sizeof(*use));
	use->epoch = ++s->targets.epoch;
	list_push_back(&s->uses, &use->node);
	find_oldest(s);
}

void
shared_end(struct shared *s, struct shared_use *use)
{
	for (size_t i = 0; i < use->target_count; i++)
		logtarget_release(&s->targets, use->targets[i]);
	for (size_t i = 0; i < use->zone_count; i++)
		use->zones[i]->uses--;
	free(use->targets);
	free(use->zones);
	list_remove(&use->node);
	memset(use, 0, sizeof(*use));
	find_oldest(s);
	shared_drop_unbooked(s);
}

int
shared_book_target(struct shared *s, struct shared_use *use,
    const char *path, struct error *err)
{
	int id = logtarget_add(&s->targets, path, err);

	if (id < 0)
		return -1;
	use->targets = heap_alloc_grow(use->targets, use->target_count + 1,
	    sizeof(*use->targets));
	use->targets[use->target_count++] = (unsigned)id;
	return id;
}

static struct shared_zone *
find_zone(const struct shared *s, const struct shmem *want)
{
	struct shared_zone *z = s->zones;

	while (z != NULL && (strcmp(z->memory.name, want->name) != 0 ||
	    z->memory.version != want->version ||
	    z->memory.data_bytes != want->data_bytes))
		z = z->next;
	return z;
}

static void
add_zone(struct shared *s, struct shared_zone *zone)
{
	zone->next = s->zones;
	s->zones = zone;
}

int
shared_book_zone(struct shared *s, struct shared_use *use,
    const struct shmem *want, const struct shmem **zone, struct error *err)
{
	struct shared_zone *z = find_zone(s, want);
	bool is_new = z == NULL;

	if (is_new) {
		z = heap_alloc_zeroed(1, sizeof(*z));
		if (shmem_create(&z->memory, want->name, want->version,
		    want->data_bytes, err) != 0) {
			free(z);
			return -1;
		}
		add_zone(s, z);
	}
	z->uses++;
	use->zones = heap_alloc_grow(use->zones, use->zone_count + 1,
	    sizeof(struct shared_zone *));
	use->zones[use->zone_count++] = z;
	*zone = &z->memory;
	return is_new;
}

const struct shmem *
shared_former_zone(const struct shared *s, const struct shmem *zone)
{
	for (const struct shared_zone *z = s->zones; z != NULL; z = z->next) {
		if (&z->memory != zone &&
		    z->memory.version == zone->version &&
		    strcmp(z->memory.name, zone->name) == 0)
			return &z->memory;
	}
	return NULL;
}

int
shared_need_lanes(struct shared *s, struct error *err)
{
	if (s->lanes == NULL)
		s->lanes = lane_set_new(backend_zone_slots(s->backends), err);
	return s->lanes == NULL ? -1 : 0;
}

/* ---- handing on ---- */

int
shared_adopt_zone(struct shared *s, int fd, const struct shmem *want,
    struct error *err)
{
	struct shared_zone *z = heap_alloc_zeroed(1, sizeof(*z));

	if (shmem_adopt(&z->memory, fd, want->name, want->version,
	    want->data_bytes, err) != 0) {
		free(z);
		return -1;
	}
	add_zone(s, z);
	return 0;
}

void
shared_drop_unbooked(struct shared *s)
{
	struct shared_zone **at = &s->zones;

	while (*at != NULL) {
		struct shared_zone *zone = *at;

		if (zone->uses > 0) {
			at = &zone->next;
			continue;
		}
		*at = zone->next;
		free_zone(zone);
	}
}

void
shared_each_zone(const struct shared *s,
    void (*fn)(void *arg, const struct shmem *zone), void *arg)
{
	fn(arg, &s->metrics.zone);
	fn(arg, backend_zone_memory(s->backends));
	fn(arg, &s->log_zone);
	for (const struct shared_zone *z = s->zones; z != NULL; z = z->next)
		fn(arg, &z->memory);
}

struct shared_owner *
shared_leave_backends(struct shared *s, size_t *count, uint32_t *versions)
{
	struct shared_owner *owners;

	*count = backend_zone_slots(s->backends);
	*versions = backend_zone_reserve(s->backends);
	owners = heap_alloc_zeroed(*count + 1, sizeof(*owners));
	for (size_t i = 0; i < *count; i++) {
		struct backend_owner owner =
		    backend_zone_owner(s->backends, i);

		owners[i] = (struct shared_owner){ owner.name, owner.version };
	}
	return owners;
}

int *
shared_leave_lanes(const struct shared *s, size_t *count)
{
	int *fds;

	*count = s->lanes != NULL ? 2 * lane_set_count(s->lanes) : 0;
	fds = heap_alloc_zeroed(*count + 1, sizeof(*fds));
	if (s->lanes != NULL)
		lane_set_descriptors(s->lanes, fds);
	return fds;
}

/* ---- process slots ---- */

int
shared_take_process(struct shared *s, unsigned wanted)
{
	size_t at = SHARED_FIRST_CHILD;

	/*
	 * A predecessor takes slots from below for what it has to replace,
	 * so this side does from above.
	 */
	if (s->has_predecessor) {
		for (at = s->process_count; at-- > SHARED_FIRST_CHILD;) {
			if (!s->process_used[at]) {
				s->process_used[at] = true;
				return (int)at;
			}
		}
		return -1;
	}
	if (wanted >= SHARED_FIRST_CHILD && wanted < s->process_count &&
	    !s->process_used[wanted])
		at = wanted;
	while (at < s->process_count && s->process_used[at])
		at++;
	if (at == s->process_count)
		return -1;
	s->process_used[at] = true;
	return (int)at;
}

void
shared_give_process(struct shared *s, unsigned process)
{
	assert(process >= SHARED_FIRST_CHILD && s->process_used[process]);
	metrics_reset_gauges(&s->metrics, process);
	s->process_used[process] = false;
}

bool
shared_sync_inherited(struct shared *s)
{
	int slot;

	if (s->heir == NULL)
		return false;
	if (s->heir_process == 0) {
		slot = shared_take_process(s, 0);
		if (slot < 0)
			return true; /* one will be free */
		s->heir_process = (unsigned)slot;
	}
	metrics_inherit_sync(s->heir, s->heir_process);
	return true;
}

static void
close_heir(struct shared *s)
{
	if (shared_sync_inherited(s) && s->heir_process != 0) {
		metrics_reset_gauges(&s->metrics, s->heir_process);
		metrics_inherit_close(s->heir, s->heir_process, !s->is_given);
		s->heir = NULL;
		shared_give_process(s, s->heir_process);
		s->heir_process = 0;
	}
}

void
shared_give_inherited(struct shared *s, const uint32_t *used, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (used[i] >= SHARED_FIRST_CHILD &&
		    used[i] < s->process_count && s->process_used[used[i]])
			shared_give_process(s, used[i]);
	}
	s->has_predecessor = false;
	backend_inherit_end(s->backends);
	close_heir(s);
	/* What nobody uses here may be a successor's. */
	if (!s->is_given)
		metrics_release_unused(&s->metrics, SHARED_MASTER);
}

void
shared_reclaim(struct shared *s)
{
	for (unsigned i = SHARED_FIRST_CHILD; i < s->process_count; i++) {
		if (!s->process_used[i])
			metrics_reset_gauges(&s->metrics, i);
	}
	metrics_reclaim(&s->metrics, SHARED_MASTER);
}

bool
shared_is_logged(const struct shared *s, unsigned process)
{
	return logring_is_empty(&s->rings[process]);
}

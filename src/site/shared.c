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
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/heap_alloc.h"
#include "os/proc_cpu.h"
#include "proxy/serving.h"
#include "proxy/stats.h"
#include "site/modules.h"
#include "site/settings.h"
#include "upstream/backend.h"
#include "upstream/lane.h"

enum { WORKERS_MIN = 8 };

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

	if (workers < proc_cpu_count())
		workers = proc_cpu_count();
	if (workers > SETTINGS_WORKERS_MAX)
		workers = SETTINGS_WORKERS_MAX;
	if (workers < WORKERS_MIN)
		workers = WORKERS_MIN;
	return SHARED_FIRST_CHILD + workers + (workers + 1) *
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

static int
open_metrics(struct shared *s, const struct shared_config *c,
    struct error *err)
{
	static const struct metric_set *const own[] = { &stats_proxy,
		&stats_route, &stats_upstream, &stats_backend };
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
	return metrics_open(&s->metrics, &config, err);
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
	if (open_rings(s, c->settings->log_ring_bytes, err) != 0 ||
	    open_metrics(s, c, err) != 0 ||
	    shmem_create(&s->serving_zone, "serving", 1,
	    s->process_count * sizeof(*s->serving), err) != 0)
		goto fail;
	s->serving = s->serving_zone.data;
	s->backends = backend_zone_new(c->settings->backends_max, err);
	if (s->backends == NULL)
		goto fail;
	return s;
fail:
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

/* ---- process slots ---- */

int
shared_take_process(struct shared *s, unsigned wanted)
{
	size_t at = SHARED_FIRST_CHILD;

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
shared_is_logged(const struct shared *s, unsigned process)
{
	return logring_is_empty(&s->rings[process]);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* backend_zone - whose each slot of backends is, and what processes hold. */
#include "upstream/backend_zone.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/error.h"
#include "base/heap_alloc.h"
#include "base/log.h"
#include "base/now.h"
#include "os/shmem.h"
#include "upstream/backend_inherit.h"
#include "upstream/backend_private.h"

/* So many slots may a successor rename. */
enum { VERSIONS_RESERVED = 1 << 20 };

_Static_assert(sizeof(struct backend_slot) % 64 == 0, "slots are lines");

size_t
backend_zone_bytes(size_t slots)
{
	return slots * sizeof(struct backend_slot) +
	    sizeof(struct backend_accounts) +
	    slots * BACKEND_ACCOUNTS_MAX * sizeof(struct backend_cell);
}

struct backend_zone *
backend_zone_wrap(const struct shmem *memory, size_t slots)
{
	struct backend_zone *zone = heap_alloc_zeroed(1, sizeof(*zone));

	zone->memory = *memory;
	zone->slots = zone->memory.data;
	zone->accounts =
	    (struct backend_accounts *)(void *)(zone->slots + slots);
	zone->cells = (struct backend_cell *)(void *)(zone->accounts + 1);
	zone->count = slots;
	zone->owners = heap_alloc_zeroed(slots, sizeof(*zone->owners));
	return zone;
}

struct backend_zone *
backend_zone_new(size_t slots, struct error *err)
{
	struct shmem memory;

	assert(slots > 0);
	if (shmem_create(&memory, "backends", BACKEND_ZONE_LAYOUT,
	    backend_zone_bytes(slots), err) != 0)
		return NULL;
	return backend_zone_wrap(&memory, slots);
}

struct backend_zone *
backend_zone_adopt(int fd, size_t slots, const struct backend_owner *owners,
    size_t owner_count, uint32_t versions, struct error *err)
{
	struct backend_zone *zone;
	struct shmem memory;

	if (shmem_adopt(&memory, fd, "backends", BACKEND_ZONE_LAYOUT,
	    backend_zone_bytes(slots), err) != 0)
		return NULL;
	if (owner_count != slots) {
		shmem_close(&memory);
		error_set(err, "the table of backends has %zu slots, and the "
		    "zone %zu", owner_count, slots);
		return NULL;
	}
	zone = backend_zone_wrap(&memory, slots);
	zone->versions = versions;
	for (size_t i = 0; i < slots; i++) {
		if (owners[i].name == NULL)
			continue;
		zone->owners[i].name = heap_alloc_strdup(owners[i].name);
		zone->owners[i].version = owners[i].version;
	}
	return zone;
}

struct backend_owner
backend_zone_owner(const struct backend_zone *zone, size_t slot)
{
	assert(slot < zone->count);
	return (struct backend_owner){ zone->owners[slot].name,
		zone->owners[slot].version };
}

uint32_t
backend_zone_reserve(struct backend_zone *zone)
{
	uint32_t last = zone->versions;

	zone->versions += VERSIONS_RESERVED;
	return last;
}

void
backend_zone_free(struct backend_zone *zone)
{
	if (zone == NULL)
		return;
	for (size_t i = 0; i < zone->count; i++)
		free(zone->owners[i].name);
	free(zone->owners);
	for (size_t i = 0; i < zone->waker_count; i++)
		close(zone->wakers[i]);
	free(zone->wakers);
	backend_inherit_free(zone->heritage);
	shmem_close(&zone->memory);
	free(zone);
}

const struct shmem *
backend_zone_memory(const struct backend_zone *zone)
{
	return &zone->memory;
}

size_t
backend_zone_slots(const struct backend_zone *zone)
{
	return zone->count;
}

struct backend_slot *
backend_zone_slot(const struct backend_zone *zone, size_t slot)
{
	assert(slot < zone->count);
	return &zone->slots[slot];
}

struct backend_booking *
backend_zone_find(struct backend_zone *zone, struct span name)
{
	struct backend_booking *best = NULL;

	for (size_t i = 0; i < zone->count; i++) {
		struct backend_booking *o = &zone->owners[i];

		if (o->name != NULL && span_eq(span_cstr(o->name), name))
			return o;
		if (o->generations > 0)
			continue;
		if (best == NULL || (best->name != NULL &&
		    (o->name == NULL || o->released < best->released)))
			best = o;
	}
	return best;
}

void
backend_zone_rename(struct backend_zone *zone, struct backend_booking *o,
    struct span name)
{
	struct backend_slot *slot = &zone->slots[o - zone->owners];
	static const struct backend_addresses none;

	free(o->name);
	o->name = heap_alloc_zeroed(1, name.len + 1);
	memcpy(o->name, name.p, name.len);
	o->version = ++zone->versions;
	/*
	 * `parked` stays: it counts what lies in the lane, which the reaper
	 * closes because of the new version.
	 */
	atomic_store(&slot->version, o->version);
	atomic_store(&slot->state, 0);
	atomic_store(&slot->since_ms, now_wall_ms());
	atomic_store(&slot->why, 0);
	atomic_store(&slot->weight, 0);
	atomic_store(&slot->failures, 0);
	atomic_store(&slot->turns, 0);
	/* Tallies are what the processes hold: tally_mend() sees to them. */
	backend_put_addresses(slot, &none);
	memset(slot->name, 0, sizeof(slot->name));
	memcpy(slot->name, name.p, name.len);
}

/* ---- accounts of processes ---- */

/*
 * A record lock on one byte of the zone's file, which the kernel drops in
 * whatever way the process ends: a number of a process could be another's by
 * the time that somebody looks.
 */
static bool
lock_account(const struct backend_zone *zone, unsigned account, short type)
{
	struct flock lock = { .l_type = type, .l_whence = SEEK_SET,
		.l_start = (off_t)account, .l_len = 1 };

	return fcntl(zone->memory.fd, F_SETLK, &lock) == 0;
}

static struct backend_cell *
row_of(const struct backend_zone *zone, unsigned account)
{
	return zone->cells + (size_t)account * zone->count;
}

static void
forget_account(struct backend_zone *zone, unsigned account)
{
	struct backend_cell *row = row_of(zone, account);

	for (size_t i = 0; i < zone->count; i++) {
		if (atomic_load(&zone->slots[i].version) == 0)
			continue;
		tally_forget(&row[i].in_flight);
		tally_forget(&row[i].connections);
		tally_forget(&row[i].waiters);
		atomic_store(&row[i].idle, 0);
		atomic_store(&row[i].streams, 0);
	}
}

struct backend_cell *
backend_zone_join(struct backend_zone *zone)
{
	uint32_t used = atomic_load(&zone->accounts->used);
	unsigned i = 0;

	while (i < BACKEND_ACCOUNTS_MAX && !lock_account(zone, i, F_WRLCK))
		i++;
	if (i == BACKEND_ACCOUNTS_MAX) {
		log_warn(NULL, "counting what this process has of backends: "
		    "all %d accounts are taken", BACKEND_ACCOUNTS_MAX);
		return NULL;
	}
	while (used <= i && !atomic_compare_exchange_weak(
	    &zone->accounts->used, &used, i + 1))
		continue;
	forget_account(zone, i);
	atomic_store(&zone->accounts->joined[i], 1);
	zone->own = i + 1;
	return row_of(zone, i);
}

uint32_t
backend_zone_accounts(const struct backend_zone *zone)
{
	uint32_t used = atomic_load_explicit(&zone->accounts->used,
	    memory_order_relaxed);

	return used < BACKEND_ACCOUNTS_MAX ? used : BACKEND_ACCOUNTS_MAX;
}

uint32_t
backend_zone_own(const struct backend_zone *zone)
{
	return zone->own > 0 ? zone->own - 1 : UINT32_MAX;
}

const struct backend_cell *
backend_zone_cell(const struct backend_zone *zone, uint32_t account,
    uint32_t slot)
{
	assert(account < BACKEND_ACCOUNTS_MAX && slot < zone->count);
	return row_of(zone, account) + slot;
}

int
backend_zone_need_wakers(struct backend_zone *zone, size_t count,
    struct error *err)
{
	if (zone->wakers == NULL)
		zone->wakers = heap_alloc_zeroed(BACKEND_ACCOUNTS_MAX,
		    sizeof(*zone->wakers));
	if (count > BACKEND_ACCOUNTS_MAX)
		count = BACKEND_ACCOUNTS_MAX;
	while (zone->waker_count < count) {
		int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

		if (fd < 0)
			return error_set_errno(err, errno, "making event "
			    "descriptors for max_connections");
		zone->wakers[zone->waker_count++] = fd;
	}
	return 0;
}

int
backend_zone_waker(const struct backend_zone *zone)
{
	return zone->own > 0 && zone->own <= zone->waker_count ?
	    zone->wakers[zone->own - 1] : -1;
}

void
backend_zone_wake(const struct backend_zone *zone, uint32_t account)
{
	static const uint64_t one = 1;

	/* Full means that it is awake. */
	if (account < zone->waker_count &&
	    write(zone->wakers[account], &one, sizeof(one)) < 0)
		return;
}

static void
mend_tally(struct backend_zone *zone, struct tally *t, size_t offset)
{
	struct tally_cells cells = {
		.first = (struct tally_cell *)(void *)
		    ((char *)zone->cells + offset),
		.stride = zone->count * sizeof(struct backend_cell),
		.count = atomic_load(&zone->accounts->used),
	};

	if (cells.count > BACKEND_ACCOUNTS_MAX)
		cells.count = BACKEND_ACCOUNTS_MAX;
	(void)tally_mend(t, &cells);
}

void
backend_zone_mend(struct backend_zone *zone)
{
	uint32_t used = atomic_load(&zone->accounts->used);

	for (unsigned i = 0; i < used && i < BACKEND_ACCOUNTS_MAX; i++) {
		/* One's own lock is no obstacle: see to it here. */
		if (i + 1 == zone->own ||
		    atomic_load(&zone->accounts->joined[i]) == 0 ||
		    !lock_account(zone, i, F_WRLCK))
			continue;
		/* Nobody's: it is ours until it is empty. */
		forget_account(zone, i);
		atomic_store(&zone->accounts->joined[i], 0);
		(void)lock_account(zone, i, F_UNLCK);
	}
	backend_inherit_mirror(zone);
	for (size_t i = 0; i < zone->count; i++) {
		struct backend_slot *slot = &zone->slots[i];
		size_t cell = i * sizeof(struct backend_cell);

		if (atomic_load(&slot->version) == 0)
			continue;
		mend_tally(zone, &slot->in_flight, cell +
		    offsetof(struct backend_cell, in_flight));
		mend_tally(zone, &slot->connections, cell +
		    offsetof(struct backend_cell, connections));
		mend_tally(zone, &slot->waiters, cell +
		    offsetof(struct backend_cell, waiters));
	}
}

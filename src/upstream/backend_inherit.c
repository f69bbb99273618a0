/* SPDX-License-Identifier: BSD-2-Clause */
/* backend_inherit - copying slots by name, and counting for two zones. */
#include "upstream/backend_inherit.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/heap_alloc.h"
#include "upstream/backend_private.h"

enum { NOWHERE = -1 };

struct backend_heritage {
	struct backend_zone *old;
	long *places; /* by slot of the old zone: that of ours, or NOWHERE */
	bool is_serving;
};

/* A number that no old slot has which was ever used. */
static long
find_place(const struct backend_zone *zone, const struct backend_owner *owners,
    size_t owner_count, size_t slot)
{
	if (slot < zone->count)
		return (long)slot;
	for (size_t i = 0; i < zone->count; i++) {
		if (zone->owners[i].name == NULL &&
		    (i >= owner_count || owners[i].name == NULL))
			return (long)i;
	}
	return NOWHERE;
}

static void
copy_slot(struct backend_slot *to, struct backend_slot *from)
{
	struct backend source = { .shared = from };
	struct backend_addresses addresses;

	atomic_store(&to->since_ms, atomic_load(&from->since_ms));
	atomic_store(&to->retry_ms, atomic_load(&from->retry_ms));
	atomic_store(&to->state, atomic_load(&from->state));
	atomic_store(&to->why, atomic_load(&from->why));
	atomic_store(&to->weight, atomic_load(&from->weight));
	atomic_store(&to->changes, atomic_load(&from->changes));
	atomic_store(&to->tenancy, atomic_load(&from->tenancy));
	atomic_store(&to->failures, atomic_load(&from->failures));
	atomic_store(&to->turns, atomic_load(&from->turns));
	/* `parked` counts connections in lanes, which do not come along. */
	if (backend_addresses(&source, &addresses))
		backend_put_addresses(to, &addresses);
}

static void
copy(struct backend_zone *zone, struct backend_heritage *h,
    const struct backend_owner *owners, size_t owner_count, size_t slot)
{
	long place = find_place(zone, owners, owner_count, slot);
	struct backend_slot *to;

	h->places[slot] = place;
	if (place == NOWHERE)
		return;
	to = &zone->slots[place];
	zone->owners[place].name = heap_alloc_strdup(owners[slot].name);
	zone->owners[place].version = owners[slot].version;
	copy_slot(to, &h->old->slots[slot]);
	strncpy(to->name, owners[slot].name, sizeof(to->name) - 1);
	atomic_store(&to->version, owners[slot].version);
}

struct backend_zone *
backend_inherit_zone(int fd, size_t slots, const struct backend_owner *owners,
    size_t owner_count, uint32_t versions, struct error *err)
{
	struct backend_heritage *h;
	struct backend_zone *zone;
	struct shmem memory;

	if (owner_count == 0) {
		close(fd);
		error_set(err, "it came without its table");
		return NULL;
	}
	if (shmem_adopt(&memory, fd, "backends", BACKEND_ZONE_LAYOUT,
	    backend_zone_bytes(owner_count), err) != 0)
		return NULL;
	zone = backend_zone_new(slots, err);
	if (zone == NULL) {
		shmem_close(&memory);
		return NULL;
	}
	h = heap_alloc_zeroed(1, sizeof(*h));
	h->old = backend_zone_wrap(&memory, owner_count);
	h->places = heap_alloc_zeroed(owner_count, sizeof(*h->places));
	zone->heritage = h;
	zone->versions = versions;
	for (size_t i = 0; i < owner_count; i++) {
		h->places[i] = NOWHERE;
		if (owners[i].name != NULL)
			copy(zone, h, owners, owner_count, i);
	}
	return zone;
}

/* Make this process's share of a count `value`. */
static void
book(struct tally_cell *cell, uint32_t value)
{
	tally_note(cell, (int)value - (int)tally_share(cell));
}

void
backend_inherit_mirror(struct backend_zone *zone)
{
	struct backend_heritage *h = zone->heritage;
	struct backend_cell *row;

	if (h == NULL || !h->is_serving || zone->own == 0)
		return;
	backend_zone_mend(h->old);
	row = zone->cells + (size_t)(zone->own - 1) * zone->count;
	for (size_t i = 0; i < h->old->count; i++) {
		const struct backend_slot *from = &h->old->slots[i];
		long to = h->places[i];
		bool is_same;

		if (to == NOWHERE)
			continue;
		is_same = atomic_load(&zone->slots[to].version) ==
		    atomic_load(&from->version);
		book(&row[to].in_flight,
		    is_same ? tally_sum(&from->in_flight) : 0);
		book(&row[to].connections,
		    is_same ? tally_sum(&from->connections) : 0);
		if (!is_same)
			h->places[i] = NOWHERE; /* another's by now */
	}
}

void
backend_inherit_serve(struct backend_zone *zone, bool is_serving)
{
	struct backend_heritage *h = zone->heritage;

	if (h == NULL)
		return;
	h->is_serving = is_serving;
	if (is_serving && zone->own == 0 && backend_zone_join(zone) == NULL)
		return;
	if (is_serving) {
		backend_inherit_mirror(zone);
		return;
	}
	/* Another process does it from here on. */
	for (size_t i = 0; zone->own != 0 && i < h->old->count; i++) {
		long to = h->places[i];
		struct backend_cell *row = zone->cells +
		    (size_t)(zone->own - 1) * zone->count;

		if (to == NOWHERE)
			continue;
		book(&row[to].in_flight, 0);
		book(&row[to].connections, 0);
	}
}

void
backend_inherit_end(struct backend_zone *zone)
{
	backend_inherit_free(zone->heritage);
	zone->heritage = NULL;
}

void
backend_inherit_free(struct backend_heritage *h)
{
	if (h == NULL)
		return;
	backend_zone_free(h->old);
	free(h->places);
	free(h);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * places - settling an answer in slots that other generations use as well.
 *
 * All is derived from the slots and the answer, so that two processes that
 * have the same answer want the same; the claim keeps them apart.
 */
#include "upstream/places.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/heap_alloc.h"
#include "upstream/backend.h"
#include "upstream/group.h"

struct place {
	const struct backend *backend;
	struct backend_addresses now;
	struct backend_addresses then;
	uint64_t since_ms;
	bool is_new;
};

struct plan {
	struct place *places;
	uint32_t count;
	uint32_t used;
	struct addr_ip *mains;  /* of the family that comes first */
	uint32_t main_count;
	struct addr_ip *others; /* of the other one, in order */
	uint32_t other_count;
	bool is_drained;        /* weirctl has drained the whole name */
};

static bool
is_equal(const struct addr_ip *a, const struct addr_ip *b)
{
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

static bool
has(const struct backend_addresses *list, const struct addr_ip *ip)
{
	for (uint32_t i = 0; i < list->count; i++)
		if (is_equal(&list->items[i], ip))
			return true;
	return false;
}

static int
compare(const void *a, const void *b)
{
	return memcmp(((const struct addr_ip *)a)->bytes,
	    ((const struct addr_ip *)b)->bytes, 16);
}

/* Which family is the backends': as it is, while the answer has any of it. */
static uint8_t
choose_family(const struct plan *p, const struct places_answer *answer)
{
	for (uint32_t i = 0; i < p->count; i++) {
		const struct backend_addresses *now = &p->places[i].now;

		for (uint32_t k = 0; now->count > 0 && k < answer->count; k++)
			if (answer->items[k].family == now->items[0].family)
				return now->items[0].family;
	}
	return answer->items[0].family;
}

static void
sort_answer(struct plan *p, const struct places_answer *answer)
{
	uint8_t family = choose_family(p, answer);

	p->mains = heap_alloc_zeroed(answer->count, sizeof(*p->mains));
	p->others = heap_alloc_zeroed(answer->count, sizeof(*p->others));
	for (uint32_t i = 0; i < answer->count; i++) {
		if (answer->items[i].family == family)
			p->mains[p->main_count++] = answer->items[i];
		else
			p->others[p->other_count++] = answer->items[i];
	}
	/* Servers turn the order round: it must not matter. */
	qsort(p->others, p->other_count, sizeof(*p->others), compare);
}

static void
read_places(struct plan *p, const struct backend *first)
{
	p->count = first->places;
	p->is_drained = true;
	p->places = heap_alloc_zeroed(p->count, sizeof(*p->places));
	for (uint32_t i = 0; i < p->count; i++) {
		struct place *place = &p->places[i];

		place->backend = &first->group->backends[first->index + i];
		if (!backend_addresses(place->backend, &place->now))
			place->now.count = 0;
		place->since_ms = place->now.count > 0 ? UINT64_MAX :
		    atomic_load(&place->backend->shared->since_ms);
		if ((backend_state(place->backend) & BACKEND_DRAINED) == 0)
			p->is_drained = false;
	}
}

static bool
is_settled(const struct plan *p, const struct addr_ip *ip)
{
	for (uint32_t i = 0; i < p->count; i++)
		if (p->places[i].then.count > 0 &&
		    is_equal(&p->places[i].then.items[0], ip))
			return true;
	return false;
}

/* Whoever comes again stays; if he is at two places, at the first. */
static void
keep(struct plan *p)
{
	for (uint32_t i = 0; i < p->count; i++) {
		struct place *place = &p->places[i];

		for (uint32_t k = 0; place->now.count > 0 &&
		    k < p->main_count; k++) {
			if (!is_equal(&p->mains[k], &place->now.items[0]) ||
			    is_settled(p, &p->mains[k]))
				continue;
			place->then.items[0] = p->mains[k];
			place->then.count = 1;
			p->used++;
			break;
		}
	}
}

/* Empty ones by how long they have been; then those that become so now. */
static struct place *
find_empty(struct plan *p)
{
	struct place *best = NULL;

	for (uint32_t i = 0; i < p->count; i++) {
		struct place *place = &p->places[i];

		if (place->then.count == 0 &&
		    (best == NULL || place->since_ms < best->since_ms))
			best = place;
	}
	return best;
}

static uint32_t
take_in(struct plan *p)
{
	uint32_t left_out = 0;

	for (uint32_t i = 0; i < p->main_count; i++) {
		struct place *place;

		if (is_settled(p, &p->mains[i]))
			continue;
		place = find_empty(p);
		if (place == NULL) {
			left_out++;
			continue;
		}
		place->then.items[0] = p->mains[i];
		place->then.count = 1;
		place->is_new = true;
		p->used++;
	}
	return left_out;
}

/* The i-th of the places that are used. */
static struct place *
used_place(struct plan *p, uint32_t i)
{
	for (uint32_t k = 0; k < p->count; k++)
		if (p->places[k].then.count > 0 && i-- == 0)
			return &p->places[k];
	return NULL;
}

static void
share_out(struct plan *p)
{
	for (uint32_t i = 0; i < p->other_count; i++) {
		struct place *place = used_place(p, i % p->used);

		if (place->then.count < BACKEND_ADDRESSES_MAX)
			place->then.items[place->then.count++] =
			    p->others[i];
	}
}

static bool
is_same(const struct backend_addresses *a, const struct backend_addresses *b)
{
	if (a->count != b->count)
		return false;
	for (uint32_t i = 0; i < a->count; i++)
		if (!is_equal(&a->items[i], &b->items[i]))
			return false;
	return true;
}

static bool
is_any_gone(const struct place *place)
{
	for (uint32_t i = 0; i < place->now.count; i++)
		if (!has(&place->then, &place->now.items[i]))
			return true;
	return false;
}

static void
apply(const struct plan *p, struct place *place, struct places_news *news)
{
	const struct backend *b = place->backend;
	bool is_over = is_any_gone(place);

	if (is_same(&place->now, &place->then))
		return;
	/* Before the state: what is known of the old one is not the new's. */
	if (is_over)
		atomic_fetch_add(&b->shared->tenancy, 1);
	if (place->now.count > 0 && (place->is_new || place->then.count == 0))
		news->gone++;
	if (place->is_new) {
		news->come++;
		backend_begin_tenancy(b, p->is_drained);
	} else if (place->then.count == 0) {
		backend_end_tenancy(b, p->is_drained);
	}
	backend_settle(b, &place->then);
	/*
	 * Behind the address as well: who has read the last number sees no
	 * old address, so that a connect to one is known as old.
	 */
	if (is_over)
		atomic_fetch_add(&b->shared->tenancy, 1);
	/* Another address at the same place: rings and plans know it. */
	if (place->is_new)
		group_changed(b->group);
}

int
places_settle(const struct backend *first,
    const struct places_answer *answer, struct places_news *news,
    places_fn *on_come, void *arg)
{
	struct plan p = { .count = 0 };

	assert(first->is_name && first->place == 0 && answer->count > 0);
	*news = (struct places_news){ .come = 0 };
	if (backend_claim(first) != 0)
		return -1;
	read_places(&p, first);
	sort_answer(&p, answer);
	keep(&p);
	news->left_out = take_in(&p);
	share_out(&p);
	for (uint32_t i = 0; i < p.count; i++) {
		apply(&p, &p.places[i], news);
		if (p.places[i].is_new && on_come != NULL)
			on_come(arg, p.places[i].backend);
	}
	backend_unclaim(first);
	free(p.places);
	free(p.mains);
	free(p.others);
	return 0;
}

bool
places_is_shown(const struct backend *b)
{
	const struct backend *first = b - b->place;

	if (backend_is_resolved(b))
		return true;
	if (b->place > 0)
		return false;
	for (uint32_t i = 1; i < first->places; i++)
		if (backend_is_resolved(&first[i]))
			return false;
	return true;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* group_address - which address of a backend is connected to next. */
#include <assert.h>

#include "base/now.h"
#include "upstream/group_private.h"

/* How long an address that refused is asked after all others. */
enum { ADDRESS_AVOID_MS = 10000 };

static struct group_local *
local_of(struct group *g, const struct backend *b)
{
	assert(b->magic == BACKEND_MAGIC && b->group == g);
	return &g->state->locals[b->index];
}

/* The addresses that are to be avoided now, by bit. */
static unsigned
avoided(struct group_local *local, const struct backend *b)
{
	uint64_t published = atomic_load_explicit(&b->shared->published,
	    memory_order_relaxed);

	if (local->published != published ||
	    local->avoid_until_ms <= now_ms()) {
		local->published = published;
		local->avoid = 0;
	}
	return local->avoid;
}

/*
 * The first of those not in `without`: the leading ones of one family in
 * turn, then the others (of the other family) in the order of preference.
 */
static int
choose(const struct backend_addresses *list, unsigned turn, unsigned without)
{
	uint32_t alike = 1;

	while (alike < list->count &&
	    list->items[alike].family == list->items[0].family)
		alike++;
	for (uint32_t i = 0; i < list->count; i++) {
		uint32_t at = i < alike ? (turn + i) % alike : i;

		if ((without & 1U << at) == 0)
			return (int)at;
	}
	return -1;
}

int
group_address(struct group *g, const struct backend *b, unsigned *seen,
    struct addr *out)
{
	struct backend_addresses list;
	struct group_local *local;
	int at;

	if (!b->is_name) {
		if (*seen != 0)
			return -1;
		*seen = 1;
		*out = b->spec->addr;
		return 0;
	}
	if (!backend_addresses(b, &list))
		return -1;
	local = local_of(g, b);
	if (*seen == 0)
		local->turn++;
	at = choose(&list, local->turn, *seen | avoided(local, b));
	if (at < 0)
		at = choose(&list, local->turn, *seen);
	if (at < 0)
		return -1;
	*seen |= 1U << at;
	backend_address_of(out, &list.items[at], b->spec->port);
	return 0;
}

void
group_address_failed(struct group *g, const struct backend *b,
    const struct addr *a)
{
	struct backend_addresses list;
	struct group_local *local;
	struct addr other;

	if (!b->is_name || !backend_addresses(b, &list) || list.count < 2)
		return;
	local = local_of(g, b);
	avoided(local, b);
	for (uint32_t i = 0; i < list.count; i++) {
		backend_address_of(&other, &list.items[i], b->spec->port);
		if (addr_equal(a, &other)) {
			local->avoid |= (uint8_t)(1U << i);
			local->avoid_until_ms = now_ms() + ADDRESS_AVOID_MS;
		}
	}
}

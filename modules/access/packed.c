/* SPDX-License-Identifier: BSD-2-Clause */
/* packed - putting the tables of a set one behind the other, and back. */
#include "packed.h"

struct head {
	uint64_t v6_base;
	uint32_t v6_shift;
	uint32_t v4_count, v6_count;
	uint32_t has_v4_index, has_v6_index;
	uint32_t unused; /* what follows is aligned as struct cidr_v6 */
};

/* The tables in their order, by size. */
struct layout {
	size_t v6, v4, v6_index, v4_index;
	size_t all;
};

static struct layout
layout_of(const struct head *h)
{
	const size_t index = CIDR_INDEX_ENTRIES * sizeof(uint32_t);
	struct layout l;

	l.v6 = (size_t)h->v6_count * sizeof(struct cidr_v6);
	l.v4 = (size_t)h->v4_count * sizeof(struct cidr_v4);
	l.v6_index = h->has_v6_index != 0 ? index : 0;
	l.v4_index = h->has_v4_index != 0 ? index : 0;
	l.all = sizeof(*h) + l.v6 + l.v4 + l.v6_index + l.v4_index;
	return l;
}

static char *
put(char *at, const void *table, size_t len)
{
	if (len > 0)
		memcpy(at, table, len);
	return at + len;
}

void
packed_make(const struct cidr *set, char **bytes, size_t *len)
{
	const struct head head = {
		.v6_base = set->v6_base,
		.v6_shift = set->v6_shift,
		.v4_count = (uint32_t)set->v4_count,
		.v6_count = (uint32_t)set->v6_count,
		.has_v4_index = set->v4_index != NULL,
		.has_v6_index = set->v6_index != NULL,
	};
	const struct layout l = layout_of(&head);
	char *at = heap_alloc(l.all);

	*bytes = at;
	*len = l.all;
	at = put(at, &head, sizeof(head));
	at = put(at, set->v6, l.v6);
	at = put(at, set->v4, l.v4);
	at = put(at, set->v6_index, l.v6_index);
	put(at, set->v4_index, l.v4_index);
}

static const void *
take(struct span *left, size_t len)
{
	const char *p = left->p;

	left->p += len;
	left->len -= len;
	return len > 0 ? p : NULL;
}

/* A search begins at one entry and ends at the next one. */
static bool
is_index(const uint32_t *index, size_t count)
{
	if (index == NULL)
		return true;
	for (size_t i = 1; i < CIDR_INDEX_ENTRIES; i++) {
		if (index[i] < index[i - 1])
			return false;
	}
	return index[CIDR_INDEX_ENTRIES - 1] <= count;
}

int
packed_open(struct cidr *set, struct span bytes, struct error *err)
{
	struct head head;
	struct layout l;

	if (bytes.len < sizeof(head))
		return error_set(err, "not a set of ranges");
	memcpy(&head, bytes.p, sizeof(head));
	l = layout_of(&head);
	if (bytes.len != l.all || head.v6_shift > 63)
		return error_set(err, "not a set of ranges");
	(void)take(&bytes, sizeof(head));
	*set = (struct cidr){ .v4_count = head.v4_count,
		.v6_count = head.v6_count, .v6_base = head.v6_base,
		.v6_shift = head.v6_shift };
	set->v6 = take(&bytes, l.v6);
	set->v4 = take(&bytes, l.v4);
	set->v6_index = take(&bytes, l.v6_index);
	set->v4_index = take(&bytes, l.v4_index);
	if (!is_index(set->v4_index, set->v4_count) ||
	    !is_index(set->v6_index, set->v6_count))
		return error_set(err, "not a set of ranges");
	return 0;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* cidr - gathering, joining and searching of address ranges. */
#include "cidr.h"

#include <stdlib.h>

enum {
	LIST_FIRST = 256,
	INDEX_FROM = 64, /* fewer ranges are searched as quickly without */
	V4_BITS = 96,    /* of a mapped address, in front of the IPv4 one */
};

static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff,
	0xff };

/* ---- gathering ---- */

void
cidr_list_add(struct cidr_list *list, const struct addr_range *range)
{
	if (list->count == list->size) {
		list->size = list->size > 0 ? 2 * list->size : LIST_FIRST;
		list->items = heap_alloc_grow(list->items, list->size,
		    sizeof(*list->items));
	}
	list->items[list->count++] = *range;
}

void
cidr_list_fini(struct cidr_list *list)
{
	free(list->items);
	*list = (struct cidr_list){ NULL, 0, 0 };
}

static struct span
without_comment(struct span line)
{
	for (size_t i = 0; i < line.len; i++) {
		if (line.p[i] == '#' || line.p[i] == ';') {
			line.len = i;
			break;
		}
	}
	if (line.len > 0 && line.p[line.len - 1] == '\r')
		line.len--;
	return span_trim(line);
}

size_t
cidr_parse(struct span text, struct cidr_list *list, cidr_error_fn *fn,
    void *arg)
{
	size_t wrong = 0;

	for (unsigned number = 1; text.len > 0; number++) {
		const char *newline = memchr(text.p, '\n', text.len);
		size_t len = newline != NULL ? (size_t)(newline - text.p)
					     : text.len;
		struct span line = without_comment(span_of(text.p, len));
		struct addr_range range;
		struct error err;

		if (line.len > 0 && addr_range_parse(line, &range,
		    &err) != 0) {
			fn(arg, number, (unsigned)(line.p - text.p) + 1,
			    span_of(text.p, len), &err);
			wrong++;
		} else if (line.len > 0) {
			cidr_list_add(list, &range);
		}
		len += newline != NULL;
		text = span_of(text.p + len, text.len - len);
	}
	return wrong;
}

/* ---- building ---- */

static uint64_t
load64(const uint8_t *p)
{
	uint64_t x = 0;

	for (unsigned i = 0; i < 8; i++)
		x = x << 8 | p[i];
	return x;
}

static bool
is_less(const uint64_t a[2], const uint64_t b[2])
{
	return a[0] != b[0] ? a[0] < b[0] : a[1] < b[1];
}

/* Of 64 bits, those behind the first `bits`. */
static uint64_t
behind(unsigned bits)
{
	return bits >= 64 ? 0 : UINT64_MAX >> bits;
}

static struct cidr_v6
range_v6(const struct addr_range *r)
{
	struct cidr_v6 out;

	out.from[0] = load64(r->bytes);
	out.from[1] = load64(r->bytes + 8);
	out.to[0] = out.from[0] | behind(r->bits);
	out.to[1] = out.from[1] |
	    behind(r->bits > 64 ? r->bits - 64U : 0);
	return out;
}

/* The part of it that are IPv4 addresses; false if there is none. */
static bool
range_v4(const struct addr_range *r, struct cidr_v4 *out)
{
	if (r->bits >= V4_BITS) {
		if (memcmp(r->bytes, mapped, sizeof(mapped)) != 0)
			return false;
		out->from = (uint32_t)load64(r->bytes + 8);
		out->to = out->from | (uint32_t)behind(r->bits - 64U);
		return true;
	}
	/* Wider than all of IPv4: around it, or elsewhere. */
	*out = (struct cidr_v4){ 0, UINT32_MAX };
	for (unsigned i = 0; i < r->bits; i++) {
		if (((r->bytes[i / 8] ^ mapped[i / 8]) >> (7 - i % 8) & 1) !=
		    0)
			return false;
	}
	return true;
}

static int
by_v4(const void *a, const void *b)
{
	const struct cidr_v4 *x = a, *y = b;

	return x->from < y->from ? -1 : x->from > y->from;
}

static int
by_v6(const void *a, const void *b)
{
	const struct cidr_v6 *x = a, *y = b;

	return is_less(x->from, y->from) ? -1 : is_less(y->from, x->from);
}

/* Sorted ranges joined where they meet; how many are left. */
static size_t
join_v4(struct cidr_v4 *r, size_t count)
{
	size_t left = 0;

	for (size_t i = 0; i < count; i++) {
		if (left == 0 || (r[left - 1].to != UINT32_MAX &&
		    r[i].from > r[left - 1].to + 1))
			r[left++] = r[i];
		else if (r[i].to > r[left - 1].to)
			r[left - 1].to = r[i].to;
	}
	return left;
}

static size_t
join_v6(struct cidr_v6 *r, size_t count)
{
	size_t left = 0;

	for (size_t i = 0; i < count; i++) {
		if (left == 0 || is_less(r[left - 1].to, r[i].from))
			r[left++] = r[i];
		else if (is_less(r[left - 1].to, r[i].to))
			memcpy(r[left - 1].to, r[i].to, sizeof(r[i].to));
	}
	return left;
}

static uint32_t
v6_place(const struct cidr *set, uint64_t first_half)
{
	uint64_t place;

	if (first_half < set->v6_base)
		return 0;
	place = (first_half - set->v6_base) >> set->v6_shift;
	return place < CIDR_INDEX_ENTRIES - 2 ? (uint32_t)place
	    : CIDR_INDEX_ENTRIES - 2;
}

static void
index_v4(struct cidr *set, struct arena *arena)
{
	uint32_t *index, at = 0;

	if (set->v4_count < INDEX_FROM)
		return;
	index = arena_alloc(arena, CIDR_INDEX_ENTRIES * sizeof(*index));
	for (uint32_t i = 0; i < CIDR_INDEX_ENTRIES - 1; i++) {
		while (at < set->v4_count && set->v4[at].to >> 16 < i)
			at++;
		index[i] = at;
	}
	index[CIDR_INDEX_ENTRIES - 1] = (uint32_t)set->v4_count;
	set->v4_index = index;
}

static void
index_v6(struct cidr *set, struct arena *arena)
{
	uint32_t *index, at = 0;
	uint64_t width;

	if (set->v6_count < INDEX_FROM)
		return;
	set->v6_base = set->v6[0].to[0];
	width = set->v6[set->v6_count - 1].to[0] - set->v6_base;
	while (width >> set->v6_shift >= CIDR_INDEX_ENTRIES - 1)
		set->v6_shift++;
	index = arena_alloc(arena, CIDR_INDEX_ENTRIES * sizeof(*index));
	for (uint32_t i = 0; i < CIDR_INDEX_ENTRIES - 1; i++) {
		while (at < set->v6_count &&
		    v6_place(set, set->v6[at].to[0]) < i)
			at++;
		index[i] = at;
	}
	index[CIDR_INDEX_ENTRIES - 1] = (uint32_t)set->v6_count;
	set->v6_index = index;
}

static const void *
copy(struct arena *arena, const void *p, size_t len)
{
	return memcpy(arena_alloc(arena, len + 1), p, len);
}

void
cidr_build(struct cidr *set, struct arena *arena,
    const struct cidr_list *list)
{
	size_t count = list->count, v4_count = 0, v6_count = 0;
	struct cidr_v4 *v4 = heap_alloc_zeroed(count + 1, sizeof(*v4));
	struct cidr_v6 *v6 = heap_alloc_zeroed(count + 1, sizeof(*v6));

	for (size_t i = 0; i < count; i++) {
		const struct addr_range *r = &list->items[i];

		if (range_v4(r, &v4[v4_count]))
			v4_count++;
		if (r->bits < V4_BITS ||
		    memcmp(r->bytes, mapped, sizeof(mapped)) != 0)
			v6[v6_count++] = range_v6(r);
	}
	qsort(v4, v4_count, sizeof(*v4), by_v4);
	qsort(v6, v6_count, sizeof(*v6), by_v6);
	memset(set, 0, sizeof(*set));
	set->v4_count = join_v4(v4, v4_count);
	set->v6_count = join_v6(v6, v6_count);
	set->v4 = copy(arena, v4, set->v4_count * sizeof(*v4));
	set->v6 = copy(arena, v6, set->v6_count * sizeof(*v6));
	index_v4(set, arena);
	index_v6(set, arena);
	free(v4);
	free(v6);
}

/* ---- searching ---- */

/* The first range that ends at or behind the address is the one to look at. */
static bool
has_v4(const struct cidr *set, uint32_t ip)
{
	size_t low = 0, high = set->v4_count;

	if (set->v4_index != NULL) {
		low = set->v4_index[ip >> 16];
		high = set->v4_index[(ip >> 16) + 1];
	}
	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (set->v4[mid].to < ip)
			low = mid + 1;
		else
			high = mid;
	}
	return low < set->v4_count && set->v4[low].from <= ip &&
	    ip <= set->v4[low].to;
}

static bool
has_v6(const struct cidr *set, const uint64_t ip[2])
{
	size_t low = 0, high = set->v6_count;

	if (set->v6_index != NULL) {
		uint32_t place = v6_place(set, ip[0]);

		low = set->v6_index[place];
		high = set->v6_index[place + 1];
	}
	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (is_less(set->v6[mid].to, ip))
			low = mid + 1;
		else
			high = mid;
	}
	return low < set->v6_count && !is_less(ip, set->v6[low].from);
}

bool
cidr_has(const struct cidr *set, const struct addr_ip *ip)
{
	const uint64_t both[2] = { load64(ip->bytes), load64(ip->bytes + 8) };

	if (ip->family == AF_INET)
		return set->v4_count > 0 && has_v4(set, (uint32_t)both[1]);
	return ip->family == AF_INET6 && has_v6(set, both);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* metrics_inherit - from a zone of another layout, row by row, name by name. */
#include "metrics/metrics_inherit.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/heap_alloc.h"
#include "metrics/metrics_private.h"

/* A change of these is a new FORMAT, so that nobody reads the wrong bytes. */
_Static_assert(sizeof(struct metrics_name) == 16 + METRICS_PARENT_MAX + 1 +
    METRICS_NAME_MAX + 1, "a directory has another layout");

enum {
	FORMAT = 1, /* of the head and the directories of a zone */
	LINE_MAX_BYTES = 512,
};

/* A row that both have. */
struct pair {
	enum metric_type type;
	const struct metric_set *set; /* of ours */
	size_t row;
	unsigned old_set;
	size_t old_row;
	uint64_t other[METRIC_HISTOGRAM_WORDS]; /* see sync_name() */
};

/* Where an old name is now. */
struct place {
	uint32_t index;
	bool is_known;
	bool has_counted; /* it is not zero here */
};

struct metrics_heir {
	struct metrics *m;
	struct metrics old; /* zone, head, names and layout alone */
	struct pair *pairs;
	size_t pair_count;
	struct place *places[METRIC_SCOPE_COUNT]; /* by old index */
	enum metric_scope scopes[METRICS_SETS_MAX];
	char prefixes[METRICS_SETS_MAX][64];
	size_t set_count;
};

/* ---- the description ---- */

char *
metrics_inherit_describe(const struct metrics *m)
{
	const struct metrics_layout *l = &m->layout;
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	if (out == NULL)
		return heap_alloc_zeroed(1, 1);
	fprintf(out, "zone %d %" PRIu32 " %zu %zu\n", FORMAT,
	    l->process_slots, l->process_at, l->process_bytes);
	for (unsigned i = 0; i < METRIC_SCOPE_COUNT; i++)
		fprintf(out, "names %u %" PRIu32 " %zu\n", i, l->names_max[i],
		    l->names_at[i]);
	for (size_t i = 0; i < m->set_count; i++) {
		const struct metric_set *set = m->sets[i];

		fprintf(out, "set %u %zu %zu %s\n", (unsigned)set->scope,
		    l->blocks_at[i], l->block_bytes[i], set->prefix);
		for (size_t row = 0; row < set->count; row++) {
			const struct metric *r = &set->rows[row];

			if (r->name != NULL)
				fprintf(out, "row %zu %zu %u %s %s\n", i, row,
				    (unsigned)r->type, r->name,
				    r->label != NULL ? r->label : "");
		}
	}
	fclose(out);
	return text;
}

static bool
is_same(const struct metric *r, unsigned type, const char *name,
    const char *label)
{
	return r->name != NULL && (unsigned)r->type == type &&
	    strcmp(r->name, name) == 0 &&
	    strcmp(r->label != NULL ? r->label : "", label) == 0;
}

/* Two sets may have one prefix. */
static void
add_pair(struct metrics_heir *h, const struct pair *like, const char *name,
    const char *label)
{
	for (size_t i = 0; i < h->m->set_count; i++) {
		const struct metric_set *set = h->m->sets[i];

		if (set->scope != h->scopes[like->old_set] ||
		    strcmp(set->prefix, h->prefixes[like->old_set]) != 0)
			continue;
		for (size_t row = 0; row < set->count; row++) {
			struct pair *p;

			if (!is_same(&set->rows[row], (unsigned)like->type,
			    name, label))
				continue;
			h->pairs = heap_alloc_grow(h->pairs,
			    h->pair_count + 1, sizeof(*h->pairs));
			p = &h->pairs[h->pair_count++];
			*p = *like;
			p->set = set;
			p->row = row;
		}
	}
}

static size_t
words_of(enum metric_type type)
{
	return type == METRIC_HISTOGRAM ? METRIC_HISTOGRAM_WORDS : 1;
}

static bool
take_row(struct metrics_heir *h, const char *line)
{
	struct pair like = { .type = METRIC_COUNTER };
	char name[128], label[256] = "";
	size_t room; /* in words */
	unsigned type;
	int at = 0;

	if (sscanf(line, "row %u %zu %u %127s%n", &like.old_set,
	    &like.old_row, &type, name, &at) != 4 || at == 0 ||
	    like.old_set >= h->set_count || type > METRIC_HISTOGRAM)
		return false;
	like.type = (enum metric_type)type;
	if (line[at] == ' ')
		snprintf(label, sizeof(label), "%s", line + at + 1);
	room = h->old.layout.block_bytes[like.old_set] / sizeof(uint64_t);
	if (room < words_of(like.type) ||
	    like.old_row > room - words_of(like.type))
		return false;
	add_pair(h, &like, name, label);
	return true;
}

static bool
take_set(struct metrics_heir *h, const char *line)
{
	struct metrics_layout *l = &h->old.layout;
	size_t i = h->set_count;
	unsigned scope;

	if (i == METRICS_SETS_MAX || sscanf(line, "set %u %zu %zu %63s",
	    &scope, &l->blocks_at[i], &l->block_bytes[i],
	    h->prefixes[i]) != 4 || scope >= METRIC_SCOPE_COUNT)
		return false;
	h->scopes[i] = (enum metric_scope)scope;
	h->set_count++;
	return true;
}

/* All names of a set, once everything has been said about both. */
static bool
is_inside(const struct metrics_heir *h, size_t set)
{
	const struct metrics_layout *l = &h->old.layout;
	size_t bytes = l->block_bytes[set];

	return l->blocks_at[set] <= l->process_bytes && (bytes == 0 ||
	    l->names_max[h->scopes[set]] <=
	    (l->process_bytes - l->blocks_at[set]) / bytes);
}

static bool
take_line(struct metrics_heir *h, const char *line)
{
	struct metrics_layout *l = &h->old.layout;
	uint32_t count;
	unsigned n;
	size_t at;

	if (line[0] == 'r')
		return take_row(h, line);
	if (line[0] == 's')
		return take_set(h, line);
	if (sscanf(line, "names %u %" SCNu32 " %zu", &n, &count, &at) == 3) {
		if (n >= METRIC_SCOPE_COUNT)
			return true; /* a later version's */
		if (l->names_max[n] != 0)
			return false;
		l->names_max[n] = count;
		l->names_at[n] = at;
		return count > 0 && count <= 1U << 20 && at <= l->zone_bytes &&
		    count * sizeof(struct metrics_name) <= l->zone_bytes - at;
	}
	return l->process_slots == 0 &&
	    sscanf(line, "zone %u %" SCNu32 " %zu %zu", &n,
	    &l->process_slots, &l->process_at, &l->process_bytes) == 4 &&
	    n == FORMAT && l->process_slots > 0 &&
	    l->process_at <= l->zone_bytes && l->process_bytes <=
	    (l->zone_bytes - l->process_at) / l->process_slots &&
	    sizeof(struct metrics_zone) + l->process_slots *
	    sizeof(uint64_t) <= l->process_at;
}

static int
check_description(const struct metrics_heir *h, struct error *err)
{
	bool is_whole = h->old.layout.process_slots > 0;

	for (size_t i = 0; i < h->set_count; i++) {
		if (!is_inside(h, i))
			return error_set(err, "metrics: its description makes "
			    "no sense: set %zu is outside", i);
	}
	for (unsigned i = 0; i < METRIC_SCOPE_COUNT; i++)
		is_whole &= h->old.layout.names_max[i] > 0;
	return is_whole ? 0 :
	    error_set(err, "metrics: it was not described");
}

static int
take_description(struct metrics_heir *h, struct span text, struct error *err)
{
	while (text.len > 0) {
		const char *end = memchr(text.p, '\n', text.len);
		size_t len = end != NULL ? (size_t)(end - text.p) : text.len;
		char line[LINE_MAX_BYTES];

		if (len >= sizeof(line) || end == NULL)
			return error_set(err, "metrics: its description ends "
			    "inside of a line");
		memcpy(line, text.p, len);
		line[len] = '\0';
		if (!take_line(h, line))
			return error_set(err, "metrics: its description makes "
			    "no sense: %s", line);
		text.p += len + 1;
		text.len -= len + 1;
	}
	return check_description(h, err);
}

struct metrics_heir *
metrics_inherit_open(struct metrics *m, int fd, uint32_t version,
    uint64_t bytes, struct span description, struct error *err)
{
	struct metrics_heir *h = heap_alloc_zeroed(1, sizeof(*h));
	char *data;

	h->m = m;
	h->old.layout.zone_bytes = (size_t)bytes;
	if (take_description(h, description, err) != 0) {
		close(fd);
		metrics_inherit_close(h, 0, false);
		return NULL;
	}
	if (shmem_adopt(&h->old.zone, fd, "metrics", version, (size_t)bytes,
	    err) != 0) {
		h->old.zone.data = NULL;
		metrics_inherit_close(h, 0, false);
		return NULL;
	}
	data = h->old.zone.data;
	h->old.head = h->old.zone.data;
	for (unsigned i = 0; i < METRIC_SCOPE_COUNT; i++) {
		h->old.names[i] = (void *)(data + h->old.layout.names_at[i]);
		h->places[i] = heap_alloc_zeroed(h->old.layout.names_max[i],
		    sizeof(*h->places[i]));
	}
	return h;
}

/* ---- values ---- */

/* What all processes of the predecessor have there; false if it is nothing. */
static bool
sum_up(const struct metrics_heir *h, const struct pair *p, uint32_t index,
    uint64_t *sums)
{
	const struct metrics_layout *l = &h->old.layout;
	const char *data = h->old.zone.data;
	size_t words = words_of(p->type);
	bool has_any = false;

	memset(sums, 0, words * sizeof(*sums));
	for (uint32_t i = 0; i < l->process_slots; i++) {
		const _Atomic uint64_t *from;

		/* Pages that nobody touched are not touched here either. */
		if ((atomic_load_explicit(&h->old.head->counted[i],
		    memory_order_relaxed) >> p->old_set & 1) == 0)
			continue;
		from = (const void *)(data + l->process_at +
		    i * l->process_bytes + l->blocks_at[p->old_set] +
		    index * l->block_bytes[p->old_set]);
		for (size_t k = 0; k < words; k++) {
			sums[k] += counter_get(from + p->old_row + k);
			has_any |= sums[k] != 0;
		}
	}
	return has_any;
}

static void
store(struct metrics_heir *h, const struct pair *p, uint32_t slot,
    uint32_t index, const uint64_t *sums)
{
	_Atomic uint64_t *to = metrics_block(h->m, p->set, slot, index);

	for (size_t k = 0; k < words_of(p->type); k++)
		counter_set(to + p->row + k, sums[k]);
}

/* Names for which there is no number any more count as "other", together. */
static void
sync_name(struct metrics_heir *h, enum metric_scope scope, uint32_t old,
    uint32_t slot)
{
	struct place *place = &h->places[scope][old];
	bool is_other = scope != METRIC_SCOPE_PROCESS &&
	    place->index == h->m->layout.names_max[scope] - 1;

	for (size_t i = 0; i < h->pair_count; i++) {
		struct pair *p = &h->pairs[i];
		uint64_t sums[METRIC_HISTOGRAM_WORDS];

		if (p->set->scope != scope ||
		    (!sum_up(h, p, old, sums) && !place->has_counted))
			continue;
		place->has_counted = true;
		if (!is_other)
			store(h, p, slot, place->index, sums);
		for (size_t k = 0; is_other && k < words_of(p->type); k++)
			p->other[k] += sums[k];
	}
}

static void
sync_names(struct metrics_heir *h, enum metric_scope scope, uint32_t slot)
{
	uint32_t i = 0;

	for (; (i = metrics_next(&h->old, scope, i)) != UINT32_MAX; i++) {
		struct place *place = &h->places[scope][i];
		struct metrics_label label;

		if (!place->is_known) {
			if (!metrics_label(&h->old, scope, i, &label))
				continue;
			place->index = metrics_register(h->m, scope,
			    span_cstr(label.parent), span_cstr(label.name));
			place->is_known = true;
			if (scope != METRIC_SCOPE_PROCESS &&
			    !metrics_is_shared(h->m, scope, place->index))
				metrics_hide(h->m, scope, place->index,
				    metrics_is_hidden(&h->old, scope, i));
		}
		sync_name(h, scope, i, slot);
	}
}

void
metrics_inherit_sync(struct metrics_heir *h, uint32_t process_slot)
{
	static const uint64_t none[METRIC_HISTOGRAM_WORDS];

	for (size_t i = 0; i < h->pair_count; i++)
		memset(h->pairs[i].other, 0, sizeof(h->pairs[i].other));
	for (unsigned scope = 0; scope < METRIC_SCOPE_COUNT; scope++)
		sync_names(h, (enum metric_scope)scope, process_slot);
	for (size_t i = 0; i < h->pair_count; i++) {
		const struct pair *p = &h->pairs[i];

		if (memcmp(p->other, none, sizeof(none)) != 0)
			store(h, p, process_slot,
			    h->m->layout.names_max[p->set->scope] - 1,
			    p->other);
	}
}

static void
release_names(struct metrics_heir *h, uint32_t process_slot)
{
	for (unsigned scope = 0; scope < METRIC_SCOPE_COUNT; scope++) {
		for (uint32_t i = 0; i < h->old.layout.names_max[scope]; i++) {
			if (h->places[scope][i].is_known)
				metrics_release(h->m,
				    (enum metric_scope)scope,
				    h->places[scope][i].index, process_slot);
		}
	}
}

void
metrics_inherit_close(struct metrics_heir *h, uint32_t process_slot,
    bool is_over)
{
	if (h == NULL)
		return;
	if (is_over && h->places[0] != NULL)
		release_names(h, process_slot);
	for (unsigned i = 0; i < METRIC_SCOPE_COUNT; i++)
		free(h->places[i]);
	if (h->old.zone.data != NULL)
		shmem_close(&h->old.zone);
	free(h->pairs);
	free(h);
}

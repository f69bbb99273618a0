/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * metrics - opening, naming and reading the zone of counters.
 *
 * Pages that nobody touched cost nothing: whoever reads looks at names in use
 * and at process slots that have counted alone.
 */
#include "metrics/metrics.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/heap_alloc.h"
#include "metrics/metrics_private.h"

#define ZONE_NAME "metrics"
#define OTHER_KEY SPAN("\0other")

/* What open and adopt have in common: pointers, and an empty directory. */
static void
attach(struct metrics *m, const struct metrics_config *c)
{
	char *data = m->zone.data;

	m->sets = c->sets;
	m->set_count = c->set_count;
	m->head = m->zone.data;
	for (size_t i = 0; i < METRIC_SCOPE_COUNT; i++) {
		m->names[i] = (void *)(data + m->layout.names_at[i]);
		m->entries[i] = heap_alloc_zeroed(m->layout.names_max[i],
		    sizeof(*m->entries[i]));
		hash_map_init(&m->index[i], false);
	}
}

int
metrics_open(struct metrics *m, const struct metrics_config *c,
    struct error *err)
{
	memset(m, 0, sizeof(*m));
	m->zone.fd = -1;
	if (metrics_layout(&m->layout, c, err) != 0 ||
	    shmem_create(&m->zone, ZONE_NAME, m->layout.version,
	    m->layout.zone_bytes, err) != 0)
		return -1;
	attach(m, c);
	m->head->process_slots = c->process_slots;
	memcpy(m->head->names_max, m->layout.names_max,
	    sizeof(m->head->names_max));
	return 0;
}

/* Fill the entry, and let lookups find it. */
static void
book(struct metrics *m, enum metric_scope scope, uint32_t index,
    struct span key)
{
	struct metrics_entry *e = &m->entries[scope][index];

	memcpy(e->key, key.p, key.len);
	e->key_len = (uint32_t)key.len;
	hash_map_put(&m->index[scope], span_of(e->key, key.len), e);
}

/* parent NUL name, each cut to its room; a cut one ends in ~ and its hash. */
static size_t
make_key(char *key, struct span parent, struct span name)
{
	struct span parts[2] = { parent, name };
	const size_t rooms[2] = { METRICS_PARENT_MAX, METRICS_NAME_MAX };
	size_t len = 0;

	for (size_t i = 0; i < 2; i++) {
		size_t cut = parts[i].len;
		char tail[16] = "";

		if (cut > rooms[i]) {
			snprintf(tail, sizeof(tail), "~%08x",
			    (unsigned)hash_stable(parts[i]));
			cut = rooms[i] - strlen(tail);
		}
		if (cut > 0)
			memcpy(key + len, parts[i].p, cut);
		len += cut;
		memcpy(key + len, tail, strlen(tail));
		len += strlen(tail);
		if (i == 0)
			key[len++] = '\0';
	}
	return len;
}

/* Book what the zone's directory has, as names that nobody uses yet. */
static void
recall_names(struct metrics *m, enum metric_scope scope)
{
	uint32_t i = 0;

	for (; (i = metrics_next(m, scope, i)) != UINT32_MAX; i++) {
		char memory[METRICS_PARENT_MAX + METRICS_NAME_MAX + 1];
		struct metrics_label label;
		struct span key;

		if (!metrics_label(m, scope, i, &label))
			continue;
		key = span_of(memory, make_key(memory,
		    span_cstr(label.parent), span_cstr(label.name)));
		if (hash_map_get(&m->index[scope], key) == NULL)
			book(m, scope, i, key);
	}
}

int
metrics_adopt(struct metrics *m, int fd, const struct metrics_config *c,
    struct error *err)
{
	memset(m, 0, sizeof(*m));
	m->zone.fd = -1;
	if (metrics_layout(&m->layout, c, err) != 0) {
		close(fd);
		return -1;
	}
	if (shmem_adopt(&m->zone, fd, ZONE_NAME, m->layout.version,
	    m->layout.zone_bytes, err) != 0)
		return -1;
	attach(m, c);
	if (m->head->process_slots != c->process_slots ||
	    memcmp(m->head->names_max, m->layout.names_max,
	    sizeof(m->head->names_max)) != 0) {
		metrics_close(m);
		return error_set(err, "metrics: the zone has another size");
	}
	for (unsigned scope = METRIC_SCOPE_ROUTE; scope < METRIC_SCOPE_COUNT;
	     scope++)
		recall_names(m, scope);
	return 0;
}

void
metrics_close(struct metrics *m)
{
	if (m->head == NULL)
		return;
	for (size_t i = 0; i < METRIC_SCOPE_COUNT; i++) {
		hash_map_fini(&m->index[i]);
		free(m->entries[i]);
		m->entries[i] = NULL;
	}
	m->head = NULL;
	shmem_close(&m->zone);
}

/* Show the entry to whoever reads the directory, or that it is gone. */
static void
publish(struct metrics *m, enum metric_scope scope, uint32_t index)
{
	struct metrics_name *n = &m->names[scope][index];
	const struct metrics_entry *e = &m->entries[scope][index];
	uint32_t version = atomic_load_explicit(&n->version,
	    memory_order_relaxed);

	if ((version & 1) != 0) {
		version++;
		atomic_store_explicit(&n->version, version,
		    memory_order_relaxed);
		atomic_thread_fence(memory_order_release);
	}
	if (e->key_len == 0)
		return;
	atomic_store_explicit(&n->is_hidden, 0, memory_order_relaxed);
	n->parent_len = (uint32_t)strlen(e->key);
	n->name_len = e->key_len - n->parent_len - 1;
	memcpy(n->parent, e->key, n->parent_len);
	memcpy(n->name, e->key + n->parent_len + 1, n->name_len);
	atomic_store_explicit(&n->version, version + 1, memory_order_release);
	/* "other", the last, is looked at anyway. */
	if (index < m->layout.names_max[scope] - 1 &&
	    index >= atomic_load_explicit(&m->head->names_end[scope],
	    memory_order_relaxed))
		atomic_store_explicit(&m->head->names_end[scope], index + 1,
		    memory_order_release);
}

/* The lowest free number but for the last; that one when there is none. */
static uint32_t
find_free(struct metrics *m, enum metric_scope scope)
{
	uint32_t last = m->layout.names_max[scope] - 1;
	uint32_t i = m->free_from[scope];

	while (i < last && m->entries[scope][i].key_len > 0)
		i++;
	m->free_from[scope] = i;
	return i;
}

static void
name_other(struct metrics *m, enum metric_scope scope)
{
	uint32_t last = m->layout.names_max[scope] - 1;

	if (m->entries[scope][last].key_len > 0)
		return;
	book(m, scope, last, OTHER_KEY);
	publish(m, scope, last);
}

uint32_t
metrics_register(struct metrics *m, enum metric_scope scope,
    struct span parent, struct span name)
{
	char memory[METRICS_PARENT_MAX + METRICS_NAME_MAX + 1];
	uint32_t last = m->layout.names_max[scope] - 1;
	struct metrics_entry *e;
	struct span key;
	uint32_t index;

	if (scope == METRIC_SCOPE_PROCESS)
		return 0;
	key = span_of(memory, make_key(memory, parent, name));
	e = hash_map_get(&m->index[scope], key);
	if (e != NULL) {
		e->uses++;
		return (uint32_t)(e - m->entries[scope]);
	}
	index = span_eq(key, OTHER_KEY) ? last : find_free(m, scope);
	m->entries[scope][index].uses++;
	if (index == last) {
		name_other(m, scope);
		return last;
	}
	book(m, scope, index, key);
	publish(m, scope, index);
	return index;
}

void
metrics_hide(struct metrics *m, enum metric_scope scope, uint32_t index,
    bool is_hidden)
{
	assert(scope != METRIC_SCOPE_PROCESS);
	/* "other" stands for names that are seen. */
	if (index < m->layout.names_max[scope] - 1)
		atomic_store_explicit(&m->names[scope][index].is_hidden,
		    is_hidden, memory_order_relaxed);
}

bool
metrics_is_hidden(const struct metrics *m, enum metric_scope scope,
    uint32_t index)
{
	return scope != METRIC_SCOPE_PROCESS && atomic_load_explicit(
	    &m->names[scope][index].is_hidden, memory_order_relaxed) != 0;
}

bool
metrics_is_shared(const struct metrics *m, enum metric_scope scope,
    uint32_t index)
{
	return m->entries[scope][index].uses > 1;
}

static _Atomic uint64_t *
block_at(const struct metrics *m, size_t set, uint32_t process_slot,
    uint32_t index)
{
	char *data = m->zone.data;

	assert(process_slot < m->layout.process_slots);
	assert(index < m->layout.names_max[m->sets[set]->scope]);
	return (void *)(data + m->layout.process_at +
	    process_slot * m->layout.process_bytes + m->layout.blocks_at[set] +
	    index * m->layout.block_bytes[set]);
}

static size_t
set_number(const struct metrics *m, const struct metric_set *set)
{
	size_t i = 0;

	while (i < m->set_count && m->sets[i] != set)
		i++;
	assert(i < m->set_count);
	return i;
}

static bool
has_counted(const struct metrics *m, size_t set, uint32_t process_slot)
{
	uint64_t counted = atomic_load_explicit(
	    &m->head->counted[process_slot], memory_order_relaxed);

	return (counted >> set & 1) != 0;
}

bool
metrics_has_counted(const struct metrics *m, const struct metric_set *set,
    uint32_t process_slot)
{
	return has_counted(m, set_number(m, set), process_slot);
}

_Atomic uint64_t *
metrics_block(const struct metrics *m, const struct metric_set *set,
    uint32_t process_slot, uint32_t index)
{
	size_t number = set_number(m, set);

	atomic_fetch_or_explicit(&m->head->counted[process_slot],
	    (uint64_t)1 << number, memory_order_relaxed);
	return block_at(m, number, process_slot, index);
}

static uint64_t
value_of(const struct metrics *m, size_t set, uint32_t process_slot,
    uint32_t index, size_t row)
{
	if (!has_counted(m, set, process_slot))
		return 0;
	return counter_get(block_at(m, set, process_slot, index) + row);
}

uint64_t
metrics_value(const struct metrics *m, const struct metric_set *set,
    uint32_t process_slot, uint32_t index, size_t row)
{
	assert(row < set->count);
	return value_of(m, set_number(m, set), process_slot, index, row);
}

uint64_t
metrics_sum(const struct metrics *m, const struct metric_set *set,
    uint32_t index, size_t row)
{
	size_t number = set_number(m, set);
	uint64_t sum = 0;

	assert(row < set->count);
	for (uint32_t i = 0; i < m->layout.process_slots; i++)
		sum += value_of(m, number, i, index, row);
	return sum;
}

bool
metrics_label(const struct metrics *m, enum metric_scope scope,
    uint32_t index, struct metrics_label *label)
{
	const struct metrics_name *n = &m->names[scope][index];
	uint32_t version, parent_len, name_len;

	label->parent[0] = '\0';
	label->name[0] = '\0';
	if (scope == METRIC_SCOPE_PROCESS)
		return index == 0;
	version = atomic_load_explicit(&n->version, memory_order_acquire);
	parent_len = n->parent_len;
	name_len = n->name_len;
	if ((version & 1) == 0 || parent_len > METRICS_PARENT_MAX ||
	    name_len > METRICS_NAME_MAX)
		return false;
	memcpy(label->parent, n->parent, parent_len);
	label->parent[parent_len] = '\0';
	memcpy(label->name, n->name, name_len);
	label->name[name_len] = '\0';
	atomic_thread_fence(memory_order_acquire);
	return atomic_load_explicit(&n->version, memory_order_relaxed) ==
	    version;
}

uint32_t
metrics_next(const struct metrics *m, enum metric_scope scope, uint32_t index)
{
	uint32_t last = m->layout.names_max[scope] - 1;
	uint32_t end = scope == METRIC_SCOPE_PROCESS ? 1
	    : atomic_load_explicit(&m->head->names_end[scope],
		  memory_order_acquire);

	/* "other" stands alone at the end; it does not stretch the search. */
	for (; index < end && index < last; index++) {
		if ((atomic_load_explicit(&m->names[scope][index].version,
		    memory_order_acquire) & 1) != 0)
			return index;
	}
	return index <= last ? last : UINT32_MAX;
}

/* Rows of one block that are gauges to 0. */
static void
clear_gauges(const struct metric_set *set, _Atomic uint64_t *block)
{
	for (size_t row = 0; row < set->count; row++) {
		if (set->rows[row].name != NULL &&
		    set->rows[row].type == METRIC_GAUGE)
			counter_set(block + row, 0);
	}
}

void
metrics_reset_gauges(struct metrics *m, uint32_t process_slot)
{
	for (size_t set = 0; set < m->set_count; set++) {
		enum metric_scope scope = m->sets[set]->scope;
		uint32_t i = 0;

		if (!has_counted(m, set, process_slot))
			continue;
		while ((i = metrics_next(m, scope, i)) != UINT32_MAX) {
			clear_gauges(m->sets[set],
			    block_at(m, set, process_slot, i));
			i++;
		}
	}
}

/* Move what all processes counted under index to "other". */
static void
fold(struct metrics *m, size_t set, uint32_t index, uint32_t process_slot)
{
	uint32_t last = m->layout.names_max[m->sets[set]->scope] - 1;
	size_t row_type = METRIC_COUNTER;

	for (uint32_t i = 0; i < m->layout.process_slots; i++) {
		_Atomic uint64_t *from, *to;

		if (!has_counted(m, set, i))
			continue;
		from = block_at(m, set, i, index);
		to = metrics_block(m, m->sets[set], process_slot, last);
		for (size_t row = 0; row < m->sets[set]->count; row++) {
			if (m->sets[set]->rows[row].name != NULL)
				row_type = m->sets[set]->rows[row].type;
			if (row_type != METRIC_GAUGE)
				counter_add(to + row, counter_get(from + row));
			counter_set(from + row, 0);
		}
	}
}

/* Nobody uses the number any more. */
static void
free_number(struct metrics *m, enum metric_scope scope, uint32_t index,
    uint32_t process_slot)
{
	publish(m, scope, index);
	if (m->free_from[scope] > index)
		m->free_from[scope] = index;
	name_other(m, scope);
	for (size_t set = 0; set < m->set_count; set++) {
		if (m->sets[set]->scope == scope)
			fold(m, set, index, process_slot);
	}
}

static void
forget_name(struct metrics *m, enum metric_scope scope, uint32_t index,
    uint32_t process_slot)
{
	struct metrics_entry *e = &m->entries[scope][index];

	hash_map_remove(&m->index[scope], span_of(e->key, e->key_len));
	e->key_len = 0;
	free_number(m, scope, index, process_slot);
}

void
metrics_release(struct metrics *m, enum metric_scope scope, uint32_t index,
    uint32_t process_slot)
{
	uint32_t last = m->layout.names_max[scope] - 1;
	struct metrics_entry *e = &m->entries[scope][index];

	if (scope == METRIC_SCOPE_PROCESS)
		return;
	assert(index <= last && e->uses > 0);
	if (--e->uses > 0 || index == last)
		return;
	forget_name(m, scope, index, process_slot);
}

void
metrics_release_unused(struct metrics *m, uint32_t process_slot)
{
	for (unsigned scope = METRIC_SCOPE_ROUTE; scope < METRIC_SCOPE_COUNT;
	     scope++) {
		uint32_t last = m->layout.names_max[scope] - 1;

		for (uint32_t i = 0; i < last; i++) {
			const struct metrics_entry *e = &m->entries[scope][i];

			if (e->key_len > 0 && e->uses == 0)
				forget_name(m, scope, i, process_slot);
		}
	}
}

void
metrics_reclaim(struct metrics *m, uint32_t process_slot)
{
	for (unsigned scope = METRIC_SCOPE_ROUTE; scope < METRIC_SCOPE_COUNT;
	     scope++) {
		uint32_t last = m->layout.names_max[scope] - 1;
		uint32_t i = 0;

		for (; (i = metrics_next(m, scope, i)) < last; i++) {
			if (m->entries[scope][i].key_len == 0)
				free_number(m, scope, i, process_slot);
		}
	}
}

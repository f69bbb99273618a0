/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * metrics_layout - where things lie in the zone of counters.
 *
 * Head and directories come first, then the blocks process by process, so that
 * no two processes write to one cache line.
 */
#include "metrics/metrics.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "metrics/metrics_private.h"

enum { PAGE_BYTES = 4096, LINE_BYTES = 64 };

/* With these a histogram's text fits RENDER_PIECE_MAX. */
enum { NAME_MAX_BYTES = 64, HELP_MAX_BYTES = 500, LABEL_MAX_BYTES = 128 };

static size_t
round_up(size_t n, size_t to)
{
	return (n + to - 1) / to * to;
}

static uint64_t
mix(uint64_t hash, const char *text)
{
	return (hash ^ hash_stable(span_cstr(text))) * 0x9e3779b97f4a7c15U;
}

static uint32_t
rows_version(const struct metrics_config *c)
{
	uint64_t hash = METRIC_HISTOGRAM_WORDS;

	for (size_t i = 0; i < c->set_count; i++) {
		const struct metric_set *set = c->sets[i];

		hash = mix(hash + set->scope, set->prefix);
		hash += set->count;
		for (size_t row = 0; row < set->count; row++) {
			const struct metric *m = &set->rows[row];

			hash = mix(hash + m->type, m->name);
			hash = mix(hash, m->label);
		}
	}
	return (uint32_t)(hash ^ hash >> 32);
}

/* [a-z_][a-z0-9_]* */
static bool
is_name(const char *text)
{
	static const char letters[] = "0123456789_abcdefghijklmnopqrstuvwxyz";

	return text != NULL && strspn(text, letters + 10) > 0 &&
	    text[strspn(text, letters)] == '\0';
}

/* Rows that are one family: the same name, one behind the other. */
static bool
is_same_family(const struct metric_set *set, size_t row, size_t other)
{
	return set->rows[other].name != NULL &&
	    strcmp(set->rows[row].name, set->rows[other].name) == 0;
}

static int
check_histogram(const struct metric_set *set, size_t row, struct error *err)
{
	const struct metric *m = &set->rows[row];
	size_t end = row + METRIC_HISTOGRAM_WORDS;

	if (end > set->count || m->per_process)
		return error_set(err,
		    "metrics table %s: histogram %s has no room",
		    set->prefix, m->name);
	for (size_t i = row + 1; i < end; i++) {
		if (set->rows[i].name != NULL)
			return error_set(err,
			    "metrics table %s: %s is in the room of %s",
			    set->prefix, set->rows[i].name, m->name);
	}
	return 0;
}

static int
check_row(const struct metric_set *set, size_t row, struct error *err)
{
	const struct metric *m = &set->rows[row];
	size_t len = m->name != NULL ? strlen(m->name) : 0;

	if (!is_name(m->name))
		return error_set(err, "metrics table %s: row %zu: bad name",
		    set->prefix, row);
	if (m->type == METRIC_COUNTER &&
	    (len < 7 || strcmp(m->name + len - 6, "_total") != 0))
		return error_set(err,
		    "metrics table %s: counter %s does not end in _total",
		    set->prefix, m->name);
	if (len > NAME_MAX_BYTES ||
	    (m->help != NULL && strlen(m->help) > HELP_MAX_BYTES) ||
	    (m->label != NULL && strlen(m->label) > LABEL_MAX_BYTES))
		return error_set(err, "metrics table %s: %s: too long",
		    set->prefix, m->name);
	if (m->label != NULL && (strchr(m->label, '\n') != NULL ||
	    strstr(m->label, "=\"") == NULL))
		return error_set(err, "metrics table %s: %s: bad label",
		    set->prefix, m->name);
	return m->type == METRIC_HISTOGRAM ? check_histogram(set, row, err) : 0;
}

/* Rows of one set: alike within a family, no family twice, no label twice. */
static int
check_families(const struct metric_set *set, struct error *err)
{
	const struct metric *rows = set->rows;
	size_t before = SIZE_MAX;

	for (size_t row = 0; row < set->count; row++) {
		bool is_first;

		if (rows[row].name == NULL)
			continue;
		is_first = before == SIZE_MAX ||
		    !is_same_family(set, row, before);
		if (is_first && rows[row].help == NULL)
			return error_set(err,
			    "metrics table %s: %s has no help", set->prefix,
			    rows[row].name);
		if (!is_first && (rows[row].type != rows[before].type ||
		    rows[row].per_process != rows[before].per_process))
			return error_set(err,
			    "metrics table %s: %s has two types", set->prefix,
			    rows[row].name);
		for (size_t i = 0; i < row; i++) {
			const char *label = rows[i].label;

			if (!is_same_family(set, row, i))
				continue;
			if (is_first || label == NULL ||
			    rows[row].label == NULL ||
			    strcmp(label, rows[row].label) == 0)
				return error_set(err,
				    "metrics table %s: %s is there twice",
				    set->prefix, rows[row].name);
		}
		before = row;
	}
	return 0;
}

/* Two sets may share a prefix as long as no full name is in both. */
static int
check_pair(const struct metric_set *a, const struct metric_set *b,
    struct error *err)
{
	char names[2][256];

	for (size_t i = 0; i < a->count; i++) {
		for (size_t j = 0; a->rows[i].name != NULL && j < b->count;
		     j++) {
			if (b->rows[j].name == NULL)
				continue;
			snprintf(names[0], sizeof(names[0]), "%s_%s",
			    a->prefix, a->rows[i].name);
			snprintf(names[1], sizeof(names[1]), "%s_%s",
			    b->prefix, b->rows[j].name);
			if (strcmp(names[0], names[1]) == 0)
				return error_set(err,
				    "metrics tables: %s is in two", names[0]);
		}
	}
	return 0;
}

static int
check_sets(const struct metrics_config *c, struct error *err)
{
	if (c->set_count > METRICS_SETS_MAX)
		return error_set(err, "metrics: more than %d tables",
		    METRICS_SETS_MAX);
	for (size_t i = 0; i < c->set_count; i++) {
		const struct metric_set *set = c->sets[i];

		if (!is_name(set->prefix) ||
		    strlen(set->prefix) > NAME_MAX_BYTES / 2)
			return error_set(err, "metrics table %zu: bad prefix",
			    i);
		for (size_t row = 0; row < set->count; row++) {
			if (set->rows[row].name != NULL &&
			    check_row(set, row, err) != 0)
				return -1;
		}
		if (check_families(set, err) != 0)
			return -1;
		for (size_t j = 0; j < i; j++) {
			if (check_pair(c->sets[j], set, err) != 0)
				return -1;
		}
	}
	return 0;
}

int
metrics_layout(struct metrics_layout *l, const struct metrics_config *c,
    struct error *err)
{
	size_t at = sizeof(struct metrics_zone) +
	    c->process_slots * sizeof(uint64_t);
	size_t in_process = 0;

	if (check_sets(c, err) != 0)
		return -1;
	memset(l, 0, sizeof(*l));
	l->version = rows_version(c);
	l->process_slots = c->process_slots;
	l->names_max[METRIC_SCOPE_PROCESS] = 1;
	l->names_max[METRIC_SCOPE_ROUTE] = c->routes_max;
	l->names_max[METRIC_SCOPE_UPSTREAM] = c->upstreams_max;
	l->names_max[METRIC_SCOPE_BACKEND] = c->backends_max;
	for (size_t i = 0; i < METRIC_SCOPE_COUNT; i++) {
		if (l->names_max[i] == 0 || l->names_max[i] > 1U << 20)
			return error_set(err, "metrics: bad number of names");
		at = round_up(at, LINE_BYTES);
		l->names_at[i] = at;
		at += l->names_max[i] * sizeof(struct metrics_name);
	}
	for (size_t i = 0; i < c->set_count; i++) {
		l->blocks_at[i] = in_process;
		l->block_bytes[i] = round_up(
		    c->sets[i]->count * sizeof(uint64_t), LINE_BYTES);
		in_process += l->block_bytes[i] *
		    l->names_max[c->sets[i]->scope];
	}
	l->process_at = round_up(at, PAGE_BYTES);
	l->process_bytes = round_up(in_process, PAGE_BYTES);
	if (c->process_slots == 0 || c->process_slots > 1U << 16 ||
	    l->process_bytes > ((size_t)1 << 44) / c->process_slots)
		return error_set(err, "metrics: bad number of processes");
	l->zone_bytes = l->process_at + l->process_bytes * c->process_slots;
	return 0;
}

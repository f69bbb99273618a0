/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * metrics - the shared memory in which all processes count.
 *
 * Made by the master before the first fork.  Each process writes the blocks of
 * its own slot only; what a slot has counted outlives the process, and its
 * successor goes on in the same slot.  Routes, upstreams and backends have
 * numbers in a directory inside the zone, found by name, so that they mean the
 * same to all generations; when a directory is full, its last number, "other",
 * stands for all further names.
 *
 * Only the master registers and releases names.  It believes its own copy of
 * the directory, never what other processes could have written to the zone.
 */
#ifndef METRICS_METRICS_H
#define METRICS_METRICS_H

#include "base/hash.h"
#include "base/span.h"
#include "metrics/counter.h"
#include "os/shmem.h"

struct error;
struct metrics_entry;
struct metrics_name;
struct metrics_zone;

enum {
	METRICS_PARENT_MAX = 63, /* bytes of a name's first part */
	METRICS_NAME_MAX = 127,  /* of its second; longer ones are shortened */
	METRICS_SETS_MAX = 64,
};

struct metrics_config {
	const struct metric_set *const *sets; /* borrowed for good */
	size_t set_count;
	uint32_t process_slots; /* master, background, workers; all >= 1 */
	uint32_t routes_max;
	uint32_t upstreams_max;
	uint32_t backends_max;
};

/* Where things lie in the zone, and the version that says so. */
struct metrics_layout {
	uint32_t version;      /* of the rows of all sets */
	uint32_t process_slots;
	uint32_t names_max[METRIC_SCOPE_COUNT];
	size_t names_at[METRIC_SCOPE_COUNT];    /* directories */
	size_t blocks_at[METRICS_SETS_MAX];     /* of index 0, in a process */
	size_t block_bytes[METRICS_SETS_MAX];
	size_t process_at;     /* the blocks of process slot 0 */
	size_t process_bytes;  /* from one process to the next */
	size_t zone_bytes;
};

struct metrics {
	struct shmem zone;
	struct metrics_layout layout;
	const struct metric_set *const *sets;
	size_t set_count;
	struct metrics_zone *head;       /* in the zone */
	struct metrics_name *names[METRIC_SCOPE_COUNT];    /* in the zone */
	struct metrics_entry *entries[METRIC_SCOPE_COUNT]; /* the master's */
	struct hash_map index[METRIC_SCOPE_COUNT];
	uint32_t free_from[METRIC_SCOPE_COUNT]; /* none is free below */
};

/*
 * Lay out the sets.  -1 and err when the tables are wrong (a name twice, or
 * not fit for Prometheus; a histogram without its room) or too large.
 */
int metrics_layout(struct metrics_layout *l, const struct metrics_config *c,
    struct error *err) __attribute__((warn_unused_result));
/* Create the zone "metrics".  -1 and err on failure. */
int metrics_open(struct metrics *m, const struct metrics_config *c,
    struct error *err) __attribute__((warn_unused_result));
/* Take over a zone that was handed on; takes fd also on failure. */
int metrics_adopt(struct metrics *m, int fd, const struct metrics_config *c,
    struct error *err) __attribute__((warn_unused_result));
void metrics_close(struct metrics *m);

/*
 * The number of a name; the same as before if it has one.  parent: the service
 * of a route, the upstream of a backend, empty for an upstream.  Each call is
 * to be undone by a release.  In the master only.
 */
uint32_t metrics_register(struct metrics *m, enum metric_scope scope,
    struct span parent, struct span name);
/*
 * No generation that was registered for it counts under index any more.  After
 * the last one what it counted is added to "other", booked on process_slot
 * (the caller's own), and the number is free.
 */
void metrics_release(struct metrics *m, enum metric_scope scope,
    uint32_t index, uint32_t process_slot);

/*
 * The block of a set that was given to metrics_open(): index is 0 for
 * METRIC_SCOPE_PROCESS, else what metrics_register() said.  Valid until
 * metrics_close().  Look it up once, not per event.
 */
_Atomic uint64_t *metrics_block(const struct metrics *m,
    const struct metric_set *set, uint32_t process_slot, uint32_t index);
/* A row summed over all process slots. */
uint64_t metrics_sum(const struct metrics *m, const struct metric_set *set,
    uint32_t index, size_t row);
/* One process slot's part of it. */
uint64_t metrics_value(const struct metrics *m, const struct metric_set *set,
    uint32_t process_slot, uint32_t index, size_t row);
/* True if a process of that slot ever asked for a block of the set. */
bool metrics_has_counted(const struct metrics *m,
    const struct metric_set *set, uint32_t process_slot);

/*
 * Whether readers are to see lines of a name, any process may say; what it
 * counts is kept.  A name that is registered first is seen.
 */
void metrics_hide(struct metrics *m, enum metric_scope scope, uint32_t index,
    bool is_hidden);
/* In the master: somebody else has registered it as well. */
bool metrics_is_shared(const struct metrics *m, enum metric_scope scope,
    uint32_t index);

/* A name of a directory, copied out of the zone. */
struct metrics_label {
	char parent[METRICS_PARENT_MAX + 1];
	char name[METRICS_NAME_MAX + 1];
};

/* Is index to be passed over?  See metrics_hide(). */
bool metrics_is_hidden(const struct metrics *m, enum metric_scope scope,
    uint32_t index);
/* False if index has no name now; always true for METRIC_SCOPE_PROCESS. */
bool metrics_label(const struct metrics *m, enum metric_scope scope,
    uint32_t index, struct metrics_label *label);
/* The next index at or behind index that may have a name; UINT32_MAX: none. */
uint32_t metrics_next(const struct metrics *m, enum metric_scope scope,
    uint32_t index);

/*
 * The predecessor that left the zone has gone: names that it alone used are
 * released, what they counted as by metrics_release().
 */
void metrics_release_unused(struct metrics *m, uint32_t process_slot);
/*
 * A successor that was given the zone has failed: names that it put into the
 * directory are taken out again.
 */
void metrics_reclaim(struct metrics *m, uint32_t process_slot);

/* After the death of the slot's process: nothing is "now" any more. */
void metrics_reset_gauges(struct metrics *m, uint32_t process_slot);

#endif

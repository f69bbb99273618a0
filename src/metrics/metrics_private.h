/* SPDX-License-Identifier: BSD-2-Clause */
/* metrics_private - what the zone of counters holds besides the counters. */
#ifndef METRICS_METRICS_PRIVATE_H
#define METRICS_METRICS_PRIVATE_H

#include "metrics/metrics.h"

/* In the zone, at its beginning. */
struct metrics_zone {
	uint32_t process_slots;
	uint32_t names_max[METRIC_SCOPE_COUNT];
	_Atomic uint32_t names_end[METRIC_SCOPE_COUNT]; /* behind the last */
	/* By process slot: a bit for each set that it ever counted in. */
	_Atomic uint64_t counted[];
};

/* In the zone: one name of a directory. */
struct metrics_name {
	_Atomic uint32_t version; /* odd: in use; another at each change */
	_Atomic uint32_t is_hidden; /* of no interest now: no lines */
	uint32_t parent_len;
	uint32_t name_len;
	char parent[METRICS_PARENT_MAX + 1];
	char name[METRICS_NAME_MAX + 1];
};

/* The master's copy of it. */
struct metrics_entry {
	uint32_t uses;
	uint32_t key_len;
	/* parent NUL name */
	char key[METRICS_PARENT_MAX + METRICS_NAME_MAX + 1];
};

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * leases - how many requests of a key are under way, over all processes.
 *
 * For each key every process counts its own, in a place of its own; the sum is
 * what counts.  A process adds itself before it looks at the sum, so that no
 * two can both believe to be the last that fits; where two try at once for the
 * last place, both may have to try again.  What a process has counted is its
 * lease: it carries the number of the process's life, and with the next life
 * in the same process slot it is void, whatever the dead one held.  One that is
 * still alive then finds its leases void, and does no harm.
 */
#ifndef MODULES_RATELIMIT_LEASES_H
#define MODULES_RATELIMIT_LEASES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LEASES_BYTES_MIN = 65536 };

/* Of the layout, which depends on the number of process slots. */
#define LEASES_VERSION(processes) (UINT32_C(1) << 16 | (uint32_t)(processes))

struct leases_head;

/* A table, as one process sees it. */
struct leases {
	struct leases_head *head;
	char *buckets;
	uint32_t count;
	uint32_t processes; /* slots; of the whole zone */
	uint32_t entry_bytes;
	uint64_t key[2];
};

/* One that was taken; zeroed = none. */
struct lease {
	_Atomic uint32_t *place;
	uint32_t life; /* in which it was */
};

/* memory: as gcra_open().  processes: slots there may ever be. */
void leases_open(struct leases *t, void *memory, size_t bytes,
    uint32_t processes, bool is_new);
/*
 * In a process that has begun, or in the master for one that has ended: what
 * its slot holds is void.
 */
void leases_begin_life(const struct leases *t, uint32_t process);
uint64_t leases_hash(const struct leases *t, const void *p, size_t len);
/*
 * One more of the key, at most max; false if there are as many.  is_forced:
 * count it in any case, and only tell.  In a table without room it is let in
 * and *is_full is set.
 */
bool leases_take(const struct leases *t, uint64_t hash, uint32_t process,
    uint32_t max, bool is_forced, uint64_t now_ms, struct lease *lease,
    bool *is_full);
void leases_return(struct lease *lease);
/* How many of the key there are. */
uint32_t leases_sum(const struct leases *t, uint64_t hash);

#endif

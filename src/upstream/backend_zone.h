/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * backend_zone - the shared memory of all slots of backends, and a row of
 * cells for each process: what it holds of them.
 *
 * Made and filled by the master; processes inherit it by fork.
 */
#ifndef UPSTREAM_BACKEND_ZONE_H
#define UPSTREAM_BACKEND_ZONE_H

#include <stddef.h>
#include <stdint.h>

#include "upstream/backend.h"

struct backend_zone;
struct error;
struct shmem;

/* Shared memory for slots backends; NULL and err on failure. */
struct backend_zone *backend_zone_new(size_t slots, struct error *err);
void backend_zone_free(struct backend_zone *zone);
const struct shmem *backend_zone_memory(const struct backend_zone *zone);

/* Whose a slot is, by the master's own table. */
struct backend_owner {
	const char *name; /* NULL = never used; borrowed */
	uint32_t version;
};

struct backend_owner backend_zone_owner(const struct backend_zone *zone,
    size_t slot);
/*
 * The last version of a slot that was given away, for a successor; further
 * ones of this zone are out of its way, so that a version never means two
 * names, also when the successor fails.
 */
uint32_t backend_zone_reserve(struct backend_zone *zone);
/*
 * A zone that a predecessor left, with its table; takes fd also on failure.
 * NULL and err where it has another size or layout.
 */
struct backend_zone *backend_zone_adopt(int fd, size_t slots,
    const struct backend_owner *owners, size_t owner_count,
    uint32_t versions, struct error *err);
size_t backend_zone_slots(const struct backend_zone *zone);
struct backend_slot *backend_zone_slot(const struct backend_zone *zone,
    size_t slot);
/*
 * Take an account in which this process books what it holds of backends; it
 * is given back by the process's end, whatever that is.  After the fork.  An
 * array by slot of the backend, or NULL when all are taken (logged): then the
 * process keeps no account.
 */
struct backend_cell *backend_zone_join(struct backend_zone *zone);
/* Accounts are numbers below this; UINT32_MAX: this process has none. */
uint32_t backend_zone_accounts(const struct backend_zone *zone);
uint32_t backend_zone_own(const struct backend_zone *zone);
/* What an account holds of a backend. */
const struct backend_cell *backend_zone_cell(const struct backend_zone *zone,
    uint32_t account, uint32_t slot);
/*
 * In the master, once a generation needs them: a way to wake each of the first
 * count accounts, for all processes forked from then on.  -1 and err.
 */
int backend_zone_need_wakers(struct backend_zone *zone, size_t count,
    struct error *err) __attribute__((warn_unused_result));
/* An eventfd, readable once somebody has woken this process; or -1. */
int backend_zone_waker(const struct backend_zone *zone);
/* Best effort: who cannot be woken looks by himself now and then. */
void backend_zone_wake(const struct backend_zone *zone, uint32_t account);

/*
 * For the background process, twice a second: return what the dead held.
 */
void backend_zone_mend(struct backend_zone *zone);

#endif

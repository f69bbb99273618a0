/* SPDX-License-Identifier: BSD-2-Clause */
/* backend_private - the zone of backends, for files that know its layout. */
#ifndef UPSTREAM_BACKEND_PRIVATE_H
#define UPSTREAM_BACKEND_PRIVATE_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "os/shmem.h"
#include "upstream/backend_zone.h"

struct backend_heritage;

enum {
	BACKEND_ZONE_LAYOUT = 3,
	/*
	 * For as many processes as there may ever be, so that the zone's size
	 * does not depend on their number; what is not used is not there.
	 */
	BACKEND_ACCOUNTS_MAX = 1024,
};

/* What the master alone knows of a slot: it believes nothing in the zone. */
struct backend_booking {
	char *name; /* NULL = never used; kept after the last generation */
	uint32_t version;
	uint32_t generations;
	uint64_t released; /* order in which slots became free */
};

/* At the end of the zone; rows of cells behind it. */
struct backend_accounts {
	/* Accounts from here on were never joined. */
	_Alignas(64) _Atomic uint32_t used;
	_Atomic uint32_t joined[BACKEND_ACCOUNTS_MAX]; /* 0 = nothing to return */
};

struct backend_zone {
	struct shmem memory;
	struct backend_slot *slots;
	struct backend_accounts *accounts;
	struct backend_cell *cells; /* a row of count an account */
	unsigned own; /* this process's account + 1, 0 = none */
	int *wakers;  /* eventfds, by account */
	size_t waker_count;
	struct backend_booking *owners;
	size_t count;
	uint32_t versions;
	uint64_t releases;
	struct backend_heritage *heritage; /* NULL = none, see backend_inherit.h */
};

/* By the one who alone writes the slot. */
void backend_put_addresses(struct backend_slot *slot,
    const struct backend_addresses *addresses);
size_t backend_zone_bytes(size_t slots);
/* Takes the memory. */
struct backend_zone *backend_zone_wrap(const struct shmem *memory,
    size_t slots);
/*
 * The slot of that name; else one never used; else the one that has been free
 * longest, so that a name which comes back soon finds its slot as it was.
 */
struct backend_booking *backend_zone_find(struct backend_zone *zone,
    struct span name);
/* Hand the slot to another name, with everything in it as new. */
void backend_zone_rename(struct backend_zone *zone,
    struct backend_booking *o, struct span name);

#endif

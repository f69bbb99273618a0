/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * places - which address of a name is at which of its backends.
 *
 * An address that an answer brings again stays where it is, with its slot:
 * connections, health, weight, counts.  One that has gone leaves its place
 * empty: it gets no more requests, what it does now it finishes.  A new one
 * takes the place that has been empty longest, and is as new.
 *
 * A host often has an address in each family.  So the addresses of the family
 * that comes first are the backends, and those of the other one are shared out
 * among them, for when the first cannot be connected to.
 */
#ifndef UPSTREAM_PLACES_H
#define UPSTREAM_PLACES_H

#include <stdbool.h>
#include <stdint.h>

#include "os/addr.h"

struct backend;

/* An answer: each address once, in the order of preference. */
struct places_answer {
	const struct addr_ip *items; /* port unused */
	uint32_t count;              /* >= 1 */
};

struct places_news {
	uint32_t come;
	uint32_t gone;
	uint32_t left_out; /* more than there are places */
};

/* Somebody new is at b; called with the claim held: no calls back. */
typedef void places_fn(void *arg, const struct backend *b);

/*
 * Bring the places of a name, of which first is the first, to what the answer
 * says.  -1: another process is at it this moment, try again a little later.
 */
int places_settle(const struct backend *first,
    const struct places_answer *answer, struct places_news *news,
    places_fn *on_come, void *arg) __attribute__((warn_unused_result));

/*
 * Whether a line of its own is due to it: it has an address, or it is the
 * first of a name that has none.
 */
bool places_is_shown(const struct backend *b);

#endif

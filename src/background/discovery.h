/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * discovery - keeps the addresses of the generation's backend names fresh.
 *
 * Runs in the background process.  Each name is asked for once at start and
 * again when its TTL ends (within the bounds of `resolve`); a failure is tried
 * again after 5 s and the last good answer kept.  Answers go to the places of
 * the name (upstream/places), where workers find them; a change is logged once.
 */
#ifndef BACKGROUND_DISCOVERY_H
#define BACKGROUND_DISCOVERY_H

#include <stdbool.h>
#include <stddef.h>

#include "net/resolver.h"
#include "upstream/places.h"

struct discovery;
struct error;
struct group;
struct loop;

/* What it tells, from the loop; any may be NULL. */
struct discovery_events {
	/* Once: every name has its first answer, or 2 s have passed. */
	void (*on_ready)(void *arg);
	places_fn *on_come; /* a new address is at that backend */
	/* After those: addresses have come or gone. */
	void (*on_change)(void *arg, struct group *g);
	void *arg;
};

/*
 * groups: those of the generation, bound; borrowed until discovery_stop().
 * options may be NULL.  NULL and err on failure.
 */
struct discovery *discovery_start(struct loop *loop,
    struct group *const *groups, size_t count,
    const struct resolver_options *options,
    const struct discovery_events *events, struct error *err);
/*
 * A successor serves and sees to the names from here on: two that differ would
 * undo each other's work.
 */
void discovery_retire(struct discovery *d);
void discovery_stop(struct discovery *d);
bool discovery_is_ready(const struct discovery *d);

#endif

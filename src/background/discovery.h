/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * discovery - keeps the addresses of the generation's backend names fresh.
 *
 * Runs in the background process.  Each name is asked for once at start and
 * again when its TTL ends (within the bounds of `resolve`); a failure is tried
 * again after 5 s and the last good answer kept.  Answers go into the
 * backends' slots, where workers read them; a change is logged once.
 */
#ifndef BACKGROUND_DISCOVERY_H
#define BACKGROUND_DISCOVERY_H

#include <stdbool.h>
#include <stddef.h>

#include "net/resolver.h"

struct discovery;
struct error;
struct group;
struct loop;

/* Every name has its first answer (good or bad), or 2 s have passed. */
typedef void discovery_ready_fn(void *arg);

/*
 * groups: those of the generation, bound; borrowed until discovery_stop().
 * on_ready is called once, from the loop; it may be NULL.  options may be
 * NULL.  NULL and err on failure.
 */
struct discovery *discovery_start(struct loop *loop,
    struct group *const *groups, size_t count,
    const struct resolver_options *options, discovery_ready_fn *on_ready,
    void *arg, struct error *err);
void discovery_stop(struct discovery *d);
bool discovery_is_ready(const struct discovery *d);

#endif

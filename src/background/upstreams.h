/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * upstreams - what the background process does for the backends' shared state.
 *
 * Twice a second it returns what processes that have died held of them
 * (requests in flight, connections, places in queues), and shows what they are
 * as gauges.  It checks their health, and answers the control commands
 * "upstreams" and "upstream ...".
 */
#ifndef BACKGROUND_UPSTREAMS_H
#define BACKGROUND_UPSTREAMS_H

#include <stdbool.h>

struct backend;
struct commands;
struct generation_shared;
struct group;
struct loop;
struct upstreams;

/* process: slot of this one's counters. */
struct upstreams *upstreams_start(struct loop *loop,
    const struct generation_shared *shared, unsigned process);
void upstreams_add_commands(struct upstreams *u, struct commands *commands);
/*
 * Its generation serves, and shows gauges, or it drains: then checks are its
 * successor's.
 */
void upstreams_serve(struct upstreams *u, bool is_serving);
/* Of the discovery: an address has come; addresses of g have come or gone. */
void upstreams_on_come(struct upstreams *u, const struct backend *b);
void upstreams_on_change(struct upstreams *u, const struct group *g);
/* NULL is fine. */
void upstreams_stop(struct upstreams *u);

#endif

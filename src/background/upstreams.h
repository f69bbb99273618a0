/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * upstreams - what the background process does for the backends' shared state.
 *
 * Twice a second it returns what processes that have died held of them
 * (requests in flight, connections, places in queues).
 */
#ifndef BACKGROUND_UPSTREAMS_H
#define BACKGROUND_UPSTREAMS_H

struct backend_zone;
struct loop;
struct upstreams;

struct upstreams *upstreams_start(struct loop *loop,
    struct backend_zone *zone);
/* NULL is fine. */
void upstreams_stop(struct upstreams *u);

#endif

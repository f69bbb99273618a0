/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * upstreams - what the background process does for the backends' shared state.
 *
 * Twice a second it returns what processes that have died held of them
 * (requests in flight, connections, places in queues).
 */
#ifndef BACKGROUND_UPSTREAMS_H
#define BACKGROUND_UPSTREAMS_H

struct generation_shared;
struct loop;
struct upstreams;

/* Health checks too. */
struct upstreams *upstreams_start(struct loop *loop,
    const struct generation_shared *shared);
/* NULL is fine. */
void upstreams_stop(struct upstreams *u);

#endif

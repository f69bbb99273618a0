/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * queue - exchanges that wait because their backends have max_connections.
 *
 * Each worker has a queue for each upstream, first come, first served; how
 * many wait in all is counted over the workers.  A connection that becomes
 * free goes to a waiting exchange of its own worker, unless another worker
 * waits that has clearly less: then it is closed, and that worker is woken to
 * make one.  A worker that begins to wait wakes one that has idle
 * connections.  Wakes are best effort: who waits also looks every 10 ms, so
 * that whoever dies with the news on its way delays no more than that.
 */
#ifndef PROXY_QUEUE_H
#define PROXY_QUEUE_H

#include <stdbool.h>

#include "proxy/reason.h"

struct backend;
struct exchange;
struct proxy;
struct queues;

/* NULL if no upstream has a limit.  Once groups have started. */
struct queues *queue_open(struct proxy *p);
/* No exchange is left.  NULL is fine. */
void queue_close(struct queues *queues);

/*
 * Wait, with the place it has had or as the last.  REASON_NONE: when there is
 * room it goes on in EXCHANGE_SELECT, when its time is up it fails.
 * REASON_QUEUE_FULL: it may not wait.
 */
enum reason queue_enter(struct exchange *ex);
/* It has what it waited for, or has come to its end; harmless otherwise. */
void queue_leave(struct exchange *ex);
/* There is room at b: a connection was closed or is idle. */
void queue_room(struct proxy *p, const struct backend *b);
/* A connection of this worker's carries more requests at once than before. */
void queue_streams(struct proxy *p, const struct backend *b);
/* A connection to b is free: must it be closed now, for another worker? */
bool queue_wants(struct proxy *p, const struct backend *b);

#endif

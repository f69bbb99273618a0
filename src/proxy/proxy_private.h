/* SPDX-License-Identifier: BSD-2-Clause */
/* proxy_private - the worker's proxy, as the files of this folder see it. */
#ifndef PROXY_PROXY_PRIVATE_H
#define PROXY_PROXY_PRIVATE_H

#include "base/arena.h"
#include "base/list.h"
#include "base/pipe.h"
#include "base/slab.h"
#include "base/str.h"
#include "metrics/metrics.h"
#include "net/conn.h"
#include "os/loop.h"
#include "proxy/module_def.h"
#include "proxy/proxy.h"
#include "proxy/serving.h"
#include "proxy/stats.h"
#include "upstream/pool.h"

struct backend_conn;
struct backend_h2;
struct backend_h2_pool;
struct backend_h2_stream;
struct client_conn;
struct client_h2;
struct client_h2_stream;
struct digest;
struct exchange;
struct helpers;
struct tls_io;

enum {
	SCRATCH_BYTES = 262144,  /* of one receive */
	OUT_BYTES = 262144,      /* composed output, and heads */
	OUT_JOIN_MAX = 65536,    /* up to here a copy is cheaper than a send */
	TURN_BYTES = 1048576,    /* per connection and turn of the loop */
	FAILED_MAX = 16,
	WATCH_LATE_MS = 20,      /* see client_conn.c: watch_later() */
};

struct proxy {
	struct loop *loop;
	struct proxy_boot boot;
	struct module_worker module_worker;
	size_t module_count;
	void **module_memory;    /* by module index; NULL until asked for */
	struct helpers *helpers; /* likewise */
	struct digest *digest;   /* likewise */

	char *scratch;           /* SCRATCH_BYTES; valid within an event */
	char *out_memory;
	struct str out;          /* composed for out_conn, not yet sent */
	struct conn *out_conn;
	struct conn *failed[FAILED_MAX]; /* a send failed; told at the end */
	unsigned failed_count;

	struct tls_io *tls;      /* scratch of all TLS */
	struct block_pool blocks;
	struct list starved;     /* exchanges that wait for blocks */
	struct deadline starved_look;
	struct arena_cache arenas;
	struct slab clients;
	struct slab backends;
	struct slab exchanges;
	struct list client_list; /* all client connections over HTTP/1 */
	struct list h2_client_list; /* and over HTTP/2 */
	struct slab h2_clients;
	struct slab h2_streams;  /* of theirs */
	struct slab h2_backends;
	struct slab h2_backend_streams;
	struct list h2_backend_list;
	struct backend_h2_pool **h2_pools; /* by slot */
	size_t h2_pool_count;
	struct list unwatched;   /* of them, those only a backend is busy for */
	struct deadline watch_late;
	struct pool *pool;
	struct pool_counts pool_counts;
	struct queues *queues;   /* NULL: no upstream has a limit */

	struct serving *serving; /* what the processor works on */
	struct serving unread;   /* where that is, without shared memory */
	_Atomic uint64_t *stats; /* rows of stats_proxy */
	_Atomic uint64_t **group_stats; /* of stats_upstream, by number */
	_Atomic uint64_t **module_stats; /* by module index, or NULL */
	_Atomic uint64_t **backend_stats; /* of stats_backend, by slot; late */
	_Atomic uint64_t **route_stats; /* of stats_route, by index; made late */
	uint64_t next_connection_id;
	size_t connections;      /* client connections open */
	size_t admin_connections; /* of them, the admin listener's */
	size_t connections_max;
	bool accepting;
	bool draining;
	bool is_stopping; /* and nobody follows */
	bool is_leaving;  /* soon: /healthz says so already */
	uint64_t draining_since_ms;
	struct deadline tunnel_tick;
	struct deadline retry_accept;
	void (*on_drained)(void *arg);
	void *on_drained_arg;
	/* Freed at the end of the turn: an event may still point there. */
	struct client_conn *dead_clients;
	struct backend_conn *dead_backends;
	struct client_h2 *dead_h2_clients;
	struct client_h2_stream *dead_h2_streams;
	struct backend_h2 *dead_h2_backends;
	struct backend_h2_stream *dead_h2_backend_streams;
	struct loop_task bury;
};

/* Where to compose what goes to c next; flushes what another one's was. */
struct str *proxy_out(struct proxy *p, struct conn *c);
/* Body bytes behind what was composed: joined when small, else sent. */
void proxy_out_bytes(struct proxy *p, struct conn *c, struct span bytes);
/* Bytes composed for c and not yet sent. */
static inline size_t
proxy_out_pending(const struct proxy *p, const struct conn *c)
{
	return p->out_conn == c ? p->out.len : 0;
}
/*
 * Send what is composed, and tell the owners of connections that failed.
 * Each event, deadline and task of this folder ends with it.
 */
void proxy_flush(struct proxy *p);
/* Send what is composed; failures wait for proxy_flush(). */
void proxy_send_out(struct proxy *p);
/* c is about to be closed: forget what was composed for it. */
void proxy_forget_out(struct proxy *p, struct conn *c);
/* The exchange has ended: counters of process, route and upstream. */
void proxy_count_exchange(struct exchange *ex);
_Atomic uint64_t *proxy_upstream_stats(struct proxy *p,
    const struct exchange *ex);
/* Of the backend that the exchange has, or had last. */
_Atomic uint64_t *proxy_backend_stats(struct proxy *p,
    const struct exchange *ex);
/* Count it for the upstream and for the backend of the exchange. */
void proxy_count_upstream(struct exchange *ex, enum upstream_stat row);
/* A client connection has gone. */
void proxy_client_gone(struct proxy *p, bool is_admin);
/* Stop accepting for a while: out of descriptors. */
void proxy_pause_accept(struct proxy *p);

#endif

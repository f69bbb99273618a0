/* SPDX-License-Identifier: BSD-2-Clause */
/* backend_h2_private - HTTP/2 to backends, as its files see it. */
#ifndef PROXY_BACKEND_H2_PRIVATE_H
#define PROXY_BACKEND_H2_PRIVATE_H

#include <assert.h>

#include "base/list.h"
#include "base/now.h"
#include "http/h2_session.h"
#include "proxy/exchange_private.h"
#include "proxy/proxy_private.h"
#include "proxy/route.h"
#include "upstream/group.h"

enum {
	BACKEND_H2_MAGIC = 0x62656832,
	BACKEND_H2_STREAM_MAGIC = 0x62683273,
};

/* Of one backend in this worker. */
struct backend_h2_pool {
	struct proxy *proxy;
	const struct backend *backend;
	struct list conns;     /* that take streams; most used first */
	struct list waiters;   /* streams without a connection */
	uint32_t connecting;   /* connections that are being made */
	bool is_known;         /* the last one spoke HTTP/2 */
	uint64_t h1_until_ms;  /* it asked for HTTP/1.1 */
	struct loop_task task; /* what waits goes on */
};

struct backend_h2 {
	struct conn conn;
	uint32_t magic;
	bool is_closed;      /* waits for the end of the turn */
	bool is_leaving;     /* takes no more streams */
	bool is_pinged;      /* and has not answered yet */
	bool was_idle;
	bool has_ended;      /* a stream, in this turn */
	bool is_limited;     /* counts against max_connections */
	struct proxy *proxy;
	struct backend_h2_pool *pool;
	const struct group_conf *group;
	struct h2_session *session; /* NULL once closed */
	struct list in_pool;
	struct list all;     /* in proxy->h2_backend_list */
	struct list streams;
	struct list touched; /* the exchange takes body again, or is to fail */
	struct list stalled; /* the source of the request waits for room */
	struct backend_h2 *next_dead;
	struct loop_task task;
	uint64_t idle_until_ms; /* while there is no stream */
	uint64_t received_seen; /* conn.received when the deadline was set */
	uint32_t served;
	uint32_t tenancy;    /* of the backend, when it was made */
	uint32_t load;       /* streams in all */
	const char *why;     /* it dies, for its streams */
	char *name;          /* as backend_conn_open_name() said; heap */
	size_t name_len;     /* 0 = it was made under no name of a request */
	struct h2_conf conf;
};

struct backend_h2_stream {
	struct h2_stream h2;
	uint32_t magic;
	bool is_waiting;     /* among the waiters */
	bool head_waits;     /* for SETTINGS: is there extended CONNECT? */
	bool in_ended;       /* END is behind `in` */
	bool is_feeding;
	bool is_dead;
	bool request_ended;
	bool must_fail;      /* told at the end of the turn */
	uint32_t interim_count;
	uint64_t left;       /* of a body whose length was said, else MAX */
	struct backend_h2 *bh; /* NULL while waiting */
	struct backend_h2_pool *pool;
	struct proxy *proxy;
	struct exchange *ex;
	struct list all, touched, stalled;
	struct pipe in;      /* body that the exchange did not take yet */
	struct http_fields *trailers; /* in the exchange's arena */
	struct deadline deadline;
	struct backend_h2_stream *next_dead;
};

extern const struct h2_events backend_h2_stream_events;

static inline void
backend_h2_want_turn(struct backend_h2 *bh)
{
	if (!bh->task.is_queued)
		loop_defer(bh->proxy->loop, &bh->task);
}

/* A stream for ex, not on a connection yet. */
struct backend_h2_stream *backend_h2_stream_new(struct exchange *ex,
    struct backend_h2_pool *pool);
/* It ends; its exchange goes on without. */
void backend_h2_stream_drop(struct backend_h2_stream *s);
/* Give it a connection. */
void backend_h2_stream_attach(struct backend_h2_stream *s,
    struct backend_h2 *bh);
void backend_h2_stream_feed_touched(struct backend_h2 *bh);
/* Frames were composed: who was waiting for it? */
void backend_h2_stream_composed(struct backend_h2 *bh);
void backend_h2_stream_bury(struct proxy *proxy);
/* For the stream's events. */
void backend_h2_on_goaway(void *owner, uint32_t last_id, uint32_t error);
void backend_h2_on_settings(void *owner);
void backend_h2_on_pong(void *owner);

#endif

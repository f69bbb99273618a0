/* SPDX-License-Identifier: BSD-2-Clause */
/* client_h2_private - an HTTP/2 client connection, as its files see it. */
#ifndef PROXY_CLIENT_H2_PRIVATE_H
#define PROXY_CLIENT_H2_PRIVATE_H

#include <assert.h>

#include "base/list.h"
#include "base/now.h"
#include "http/h2_session.h"
#include "net/listener.h"
#include "proxy/client_wait.h"
#include "proxy/exchange.h"
#include "proxy/proxy_private.h"
#include "proxy/route.h"

enum {
	CLIENT_H2_MAGIC = 0x636c6832,
	CLIENT_H2_STREAM_MAGIC = 0x63683273,
};

/* What the connection's deadline is for. */
enum client_h2_wait {
	WAIT_NOTHING, /* streams are served, and have their own */
	WAIT_HEAD,    /* the preface, or the rest of a head */
	WAIT_IDLE,    /* no stream */
	WAIT_WRITE,   /* what was sent is not read */
	WAIT_LAST,    /* FIN sent; reading what still comes */
	WAIT_CLOSED,  /* waits for its last exchange and the turn's end */
};

struct client_h2 {
	struct conn conn;
	uint32_t magic;
	uint8_t waits;       /* enum client_h2_wait */
	bool is_reading;
	bool is_admin;
	bool is_leaving;     /* a GOAWAY was sent, as a notice */
	bool has_left;       /* and the final one */
	struct proxy *proxy;
	const struct listener_spec *spec;
	struct h2_session *session; /* NULL once closed */
	struct list all;     /* in proxy->h2_clients_list */
	struct list streams;
	struct list held;    /* not released yet: their body may be here */
	struct list touched; /* the exchange takes body again */
	struct list stalled; /* the source waits for room */
	struct list slow;    /* body waits for the client */
	struct client_h2 *next_dead;
	struct loop_task task;
	struct deadline leave; /* until the final GOAWAY */
	uint64_t id;
	uint64_t sent_seen;  /* conn.sent when the deadline was set */
	uint64_t lingered;   /* bytes */
	uint32_t requests;
	struct addr_ip peer;
	struct h2_conf conf;
};

struct client_h2_stream {
	struct h2_stream h2;
	uint32_t magic;
	bool has_exchange;   /* it took the arena */
	bool is_connect;     /* extended CONNECT: body is a tunnel's */
	bool in_ended;       /* END is in `in`, or was given */
	bool end_given;
	bool is_feeding;     /* `in` is in use up the stack */
	bool was_cut;
	struct client_h2 *c;
	struct exchange *ex;
	struct arena arena;  /* of the head, until the exchange takes it */
	struct list all, held, touched, stalled, slow;
	struct pipe in;      /* body that the exchange did not take yet */
	struct http_fields *trailers; /* in the exchange's arena */
	struct client_wait wait;
	struct deadline deadline;
	uint64_t sent_seen;
	struct client_h2_stream *next_dead;
};

extern const struct h2_events client_h2_stream_events;

static inline const struct service *
client_h2_service(const struct client_h2 *c)
{
	return c->spec->service;
}

/* Compose, send and look after all of it at the end of this turn. */
static inline void
client_h2_want_turn(struct client_h2 *c)
{
	if (!c->task.is_queued)
		loop_defer(c->proxy->loop, &c->task);
}

/* The end of a receive: answers may go now. */
void client_h2_stream_release_held(struct client_h2 *c);
/* Feed those whose exchange takes body again. */
void client_h2_stream_feed_touched(struct client_h2 *c);
/* Frames were composed: who was waiting for it? */
void client_h2_stream_composed(struct client_h2 *c);

#endif

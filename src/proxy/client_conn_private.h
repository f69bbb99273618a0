/* SPDX-License-Identifier: BSD-2-Clause */
/* client_conn_private - a client connection, as its files see it. */
#ifndef PROXY_CLIENT_CONN_PRIVATE_H
#define PROXY_CLIENT_CONN_PRIVATE_H

#include <assert.h>

#include "base/list.h"
#include "base/now.h"
#include "http/h1_body.h"
#include "http/h1_parse.h"
#include "net/listener.h"
#include "proxy/client_wait.h"
#include "proxy/exchange.h"
#include "proxy/proxy_private.h"
#include "proxy/route.h"

enum {
	CLIENT_CONN_MAGIC = 0x636c6e74,
	SPARE_FIELDS = 8,
	CHUNK_LINE_MAX = 4096,
	LINGER_MS = 2000,        /* reading on after a last answer */
	LINGER_BYTES = 4194304,  /* at most */
};

enum client_conn_state {
	STATE_PROXY,     /* the head of the PROXY protocol is awaited */
	STATE_HANDSHAKE, /* of TLS */
	STATE_IDLE,     /* between requests, or before the first */
	STATE_HEAD,     /* part of a head has come */
	STATE_EXCHANGE,
	STATE_LAST,     /* the last answer is being flushed */
	STATE_LINGER,   /* FIN sent; reading what the client still sends */
	STATE_CLOSED,   /* waits for the end of the turn */
};

/* Bytes that had to be kept over the end of a turn; heap, rarely there. */
struct kept {
	struct h1_state h1;
	size_t len;
	size_t size;
	char bytes[];
};

struct client_conn {
	struct conn conn;
	uint32_t magic;
	uint8_t state;         /* enum client_conn_state */
	bool is_reading;       /* on the stack: resume has nothing to do */
	bool body_done;        /* of the current request */
	bool chunked_out;      /* framing of the current response */
	bool close_after;      /* Connection: close was said */
	bool no_body;          /* the response has none to send (HEAD, 304) */
	bool was_cut;
	bool until_close;      /* the response ends with the connection */
	bool fin_wanted;       /* once what waits is sent */
	bool is_admin;
	struct proxy *proxy;
	const struct listener_spec *spec;
	struct exchange *ex;
	struct kept *kept;
	struct h1_body *body;  /* in the exchange's arena; NULL: it has none */
	struct list all;
	struct list unwatched; /* in the proxy's, or alone */
	struct client_conn *next_dead;
	struct loop_task task;
	uint64_t id;
	struct client_wait wait; /* its bytes: also read while lingering */
	uint64_t received_before, sent_before; /* this exchange's first byte */
	uint32_t requests;
	struct addr_ip peer;
};

static inline const struct service *
client_conn_service(const struct client_conn *c)
{
	return c->spec->service;
}

static inline struct client_conn *
client_conn_of(const struct exchange *ex)
{
	struct client_conn *c = ex->client;

	assert(c->magic == CLIENT_CONN_MAGIC);
	return c;
}

static inline void
client_conn_arm(struct client_conn *c, uint64_t wait_ms)
{
	deadline_set(c->proxy->loop, &c->conn.deadline, now_ms() + wait_ms);
}

/*
 * From now on something is waited for that only this client can bring.  -1
 * with errno: no memory for it.
 */
static inline int
client_conn_watch(struct client_conn *c)
{
	list_remove(&c->unwatched);
	return conn_watch(&c->conn);
}

static inline void
client_conn_leave_idle(struct client_conn *c)
{
	if (c->state == STATE_IDLE)
		counter_sub(&c->proxy->stats[PROXY_STAT_CONN_IDLE], 1);
}

/* ---- client_conn.c: its life ---- */

extern const struct client_ops client_conn_ops;
/* Between two requests, or before the first. */
void client_conn_set_idle(struct client_conn *c);
/* The one way to die; it has no exchange. */
void client_conn_drop(struct client_conn *c, bool reset);

/* ---- client_begin.c: before HTTP/1; each may end it ---- */

/* A head of the PROXY protocol comes first. */
void client_begin_proxy(struct client_conn *c);
void client_begin_read_proxy(struct client_conn *c);
/* It comes no more, or is none. */
void client_begin_refuse(struct client_conn *c, const char *why);
/* The connection's own bytes begin. */
void client_begin_stream(struct client_conn *c);
/* Go on with the handshake; what comes behind it is the first request. */
void client_begin_shake(struct client_conn *c);
void client_begin_failed(struct client_conn *c, enum proxy_stat stat,
    const char *otherwise);
/* The connection goes on as one of HTTP/2; this struct ends. */
void client_begin_h2(struct client_conn *c, struct span in);

/* ---- client_receive.c ---- */

/* Read and serve as long as there is something to read and room for it. */
void client_receive(struct client_conn *c);
/* A head that took too long is answered and logged (RFC 9110, 15.5.9). */
void client_receive_timed_out(struct client_conn *c);

/* ---- client_finish.c ---- */

/* See client_ops.finished and .book_bytes. */
void client_finish(struct exchange *ex);
void client_finish_book_bytes(struct exchange *ex);
/* The exchange is gone and said "close": flush, then FIN. */
void client_finish_last(struct client_conn *c);

#endif

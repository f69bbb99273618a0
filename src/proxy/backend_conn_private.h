/* SPDX-License-Identifier: BSD-2-Clause */
/* backend_conn_private - a connection to a backend, as its files see it. */
#ifndef PROXY_BACKEND_CONN_PRIVATE_H
#define PROXY_BACKEND_CONN_PRIVATE_H

#include <assert.h>

#include "base/now.h"
#include "http/h1_body.h"
#include "http/h1_parse.h"
#include "proxy/backend_conn.h"
#include "proxy/exchange_private.h"
#include "proxy/proxy_private.h"
#include "proxy/route.h"
#include "upstream/group.h"
#include "upstream/pool.h"

enum {
	BACKEND_CONN_MAGIC = 0x62636f6e,
	SPARE_FIELDS = 8,
	CHUNK_LINE_MAX = 4096,
};

enum backend_conn_state {
	STATE_CONNECTING,
	STATE_VIA,       /* the next hop has been asked to connect */
	STATE_HANDSHAKE, /* of TLS */
	STATE_ACTIVE, /* has an exchange; before: not yet for requests */
	STATE_IDLE,   /* in the pool */
	STATE_CLOSED, /* waits for the end of the turn */
};

struct backend_conn {
	struct conn conn;
	uint32_t magic;
	enum backend_conn_state state;
	struct pool_item item;
	struct proxy *proxy;
	struct exchange *ex;
	struct backend_conn *next_dead;
	struct loop_task task;  /* read on, outside of the current event */
	struct h1_body body;    /* of the response */
	struct h1_state h1;
	char *accept;           /* of a key of ours; in the exchange's arena */
	char *head;             /* an incomplete head; heap, or NULL */
	size_t head_len, head_size;
	char *old_head;         /* of the exchange that just left */
	uint64_t sent_before;   /* conn.sent when this exchange began */
	uint64_t given_before;
	struct via_answer *via; /* of STATE_VIA; heap */
	char *name;             /* asked for in the handshake; heap, or NULL */
	uint64_t received_before;
	uint32_t interim_count;
	unsigned seen;          /* addresses of its name tried so far */
	struct addr *connecting_to; /* in the exchange's arena */
	uint32_t keep_alive_s;  /* the backend's Keep-Alive: timeout */
	bool head_done;
	bool chunked;           /* the request's framing */
	bool request_ended;
	bool tunnel_ended;      /* by the client */
	bool response_ended;
	bool keep_alive;
	bool is_limited;        /* counts against max_connections */
	bool for_h2;            /* so far: a connection for HTTP/2 */
	bool is_reading;        /* on the stack: resume has nothing to do */
};

static inline struct backend_conn *
backend_conn_of(const struct exchange *ex)
{
	struct backend_conn *bc = ex->backend_conn;

	assert(bc->magic == BACKEND_CONN_MAGIC && bc->ex == ex);
	return bc;
}

static inline void
backend_conn_arm(struct backend_conn *bc, uint64_t wait_ms)
{
	deadline_set(bc->proxy->loop, &bc->conn.deadline, now_ms() + wait_ms);
}

/* ---- backend_conn.c: its life ---- */

struct backend_conn *backend_conn_new(struct proxy *proxy,
    const struct backend *backend, int fd, uint32_t tenancy);
/* From now on it carries ex. */
void backend_conn_attach(struct backend_conn *bc, struct exchange *ex);
/* It carries its exchange no more; both live on. */
void backend_conn_leave(struct backend_conn *bc);
/* The end, without the exchange: the descriptor is closed, or given away. */
void backend_conn_drop(struct backend_conn *bc);
void backend_conn_die(struct backend_conn *bc);
/* This try is over for the exchange, which may end with it. */
void backend_conn_fail(struct backend_conn *bc, enum reason reason,
    const char *detail);

/* ---- backend_conn_open.c ---- */

/* Something came from the next hop, or in the handshake; may fail. */
void backend_conn_open_via(struct backend_conn *bc);
void backend_conn_open_shake(struct backend_conn *bc);
/* One of the steps took too long. */
void backend_conn_open_late(struct backend_conn *bc);
/* The connect has come to an end, well or not. */
void backend_conn_open_ended(struct backend_conn *bc);

/* ---- backend_conn_send.c: what the exchange asks of it ---- */

extern const struct backend_ops backend_conn_send_ops;
/* Did the backend understand the key that we made? */
bool backend_conn_send_is_answered(const struct backend_conn *bc,
    const struct http_response *res);
/* The backend takes bytes again. */
void backend_conn_send_rest(struct backend_conn *bc);

/* ---- backend_conn_receive.c ---- */

/* Read the response as far as it has come; the exchange may end. */
void backend_conn_receive(struct backend_conn *bc);

#endif

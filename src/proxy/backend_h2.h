/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * backend_h2 - HTTP/2 connections to backends, each shared by many exchanges.
 *
 * backend_conn makes the connections, whatever will be spoken on them; what
 * turns out to be HTTP/2 is given here.  While one is being made to a backend
 * that is known to speak it, further exchanges wait for it.
 */
#ifndef PROXY_BACKEND_H2_H
#define PROXY_BACKEND_H2_H

#include <stdbool.h>
#include <stddef.h>

#include "os/addr.h"
#include "proxy/exchange.h"

struct backend;
struct backend_h2_pool;
struct conn;
struct proxy;

enum backend_h2_result {
	BACKEND_H2_READY,   /* ex->backend_conn is a stream */
	BACKEND_H2_PENDING, /* exchange_on_connected() or _failed follows */
	BACKEND_H2_CONNECT, /* there is none: make a connection */
};

/* May this exchange's attempt go over HTTP/2? */
bool backend_h2_is_wanted(const struct exchange *ex);
/* Must it, once the connection stands?  alpn: what was negotiated. */
bool backend_h2_is_spoken(const struct exchange *ex, const struct conn *c);
/* A stream on a connection that stands, or a place among those who wait. */
enum backend_h2_result backend_h2_open(struct exchange *ex, bool may_reuse);
/* A connection for HTTP/2 is being made; and this has ended, well or not. */
void backend_h2_connect_began(struct proxy *proxy, const struct backend *b);
void backend_h2_connect_ended(struct proxy *proxy, const struct backend *b);
/*
 * Take over a connection that stands; ex is its first stream.  is_limited: it
 * counts against max_connections.  tenancy: the backend's, before the connect.
 */
void backend_h2_take(struct exchange *ex, struct conn *from, bool is_limited,
    uint32_t tenancy);
/* Close one that carries nothing, for others that wait; false = none. */
bool backend_h2_close_one(struct proxy *proxy, const struct backend *b);
size_t backend_h2_bytes(void);
size_t backend_h2_stream_bytes(void);
void backend_h2_bury(struct proxy *proxy);
/* Weir stops: connections without streams end, the others when theirs do. */
void backend_h2_drain(struct proxy *proxy);
/* Closes all of them. */
void backend_h2_fini(struct proxy *proxy);

#endif

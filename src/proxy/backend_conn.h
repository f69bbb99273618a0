/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * backend_conn - an HTTP/1 connection to a backend: carries one exchange at a
 * time, and rests in the pool between them.
 */
#ifndef PROXY_BACKEND_CONN_H
#define PROXY_BACKEND_CONN_H

#include <stdbool.h>
#include <stddef.h>

#include "proxy/exchange.h"

struct pool_ops;

enum { BACKEND_CONN_NAME_MAX = 256 }; /* of one that TLS asks for */

enum backend_conn_result {
	BACKEND_CONN_READY,   /* ex->backend_conn is usable now */
	BACKEND_CONN_PENDING, /* exchange_on_connected() or _failed follows */
	BACKEND_CONN_FULL,    /* max_connections: there may be no more now */
	BACKEND_CONN_FAILED,  /* *reason and *detail say why */
};

/*
 * A connection to ex->backend: the worker's own idle one, one that any worker
 * parked, or a new one; with may_reuse false only the last.
 */
enum backend_conn_result backend_conn_open(struct exchange *ex,
    bool may_reuse, enum reason *reason, const char **detail);
/*
 * A new connection for an exchange that waits for one already:
 * exchange_on_connected(), _full or _failed follows, perhaps at once.
 */
void backend_conn_open_new(struct exchange *ex);
/*
 * The name that a request has its backend asked for, where that follows from
 * the request: connections made under another one are not for it.  Empty: it
 * does not, or there is none.  In memory.
 */
struct span backend_conn_open_name(struct exchange *ex,
    char memory[BACKEND_CONN_NAME_MAX]);
extern const struct pool_ops backend_conn_pool_ops;
/* Of one connection, for the slab. */
size_t backend_conn_bytes(void);
/* Frees the memory of those that ended: at the end of the turn. */
void backend_conn_bury(struct proxy *proxy);

#endif

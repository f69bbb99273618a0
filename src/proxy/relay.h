/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * relay - the two bodies of an exchange: from source through the handlers of
 * the body phases to the sink, with what waits in between.
 *
 * Without handlers a piece goes straight from the receive scratch to the sink.
 * A handler that pauses stops the source; what was on its way is copied.
 */
#ifndef PROXY_RELAY_H
#define PROXY_RELAY_H

#include "proxy/exchange.h"

/* ---- for modules ---- */

/*
 * Handlers of bodies or trailers that said WAIT are called again, all of this
 * exchange: one that still has to wait says so again.  May free the exchange.
 */
void relay_resume(struct exchange *ex);

/* ---- for the carriers ---- */

/* Request body; is_end exactly once.  trailers in the arena, or NULL. */
void relay_on_request_body(struct exchange *ex, struct span bytes,
    bool is_end, struct http_fields *trailers);
/* Bytes of a tunnel from the client, once the request's own body is done. */
void relay_on_tunnel(struct exchange *ex, struct span bytes, bool is_end);
/*
 * How much request body is welcome; 0 = wait for client_ops.resume, SIZE_MAX
 * = a whole scratch.
 */
size_t relay_request_room(struct exchange *ex);
/* The client's pipe has room again. */
void relay_on_client_writable(struct exchange *ex);
void relay_on_response_body(struct exchange *ex, struct span bytes,
    bool is_end, struct http_fields *trailers);
/* A handler may change the length of the response's body. */
bool relay_changes_response(const struct exchange *ex);
size_t relay_response_room(struct exchange *ex);
void relay_on_backend_writable(struct exchange *ex);

/* ---- for the exchange ---- */

/* The route is known: body that came before goes to its handlers. */
void relay_request_routed(struct exchange *ex);
/*
 * With buffer_request: true once the whole body has come, which is kept for
 * all tries then; false = not yet.
 */
bool relay_request_collected(struct exchange *ex);
/* A backend is there and has the head: give it what waits. */
void relay_request_begin(struct exchange *ex);
/* The response head is out: give the client what waits. */
void relay_response_begin(struct exchange *ex);
void relay_fini(struct exchange *ex);

/* ---- for the proxy ---- */

void relay_starved_init(struct proxy *p);

#endif

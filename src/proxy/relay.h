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

/* A backend is there and has the head: give it what waits. */
void relay_request_begin(struct exchange *ex);
/* The response head is out: give the client what waits. */
void relay_response_begin(struct exchange *ex);
void relay_fini(struct exchange *ex);

#endif

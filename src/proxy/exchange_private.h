/* SPDX-License-Identifier: BSD-2-Clause */
/* exchange_private - what the files of the exchange share among themselves. */
#ifndef PROXY_EXCHANGE_PRIVATE_H
#define PROXY_EXCHANGE_PRIVATE_H

#include "proxy/exchange.h"
#include "proxy/proxy_private.h"
#include "proxy/route.h"
#include "upstream/backend.h"

enum { EXCHANGE_MAGIC = 0x65786368 };

#define EXCHANGE_TOO_LARGE "it exceeds buffer_request_max"

/* Does the walk go on, with the state that is set? */
enum flow { FLOW_ON, FLOW_STOP };

/* ---- exchange_walk.c: phases and states ---- */

/* Walk on through the states; may free the exchange. */
void exchange_walk(struct exchange *ex);
/* The handlers of ex->phase, from ex->hook_at on. */
enum verdict exchange_walk_chain(struct exchange *ex,
    const struct phase_chain *chain);

/* Most phases of most routes have no handler: that costs a look. */
static inline enum verdict
exchange_walk_hooks(struct exchange *ex, enum phase phase)
{
	const struct phase_table *phases = &ex->route->phases;

	ex->phase = phase;
	ex->proxy->serving->phase = (uint32_t)phase;
	if ((phases->used & PHASE_BIT(phase)) == 0 &&
	    ex->resumed == VERDICT_NEXT)
		return VERDICT_NEXT;
	return exchange_walk_chain(ex, &phases->chains[phase]);
}

static inline enum flow
exchange_walk_enter(struct exchange *ex, enum exchange_state state)
{
	ex->state = state;
	return FLOW_ON;
}

/* It failed: on to the phase fail. */
enum flow exchange_walk_fail(struct exchange *ex, enum reason reason,
    const char *detail);

/* ---- exchange_retry.c ---- */

/* A try has failed; where to now? */
enum flow exchange_retry(struct exchange *ex, enum reason reason,
    const char *detail);

/* ---- exchange.c ---- */

/* It is over, and the walk has returned. */
void exchange_free(struct exchange *ex);
/* Note a reason without walking on; keeps the first one of an answer. */
void exchange_note(struct exchange *ex, enum reason reason,
    const char *detail);
/* End the exchange if both bodies have ended; may free it. */
void exchange_settle(struct exchange *ex);
/* ex->backend has something to do for this try from now on, or no more. */
void exchange_enter_backend(struct exchange *ex);
void exchange_leave_backend(struct exchange *ex);
/* Drop the backend's side of this try. */
void exchange_drop_backend(struct exchange *ex);
/* False if another host has come to the backend's place during this try. */
static inline bool
exchange_is_same_tenant(const struct exchange *ex)
{
	return ex->tenancy == backend_tenancy(ex->backend);
}

/* exchange_answer.c: weir's own answers. */
void exchange_answer_error(struct exchange *ex);
enum verdict exchange_answer_route(struct exchange *ex);
/* The value of Allow: the methods of all these routes. */
struct span exchange_answer_allow(struct exchange *ex,
    const struct route *const *routes, uint32_t count);

/* exchange_request.c: what the backend is sent. */
enum reason exchange_request_prepare(struct exchange *ex);
/* -1: ex->detail says what a template made of it. */
int exchange_request_compose(struct exchange *ex)
    __attribute__((warn_unused_result));

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/* relay_private - the bodies' ways, as their two files see them. */
#ifndef PROXY_RELAY_PRIVATE_H
#define PROXY_RELAY_PRIVATE_H

#include "proxy/exchange_private.h"
#include "proxy/proxy_private.h"
#include "proxy/relay.h"
#include "proxy/route.h"

/* One direction: its handlers and where the bytes go. */
struct relay_path {
	enum phase phases[2];
	unsigned phase_count;
	uint32_t used; /* PHASE_BIT() of them */
	bool is_request;
};

extern const struct relay_path relay_push_request;
extern const struct relay_path relay_push_response;

static inline struct relay *
relay_of(struct exchange *ex, const struct relay_path *path)
{
	return path->is_request ? &ex->request_body : &ex->response_body;
}

static inline const struct phase_chain *
relay_chain(const struct exchange *ex, enum phase phase)
{
	return &ex->route->phases.chains[phase];
}

/* How much of a request's body may wait for a backend. */
static inline size_t
relay_waiting_max(const struct exchange *ex)
{
	const struct core_conf *core = ex->core;

	return (size_t)(core->buffer_request ? core->buffer_request_max
					     : core->buffer);
}

/* A handler failed: the exchange is told by relay_after_push(). */
static inline void
relay_fail(struct exchange *ex, const char *detail)
{
	if (ex->reason == REASON_NONE)
		exchange_note(ex, REASON_INTERNAL, detail);
	ex->body_failed = true;
}

/* ---- relay.c ---- */

/* Behind the last handler: to the client, the backend, or what waits. */
void relay_sink(struct exchange *ex, const struct relay_path *path,
    struct span in, bool is_end);
/* Tell the exchange of a handler that failed; may end it. */
void relay_after_push(struct exchange *ex);

/* The body that was waited for is whole: on; may end the exchange. */
bool relay_wake(struct exchange *ex);

/* ---- relay_trailers.c ---- */

/* From the handler on whose turn it is; false if it waits, or failed. */
bool relay_trailers_filter(struct exchange *ex);

/* ---- relay_starved.c ---- */

/* Its sources are asked again once there is memory. */
void relay_starved_note(struct exchange *ex);
void relay_starved_on_look(struct deadline *d);

/* ---- relay_push.c: through the handlers; nothing ends inside ---- */

/* The module has said that it leaves this response's body alone. */
static inline bool
relay_push_is_skipped(const struct exchange *ex,
    const struct phase_handler *h)
{
	return (ex->body_skips >> h->module_index & 1) != 0;
}

/* A piece reaches handler number at. */
void relay_push(struct exchange *ex, const struct relay_path *path,
    uint32_t at, struct span in, unsigned flags);
/* The same from the source, where the route has handlers. */
void relay_push_handlers(struct exchange *ex, const struct relay_path *path,
    struct span in, bool is_end);
/* From a pipe, which is emptied; one call at least, and FLUSH by itself. */
void relay_push_pipe(struct exchange *ex, const struct relay_path *path,
    uint32_t at, struct pipe *from, unsigned flags);
/* Those that paused go on, or pause again. */
void relay_push_held(struct exchange *ex, const struct relay_path *path);
/* The sink may have room again for those that had more. */
void relay_push_full(struct exchange *ex, const struct relay_path *path);

/* A piece comes from the source. */
static inline void
relay_push_first(struct exchange *ex, const struct relay_path *path,
    struct span in, bool is_end)
{
	if ((ex->route->phases.used & path->used) == 0 && !ex->body_failed)
		relay_sink(ex, path, in, is_end);
	else
		relay_push_handlers(ex, path, in, is_end);
}

#endif

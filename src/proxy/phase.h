/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * phase - the phases of an exchange, and the handlers that modules put there.
 *
 * Names are the configuration's, the log's and the API's.  The order of the
 * handlers of a phase is total: by module.order, then by name.
 */
#ifndef PROXY_PHASE_H
#define PROXY_PHASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

struct exchange;
struct http_fields;

/*
 * X(id, name): what is known, what may change, whether WAIT is allowed.
 *
 * early_request     request head and client known; before routing; WAIT
 * route             after the route was found; may change ex->route; WAIT
 * request           allow, refuse, answer; may change ex->req; WAIT
 * request_body      each piece of the request's body; WAIT pauses the client
 * cache_lookup      may answer from elsewhere; WAIT
 * upstream_gate     last chance not to go upstream; WAIT
 * upstream_select   may set ex->group; runs again on each try; WAIT
 * upstream_connected  backend connection known, new or reused; WAIT
 * upstream_connect_failed  nothing was sent; may only look
 * upstream_request  may change ex->up_req of this try; WAIT
 * upstream_response each final response head, before the cache; WAIT
 * upstream_response_body, upstream_response_trailers  before the cache; WAIT
 * cache_store       decides before the first piece of the body; WAIT
 * response          what this client sees, also weir's own answers; WAIT
 * response_body, response_trailers  after the cache; WAIT
 * upstream_failed   something was sent; may only look
 * fail              ex->reason is set; may set another answer; WAIT
 * log               always, last, once; may only look
 */
#define PHASE_LIST(X)                                            \
	X(EARLY_REQUEST, "early_request")                        \
	X(ROUTE, "route")                                        \
	X(REQUEST, "request")                                    \
	X(REQUEST_BODY, "request_body")                          \
	X(CACHE_LOOKUP, "cache_lookup")                          \
	X(UPSTREAM_GATE, "upstream_gate")                        \
	X(UPSTREAM_SELECT, "upstream_select")                    \
	X(UPSTREAM_CONNECTED, "upstream_connected")              \
	X(UPSTREAM_CONNECT_FAILED, "upstream_connect_failed")    \
	X(UPSTREAM_REQUEST, "upstream_request")                  \
	X(UPSTREAM_RESPONSE, "upstream_response")                \
	X(UPSTREAM_RESPONSE_BODY, "upstream_response_body")      \
	X(UPSTREAM_RESPONSE_TRAILERS, "upstream_response_trailers") \
	X(CACHE_STORE, "cache_store")                            \
	X(RESPONSE, "response")                                  \
	X(RESPONSE_BODY, "response_body")                        \
	X(RESPONSE_TRAILERS, "response_trailers")                \
	X(UPSTREAM_FAILED, "upstream_failed")                    \
	X(FAIL, "fail")                                          \
	X(LOG, "log")

enum phase {
#define X(id, name) PHASE_##id,
	PHASE_LIST(X)
#undef X
	PHASE_COUNT
};

enum verdict {
	VERDICT_NEXT,     /* go on */
	VERDICT_ANSWERED, /* ex->res is set: skip to response */
	/* Later exchange_resume(), for bodies and trailers relay_resume(). */
	VERDICT_WAIT,
	VERDICT_FAIL,     /* ex->reason is set */
};

/* A handler; conf is what the route configured for the module. */
typedef enum verdict hook_fn(struct exchange *ex, const void *conf);

enum body_flags {
	/*
	 * Pass on what you hold back: nothing more has come in this turn of
	 * the loop.  Given with an empty piece.
	 */
	BODY_FLUSH = 1,
	BODY_END = 2,   /* the last call for this body; given exactly once */
};

enum { BODY_SPANS_MAX = 8 };

/*
 * One call of a body handler.  It may look at `in` and leave the rest as it
 * is: then `in` goes on unchanged.  Or it sets is_changed and up to
 * BODY_SPANS_MAX spans in out[], which must stay valid until the handler is
 * called again for this exchange (blocks, the exchange's arena, or parts of
 * `in`), and how much of `in` it took; what it left is offered again, once the
 * sink has room.  has_more: call again in that way even if nothing is left;
 * END and FLUSH go on only after that.
 */
struct body_piece {
	struct span in;
	unsigned flags; /* enum body_flags */
	bool is_changed;
	bool has_more;
	size_t taken;
	struct span out[BODY_SPANS_MAX];
	unsigned out_count;
};

typedef enum verdict body_fn(struct exchange *ex, const void *conf,
    struct body_piece *piece);
/*
 * Trailers: may change them; may emit a last piece of body before them
 * (*body, borrowed from the exchange's arena).  With WAIT it is called again
 * after relay_resume(); what is neither WAIT nor NEXT cuts the response.
 */
typedef enum verdict trailers_fn(struct exchange *ex, const void *conf,
    struct http_fields *trailers, struct span *body);

/*
 * What this module's handler waits for is not wanted any more: take back what
 * would call exchange_resume(), and return true.  False: it will be called,
 * and until then the exchange waits with its failure.
 */
typedef bool cancel_fn(struct exchange *ex, const void *conf);

/* One handler of a phase, as a route holds it. */
struct phase_handler {
	union {
		hook_fn *hook;
		body_fn *body;
		trailers_fn *trailers;
	} fn;
	cancel_fn *cancel; /* or NULL */
	const void *conf;
	const char *module;
	uint32_t module_index;
};

struct phase_chain {
	const struct phase_handler *items;
	uint32_t count;
};

struct phase_table {
	struct phase_chain chains[PHASE_COUNT];
	uint32_t used; /* PHASE_BIT() of each whose chain is not empty */
};

#define PHASE_BIT(phase) (UINT32_C(1) << (phase))

enum {
	/* Whose handlers may change the bytes of a response's body. */
	PHASES_OF_RESPONSE_BODY = PHASE_BIT(PHASE_UPSTREAM_RESPONSE_BODY) |
	    PHASE_BIT(PHASE_UPSTREAM_RESPONSE_TRAILERS) |
	    PHASE_BIT(PHASE_RESPONSE_BODY) |
	    PHASE_BIT(PHASE_RESPONSE_TRAILERS),
};

const char *phase_name(enum phase phase);

#endif

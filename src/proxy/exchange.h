/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * exchange - one request and its response, whatever carries them.
 *
 * The heart of the proxy: it walks through the phases, picks a backend, moves
 * the bodies, and ends with exactly one answer or a visible cut, and one log
 * phase.  Its two ends are carriers (HTTP/1 now): they call exchange_on_*(),
 * and are told what to do through struct client_ops and struct backend_ops.
 *
 * Runs in a worker, in its event loop; nothing here blocks.
 */
#ifndef PROXY_EXCHANGE_H
#define PROXY_EXCHANGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/list.h"
#include "base/log.h"
#include "base/pipe.h"
#include "http/message.h"
#include "os/addr.h"
#include "os/deadline.h"
#include "os/loop.h"
#include "proxy/core_conf.h"
#include "proxy/phase.h"
#include "proxy/reason.h"
#include "upstream/group.h"
#include "upstream/retry.h"

struct conn;
struct exchange;
struct proxy;
struct route;
struct service;

/* What the client's carrier does for an exchange. */
struct client_ops {
	/* An interim response (1xx), or 101 before a tunnel. */
	void (*send_interim)(struct exchange *ex,
	    const struct http_response *res);
	/* ex->res; the framing is the carrier's choice. */
	void (*send_head)(struct exchange *ex);
	/* Takes all: what the peer does not take waits in a bounded pipe. */
	void (*send_body)(struct exchange *ex, struct span bytes);
	void (*send_end)(struct exchange *ex, struct http_fields *trailers);
	/* Bytes of body that may be handed over now; SIZE_MAX = a scratch. */
	size_t (*room)(struct exchange *ex);
	/* The exchange takes request body again. */
	void (*resume)(struct exchange *ex);
	/* Break off so that the client sees it. */
	void (*cut)(struct exchange *ex);
	/* Set ex->client_bytes_in and _out, before the log phase. */
	void (*book_bytes)(struct exchange *ex);
	/* The exchange is over and will be freed on return. */
	void (*finished)(struct exchange *ex);
	struct addr_ip (*peer)(const struct exchange *ex);
	void (*local)(const struct exchange *ex, struct addr *addr);
	/* What carries it: for what it tells of TLS. */
	const struct conn *(*conn)(const struct exchange *ex);
	uint64_t (*connection_id)(const struct exchange *ex);
	uint32_t (*connection_requests)(const struct exchange *ex);
};

/* What the backend's carrier does for an exchange. */
struct backend_ops {
	/* ex->up_req, with its framing. */
	void (*send_head)(struct exchange *ex);
	void (*send_body)(struct exchange *ex, struct span bytes);
	void (*send_end)(struct exchange *ex, struct http_fields *trailers);
	/* The client ended its side of the tunnel. */
	void (*end_tunnel)(struct exchange *ex);
	size_t (*room)(struct exchange *ex);
	/* The exchange takes response body again. */
	void (*resume)(struct exchange *ex);
	/* Close the connection; ex->backend_conn is NULL then. */
	void (*abort)(struct exchange *ex);
};

enum exchange_state {
	EXCHANGE_EARLY,     /* phase early_request */
	EXCHANGE_ROUTE,     /* matching, phase route */
	EXCHANGE_REQUEST,   /* phase request, then the route's own answer */
	EXCHANGE_CACHE,     /* phase cache_lookup */
	EXCHANGE_GATE,      /* phase upstream_gate */
	EXCHANGE_COLLECT,   /* buffer_request: waiting for the whole body */
	EXCHANGE_SELECT,    /* phase upstream_select, pick, connect */
	EXCHANGE_QUEUE,     /* waiting for room at a backend */
	EXCHANGE_CONNECT,   /* waiting for the backend connection */
	EXCHANGE_CONNECTED, /* phase upstream_connected */
	EXCHANGE_SEND,      /* phase upstream_request, head goes out */
	EXCHANGE_AWAIT,     /* waiting for the response head */
	EXCHANGE_RECEIVED,  /* phases upstream_response, cache_store */
	EXCHANGE_STORE,     /* phase cache_store */
	EXCHANGE_FAIL,      /* phase fail: a reason becomes an answer */
	EXCHANGE_RESPONSE,  /* phase response, head goes out */
	EXCHANGE_STREAM,    /* the response's body is on its way */
	EXCHANGE_DONE,      /* phase log; then it is gone */
	EXCHANGE_STATE_COUNT
};

enum relay_stop_kind {
	RELAY_GOES,
	RELAY_PAUSED, /* the handler said WAIT */
	RELAY_FULL,   /* it has more than the sink takes */
};

/* A handler of a body that takes nothing for now. */
struct relay_stop {
	struct pipe input; /* waits in front of it */
	uint8_t flags;     /* enum body_flags of what waits */
	uint8_t kind;      /* enum relay_stop_kind */
};

/* One direction's body, as far as it could not pass at once. */
struct relay {
	struct pipe waiting;   /* request: no backend; response: no head yet */
	struct relay_stop *stops; /* by handler, in the arena; or NULL */
	struct http_fields *trailers; /* in the exchange's arena, or NULL */
	uint32_t stop_count;   /* of that array */
	uint32_t stopped;      /* handlers that take nothing now */
	uint32_t full;         /* those of them that are RELAY_FULL */
	uint32_t trailers_at;  /* handler of the trailers that is next */
	uint64_t bytes;        /* of body taken from the source */
	uint64_t sent;         /* of body given to the sink */
	bool wants_flush;      /* at the end of this turn */
	bool trailers_wait;    /* that handler said WAIT */
	bool waiting_end;      /* END waits behind `waiting` */
	bool in_ended;         /* the source gave END */
	bool out_ended;        /* the sink was given END */
};

struct exchange {
	uint32_t magic;
	enum exchange_state state;
	struct proxy *proxy;
	const struct service *service;
	const struct route *route; /* the service's own before routing */
	const struct core_conf *core;
	struct arena arena;
	struct log_ctx log;

	const struct client_ops *client_ops;
	void *client;
	const struct backend_ops *backend_ops;
	void *backend_conn; /* NULL while there is none */

	struct http_request req;    /* as routed and changed by modules */
	struct http_request up_req; /* as this try's backend sees it */
	struct http_response res;   /* as the client sees it */
	struct span up_target;      /* target of up_req */
	struct span up_host;
	struct span match_path;     /* decoded; what routes see */
	struct addr_ip client_ip;   /* after trusted_proxies */
	struct span identity;       /* who it is, as `auth` found; or empty */
	struct span auth_scopes;    /* "a,b", likewise */
	struct span auth_method;    /* how it was found */
	struct span challenge;      /* WWW-Authenticate of a 401; or empty */
	const struct span *rewrite_groups; /* of the regex of a rule */
	uint32_t rewrite_group_count; /* 0 but while a rule is applied */
	struct span request_id;     /* as `requestid` has it; or empty */
	struct span trace_id;       /* likewise */
	uint32_t *captures;         /* of the route's regex: start, end pairs */
	uint32_t capture_count;

	struct relay request_body;
	struct relay response_body;
	struct loop_task flush;    /* of the bodies' handlers */
	struct list starved;       /* in the proxy's, while is_starved */
	uint64_t body_skips; /* bits by module: exchange_skip_body() */
	struct pipe replay;  /* request body, kept for a retry */
	struct pipe_cursor replay_at; /* what this try sent of it */
	struct span answer;  /* body of weir's own answer */
	struct span allow;   /* of a 405; empty = the usual methods */

	struct group *group;
	const struct backend *backend;
	const struct backend *counted; /* it has this request in flight */
	uint32_t tenancy; /* of the backend, as the try began */
	struct group_tries tries;
	struct list in_queue;   /* of queue.c */
	uint64_t queued_until_ms;
	bool is_queued;         /* in that list */
	bool has_place;         /* counted among those that wait */

	struct deadline total; /* timeouts.total */
	uint64_t started_us;
	uint64_t selected_us;  /* of the current try */
	uint64_t connected_us;
	uint64_t sent_us;      /* the request's head went out */
	uint64_t head_us;      /* response head received */
	uint64_t ended_us;
	uint64_t client_bytes_in, client_bytes_out; /* on the wire */
	uint64_t up_bytes_out, up_bytes_in;

	void **module_ctx; /* by module index; NULL until asked for */

	enum phase phase; /* that runs or ran last */
	uint32_t module_index; /* whose handler runs */
	uint32_t hook_at; /* handler of that phase that runs or waits */
	const struct phase_handler *waiting_for; /* while is_waiting */
	enum verdict resumed; /* verdict given to exchange_resume() */
	enum reason reason;
	const char *detail; /* literal or in the arena; NULL */
	const char *failed_in; /* a literal */
	enum reason late_reason; /* told while a handler waited */
	const char *late_detail;
	bool late_client;   /* it was the client's failure, not the backend's */
	enum reason last_reason; /* of the try before this one */
	const char *last_detail;
	uint32_t retries;   /* on other backends */
	uint32_t attempts;  /* in all */
	uint32_t retry_after_s; /* of the answer to a failure; 0 = not said */
	uint16_t fail_status;   /* of that answer; 0 = the reason's */
	uint16_t up_status;
	bool is_waiting;    /* a handler said WAIT */
	bool is_held;       /* the client's carrier still feeds the body */
	bool is_running;
	bool is_answered;   /* res is weir's own */
	bool head_sent;     /* final response head went to the client */
	bool is_secure;     /* the request came over TLS */
	bool is_early;      /* it may be a replay (RFC 8470) */
	bool peer_trusted;  /* the peer is in trusted_proxies */
	bool tunnel_ended;  /* by the client */
	bool is_tunnel;
	bool reused;        /* this try's backend connection */
	bool is_collected;  /* the whole request body is in replay */
	bool replay_lost;   /* request body no longer whole in replay */
	bool up_head_sent;
	bool up_accepted;   /* a byte of this try was accepted */
	bool discard_request; /* request body is read and dropped */
	bool client_gone;
	bool force_close;   /* the client's connection ends after this */
	bool budget_counted;
	bool retry_fresh;   /* next try: same backend, a new connection */
	bool up_h1_only;    /* for the carriers: the backend wants HTTP/1.1 */
	bool is_starved;    /* a source pauses for want of body_memory */
	bool body_failed;   /* a body handler failed; told at the next chance */
	bool response_failed; /* a response handler failed before */
	bool fail_silent;   /* a failure closes, without an answer */
	bool is_over;       /* logged; freed when the walk returns */
};

/* "http" or "https": how the request came. */
static inline struct span
exchange_scheme(const struct exchange *ex)
{
	return ex->is_secure ? SPAN("https") : SPAN("http");
}

/* ---- for modules ---- */

struct addr_ip exchange_client_ip(const struct exchange *ex);
/*
 * Answer now with status and its page; for a handler's return:
 * `return exchange_answer(ex, 403);`.
 */
enum verdict exchange_answer(struct exchange *ex, unsigned status);
/* The same with a body of its own (borrowed from the arena or for ever). */
enum verdict exchange_answer_body(struct exchange *ex, unsigned status,
    struct span content_type, struct span body);
/*
 * What logs and templates show as the target from now on, where the one that
 * came has a secret in it; from handlers, and in the arena.
 */
void exchange_show_target(struct exchange *ex, struct span target);
/* End with a reason; the fail phase makes an answer of it. */
enum verdict exchange_fail(struct exchange *ex, enum reason reason,
    const char *detail);
/* A handler that said WAIT has its verdict now; may free the exchange. */
void exchange_resume(struct exchange *ex, enum verdict verdict);
/*
 * The context that the module whose handler runs has in this exchange: size
 * bytes, zeroed at first, the same in all phases.  Inside of handlers only.
 */
void *exchange_ctx(struct exchange *ex, size_t size);
/*
 * From a handler before the response's head is sent: this module leaves the
 * response's body and trailers as they are, and is not called for them.
 */
void exchange_skip_body(struct exchange *ex);
struct loop *exchange_loop(const struct exchange *ex);
/* Where the walk is: a phase's name, or what it waits for. */
const char *exchange_walk_state_name(const struct exchange *ex);
/* Where it was when it got its reason; "" if it has none. */
const char *exchange_failed_in(const struct exchange *ex);

/* ---- for the carriers ---- */

/*
 * A request head has come: *req borrows from *arena, which the exchange takes
 * over.  Runs until it has to wait, but answers nothing before
 * exchange_release(): the carrier feeds the body bytes it has first.
 */
struct exchange *exchange_new(struct proxy *proxy,
    const struct service *service, const struct client_ops *ops, void *client,
    struct arena *arena, const struct http_request *req);
void exchange_start(struct exchange *ex);
void exchange_release(struct exchange *ex);
/*
 * A head that was refused: only the answer, the log and the counters.
 * res and req may be empty.
 */
void exchange_start_failed(struct exchange *ex, enum reason reason,
    const char *detail);

/* Went away, or broke the rules: reason says which. */
void exchange_on_client_failed(struct exchange *ex, enum reason reason,
    const char *detail);

void exchange_on_connected(struct exchange *ex, bool reused);
/*
 * There is no room at the backend after all: it waits, or goes where there is.
 * It has no connection.
 */
void exchange_on_full(struct exchange *ex);
void exchange_on_interim(struct exchange *ex,
    const struct http_response *res);
/* The final head; the response borrows from the exchange's arena. */
void exchange_on_response(struct exchange *ex,
    const struct http_response *res);
/* This try is over without a whole response; connecting = nothing was sent. */
void exchange_on_backend_failed(struct exchange *ex, enum reason reason,
    const char *detail);

#endif

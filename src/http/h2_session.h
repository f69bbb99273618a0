/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * h2_session - one HTTP/2 connection over nghttp2, without a socket: bytes go
 * in, events come out, and frames are composed into what the owner gives.
 *
 * Nothing is acknowledged by itself: the peer gets window for what
 * h2_stream_consumed() says has gone on.  What the owner is told inside of
 * h2_session_receive() may end streams, and anything may be submitted then;
 * composing waits until it is over.
 */
#ifndef HTTP_H2_SESSION_H
#define HTTP_H2_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/list.h"
#include "base/pipe.h"
#include "http/h2_flood.h"
#include "http/h2_head.h"

struct h2_session;
struct h2_stream;

/* Error codes, RFC 9113, section 7. */
enum h2_error {
	H2_NO_ERROR = 0,
	H2_PROTOCOL_ERROR = 1,
	H2_INTERNAL_ERROR = 2,
	H2_FLOW_CONTROL_ERROR = 3,
	H2_STREAM_CLOSED = 5,
	H2_FRAME_SIZE_ERROR = 6,
	H2_REFUSED_STREAM = 7,
	H2_CANCEL = 8,
	H2_COMPRESSION_ERROR = 9,
	H2_ENHANCE_YOUR_CALM = 11,
	H2_HTTP_1_1_REQUIRED = 13,
};

/* Embedded in the owner's stream; filled by the session. */
struct h2_stream {
	struct h2_session *session; /* NULL once it is closed */
	int32_t id;
	uint32_t error;      /* of its end, enum h2_error */
	struct pipe out;     /* body that is not composed yet */
	struct span now;     /* the same, not yet copied; within a call */
	struct http_fields *trailers; /* behind out; in trailer_arena */
	struct arena trailer_arena;
	struct list link;    /* among the session's */
	uint64_t bytes_in, bytes_out; /* heads, before compression, bodies */
	uint64_t sent;       /* bytes of body that were composed */
	size_t unconsumed;   /* of its body: given out, not acknowledged */
	bool head_seen;      /* the peer's final head */
	bool head_sent;      /* ours was composed, interim or final */
	bool in_ended;       /* END_STREAM came */
	bool out_ended;      /* the owner has given all */
	bool end_sent;       /* END_STREAM was composed */
	bool is_reset;       /* by us: what still comes is dropped */
	bool wants_no_more;  /* of its body, once END_STREAM is composed */
	bool upgrade_websocket; /* asked for by extended CONNECT */
	uint8_t method;      /* of the request, enum http_method */
};

/* What the owner does for a session; streams are its own. */
struct h2_events {
	/* A request begins: a stream for it, with its arena; never NULL. */
	struct h2_stream *(*open)(void *owner);
	/* Where the fields of a head or of trailers go; NULL: nowhere. */
	struct arena *(*arena)(struct h2_stream *st);
	/* refusal: to be answered with its status, and not to be forwarded. */
	void (*on_request)(struct h2_stream *st, const struct http_request *req,
	    enum h1_refusal refusal);
	/* Interim ones (1xx) and the final one. */
	void (*on_response)(struct h2_stream *st,
	    const struct http_response *res);
	/* Body; to be acknowledged by h2_stream_consumed(). */
	void (*on_body)(struct h2_stream *st, struct span bytes);
	/* trailers lie in the arena; NULL if there are none. */
	void (*on_end)(struct h2_stream *st, struct http_fields *trailers);
	/* It is over, st->error says how; the owner may free it. */
	void (*on_close)(struct h2_stream *st);
	/* Malformed, and reset by us; st may be NULL. */
	void (*on_malformed)(void *owner, struct h2_stream *st,
	    const char *detail);
	/* Too often: GOAWAY with ENHANCE_YOUR_CALM is on its way. */
	void (*on_flood)(void *owner, enum h2_flood flood);
	/* The peer's settings have come, or its GOAWAY, or a PING's answer. */
	void (*on_settings)(void *owner);
	void (*on_goaway)(void *owner, uint32_t last_id, uint32_t error);
	void (*on_pong)(void *owner);
};

struct h2_conf {
	const struct h2_events *events;
	void *owner;
	struct block_pool *pool;
	/* Where composed frames go; takes all. */
	void (*write)(void *owner, struct span bytes);
	/* False: enough waits to be sent, compose no more for now. */
	bool (*has_room)(void *owner);
	struct h2_head_limits head;
	size_t header_list_max;
	uint32_t floods_max[H2_FLOOD_COUNT];
	uint32_t streams_max;     /* that the peer may open */
	uint32_t stream_window;   /* bytes that a stream may hold */
	uint32_t window;          /* and all of them together */
	bool is_client;
	bool takes_connect;       /* RFC 8441 */
};

/* conf is borrowed; NULL: out of memory. */
struct h2_session *h2_session_new(const struct h2_conf *conf);
/* Streams are closed, each told so. */
void h2_session_free(struct h2_session *s);

/*
 * Bytes of the peer.  now_ms for the counting of floods.  Afterwards see
 * h2_session_is_over().
 */
void h2_session_receive(struct h2_session *s, struct span bytes,
    uint64_t now_ms);
/* Compose what may be sent now, unless called from inside an event. */
void h2_session_compose(struct h2_session *s);
bool h2_session_is_busy(const struct h2_session *s);
/* Neither reads nor writes any more: close it. */
bool h2_session_is_over(const struct h2_session *s);
/* A head has begun and not ended. */
bool h2_session_in_head(const struct h2_session *s);
/* Has the peer said its SETTINGS? */
bool h2_session_is_ready(const struct h2_session *s);
uint32_t h2_session_streams(const struct h2_session *s);
/* Bytes of bodies that wait to be composed, over all streams. */
size_t h2_session_waiting(const struct h2_session *s);
/* Bytes of bodies that were given out and not acknowledged, over all. */
size_t h2_session_held(const struct h2_session *s);
/* Streams that the peer lets us open (clients only). */
uint32_t h2_session_peer_streams_max(const struct h2_session *s);
bool h2_session_peer_takes_connect(const struct h2_session *s);
/* Say that no more streams are taken (GOAWAY), the first time as a notice. */
void h2_session_shut_down(struct h2_session *s, bool is_notice);
/* GOAWAY with an error: no stream goes on. */
void h2_session_terminate(struct h2_session *s, enum h2_error error);
void h2_session_ping(struct h2_session *s);

/* ---- streams ---- */

/* How a body that is sent will be framed. */
struct h2_framing {
	bool has_length;
	bool is_end;     /* there is none */
	uint64_t content_length;
};

/* Open one: req with its target and host; -1: it cannot be. */
int h2_stream_request(struct h2_session *s, struct h2_stream *st,
    const struct http_request *req, struct span target, struct span host,
    struct span scheme, const struct h2_framing *framing)
    __attribute__((warn_unused_result));
/* Final or interim; a 101 to websocket is told as RFC 8441 has it. */
void h2_stream_respond(struct h2_stream *st, const struct http_response *res,
    const struct h2_framing *framing);
/* Takes all: what may not be sent yet is copied. */
void h2_stream_body(struct h2_stream *st, struct span bytes);
/* trailers are borrowed for the call. */
void h2_stream_end(struct h2_stream *st, const struct http_fields *trailers);
/* on_close follows, now or when it is composed. */
void h2_stream_reset(struct h2_stream *st, enum h2_error error);
/* The stream will be freed: nothing more is told of it; resets it if open. */
void h2_stream_forget(struct h2_stream *st, enum h2_error error);
/* So much of its body has gone on: window for as much more. */
void h2_stream_consumed(struct h2_stream *st, size_t len);
/* What the peer takes of this stream at once. */
size_t h2_stream_window(const struct h2_stream *st);
/* RFC 9218 priority of a response, as its field says. */
void h2_stream_priority(struct h2_stream *st, struct span value);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * message - a request and a response, whatever carries them.
 *
 * Both codecs (HTTP/1, HTTP/2) fill and write these; nothing above them
 * knows which.  All spans borrow from the owner's memory: the exchange's
 * arena, once the head was copied.
 */
#ifndef HTTP_MESSAGE_H
#define HTTP_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"
#include "http/field.h"

enum http_method {
	HTTP_METHOD_OTHER,
	HTTP_METHOD_GET,
	HTTP_METHOD_HEAD,
	HTTP_METHOD_POST,
	HTTP_METHOD_PUT,
	HTTP_METHOD_DELETE,
	HTTP_METHOD_CONNECT,
	HTTP_METHOD_OPTIONS,
	HTTP_METHOD_TRACE,
	HTTP_METHOD_PATCH,
};

/* How the end of a body is known (RFC 9112, section 6.3). */
enum http_framing {
	HTTP_FRAMING_NONE,    /* there is no body */
	HTTP_FRAMING_LENGTH,  /* content_length bytes */
	HTTP_FRAMING_CHUNKED, /* or, in HTTP/2, until END_STREAM */
	HTTP_FRAMING_CLOSE,   /* responses only: until the connection ends */
};

struct http_request {
	struct span method;    /* as received; case matters */
	struct span target;    /* as received */
	struct span scheme;    /* "http", "https" of an absolute target */
	struct span authority; /* host[:port] as received: target's or Host's */
	struct span host;      /* lower case, no port, no trailing dot */
	struct span path;      /* as received; begins with '/', or is "*" */
	struct span query;     /* without '?' */
	bool has_query;
	uint8_t method_id;     /* enum http_method */
	uint8_t minor;         /* of HTTP/1.x: 0 or 1; 1 for HTTP/2 */
	bool is_h2;            /* for logs and Via; nothing may depend on it */
	uint8_t framing;       /* enum http_framing */
	bool keep_alive;       /* the client's wish (RFC 9112, section 9.3) */
	bool expect_continue;
	bool upgrade_websocket; /* asked for, by Upgrade and Connection */
	bool te_trailers;      /* TE: trailers */
	bool path_is_plain;    /* seen on the way: neither '%' nor '.' in it */
	uint64_t content_length;
	struct http_fields fields;
};

struct http_response {
	uint16_t status;
	uint8_t minor;
	uint8_t framing;       /* enum http_framing */
	bool keep_alive;       /* the backend keeps the connection */
	bool upgrade_websocket; /* a 101 to websocket, well-formed */
	uint32_t keep_alive_timeout; /* seconds of Keep-Alive, 0 = not said */
	struct span reason;    /* may be empty */
	uint64_t content_length;
	struct http_fields fields;
};

/* RFC 9110, section 9.2.2: GET HEAD PUT DELETE OPTIONS TRACE. */
bool http_method_is_idempotent(enum http_method m);
/* RFC 9110, section 9.2.1: GET HEAD OPTIONS TRACE. */
bool http_method_is_safe(enum http_method m);
enum http_method http_method_lookup(struct span method);
/* The phrase of RFC 9110, section 15, or "Unknown". */
struct span http_status_phrase(unsigned status);

#endif

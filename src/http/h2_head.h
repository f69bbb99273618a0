/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * h2_head - the fields of an HTTP/2 message, one by one, become a request, a
 * response or trailers (RFC 9113, section 8).
 *
 * What nghttp2 checks is checked here again where it is cheap: what can be
 * read two ways must not depend on the version of a library.  Fields are
 * copied into the arena as HTTP/1 writes them, so that they go to an HTTP/1
 * peer in runs.  Limits: what exceeds them is counted, not stored.
 */
#ifndef HTTP_H2_HEAD_H
#define HTTP_H2_HEAD_H

#include "http/h1_parse.h"
#include "http/message.h"

struct arena;

enum h2_head_kind { H2_HEAD_REQUEST, H2_HEAD_RESPONSE, H2_HEAD_TRAILERS };

struct h2_head_limits {
	size_t bytes_max;    /* of names and values, with separators */
	size_t line_max;     /* of method, path and version */
	uint32_t fields_max;
};

struct h2_head {
	struct arena *arena; /* NULL: nothing is kept, only counted */
	const struct h2_head_limits *limits;
	enum h2_head_kind kind;
	enum h1_refusal refusal; /* the first one */
	size_t bytes;     /* as HTTP/1 would need them */
	size_t decoded;   /* as SETTINGS_MAX_HEADER_LIST_SIZE counts */
	struct span method, scheme, authority, path, protocol;
	struct span host;
	uint64_t content_length;
	uint64_t crumb_bytes; /* of all Cookie fields */
	uint32_t crumbs;
	uint16_t status;  /* 0 = none */
	bool is_regular;  /* a field that is no pseudo-header has come */
	bool has_path, has_authority;
	bool expects_continue;
	bool te_trailers;
	struct http_fields fields;
};

void h2_head_begin(struct h2_head *h, enum h2_head_kind kind,
    struct arena *arena, const struct h2_head_limits *limits);
/*
 * The next field; borrowed for the call.  See h->refusal afterwards.  flags:
 * HTTP_FIELD_SENSITIVE or 0.
 */
void h2_head_add(struct h2_head *h, struct span name, struct span value,
    uint8_t flags);
/*
 * All have come; is_end: no body follows.  Fills *req (or *res), whose spans
 * lie in the arena, and says H1_REFUSAL_NONE or why not.  A refusal whose
 * status is 400 makes the message malformed, the others are to be answered;
 * *req is then filled as far as it can be.
 */
enum h1_refusal h2_head_end_request(struct h2_head *h, bool is_end,
    struct http_request *req);
/* What the response answers. */
struct h2_head_asked {
	enum http_method method;
	bool upgrade_websocket; /* by extended CONNECT (RFC 8441) */
};
/* An agreed WebSocket is told as HTTP/1 has it: 101. */
enum h1_refusal h2_head_end_response(struct h2_head *h, bool is_end,
    const struct h2_head_asked *asked, struct http_response *res);
/* Well-formed trailers, in the arena; see also hop_check_trailers(). */
enum h1_refusal h2_head_end_trailers(struct h2_head *h,
    struct http_fields *trailers);

#endif

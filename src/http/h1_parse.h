/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * h1_parse - strict parser of HTTP/1 heads (RFC 9112).
 *
 * One pass over the bytes, no allocation, no system call.  The caller keeps
 * the bytes of an incomplete head together and calls again with more behind
 * them; where they were split makes no difference to the result.  A head is
 * refused as soon as it cannot become a valid one.
 *
 * Fields are collected in a table that belongs to the process and is valid
 * until the next call; h1_copy_*() moves head and fields to an arena.
 */
#ifndef HTTP_H1_PARSE_H
#define HTTP_H1_PARSE_H

#include <stddef.h>
#include <stdint.h>

#include "http/message.h"

struct arena;

enum {
	H1_FIELDS_MAX = 1024,    /* bound of h1_limits.fields_max */
	H1_EMPTY_LINES_MAX = 4,  /* passed over before a request */
};

struct h1_limits {
	size_t head_max;     /* bytes of the whole head, with its last CRLF */
	size_t line_max;     /* bytes of the request or status line, no CRLF */
	uint32_t fields_max; /* beyond H1_FIELDS_MAX counts as that */
};

enum h1_result {
	H1_DONE,  /* *used = bytes of the head */
	H1_MORE,  /* incomplete so far */
	H1_REFUSED, /* state->refusal says why, state->offset where */
};

/* Why a head or a body was refused; each is a reason of its own in the log. */
#define H1_REFUSAL_LIST(X)                                                 \
	X(NONE, 0, "nothing")                                              \
	X(METHOD, 400, "invalid method")                                   \
	X(TARGET, 400, "invalid request target")                           \
	X(AUTHORITY, 400, "invalid authority or Host")                     \
	X(HOST_MISSING, 400, "no Host field")                              \
	X(HOST_REPEATED, 400, "repeated Host field")                       \
	X(HOST_CONTRADICTS, 400, "Host contradicts the target")            \
	X(VERSION, 400, "invalid version")                                 \
	X(VERSION_UNSUPPORTED, 505, "unsupported major version")           \
	X(STATUS_LINE, 502, "invalid status line")                         \
	X(BARE_CR, 400, "CR without LF")                                   \
	X(BARE_LF, 400, "LF without CR")                                   \
	X(CONTROL, 400, "control character")                               \
	X(FIELD_NAME, 400, "invalid field name")                           \
	X(FIELD_NAME_SPACE, 400, "space before the colon")                 \
	X(FIELD_COLON, 400, "field without a colon")                       \
	X(OBS_FOLD, 400, "folded field (obs-fold)")                        \
	X(UNDERSCORE, 400, "underscore in a field name")                   \
	X(LENGTH_INVALID, 400, "invalid Content-Length")                   \
	X(LENGTH_REPEATED, 400, "repeated Content-Length")                 \
	X(LENGTH_AND_CODING, 400, "Content-Length with Transfer-Encoding") \
	X(CODING_INVALID, 400, "invalid Transfer-Encoding")                \
	X(CODING_UNKNOWN, 501, "unknown transfer coding")                  \
	X(CODING_IN_1_0, 400, "Transfer-Encoding in HTTP/1.0")             \
	X(CONNECTION_INVALID, 400, "Connection names a protected field")   \
	X(EXPECTATION, 417, "unknown expectation")                         \
	X(LINE_TOO_LONG, 414, "request line too long")                     \
	X(HEAD_TOO_LARGE, 431, "header block too large")                   \
	X(FIELDS_TOO_MANY, 431, "too many fields")                         \
	X(CHUNK_SIZE, 400, "invalid chunk size")                           \
	X(CHUNK_LINE_TOO_LONG, 400, "chunk extension too long")            \
	X(CHUNK_END, 400, "chunk data not followed by CRLF")               \
	X(TRAILER_INVALID, 400, "invalid trailer section")                 \
	X(TRAILER_TOO_LARGE, 431, "trailer section too large")             \
	X(INTERIM_UPGRADE, 502, "101 that nobody asked for")               \
	X(H2_PSEUDO, 400, "invalid pseudo-header field")                   \
	X(H2_CONNECTION, 400, "connection-specific field in HTTP/2")       \
	X(H2_BLANKS, 400, "blanks around a field value in HTTP/2")         \
	X(H2_LENGTH, 400, "Content-Length contradicts the frames")

enum h1_refusal {
#define X(id, status, text) H1_REFUSAL_##id,
	H1_REFUSAL_LIST(X)
#undef X
	H1_REFUSAL_COUNT
};

/* Of one head; zero-initialise before its first byte. */
struct h1_state {
	size_t checked; /* bytes known to be whole, valid lines */
	size_t offset;  /* of the byte that was refused */
	enum h1_refusal refusal;
	/* Of those lines, and of the value that the next one has so far: */
	uint8_t minor;
	uint32_t fields;
	uint64_t present;
	size_t value_checked;
};

/* Status for a client whose request was refused so. */
unsigned h1_refusal_status(enum h1_refusal r);
const char *h1_refusal_text(enum h1_refusal r);

/*
 * Parse a request head at p.  Empty lines before it are passed over (at most
 * 4; RFC 9112, section 2.2).  On H1_DONE *req is filled, its spans and fields
 * borrowing from p; hop-by-hop fields and framing are recognised
 * (http_fields and the flags of http_request) but not yet dropped.
 */
enum h1_result h1_parse_request(struct h1_state *state, const char *p,
    size_t len, const struct h1_limits *limits, struct http_request *req,
    size_t *used) __attribute__((warn_unused_result));
/*
 * The same for a response to a request with that method (HEAD and CONNECT
 * change the framing) and that wish to upgrade.
 */
struct h1_expected {
	enum http_method method;
	bool upgrade_websocket;
};
enum h1_result h1_parse_response(struct h1_state *state, const char *p,
    size_t len, const struct h1_limits *limits,
    const struct h1_expected *expected, struct http_response *res,
    size_t *used) __attribute__((warn_unused_result));
/* A trailer section, up to and with its empty line (RFC 9112, 7.1.2). */
enum h1_result h1_parse_trailers(struct h1_state *state, const char *p,
    size_t len, const struct h1_limits *limits, struct http_fields *fields,
    size_t *used) __attribute__((warn_unused_result));

/*
 * Copy the head (used bytes at p) into a and let req or res refer to the copy.
 * There is room for `spare` more fields before the table has to grow.
 */
void h1_copy_request(struct arena *a, const char *p, size_t used,
    uint32_t spare, struct http_request *req);
void h1_copy_response(struct arena *a, const char *p, size_t used,
    uint32_t spare, struct http_response *res);
void h1_copy_fields(struct arena *a, struct http_fields *fields);

#endif

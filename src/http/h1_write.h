/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * h1_write - composes HTTP/1 heads from parsed fields, never from raw bytes of
 * a peer that were not understood.
 *
 * Framing and connection fields are the writer's: Connection, Keep-Alive,
 * Transfer-Encoding, Content-Length, Upgrade, TE and Trailer of the received
 * message must have been dropped (hop_*).  Fields that are verbatim and
 * adjacent are copied in one run.
 */
#ifndef HTTP_H1_WRITE_H
#define HTTP_H1_WRITE_H

#include "base/str.h"
#include "http/message.h"

struct h1_framing {
	enum http_framing framing;
	uint64_t content_length;
	bool close;             /* Connection: close */
	bool keep_alive;        /* Connection: keep-alive, for HTTP/1.0 */
	bool upgrade_websocket; /* Connection: Upgrade, Upgrade: websocket */
	bool te_trailers;       /* requests: TE: trailers, and its option */
};

/*
 * "METHOD target HTTP/1.1" and the fields; host is written first.  target
 * begins with '/' or is "*" (origin-form).  The empty line is included.
 */
void h1_write_request(struct str *out, const struct http_request *req,
    struct span target, struct span host, const struct h1_framing *framing);
/* The same for a response; always HTTP/1.1 (RFC 9110, section 2.5). */
void h1_write_response(struct str *out, const struct http_response *res,
    const struct h1_framing *framing);
/* The fields that are not dropped, each with its CRLF. */
void h1_write_fields(struct str *out, const struct http_fields *fields);
/* Head of a chunk of len > 0 bytes: "1a\r\n".  "\r\n" must follow its data. */
void h1_write_chunk(struct str *out, uint64_t len);
/* "0\r\n", trailers (may be NULL), "\r\n". */
void h1_write_last_chunk(struct str *out, const struct http_fields *trailers);

#endif

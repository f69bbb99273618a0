/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hop - what belongs to one connection only and must not be forwarded
 * (RFC 9110, section 7.6.1).
 */
#ifndef HTTP_HOP_H
#define HTTP_HOP_H

#include "http/h1_parse.h"
#include "http/message.h"

/*
 * Drop hop-by-hop and framing fields and those that Connection names, in a
 * request (also Proxy, which backends take for an environment variable, and
 * Expect of HTTP/1.0, which means nothing).
 * H1_REFUSAL_CONNECTION_INVALID if Connection names Host, Content-Length,
 * X-Forwarded-*, Forwarded, a pseudo-header, no token, or 10 fields and more.
 */
enum h1_refusal hop_strip_request(struct http_request *req);
/* The same for a response; what Connection names there is dropped. */
enum h1_refusal hop_strip_response(struct http_response *res);
/*
 * Trailers: framing, routing, connection and authentication fields are
 * refused (RFC 9110, section 6.5.1) with H1_REFUSAL_TRAILER_INVALID.
 */
enum h1_refusal hop_check_trailers(struct http_fields *trailers);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/* render - messages as text, for comparing them in tests and fuzz targets. */
#ifndef TESTS_HTTP_RENDER_H
#define TESTS_HTTP_RENDER_H

#include "base/str.h"
#include "http/h1_parse.h"
#include "http/message.h"

/*
 * "GET / 1.1" and what is set of: scheme= authority= host= path= query=
 * length= chunked until-close keep expect websocket te; then "|Name: value"
 * for each field, with '=' instead of ':' where it is no VERBATIM and '_' where
 * it has UNDERSCORE.
 */
void render_request(struct str *out, const struct http_request *req);
/* "200 reason 1.1", the same, and keep-alive= */
void render_response(struct str *out, const struct http_response *res);
void render_fields(struct str *out, const struct http_fields *fields);
/* "400 text of the refusal @offset" */
void render_refusal(struct str *out, const struct h1_state *state);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/* h1_start - the first line of a head (RFC 9112, sections 3 and 4). */
#ifndef HTTP_H1_START_H
#define HTTP_H1_START_H

#include "http/h1_pass.h"

/* line_max: its bytes without CRLF. */
enum h1_line h1_start_request(struct h1_pass *s, struct http_request *req,
    size_t line_max);
enum h1_line h1_start_response(struct h1_pass *s, struct http_response *res,
    size_t line_max);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/* client_send - the sending half of struct client_ops, over HTTP/1. */
#ifndef PROXY_CLIENT_SEND_H
#define PROXY_CLIENT_SEND_H

#include <stddef.h>

#include "base/span.h"

struct client_conn;
struct exchange;
struct http_fields;
struct http_response;

void client_send_interim(struct exchange *ex,
    const struct http_response *res);
void client_send_head(struct exchange *ex);
void client_send_body(struct exchange *ex, struct span bytes);
void client_send_end(struct exchange *ex, struct http_fields *trailers);
/* See client_ops.room. */
size_t client_send_room(struct exchange *ex);

/* The client takes bytes again. */
void client_send_rest(struct client_conn *c);

#endif

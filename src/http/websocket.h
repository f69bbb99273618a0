/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * websocket - the key and its answer, which HTTP/1 has and HTTP/2 has not
 * (RFC 6455, section 4; RFC 8441, section 5).
 */
#ifndef HTTP_WEBSOCKET_H
#define HTTP_WEBSOCKET_H

#include "base/span.h"

enum { WEBSOCKET_KEY_BYTES = 24, WEBSOCKET_ACCEPT_BYTES = 28 };

/* A fresh value of Sec-WebSocket-Key. */
void websocket_key(char key[WEBSOCKET_KEY_BYTES + 1]);
/* The value of Sec-WebSocket-Accept that answers it. */
void websocket_accept(struct span key,
    char accept[WEBSOCKET_ACCEPT_BYTES + 1]);

#endif

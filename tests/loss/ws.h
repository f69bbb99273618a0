/* SPDX-License-Identifier: BSD-2-Clause */
/* ws - as much of WebSocket (RFC 6455) as short frames need. */
#ifndef LOSS_WS_H
#define LOSS_WS_H

#include <stdbool.h>
#include <stddef.h>

enum { WS_TEXT = 1, WS_CLOSE = 8, WS_PAYLOAD_MAX = 125, WS_FRAME_MAX = 131 };

/* The key is the RFC's own, so its answer is known. */
#define WS_REQUEST "GET /ws HTTP/1.1\r\nHost: loss.example\r\n" \
	"Upgrade: websocket\r\nConnection: Upgrade\r\n" \
	"Sec-WebSocket-Version: 13\r\n" \
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
#define WS_ANSWER "HTTP/1.1 101 Switching Protocols\r\n" \
	"X-Origin: loss\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" \
	"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"

struct ws_frame {
	int opcode;
	size_t len;
	char *payload; /* WS_PAYLOAD_MAX bytes, the caller's */
};

/* Bytes that one whole frame took; 0 if more must come. */
size_t ws_parse(struct ws_frame *f, const char *bytes, size_t len);
/* frame has WS_FRAME_MAX bytes; returns how many were written. */
size_t ws_compose(char *frame, int opcode, const char *payload, size_t len,
    bool is_masked);

#endif

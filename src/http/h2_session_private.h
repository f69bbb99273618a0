/* SPDX-License-Identifier: BSD-2-Clause */
/* h2_session_private - a session, as its two files see it. */
#ifndef HTTP_H2_SESSION_PRIVATE_H
#define HTTP_H2_SESSION_PRIVATE_H

#include <nghttp2/nghttp2.h>

#include "http/h2_session.h"

enum {
	H2_NOW_MIN = 8192,   /* a body piece worth composing at once */
	H2_UPDATES_PER_FRAME = 10, /* WINDOW_UPDATEs for a DATA of ours */
};

struct h2_session {
	const struct h2_conf *conf;
	nghttp2_session *ng;
	struct h2_head head;     /* the one that is being received */
	struct h2_head_limits trailer_limits;
	struct list streams;
	uint32_t stream_count;
	size_t waiting;          /* in the out pipes of all streams */
	size_t held;             /* unconsumed of all streams */
	uint64_t flood_until_ms;
	uint32_t floods[H2_FLOOD_COUNT];
	uint32_t window_credit;  /* WINDOW_UPDATEs beyond the limit */
	uint32_t in_continuations;
	size_t frame_left;       /* of the frame that is being received */
	uint32_t frame_head_len; /* of the next one's head */
	uint8_t frame_head[9];
	bool in_receive, in_compose;
	bool in_head;
	bool is_ready;
	bool is_flooded;
	bool has_failed;
	bool said_why;           /* in a GOAWAY of our own */
	char detail[128];        /* the library's last complaint */
};

/* The callbacks that compose. */
void h2_stream_set_callbacks(nghttp2_session_callbacks *callbacks);
/* A stream has closed or is forgotten: what it holds goes. */
void h2_stream_let_go(struct h2_session *s, struct h2_stream *st);
/* One more of these; beyond the limit the session ends. */
void h2_session_count(struct h2_session *s, enum h2_flood flood,
    uint32_t n);

#endif

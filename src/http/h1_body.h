/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * h1_body - finds the pieces and the end of an HTTP/1 body in received bytes.
 *
 * Knows no sockets: bytes in, spans of them out, in place.
 */
#ifndef HTTP_H1_BODY_H
#define HTTP_H1_BODY_H

#include "base/span.h"
#include "http/h1_parse.h"
#include "http/message.h"

struct h1_body_limits {
	size_t chunk_line_max; /* size and extensions; default 4096 */
	size_t trailers_max;   /* bytes; default as header_size_max */
	uint32_t trailer_fields_max;
};

enum h1_body_event {
	H1_BODY_MORE,    /* all input is used up */
	H1_BODY_DATA,    /* *data is a piece of the body, never empty */
	H1_BODY_END,     /* the message is whole; trailers, if any, are set */
	H1_BODY_REFUSED, /* b->refusal says why */
};

struct h1_body_trailers;

struct h1_body {
	uint64_t left;    /* bytes of the body or of this chunk */
	uint64_t total;   /* bytes of data given out so far */
	uint8_t framing;  /* enum http_framing */
	uint8_t state;
	uint8_t refusal;  /* enum h1_refusal */
	uint32_t line_len;
	struct h1_body_trailers *trailer_block; /* heap; most have none */
	struct http_fields trailers; /* valid after END until h1_body_fini */
};

void h1_body_init(struct h1_body *b, enum http_framing framing,
    uint64_t content_length);
void h1_body_fini(struct h1_body *b);
/*
 * Look at *in, cut what was understood off it, and say what it was.  Call
 * until MORE, END or REFUSED.  With END, what is left in *in belongs to the
 * next message.  FRAMING_CLOSE never ends here: the connection does.
 */
enum h1_body_event h1_body_next(struct h1_body *b,
    const struct h1_body_limits *limits, struct span *in, struct span *data);
/* True if the connection may end here without the body being cut short. */
bool h1_body_may_end(const struct h1_body *b);

#endif

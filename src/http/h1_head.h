/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * h1_head - what the fields of a head say about its message: framing, Host,
 * connection.  The parser calls it for each whole line; private to it.
 */
#ifndef HTTP_H1_HEAD_H
#define HTTP_H1_HEAD_H

#include "http/h1_parse.h"
#include "http/message.h"
#include "http/scan.h"

enum h1_head_kind { H1_HEAD_REQUEST, H1_HEAD_RESPONSE, H1_HEAD_TRAILERS };

enum h1_head_flags {
	H1_HEAD_CLOSE = 1,      /* options of Connection */
	H1_HEAD_KEEP_ALIVE = 2,
	H1_HEAD_UPGRADE = 4,
	H1_HEAD_WEBSOCKET = 8,  /* Upgrade is there once and says so */
	H1_HEAD_TRAILERS_OK = 16, /* TE: trailers */
	H1_HEAD_EXPECT = 32,    /* 100-continue */
};

/* Zero is the start; what has a bit in `present` is set then. */
struct h1_head {
	uint64_t present;        /* as in http_fields */
	uint8_t kind;            /* enum h1_head_kind */
	uint8_t minor;           /* of HTTP/1.x: 0 or 1 */
	uint8_t flags;           /* enum h1_head_flags */
	uint32_t keep_alive_timeout;
	struct span host;        /* the value of Host */
	size_t plain_host_len;   /* of its host, if that is plain; else 0 */
	uint64_t content_length;
};

#define H1_HEAD_BIT(id) (UINT64_C(1) << FIELD_##id)

/* The fields that h1_head_note() has to see. */
#define H1_HEAD_NOTED                                                  \
	(H1_HEAD_BIT(HOST) | H1_HEAD_BIT(CONTENT_LENGTH) |             \
	    H1_HEAD_BIT(TRANSFER_ENCODING) | H1_HEAD_BIT(CONNECTION) | \
	    H1_HEAD_BIT(EXPECT) | H1_HEAD_BIT(UPGRADE) |               \
	    H1_HEAD_BIT(TE) | H1_HEAD_BIT(KEEP_ALIVE))

/*
 * f is the next field; its bit is not in h->present yet.  It lies in a head:
 * a start-line comes before it, CR and LF behind it.
 */
enum h1_refusal h1_head_note(struct h1_head *h, const struct http_field *f);
/* The head is whole: fill what fields say, and check what they must. */
enum h1_refusal h1_head_end_request(const struct h1_head *h,
    struct http_request *req);
enum h1_refusal h1_head_end_response(const struct h1_head *h,
    const struct h1_expected *expected, struct http_response *res);

/* A Host in the usual form; any other, right or wrong, is left: false. */
static inline bool
h1_head_note_plain_host(struct h1_head *h, const char *value, size_t len)
{
#if SCAN_SSE2
	size_t host_len;

	if (h->kind != H1_HEAD_REQUEST || len > SCAN_WIDTH ||
	    (h->present & H1_HEAD_BIT(HOST)) != 0)
		return false;
	host_len = scan_short_authority(value + len, len);
	if (host_len == 0)
		return false;
	h->host = span_of(value, len);
	h->plain_host_len = host_len;
	return true;
#else
	(void)h;
	(void)value;
	(void)len;
	return false;
#endif
}

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/* coder_gzip - RFC 1952, by zlib. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <zlib.h>

#include "coder_ops.h"

enum {
	GZIP = 16,        /* added to the window's bits: with gzip's frame */
	WINDOW_BITS = 15,
	MEMORY_LEVEL = 8, /* 268 KB for each encoder */
};

static void *
encoder_new(unsigned level)
{
	z_stream *z = calloc(1, sizeof(*z));

	if (z != NULL && deflateInit2(z, (int)level, Z_DEFLATED,
	    WINDOW_BITS + GZIP, MEMORY_LEVEL, Z_DEFAULT_STRATEGY) != Z_OK) {
		free(z);
		return NULL;
	}
	return z;
}

static void
encoder_free(void *state)
{
	(void)deflateEnd(state);
	free(state);
}

static void
encoder_reset(void *state)
{
	(void)deflateReset(state);
}

/* zlib does not write to its input, but older headers do not say so. */
static void
set_input(z_stream *z, const struct span *in)
{
	union { const char *p; Bytef *bytes; } u = { .p = in->p };

	z->next_in = u.bytes;
	z->avail_in = in->len < UINT_MAX ? (uInt)in->len : UINT_MAX;
}

static void
set_output(z_stream *z, struct coder *c)
{
	z->next_out = (Bytef *)c->out;
	z->avail_out = CODER_OUT_BYTES;
}

/* After a step: what was taken, and what was made. */
static void
book(const z_stream *z, struct coder *c, struct span *in, uInt offered)
{
	coder_cut(in, in->len - (offered - z->avail_in));
	c->out_len = CODER_OUT_BYTES - z->avail_out;
}

static int
encode(struct coder *c, struct span *in, enum coder_op op, bool *has_more)
{
	static const int flushes[] = { [CODER_RUN] = Z_NO_FLUSH,
		[CODER_FLUSH] = Z_SYNC_FLUSH, [CODER_FINISH] = Z_FINISH };
	z_stream *z = c->state;
	uInt offered;
	int result;

	set_input(z, in);
	set_output(z, c);
	offered = z->avail_in;
	result = deflate(z, offered < in->len ? Z_NO_FLUSH : flushes[op]);
	book(z, c, in, offered);
	if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR)
		return -1;
	*has_more = z->avail_out == 0 ||
	    (op == CODER_FINISH && result != Z_STREAM_END);
	return 0;
}

static void *
decoder_new(void)
{
	z_stream *z = calloc(1, sizeof(*z));

	if (z != NULL && inflateInit2(z, WINDOW_BITS + GZIP) != Z_OK) {
		free(z);
		return NULL;
	}
	return z;
}

static void
decoder_free(void *state)
{
	(void)inflateEnd(state);
	free(state);
}

static void
decoder_reset(void *state)
{
	(void)inflateReset(state);
}

static int
decode(struct coder *c, struct span *in, bool *has_more)
{
	z_stream *z = c->state;
	uInt offered;
	int result;

	if (c->has_ended && in->len > 0) {
		/* Another member follows (RFC 1952, section 2.2). */
		(void)inflateReset(z);
		c->has_ended = false;
	}
	set_input(z, in);
	set_output(z, c);
	offered = z->avail_in;
	result = c->has_ended ? Z_BUF_ERROR : inflate(z, Z_NO_FLUSH);
	book(z, c, in, offered);
	if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR)
		return -1;
	if (result == Z_STREAM_END)
		c->has_ended = true;
	*has_more = z->avail_out == 0;
	return 0;
}

const struct coder_ops coder_gzip_ops = {
	.level_max = 9,
	.encoder_new = encoder_new,
	.encoder_free = encoder_free,
	.encoder_reset = encoder_reset,
	.encode = encode,
	.decoder_new = decoder_new,
	.decoder_free = decoder_free,
	.decoder_reset = decoder_reset,
	.decode = decode,
};

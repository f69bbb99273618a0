/* SPDX-License-Identifier: BSD-2-Clause */
/* coder_brotli - RFC 7932, by libbrotli; left out where that is missing. */
#include "coder_ops.h"

#ifdef HAVE_BROTLI

#include <brotli/decode.h>
#include <brotli/encode.h>

/* 256 KB: what the library takes for a stream follows from it. */
enum { WINDOW_BITS = 18 };

static void *
encoder_new(unsigned level)
{
	BrotliEncoderState *b = BrotliEncoderCreateInstance(NULL, NULL, NULL);

	if (b == NULL)
		return NULL;
	(void)BrotliEncoderSetParameter(b, BROTLI_PARAM_QUALITY, level);
	(void)BrotliEncoderSetParameter(b, BROTLI_PARAM_LGWIN, WINDOW_BITS);
	return b;
}

static void
encoder_free(void *state)
{
	BrotliEncoderDestroyInstance(state);
}

static int
encode(struct coder *c, struct span *in, enum coder_op op, bool *has_more)
{
	static const BrotliEncoderOperation ops[] = {
		[CODER_RUN] = BROTLI_OPERATION_PROCESS,
		[CODER_FLUSH] = BROTLI_OPERATION_FLUSH,
		[CODER_FINISH] = BROTLI_OPERATION_FINISH };
	const uint8_t *next_in = (const uint8_t *)in->p;
	uint8_t *next_out = (uint8_t *)c->out;
	size_t left = in->len;
	size_t room = CODER_OUT_BYTES;

	if (!BrotliEncoderCompressStream(c->state, ops[op], &left, &next_in,
	    &room, &next_out, NULL))
		return -1;
	coder_cut(in, left);
	c->out_len = CODER_OUT_BYTES - room;
	*has_more = BrotliEncoderHasMoreOutput(c->state) ||
	    (op == CODER_FINISH && !BrotliEncoderIsFinished(c->state));
	return 0;
}

static void *
decoder_new(void)
{
	return BrotliDecoderCreateInstance(NULL, NULL, NULL);
}

static void
decoder_free(void *state)
{
	BrotliDecoderDestroyInstance(state);
}

static int
decode(struct coder *c, struct span *in, bool *has_more)
{
	const uint8_t *next_in = (const uint8_t *)in->p;
	uint8_t *next_out = (uint8_t *)c->out;
	size_t left = in->len;
	size_t room = CODER_OUT_BYTES;

	if (c->has_ended)
		return in->len > 0 ? -1 : 0;
	switch (BrotliDecoderDecompressStream(c->state, &left, &next_in, &room,
	    &next_out, NULL)) {
	case BROTLI_DECODER_RESULT_SUCCESS:
		c->has_ended = true;
		if (left > 0)
			return -1;
		break;
	case BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT:
		*has_more = true;
		break;
	case BROTLI_DECODER_RESULT_NEEDS_MORE_INPUT:
		break;
	case BROTLI_DECODER_RESULT_ERROR:
	default:
		return -1;
	}
	coder_cut(in, left);
	c->out_len = CODER_OUT_BYTES - room;
	return 0;
}

const struct coder_ops coder_brotli_ops = {
	.level_max = 11,
	.encoder_new = encoder_new,
	.encoder_free = encoder_free,
	.encode = encode,
	.decoder_new = decoder_new,
	.decoder_free = decoder_free,
	.decode = decode,
};

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/* coder_zstd - RFC 8878, by libzstd; left out where that is missing. */
#include "coder_ops.h"

#ifdef HAVE_ZSTD

#include <zstd.h>

enum {
	WINDOW_BITS = 19,      /* 512 KB, for what a stream takes here */
	WINDOW_BITS_READ = 23, /* 8 MB: RFC 9659 */
	LEVEL_MAX = 9,
};

static void *
encoder_new(unsigned level)
{
	ZSTD_CCtx *z = ZSTD_createCCtx();

	if (z == NULL)
		return NULL;
	(void)ZSTD_CCtx_setParameter(z, ZSTD_c_compressionLevel, (int)level);
	(void)ZSTD_CCtx_setParameter(z, ZSTD_c_windowLog, WINDOW_BITS);
	return z;
}

static void
encoder_free(void *state)
{
	(void)ZSTD_freeCCtx(state);
}

static void
encoder_reset(void *state)
{
	(void)ZSTD_CCtx_reset(state, ZSTD_reset_session_only);
}

static int
encode(struct coder *c, struct span *in, enum coder_op op, bool *has_more)
{
	static const ZSTD_EndDirective ops[] = {
		[CODER_RUN] = ZSTD_e_continue, [CODER_FLUSH] = ZSTD_e_flush,
		[CODER_FINISH] = ZSTD_e_end };
	ZSTD_inBuffer input = { .src = in->p, .size = in->len };
	ZSTD_outBuffer output = { .dst = c->out, .size = CODER_OUT_BYTES };
	size_t left = ZSTD_compressStream2(c->state, &output, &input, ops[op]);

	if (ZSTD_isError(left))
		return -1;
	coder_cut(in, input.size - input.pos);
	c->out_len = output.pos;
	*has_more = output.pos == output.size ||
	    (op != CODER_RUN && left > 0);
	return 0;
}

static void *
decoder_new(void)
{
	ZSTD_DCtx *z = ZSTD_createDCtx();

	if (z != NULL)
		(void)ZSTD_DCtx_setParameter(z, ZSTD_d_windowLogMax,
		    WINDOW_BITS_READ);
	return z;
}

static void
decoder_free(void *state)
{
	(void)ZSTD_freeDCtx(state);
}

static void
decoder_reset(void *state)
{
	(void)ZSTD_DCtx_reset(state, ZSTD_reset_session_only);
}

/* Several frames may follow one another (RFC 8878, section 3.1). */
static int
decode(struct coder *c, struct span *in, bool *has_more)
{
	ZSTD_inBuffer input = { .src = in->p, .size = in->len };
	ZSTD_outBuffer output = { .dst = c->out, .size = CODER_OUT_BYTES };
	size_t left;

	if (in->len == 0 && c->has_ended)
		return 0;
	left = ZSTD_decompressStream(c->state, &output, &input);
	if (ZSTD_isError(left))
		return -1;
	c->has_ended = left == 0;
	coder_cut(in, input.size - input.pos);
	c->out_len = output.pos;
	*has_more = output.pos == output.size;
	return 0;
}

const struct coder_ops coder_zstd_ops = {
	.level_max = LEVEL_MAX,
	.encoder_new = encoder_new,
	.encoder_free = encoder_free,
	.encoder_reset = encoder_reset,
	.encode = encode,
	.decoder_new = decoder_new,
	.decoder_free = decoder_free,
	.decoder_reset = decoder_reset,
	.decode = decode,
};

#endif

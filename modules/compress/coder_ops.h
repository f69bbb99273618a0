/* SPDX-License-Identifier: BSD-2-Clause */
/* coder_ops - what a library does for a coder. */
#ifndef MODULES_COMPRESS_CODER_OPS_H
#define MODULES_COMPRESS_CODER_OPS_H

#include "module.h"

#include "coder.h"

struct coder_ops {
	unsigned level_max;
	/* The library's state; NULL if memory is out. */
	void *(*encoder_new)(unsigned level);
	void (*encoder_free)(void *state);
	/* Ready for another body; NULL: made anew each time. */
	void (*encoder_reset)(void *state);
	int (*encode)(struct coder *c, struct span *in, enum coder_op op,
	    bool *has_more);
	void *(*decoder_new)(void);
	void (*decoder_free)(void *state);
	void (*decoder_reset)(void *state);
	int (*decode)(struct coder *c, struct span *in, bool *has_more);
};

struct coder {
	struct list spare;
	const struct coder_ops *ops;
	void *state;
	unsigned level;
	bool is_decoder;
	bool has_ended;   /* decoder: the coding's own end was seen */
	bool has_begun;   /* decoder: a byte was fed since */
	size_t out_len;
	char out[CODER_OUT_BYTES];
};

extern const struct coder_ops coder_gzip_ops;
#ifdef HAVE_ISAL
/* Encodes gzip at levels up to its level_max. */
extern const struct coder_ops coder_isal_ops;
#endif
#ifdef HAVE_BROTLI
extern const struct coder_ops coder_brotli_ops;
#endif
#ifdef HAVE_ZSTD
extern const struct coder_ops coder_zstd_ops;
#endif

static inline void
coder_cut(struct span *in, size_t left)
{
	*in = span_of(in->p + (in->len - left), left);
}

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * coder - one body on its way through a content coding, in either direction.
 *
 * A coder is fed pieces and fills a buffer of its own.  Those that can be
 * used again wait in a list of the process; how many are alive at once is
 * bounded by the caller's limit.
 */
#ifndef MODULES_COMPRESS_CODER_H
#define MODULES_COMPRESS_CODER_H

#include <stdbool.h>
#include <stddef.h>

#include "module.h"

enum coder_kind { CODER_GZIP, CODER_BROTLI, CODER_ZSTD, CODER_KIND_COUNT };

enum coder_op {
	CODER_RUN,
	CODER_FLUSH,  /* all that was fed can be decoded from what comes out */
	CODER_FINISH, /* the input ends here */
};

enum { CODER_OUT_BYTES = 16384 }; /* at most, of one step */

struct coder;

/* "gzip", "br", "zstd": as in Content-Encoding. */
const char *coder_name(enum coder_kind kind);
/* The coding of that name, in any case; also x-gzip (RFC 9110, 8.4.1.3). */
bool coder_find(struct span name, enum coder_kind *kind);
/* Was its library there when weir was built? */
bool coder_is_built(enum coder_kind kind);
/* Levels that an encoder takes: 1 to this. */
unsigned coder_level_max(enum coder_kind kind);
/*
 * NULL when live_max coders are alive in this process, or memory is out.
 * level is ignored by decoders.
 */
struct coder *coder_new(enum coder_kind kind, bool is_decoder, unsigned level,
    unsigned live_max);
void coder_free(struct coder *c);
/* Coders alive in this process. */
unsigned coder_live(void);

/*
 * Take from *in what fits, and give out what came of it in *out, valid until
 * the next step.  *has_more: step again with the same op, even if *in is
 * empty.  -1: the input is no such coding, or with FINISH breaks off.
 */
int coder_step(struct coder *c, struct span *in, enum coder_op op,
    struct span *out, bool *has_more) __attribute__((warn_unused_result));

#endif

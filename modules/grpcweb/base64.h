/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * base64 - a body in base64 (RFC 4648, section 4), in pieces of any size.
 *
 * A body may consist of several encodings behind each other, each with its
 * padding: the text form of gRPC-Web allows that, and streams need it.
 */
#ifndef MODULES_GRPCWEB_BASE64_H
#define MODULES_GRPCWEB_BASE64_H

#include <stdbool.h>
#include <stddef.h>

#include "module.h"

/* What is between two pieces; zeroed at first. */
struct base64_decoder {
	unsigned bits;    /* of the group that is not whole */
	unsigned char digits, padding;
};

struct base64_encoder {
	unsigned char kept[3];
	unsigned char count;
};

/*
 * Decode as much of *in as out has room for, and advance it; out may be
 * filled only in part.  -1 if it is no base64: a character of another
 * alphabet, white space, padding in a wrong place, bits that should be zero.
 */
int base64_decode(struct base64_decoder *d, struct span *in,
    struct str *out);
/* Was the last group whole? */
bool base64_is_complete(const struct base64_decoder *d);

/*
 * The way back: whole groups while out has room for two, so that the end finds
 * its place; up to two bytes are kept.
 */
void base64_encode(struct base64_encoder *e, struct span *in,
    struct str *out);
/* What is kept, with padding: 0 or 4 characters. */
void base64_encode_end(struct base64_encoder *e, struct str *out);

#endif

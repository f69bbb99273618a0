/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * heads - drives a parser of heads over rows of {name, input, want}: whole,
 * byte by byte, and split in two at each place.
 */
#ifndef TESTS_HTTP_HEADS_H
#define TESTS_HTTP_HEADS_H

#include "base/span.h"
#include "base/str.h"
#include "http/h1_parse.h"

struct head_row {
	const char *name;
	struct span input;
	/* See render.h; "more" if incomplete; " +5" if 5 bytes are behind. */
	const char *want;
};

#define HEAD_ROW(name, input, want) { name, { input, sizeof(input) - 1 }, want }

/* Parse len bytes at p and, if that is the end, describe it. */
typedef enum h1_result heads_parse_fn(struct h1_state *state, const char *p,
    size_t len, const struct h1_limits *limits, struct str *out, size_t *used);

void heads_run(const struct head_row *rows, size_t count,
    const struct h1_limits *limits, heads_parse_fn *parse);

#endif

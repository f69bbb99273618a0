/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * render - the counters as Prometheus text (exposition format 0.0.4).
 *
 * Written piece by piece, so that a large table needs no large buffer and no
 * long stay: a piece is one sample, or a histogram's lines, with the HELP and
 * TYPE lines of its name where they are due.  Pieces may be taken over several
 * turns of the loop; names registered meanwhile may or may not appear.
 */
#ifndef METRICS_RENDER_H
#define METRICS_RENDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

struct metrics;
struct str;

enum { RENDER_PIECE_MAX = 16384 };

#define RENDER_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* How far it came. */
struct render {
	const struct metrics *metrics;
	size_t set;
	size_t family;    /* first row of the name being written */
	size_t row;
	uint32_t index;   /* of the directory */
	uint32_t process; /* for rows with a sample per process */
	bool is_headed;   /* HELP and TYPE are out */
};

enum render_result {
	RENDER_MORE, /* a piece was appended, others follow */
	RENDER_FULL, /* nothing was appended: come again with an empty str */
	RENDER_DONE, /* nothing was appended: that was all */
};

/* Borrows m. */
void render_init(struct render *r, const struct metrics *m);
/* Append the next piece; it fits an empty str of RENDER_PIECE_MAX bytes. */
enum render_result render_piece(struct render *r, struct str *out);

/* Takes some whole lines, valid during the call; false = no more, please. */
typedef bool render_emit_fn(void *arg, struct span text);
/* All of it in one go; false if emit ended it. */
bool render_all(const struct metrics *m, render_emit_fn *emit, void *arg);

#endif

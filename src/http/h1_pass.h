/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * h1_pass - a pass of the parser over the lines of a head; private to it.
 *
 * What reads a line leaves `at` behind it, or says why it did not.
 */
#ifndef HTTP_H1_PASS_H
#define HTTP_H1_PASS_H

#include "http/h1_head.h"
#include "http/h1_parse.h"

enum h1_line {
	H1_LINE_DONE,
	H1_LINE_LAST, /* the empty line at the end */
	H1_LINE_MORE,
	H1_LINE_REFUSED,
};

struct h1_pass {
	const char *base;
	const char *end;  /* of what may be looked at: the limits count */
	const char *at;   /* the next line */
	const char *good; /* bytes of its value before this were checked */
	struct h1_state *state;
	uint32_t fields_max;
	uint32_t count;   /* of fields in the table */
	struct h1_head head;
};

/* Kept out of line, so that what is usual saves no registers for it. */
#define H1_COLD __attribute__((noinline))

H1_COLD enum h1_line h1_pass_refuse(struct h1_pass *s, const char *at,
    enum h1_refusal refusal);
/*
 * A byte that does not belong there.  CR is judged by what follows it: as the
 * end of a line it is refused for what the line lacks.
 */
enum h1_line h1_pass_refuse_byte(struct h1_pass *s, const char *at,
    enum h1_refusal lacks);
/* CR was seen at `at`; LF has to follow: then it is `whole`. */
enum h1_line h1_pass_line_end(struct h1_pass *s, const char *at,
    enum h1_line whole);

#endif

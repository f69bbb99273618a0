/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * line - one line of an access log, whatever a peer sent.
 *
 * Every value is escaped, so that none ends the line or a field of it, and
 * bounded: what is longer ends in "...".
 */
#ifndef ACCESSLOG_LINE_H
#define ACCESSLOG_LINE_H

#include "module.h"

enum { LINE_BYTES = 8192 };

/* All append a whole line with its newline to out, which has LINE_BYTES. */

/* The Combined Log Format, in UTC; the status is 499 when none was sent. */
void line_combined(struct str *out, const struct exchange *ex);
/* A JSON object; what has no value is left out. */
void line_json(struct str *out, const struct exchange *ex);
/*
 * A template's text; a value that is empty is "-".  One that begins with '{' is
 * taken for JSON: its values are escaped for JSON strings, empty ones stay so.
 */
void line_template(struct str *out, const struct exchange *ex,
    const struct template *t);

#endif

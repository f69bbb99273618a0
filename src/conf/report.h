/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * report - errors and warnings about configuration text, all of them.
 *
 * Each is printed as `file:line:col: error: text`, the source line and a caret
 * under the column.  Loading goes on after an error as far as it makes sense,
 * so that one run shows everything.
 */
#ifndef CONF_REPORT_H
#define CONF_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* A place in a configuration file; line and column count from 1. */
struct conf_place {
	const char *file;   /* as the admin wrote it; NULL = no place */
	const char *source; /* the line's text, NULL = unknown */
	unsigned line;
	unsigned column;
};

struct conf_report; /* opaque; collects in order of discovery */

struct conf_report *conf_report_new(void);
void conf_report_free(struct conf_report *r);
/* A file was begun: findings are printed in the order of these calls. */
void conf_report_file(struct conf_report *r, const char *file);
/* Place and text are copied; place NULL = about no file. */
void conf_report_error(struct conf_report *r, const struct conf_place *place,
    const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void conf_report_warning(struct conf_report *r,
    const struct conf_place *place, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
size_t conf_report_errors(const struct conf_report *r);
size_t conf_report_warnings(const struct conf_report *r);
/* Everything, in the order of file and line. */
void conf_report_print(const struct conf_report *r, FILE *out);
/* The same, each in one line: for a log. */
void conf_report_print_lines(const struct conf_report *r, FILE *out);

#endif

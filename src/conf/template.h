/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * template - "${client.ip}", the one expression language of the configuration.
 *
 * Compiled at load into a few operations; evaluated into a bounded builder
 * without allocation.  `${name}`, `${name:-default}` (when the value is empty
 * or absent), `$$` for a dollar sign.  Which names exist is a table handed
 * down from above, so that this floor knows nothing of requests.
 */
#ifndef CONF_TEMPLATE_H
#define CONF_TEMPLATE_H

#include <stdbool.h>

#include "base/span.h"

struct arena;
struct error;
struct str;
struct template;

/*
 * Append the variable's value to out; false if it has none.  subject is what
 * template_eval() was given (an exchange); arg is what follows a prefix name,
 * as written: "x-api-key" of "request.header.x-api-key".
 */
typedef bool template_fn(const void *subject, struct span arg,
    struct str *out);

struct template_var {
	const char *name;  /* "client.ip"; "custom." takes an argument */
	template_fn *value;
	const char *help;  /* one line, for weir.conf(5) */
	/*
	 * For a prefix: NULL, or checks arg at load (-1 and err); context is
	 * the table's.
	 */
	int (*check)(const void *context, struct span arg, struct error *err);
};

struct template_vars {
	const struct template_var *items;
	size_t count;
	const void *context; /* for check; NULL = none */
};

/* NULL and err (with the nearest name) on failure.  Memory from a. */
const struct template *template_compile(struct arena *a, struct span text,
    const struct template_vars *vars, struct error *err);
void template_eval(const struct template *t, const void *subject,
    struct str *out);

/* A run of plain text, or what a variable (or its default) is worth. */
struct template_piece {
	struct span bytes; /* valid during the call */
	bool is_value;     /* of a variable */
	bool is_cut;       /* longer than scratch: this is its beginning */
};

typedef void template_piece_fn(void *arg, const struct template_piece *piece);
/*
 * The same piece by piece, for outputs that must escape values and leave the
 * text between them as it is.  Values are composed in scratch.
 */
void template_each_piece(const struct template *t, const void *subject,
    struct str *scratch, template_piece_fn *fn, void *arg);
/* True if it has no variables; *text is then its value. */
bool template_is_constant(const struct template *t, struct span *text);
/* As written. */
struct span template_text(const struct template *t);
/*
 * Calls fn for each variable with its full name: for checks such as "captures
 * without a regex".
 */
void template_each_var(const struct template *t,
    void (*fn)(void *arg, struct span name), void *arg);

#endif

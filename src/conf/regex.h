/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * regex - regular expressions of the configuration (PCRE2, bytes, no UTF).
 *
 * Compiled at load, by JIT where the machine has it.  A match is bounded in
 * steps and memory, so that a bad pattern costs a request and no more.
 */
#ifndef CONF_REGEX_H
#define CONF_REGEX_H

#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

struct arena;
struct error;

enum {
	CONF_REGEX_STEPS_MAX = 100000, /* PCRE2's match limit */
	CONF_REGEX_HEAP_KB = 1024,     /* and its heap limit */
	CONF_REGEX_PATTERN_MAX = 16384, /* bytes */
};

struct conf_regex {
	const char *text;
	void *code;  /* pcre2_code *, JIT-compiled where possible */
	uint32_t captures;
	void *match_data; /* of one process: it runs one match at a time */
	void *match_context;
	struct conf_regex *next; /* see conf_ctx.regexes */
};

/*
 * NULL and err on failure, with *offset the byte of the text that is wrong.
 * Memory from a, but for what JIT maps: conf_regex_free_all() gives it back.
 */
struct conf_regex *conf_regex_compile(struct arena *a, struct span text,
    size_t *offset, struct error *err);
/* A chain by next; before the arena goes. */
void conf_regex_free_all(struct conf_regex *first);
/*
 * 1 and the captures (0 = the whole match; unset ones have p NULL; those
 * beyond count are left out, those that do not exist are unset), 0 without
 * a match, -1 where a limit ended the search.
 */
int conf_regex_match(const struct conf_regex *re, struct span subject,
    struct span *captures, size_t count);

#endif

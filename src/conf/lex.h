/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lex - configuration text as tokens that know their place (libconfig 1.5).
 *
 * Reads through `@include "file"`, whose path is relative to the file that
 * names it, and puts together the text that libconfig is to read.  What
 * libconfig would read wrong in silence is reported here.
 */
#ifndef CONF_LEX_H
#define CONF_LEX_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"
#include "conf/report.h"

struct arena;

enum {
	LEX_INCLUDE_MAX = 10,        /* files inside files, as libconfig */
	LEX_BYTES_MAX = 64 << 20,    /* of one file with its includes */
};

enum lex_type {
	LEX_END,
	LEX_NAME,
	LEX_BOOL,
	LEX_INT,
	LEX_INT64, /* with an L */
	LEX_FLOAT,
	LEX_STRING, /* one literal: the parser joins neighbours */
	LEX_EQUALS,
	LEX_COMMA,
	LEX_SEMICOLON,
	LEX_GROUP_OPEN,
	LEX_GROUP_CLOSE,
	LEX_LIST_OPEN,
	LEX_LIST_CLOSE,
	LEX_ARRAY_OPEN,
	LEX_ARRAY_CLOSE,
	LEX_BAD, /* a syntax error that was reported: read no further */
};

struct lex_token {
	enum lex_type type;
	bool is_bad; /* its value was reported as an error */
	struct conf_place place;
	struct span text; /* as written */
	union {
		struct span string; /* in the arena, terminated */
		int64_t integer;
		double real;
		bool boolean;
	} v;
};

/* One file that is being read. */
struct lex_file {
	const char *name;
	/* With a NUL for each newline, so that every line is a string that
	 * conf_place can point at. */
	struct span text;
	size_t at, line_at; /* offsets: next byte, begin of its line */
	size_t copied;      /* this far it is in the resolved text */
	unsigned line;
	bool is_blank;      /* nothing but blanks in this line so far */
};

struct lex {
	struct arena *arena;
	struct conf_report *report;
	struct lex_file files[LEX_INCLUDE_MAX + 1];
	unsigned depth; /* of the current file */
	size_t bytes;   /* read so far */
	unsigned long_string; /* line where a string of many lines began; 0 */
	/* What libconfig is to read; freed by lex_fini(). */
	char *resolved;
	size_t resolved_len, resolved_room;
};

/* text NULL: read the file.  -1 if it cannot be read (reported). */
int lex_init(struct lex *lx, struct arena *arena, struct conf_report *report,
    const char *file_name, const struct span *text);
void lex_fini(struct lex *lx);
/* After LEX_END and LEX_BAD it stays there. */
void lex_next(struct lex *lx, struct lex_token *token);
/*
 * For messages: " (…)" with the line of the last string of several lines, as
 * a string that was not closed shows only much later; else "".
 */
const char *lex_hint(struct lex *lx);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * command - a line of the control socket, and the tables that answer it.
 *
 * A line is words between spaces; a word with spaces in it stands in double
 * quotes, in which a backslash makes the next character itself.  A command's
 * name is one or more of the first words, the rest are its arguments.  Whoever
 * offers commands has a table of rows; the process that answers registers it
 * (background/commands.h).
 */
#ifndef BASE_COMMAND_H
#define BASE_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

#include "base/json.h"
#include "base/span.h"

struct error;
struct str;

enum {
	COMMAND_LINE_MAX = 2048, /* bytes, without the newline */
	COMMAND_WORDS_MAX = 32,
};

enum { COMMAND_LATER = 1 }; /* of a command_fn */

struct command_call {
	void *arg;     /* given when the table was registered */
	void *request; /* whom a later answer goes to */
	const char *const *args; /* words behind the name; end with NULL */
	size_t arg_count;        /* as many as `arguments` allows */
	/*
	 * The answer: an object is open, members are written into it.  A list
	 * of things is an array of flat objects, which weirctl(8) prints as a
	 * table; also after a failure, when there is more to say than err.
	 */
	struct json *json;
	struct error *err; /* set with -1: why not */
};

/*
 * 0 = done, -1 = refused or failed, COMMAND_LATER = the answer comes later,
 * for `request`.  Must not block.
 */
typedef int command_fn(struct command_call *call);

struct command {
	const char *name;      /* "upstream drain"; NULL ends the table */
	/* For help, and counted: "NAME [BACKEND]", "KEY..."; NULL = none. */
	const char *arguments;
	const char *help;      /* one line */
	bool is_change;        /* who asked for it is logged as a notice */
	command_fn *run;
};

/* The words of a line. */
struct command_words {
	const char *items[COMMAND_WORDS_MAX + 1]; /* end with NULL */
	size_t count;
	char memory[COMMAND_LINE_MAX + COMMAND_WORDS_MAX + 1];
};

/* -1 and err if the line makes no sense; a line has at least one word. */
int command_split(struct command_words *w, struct span line,
    struct error *err) __attribute__((warn_unused_result));
/* The row whose name the words begin with, the longest one; or NULL. */
const struct command *command_find(const struct command *rows,
    const struct command_words *w);
/* How many words the row's name has. */
size_t command_name_words(const struct command *row);
/* -1 and err if these are too few or too many arguments. */
int command_check(const struct command *row, size_t arg_count,
    struct error *err) __attribute__((warn_unused_result));
/* What a command is run with, see struct command_call. */
struct command_env {
	void *arg;
	void *request;
};

/*
 * A command found by command_find(): its arguments checked, then run.  The
 * answer's line goes to out, see command_answer(); false = it comes later.
 */
bool command_run(const struct command *row, const struct command_words *w,
    const struct command_env *env, struct str *out);
/*
 * One line: {"ok":true,"result":{…}} or {"ok":false,"error":"…","result":{…}}.
 * error NULL = ok; result: the inside of the object.
 */
void command_answer(struct str *out, const char *error, struct span result);
/* Members name, arguments, help for each row, into an array that is open. */
void command_list(const struct command *rows, struct json *j);

#endif

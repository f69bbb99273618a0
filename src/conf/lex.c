/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lex - tokens of libconfig 1.5, with what it lets pass in silence refused:
 * integers that wrap, \x00, comments and numbers that end in the middle.
 */
#include "conf/lex.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/heap_alloc.h"
#include "conf/number.h"
#include "conf/slurp.h"

enum { LINE_END = '\0' }; /* in lex_file's text */

static struct lex_file *
current(struct lex *lx)
{
	return &lx->files[lx->depth];
}

static struct conf_place
place_at(const struct lex_file *f, size_t at)
{
	return (struct conf_place){
		.file = f->name,
		.source = f->text.p + f->line_at,
		.line = f->line,
		.column = (unsigned)(at - f->line_at) + 1,
	};
}

static int
peek(const struct lex_file *f, size_t ahead)
{
	if (f->at + ahead >= f->text.len)
		return -1;
	return (unsigned char)f->text.p[f->at + ahead];
}

/* Over one byte of any kind. */
static void
step(struct lex_file *f)
{
	if (f->text.p[f->at++] == LINE_END) {
		f->line++;
		f->line_at = f->at;
		f->is_blank = true;
	}
}

/* Append the text up to the offset, newlines restored. */
static void
resolve_to(struct lex *lx, struct lex_file *f, size_t to)
{
	size_t len = to - f->copied;
	char *p;

	if (lx->resolved_room - lx->resolved_len < len + 2) {
		lx->resolved_room = (lx->resolved_room + len + 2) * 2;
		lx->resolved =
		    heap_alloc_grow(lx->resolved, lx->resolved_room, 1);
	}
	p = lx->resolved + lx->resolved_len;
	for (size_t i = 0; i < len; i++) {
		char c = f->text.p[f->copied + i];

		p[i] = c == LINE_END ? '\n' : c;
	}
	p[len] = '\0';
	lx->resolved_len += len;
	f->copied = to;
}

/* libconfig wants a newline behind a comment, also behind the last. */
static void
resolve_rest(struct lex *lx, struct lex_file *f)
{
	resolve_to(lx, f, f->text.len);
	lx->resolved[lx->resolved_len++] = '\n';
	lx->resolved[lx->resolved_len] = '\0';
}

static bool
is_binary(struct lex *lx, const char *name, struct span text)
{
	const char *nul = memchr(text.p, '\0', text.len);
	struct conf_place place = { .file = name, .line = 1, .column = 1 };

	if (nul == NULL)
		return false;
	for (const char *c = text.p; c < nul; c++) {
		place.column = *c == '\n' ? 1 : place.column + 1;
		place.line += *c == '\n';
	}
	conf_report_error(lx->report, &place, "a NUL byte: this is no text");
	return true;
}

static bool
has_mark(struct lex *lx, const char *name, struct span text)
{
	struct conf_place place = { .file = name, .line = 1, .column = 1 };

	if (!span_starts(text, SPAN("\xef\xbb\xbf")))
		return false;
	conf_report_error(lx->report, &place, "the file begins with a byte "
	    "order mark: save it as plain UTF-8");
	return true;
}

/* The file becomes the current one; takes nothing of text. */
static int
push(struct lex *lx, unsigned depth, const char *name, struct span text)
{
	struct lex_file *f = &lx->files[depth];
	char *p;

	if (is_binary(lx, name, text) || has_mark(lx, name, text))
		return -1;
	p = arena_dup(lx->arena, text);
	for (size_t i = 0; i < text.len; i++) {
		if (p[i] == '\n')
			p[i] = LINE_END;
	}
	memset(f, 0, sizeof(*f));
	f->name = name;
	f->text = span_of(p, text.len);
	f->line = 1;
	f->is_blank = true;
	lx->depth = depth;
	return 0;
}

int
lex_init(struct lex *lx, struct arena *arena, struct conf_report *report,
    const char *file_name, const struct span *text)
{
	struct conf_place place = { .file = file_name };
	struct span bytes;
	char *read_bytes = NULL;
	int result;

	memset(lx, 0, sizeof(*lx));
	lx->arena = arena;
	lx->report = report;
	conf_report_file(report, file_name);
	if (text != NULL) {
		bytes = *text;
	} else if (slurp_file(file_name, LEX_BYTES_MAX, &read_bytes,
	    &bytes.len) != 0) {
		conf_report_error(report, &place, "cannot read the file: %s",
		    slurp_reason(errno));
		return -1;
	} else {
		bytes.p = read_bytes;
	}
	lx->bytes = bytes.len;
	result = push(lx, 0, file_name, bytes);
	free(read_bytes);
	return result;
}

void
lex_fini(struct lex *lx)
{
	free(lx->resolved);
	lx->resolved = NULL;
}

/* The end of a token that began at the file's place: is_blank goes. */
static void
finish(struct lex_file *f, struct lex_token *token, enum lex_type type,
    size_t len)
{
	token->type = type;
	token->text = span_of(f->text.p + f->at, len);
	f->at += len;
	f->is_blank = false;
}

const char *
lex_hint(struct lex *lx)
{
	if (lx->long_string == 0)
		return "";
	return arena_printf(lx->arena,
	    " (a string of several lines begins in line %u)",
	    lx->long_string);
}

static void
bad(struct lex *lx, struct lex_token *token, const char *why)
{
	conf_report_error(lx->report, &token->place, "%s", why);
	token->type = LEX_BAD;
}

static bool
is_digit(int c)
{
	return c >= '0' && c <= '9';
}

static bool
is_letter(int c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static bool
is_name_char(int c)
{
	return is_letter(c) || is_digit(c) || c == '*' || c == '-' ||
	    c == '_';
}

static void
lex_name(struct lex_file *f, struct lex_token *token)
{
	size_t len = 1;

	while (is_name_char(peek(f, len)))
		len++;
	finish(f, token, LEX_NAME, len);
	if (span_ieq(token->text, SPAN("true")) ||
	    span_ieq(token->text, SPAN("false"))) {
		token->type = LEX_BOOL;
		token->v.boolean = token->text.len == 4;
	}
}

static int
digit_value(int c)
{
	if (is_digit(c))
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* All that clings to the number belongs to it, so that 12b is refused. */
static size_t
number_len(const struct lex_file *f)
{
	size_t len = 1;
	bool is_hex = peek(f, 0) == '0' && (peek(f, 1) | 0x20) == 'x';

	for (;;) {
		int c = peek(f, len), last = peek(f, len - 1) | 0x20;

		if ((c == '-' || c == '+') && last == 'e' && !is_hex)
			len++;
		else if (is_letter(c) || is_digit(c) || c == '.' || c == '_')
			len++;
		else
			return len;
	}
}

/* False, and it is reported, where libconfig would read another number. */
static bool
has_its_width(struct lex *lx, const struct lex_token *token,
    const struct number *n)
{
	struct span text = token->text;

	if (n->kind == NUMBER_FLOAT && n->overflow)
		conf_report_error(lx->report, &token->place, "%.*s is too "
		    "large for a number with a fraction", SPAN_ARG(text));
	else if (n->overflow)
		conf_report_error(lx->report, &token->place,
		    "%.*s does not fit into 64 bits", SPAN_ARG(text));
	else if (n->wraps)
		conf_report_error(lx->report, &token->place, "%.*s does not "
		    "fit into 32 bits and would be read as %ld: write %.*sL",
		    SPAN_ARG(text), (long)n->wrapped, SPAN_ARG(text));
	return !n->overflow && !n->wraps;
}

static void
lex_number(struct lex *lx, struct lex_file *f, struct lex_token *token)
{
	static const enum lex_type types[] = {
		[NUMBER_INT] = LEX_INT,
		[NUMBER_INT64] = LEX_INT64,
		[NUMBER_FLOAT] = LEX_FLOAT,
	};
	struct number n;

	finish(f, token, LEX_BAD, number_len(f));
	if (!number_parse(token->text, &n)) {
		conf_report_error(lx->report, &token->place,
		    "`%.*s` is no number; strings stand in double quotes",
		    SPAN_ARG(token->text));
		return;
	}
	token->type = types[n.kind];
	token->is_bad = !has_its_width(lx, token, &n);
	if (n.kind == NUMBER_FLOAT)
		token->v.real = n.real;
	else
		token->v.integer = n.integer;
}

/* At a backslash; the byte that it stands for, or itself. */
static char
read_escape(struct lex *lx, struct lex_file *f, struct lex_token *token)
{
	static const char letters[] = "\\\"fnrt", bytes[] = "\\\"\f\n\r\t";
	struct conf_place place = place_at(f, f->at);
	int next = peek(f, 1), high, low;
	const char *known;

	known = next > 0 ? strchr(letters, next) : NULL;
	if (known != NULL) {
		f->at += 2;
		return bytes[known - letters];
	}
	high = peek(f, 2) > 0 ? digit_value(peek(f, 2)) : -1;
	low = peek(f, 3) > 0 ? digit_value(peek(f, 3)) : -1;
	if ((next | 0x20) != 'x' || high < 0 || low < 0) {
		conf_report_warning(lx->report, &place, "no escape sequence: "
		    "the backslash stays; to say so, write `\\\\`");
		f->at++;
		return '\\';
	}
	f->at += 4;
	if (high == 0 && low == 0) {
		conf_report_error(lx->report, &place,
		    "\\x00 would end the string here: no value can hold it");
		token->is_bad = true;
	}
	return (char)(high << 4 | low);
}

/* Over a string that begins here; -1: it never ends. */
static int
string_len(const struct lex_file *f, size_t *len)
{
	for (size_t i = f->at + 1; i < f->text.len; i++) {
		if (f->text.p[i] == '"') {
			*len = i - f->at - 1;
			return 0;
		}
		if (f->text.p[i] == '\\')
			i++;
	}
	return -1;
}

static void
lex_string(struct lex *lx, struct lex_file *f, struct lex_token *token)
{
	size_t begin = f->at, len, used = 0;
	unsigned line = f->line;
	char *value;

	if (string_len(f, &len) != 0) {
		conf_report_error(lx->report, &token->place, "this string is "
		    "not closed: `\"` is missing%s", lex_hint(lx));
		token->type = LEX_BAD;
		return;
	}
	value = arena_alloc(lx->arena, len + 1);
	f->at++;
	while (f->text.p[f->at] != '"') {
		char c = f->text.p[f->at];

		if (c == '\\') {
			value[used++] = read_escape(lx, f, token);
			continue;
		}
		value[used++] = c == LINE_END ? '\n' : c;
		step(f);
	}
	f->at++;
	f->is_blank = false;
	value[used] = '\0';
	if (f->line != line)
		lx->long_string = line;
	token->type = LEX_STRING;
	token->text = span_of(f->text.p + begin, f->at - begin);
	token->v.string = span_of(value, used);
}

/* The inside of the quotes at offset from; NULL if it is written wrong. */
static char *
include_path(struct lex *lx, struct lex_file *f, size_t from)
{
	char *path = arena_alloc(lx->arena, strlen(f->text.p + from) + 1);
	size_t used = 0;

	for (size_t i = from; i < f->text.len; i++) {
		char c = f->text.p[i];

		if (c == '"') {
			path[used] = '\0';
			f->at = i + 1;
			return used > 0 ? path : NULL;
		}
		if (c == '\\') {
			i++;
			c = i < f->text.len ? f->text.p[i] : LINE_END;
			if (c != '\\' && c != '"')
				return NULL;
		}
		if (c == LINE_END)
			return NULL;
		path[used++] = c;
	}
	return NULL;
}

/* Length of "@include" with the blanks and the quote behind it, or 0. */
static size_t
include_len(const struct lex_file *f)
{
	size_t keyword = strlen("@include"), len = keyword;

	while (peek(f, len) == ' ' || peek(f, len) == '\t')
		len++;
	return len > keyword && peek(f, len) == '"' ? len + 1 : 0;
}

/* As the admin would have to write it from where weir runs. */
static const char *
relative_to(struct lex *lx, const char *includer, const char *path)
{
	const char *slash = strrchr(includer, '/');

	if (path[0] == '/' || slash == NULL)
		return path;
	return arena_printf(lx->arena, "%.*s/%s", (int)(slash - includer),
	    includer, path);
}

/* -1: reported. */
static int
include(struct lex *lx, const struct conf_place *place, const char *path)
{
	const char *name = relative_to(lx, place->file, path);
	struct span text;
	char *bytes;
	int result;

	if (lx->depth == LEX_INCLUDE_MAX) {
		conf_report_error(lx->report, place,
		    "files are included more than %d deep", LEX_INCLUDE_MAX);
		return -1;
	}
	for (unsigned i = 0; i <= lx->depth; i++) {
		if (strcmp(lx->files[i].name, name) != 0)
			continue;
		conf_report_error(lx->report, place,
		    "\"%s\" would include itself", name);
		return -1;
	}
	if (slurp_file(name, LEX_BYTES_MAX - lx->bytes, &bytes,
	    &text.len) != 0) {
		conf_report_error(lx->report, place,
		    "cannot include \"%s\": %s%s", name, slurp_reason(errno),
		    strchr(path, '*') != NULL ?
		    "; names are taken as they are, `*` is no wildcard" : "");
		return -1;
	}
	text.p = bytes;
	lx->bytes += text.len;
	conf_report_file(lx->report, name);
	result = push(lx, lx->depth + 1, name, text);
	free(bytes);
	return result;
}

/* At '@': true once an include has been entered. */
static bool
lex_include(struct lex *lx, struct lex_file *f, struct lex_token *token)
{
	struct span rest = span_of(f->text.p + f->at, f->text.len - f->at);
	size_t begin = f->at, len;
	char *path;

	if (!span_starts(rest, SPAN("@include"))) {
		bad(lx, token, "`@` begins nothing but `@include \"file\"`");
		return false;
	}
	if (!f->is_blank) {
		bad(lx, token, "`@include` must be the first in its line");
		return false;
	}
	len = include_len(f);
	path = len > 0 ? include_path(lx, f, begin + len) : NULL;
	if (path == NULL) {
		bad(lx, token, "expected `@include \"file\"` in one line");
		return false;
	}
	f->is_blank = false;
	resolve_to(lx, f, begin);
	f->copied = f->at;
	token->type = LEX_BAD;
	return include(lx, &token->place, path) == 0;
}

/* Over blanks and comments; -1 (reported) if a comment does not end. */
static int
skip_blanks(struct lex *lx, struct lex_file *f)
{
	for (;;) {
		int c = peek(f, 0);
		struct conf_place place = place_at(f, f->at);

		if (c == ' ' || c == '\t' || c == LINE_END) {
			step(f);
		} else if (c == '\r' || c == '\f') {
			step(f);
			f->is_blank = false;
		} else if (c == '#' || (c == '/' && peek(f, 1) == '/')) {
			while (peek(f, 0) > LINE_END)
				f->at++;
		} else if (c == '/' && peek(f, 1) == '*') {
			const char *end = memmem(f->text.p + f->at + 2,
			    f->text.len - f->at - 2, "*/", 2);

			if (end == NULL) {
				conf_report_error(lx->report, &place,
				    "this comment is not closed: `*/` is "
				    "missing");
				return -1;
			}
			while (f->text.p + f->at < end + 2)
				step(f);
			f->is_blank = false;
		} else {
			return 0;
		}
	}
}

static enum lex_type
punctuation(int c)
{
	switch (c) {
	case '=':
	case ':':
		return LEX_EQUALS;
	case ',':
		return LEX_COMMA;
	case ';':
		return LEX_SEMICOLON;
	case '{':
		return LEX_GROUP_OPEN;
	case '}':
		return LEX_GROUP_CLOSE;
	case '(':
		return LEX_LIST_OPEN;
	case ')':
		return LEX_LIST_CLOSE;
	case '[':
		return LEX_ARRAY_OPEN;
	case ']':
		return LEX_ARRAY_CLOSE;
	default:
		return LEX_BAD;
	}
}

static void
lex_other(struct lex *lx, struct lex_file *f, struct lex_token *token)
{
	int c = peek(f, 0);

	finish(f, token, punctuation(c), 1);
	if (token->type != LEX_BAD)
		return;
	if (c > 0x20 && c < 0x7f)
		conf_report_error(lx->report, &token->place,
		    "`%c` has no meaning here%s", c,
		    c == '\'' ? ": strings stand in double quotes" : "");
	else
		conf_report_error(lx->report, &token->place,
		    "byte 0x%02x outside a string: names and numbers are "
		    "plain ASCII", (unsigned)c);
}

/* A token that begins with c. */
static void
lex_token(struct lex *lx, struct lex_file *f, int c, struct lex_token *token)
{
	if (c == '"')
		lex_string(lx, f, token);
	else if (is_digit(c) || c == '-' || c == '+' || c == '.')
		lex_number(lx, f, token);
	else if (is_letter(c) || c == '*')
		lex_name(f, token);
	else
		lex_other(lx, f, token);
}

void
lex_next(struct lex *lx, struct lex_token *token)
{
	for (;;) {
		struct lex_file *f = current(lx);
		int c;

		memset(token, 0, sizeof(*token));
		if (skip_blanks(lx, f) != 0) {
			token->type = LEX_BAD;
			return;
		}
		token->place = place_at(f, f->at);
		c = peek(f, 0);
		if (c == '@') {
			if (!lex_include(lx, f, token))
				return;
		} else if (c >= 0) {
			lex_token(lx, f, c, token);
			return;
		} else {
			resolve_rest(lx, f);
			if (lx->depth == 0)
				return;
			lx->depth--;
		}
	}
}

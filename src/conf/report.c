/* SPDX-License-Identifier: BSD-2-Clause */
/* report - keeps what was found until all of it can be printed in order. */
#include "conf/report.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/heap_alloc.h"
#include "base/str.h"

/* Bytes of a source line that are shown: what is longer is cut around the
 * column, with a mark for what is left out, so that a generated line does not
 * flood the terminal. */
enum { SOURCE_SHOWN = 160 };

static const char cut_mark[] = "...";

enum { MARK = sizeof(cut_mark) - 1 };

struct finding {
	struct conf_place place; /* without its source */
	char *source;            /* the part of the line that is shown */
	size_t caret;            /* byte in it, or just behind it */
	char *text;
	size_t number;    /* order of discovery */
	size_t file_rank; /* order of files */
	bool is_error;
};

struct conf_report {
	struct finding *findings;
	size_t count, room;
	size_t errors;
	char **files; /* in the order in which they came up */
	size_t file_count;
};

struct conf_report *
conf_report_new(void)
{
	return heap_alloc_zeroed(1, sizeof(struct conf_report));
}

void
conf_report_free(struct conf_report *r)
{
	if (r == NULL)
		return;
	for (size_t i = 0; i < r->count; i++) {
		free(r->findings[i].text);
		free(r->findings[i].source);
	}
	for (size_t i = 0; i < r->file_count; i++)
		free(r->files[i]);
	free(r->findings);
	free(r->files);
	free(r);
}

/* What has no file comes first: it is about the run as a whole. */
static size_t
rank_of(struct conf_report *r, const char *file)
{
	if (file == NULL)
		return 0;
	for (size_t i = 0; i < r->file_count; i++) {
		if (strcmp(r->files[i], file) == 0)
			return i + 1;
	}
	r->files = heap_alloc_grow(r->files, r->file_count + 1,
	    sizeof(*r->files));
	r->files[r->file_count++] = heap_alloc_strdup(file);
	return r->file_count;
}

void
conf_report_file(struct conf_report *r, const char *file)
{
	(void)rank_of(r, file);
}

static char *format(const char *fmt, va_list ap)
    __attribute__((format(printf, 1, 0)));

static char *
format(const char *fmt, va_list ap)
{
	va_list again;
	char *text;
	int len;

	va_copy(again, ap);
	len = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	if (len < 0)
		return heap_alloc_strdup(fmt);
	text = heap_alloc((size_t)len + 1);
	vsnprintf(text, (size_t)len + 1, fmt, ap);
	return text;
}

static bool
is_inside(const char *line, size_t at)
{
	return ((unsigned char)line[at] & 0xc0) == 0x80;
}

/*
 * Copy the line, which the report may outlive.  Thousands of findings in one
 * long line shall not cost a copy of all of it each.
 */
static void
keep_source(struct finding *f)
{
	const char *line = f->place.source;
	size_t column = f->place.column > 0 ? f->place.column - 1 : 0;
	size_t from = 0, to;
	struct str out;

	f->place.source = NULL;
	if (line == NULL)
		return;
	to = strnlen(line, column + SOURCE_SHOWN + 1);
	while (to > 0 && line[to - 1] == '\r')
		to--;
	if (column > to)
		column = to;
	if (to > SOURCE_SHOWN && column > SOURCE_SHOWN / 2)
		from = column + SOURCE_SHOWN / 2 < to
		    ? column - SOURCE_SHOWN / 2 : to - SOURCE_SHOWN;
	while (from > 0 && from < column && is_inside(line, from))
		from++;
	str_init(&out, heap_alloc(SOURCE_SHOWN + 2 * MARK + 1),
	    SOURCE_SHOWN + 2 * MARK + 1);
	f->source = out.p;
	if (from > 0)
		str_cstr(&out, cut_mark);
	f->caret = out.len + column - from;
	if (to - from > SOURCE_SHOWN) {
		to = from + SOURCE_SHOWN;
		while (to > column && is_inside(line, to))
			to--;
		str_span(&out, span_of(line + from, to - from));
		str_cstr(&out, cut_mark);
	} else {
		str_span(&out, span_of(line + from, to - from));
	}
	(void)str_terminate(&out);
}

static void
add(struct conf_report *r, const struct conf_place *place, bool is_error,
    char *text)
{
	struct finding *f;

	if (r->count == r->room) {
		r->room = r->room > 0 ? r->room * 2 : 16;
		r->findings = heap_alloc_grow(r->findings, r->room,
		    sizeof(*r->findings));
	}
	f = &r->findings[r->count];
	memset(f, 0, sizeof(*f));
	if (place != NULL)
		f->place = *place;
	f->file_rank = rank_of(r, f->place.file);
	/* The report may outlive the text that it talks about. */
	if (f->place.file != NULL)
		f->place.file = r->files[f->file_rank - 1];
	keep_source(f);
	f->text = text;
	f->number = r->count++;
	f->is_error = is_error;
	if (is_error)
		r->errors++;
}

void
conf_report_error(struct conf_report *r, const struct conf_place *place,
    const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add(r, place, true, format(fmt, ap));
	va_end(ap);
}

void
conf_report_warning(struct conf_report *r, const struct conf_place *place,
    const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add(r, place, false, format(fmt, ap));
	va_end(ap);
}

size_t
conf_report_errors(const struct conf_report *r)
{
	return r->errors;
}

size_t
conf_report_warnings(const struct conf_report *r)
{
	return r->count - r->errors;
}

static int
compare_numbers(size_t a, size_t b)
{
	return a < b ? -1 : a > b;
}

static int
compare(const void *left, const void *right)
{
	const struct finding *a = left, *b = right;
	int order = compare_numbers(a->file_rank, b->file_rank);

	if (order == 0)
		order = compare_numbers(a->place.line, b->place.line);
	if (order == 0)
		order = compare_numbers(a->place.column, b->place.column);
	return order != 0 ? order : compare_numbers(a->number, b->number);
}

static bool
is_same(const struct finding *a, const struct finding *b)
{
	return a->file_rank == b->file_rank &&
	    a->place.line == b->place.line &&
	    a->place.column == b->place.column &&
	    a->is_error == b->is_error && strcmp(a->text, b->text) == 0;
}

/* A byte that starts or continues no control sequence of a terminal. */
static void
put_safely(char c, FILE *out)
{
	unsigned char byte = (unsigned char)c;

	if (byte == '\t' || (byte >= 0x20 && byte != 0x7f))
		putc(byte, out);
	else
		putc('?', out);
}

/*
 * The line and, under it, a caret: tabs are repeated and the bytes behind the
 * first of a UTF-8 character take no place, so that both lines stay aligned.
 */
static void
print_source(const struct finding *f, FILE *out)
{
	for (const char *c = f->source; *c != '\0'; c++)
		put_safely(*c, out);
	putc('\n', out);
	for (size_t i = 0; i < f->caret; i++) {
		if (f->source[i] == '\t')
			putc('\t', out);
		else if (((unsigned char)f->source[i] & 0xc0) != 0x80)
			putc(' ', out);
	}
	fputs("^\n", out);
}

static void
print_finding(const struct finding *f, FILE *out)
{
	const struct conf_place *place = &f->place;

	fputs(place->file != NULL ? place->file : "weir", out);
	if (place->file != NULL && place->line > 0)
		fprintf(out, ":%u:%u", place->line,
		    place->column > 0 ? place->column : 1);
	fputs(f->is_error ? ": error: " : ": warning: ", out);
	for (const char *c = f->text; *c != '\0'; c++)
		put_safely(*c, out);
	putc('\n', out);
}

static void
print_all(const struct conf_report *r, FILE *out, bool has_source)
{
	struct finding *sorted;

	if (r->count == 0)
		return;
	sorted = heap_alloc_zeroed(r->count, sizeof(*sorted));
	memcpy(sorted, r->findings, r->count * sizeof(*sorted));
	qsort(sorted, r->count, sizeof(*sorted), compare);
	for (size_t i = 0; i < r->count; i++) {
		/* Found twice, as in a value that several levels inherit. */
		if (i > 0 && is_same(&sorted[i - 1], &sorted[i]))
			continue;
		print_finding(&sorted[i], out);
		if (has_source && sorted[i].source != NULL &&
		    sorted[i].place.line > 0)
			print_source(&sorted[i], out);
	}
	free(sorted);
}

void
conf_report_print(const struct conf_report *r, FILE *out)
{
	print_all(r, out, true);
}

void
conf_report_print_lines(const struct conf_report *r, FILE *out)
{
	print_all(r, out, false);
}

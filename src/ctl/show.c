/* SPDX-License-Identifier: BSD-2-Clause */
/* show - lines and tables. */
#include "ctl/show.h"

#include <stdlib.h>
#include <string.h>

#include "base/heap_alloc.h"
#include "ctl/jsonread.h"

enum { COLUMNS_MAX = 32, INDENT = 2 };

struct columns {
	struct span names[COLUMNS_MAX];
	size_t widths[COLUMNS_MAX];
	bool is_number[COLUMNS_MAX];
	size_t count;
};

static bool
is_control(char c)
{
	return (unsigned char)c < 0x20 || c == 0x7f;
}

/* Characters that text takes on the screen, one for each in UTF-8. */
static size_t
width(struct span text)
{
	size_t n = 0;

	for (size_t i = 0; i < text.len; i++) {
		if (is_control(text.p[i]))
			n += 4;
		else
			n += ((unsigned char)text.p[i] & 0xc0) != 0x80;
	}
	return n;
}

static void
put(FILE *out, struct span text)
{
	for (size_t i = 0; i < text.len; i++) {
		if (is_control(text.p[i]))
			fprintf(out, "\\x%02x", (unsigned char)text.p[i]);
		else
			fputc(text.p[i], out);
	}
}

static void
put_spaces(FILE *out, size_t n)
{
	while (n-- > 0)
		fputc(' ', out);
}

/* "yes", "no", "-" for nothing; composed values are not for one cell. */
static struct span
cell(const struct jsonread_value *v)
{
	if (v == NULL)
		return SPAN("-");
	switch (v->type) {
	case JSONREAD_NULL:
		return SPAN("-");
	case JSONREAD_BOOL:
		return v->is_true ? SPAN("yes") : SPAN("no");
	case JSONREAD_NUMBER:
		return v->text;
	case JSONREAD_STRING:
		return v->text.len > 0 ? v->text : SPAN("-");
	case JSONREAD_ARRAY:
	case JSONREAD_OBJECT:
		break;
	}
	return SPAN("...");
}

static bool
is_composed(const struct jsonread_value *v)
{
	return v->type == JSONREAD_ARRAY || v->type == JSONREAD_OBJECT;
}

static void
put_list(FILE *out, const struct jsonread_value *array)
{
	for (const struct jsonread_value *v = array->first; v != NULL;
	     v = v->next) {
		put(out, cell(v));
		if (v->next != NULL)
			fputs(", ", out);
	}
}

/* ---- tables ---- */

static size_t
column_of(struct columns *c, struct span name)
{
	size_t i = 0;

	while (i < c->count && !span_eq(c->names[i], name))
		i++;
	if (i == c->count && i < COLUMNS_MAX) {
		c->names[i] = name;
		c->widths[i] = width(name);
		c->is_number[i] = true;
		c->count++;
	}
	return i;
}

static void
measure(struct columns *c, const struct jsonread_value *array)
{
	for (const struct jsonread_value *row = array->first; row != NULL;
	     row = row->next) {
		for (const struct jsonread_value *v = row->first; v != NULL;
		     v = v->next) {
			size_t i = column_of(c, v->name);

			if (i == COLUMNS_MAX)
				continue;
			if (width(cell(v)) > c->widths[i])
				c->widths[i] = width(cell(v));
			if (v->type != JSONREAD_NUMBER &&
			    v->type != JSONREAD_NULL)
				c->is_number[i] = false;
		}
	}
}

static const struct jsonread_value *
member(const struct jsonread_value *row, struct span name)
{
	for (const struct jsonread_value *v = row->first; v != NULL;
	     v = v->next) {
		if (span_eq(v->name, name))
			return v;
	}
	return NULL;
}

/* row NULL: the head. */
static void
put_row(FILE *out, const struct columns *c, const struct jsonread_value *row)
{
	put_spaces(out, INDENT);
	for (size_t i = 0; i < c->count; i++) {
		struct span text = row == NULL ? c->names[i]
		    : cell(member(row, c->names[i]));
		size_t pad = c->widths[i] - width(text);

		if (c->is_number[i])
			put_spaces(out, pad);
		put(out, text);
		if (i + 1 == c->count)
			break;
		if (!c->is_number[i])
			put_spaces(out, pad);
		put_spaces(out, 2);
	}
	fputc('\n', out);
}

static void
show_table(const struct jsonread_value *array, FILE *out)
{
	struct columns *c = heap_alloc_zeroed(1, sizeof(*c));

	measure(c, array);
	put_row(out, c, NULL);
	for (const struct jsonread_value *row = array->first; row != NULL;
	     row = row->next)
		put_row(out, c, row);
	free(c);
}

/* ---- the whole ---- */

static bool
is_table(const struct jsonread_value *v)
{
	return v->type == JSONREAD_ARRAY && v->first != NULL &&
	    v->first->type == JSONREAD_OBJECT;
}

/* Sentences: a line each. */
static bool
is_lines(const struct jsonread_value *v)
{
	if (v->type != JSONREAD_ARRAY)
		return false;
	for (v = v->first; v != NULL; v = v->next) {
		if (v->type == JSONREAD_STRING && v->text.len > 0 &&
		    memchr(v->text.p, ' ', v->text.len) != NULL)
			return true;
	}
	return false;
}

static bool
is_block(const struct jsonread_value *v)
{
	return v->type == JSONREAD_OBJECT || is_table(v) || is_lines(v);
}

static void
show_lines(const struct jsonread_value *array, FILE *out)
{
	for (const struct jsonread_value *v = array->first; v != NULL;
	     v = v->next) {
		put_spaces(out, INDENT);
		put(out, cell(v));
		fputc('\n', out);
	}
}

static void
show_scalars(const struct jsonread_value *object, FILE *out)
{
	size_t widest = 0;

	for (const struct jsonread_value *v = object->first; v != NULL;
	     v = v->next) {
		if (!is_block(v) &&
		    width(v->name) > widest)
			widest = width(v->name);
	}
	for (const struct jsonread_value *v = object->first; v != NULL;
	     v = v->next) {
		if (is_block(v))
			continue;
		put(out, v->name);
		fputc(':', out);
		put_spaces(out, widest - width(v->name) + 1);
		if (!is_composed(v))
			put(out, cell(v));
		else if (v->first != NULL)
			put_list(out, v);
		else
			put(out, SPAN("none"));
		fputc('\n', out);
	}
}

void
show(const struct jsonread_value *result, FILE *out)
{
	const struct jsonread_value *v = result->first;
	bool is_first = true;

	if (result->type != JSONREAD_OBJECT || v == NULL)
		return;
	if (v->next == NULL && v->type == JSONREAD_STRING &&
	    span_eq(v->name, SPAN("text"))) {
		fwrite(v->text.p, 1, v->text.len, out);
		return;
	}
	show_scalars(result, out);
	for (; v != NULL; v = v->next) {
		is_first = is_first && v == result->first;
		if (!is_block(v))
			continue;
		if (!is_first)
			fputc('\n', out);
		put(out, v->name);
		fputs(":\n", out);
		if (is_table(v))
			show_table(v, out);
		else if (is_lines(v))
			show_lines(v, out);
		else
			show_scalars(v, out);
	}
}

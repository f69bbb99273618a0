/* SPDX-License-Identifier: BSD-2-Clause */
/* jsonread - a parser by recursive descent, of bounded depth. */
#include "ctl/jsonread.h"

#include <stdint.h>
#include <string.h>

#include "base/arena.h"

enum { DEPTH_MAX = 64 };

struct reader {
	struct arena *arena;
	const char *p;
	const char *end;
	unsigned depth;
};

static struct jsonread_value *read_value(struct reader *r);

static void
skip_space(struct reader *r)
{
	while (r->p < r->end && (*r->p == ' ' || *r->p == '\t' ||
	    *r->p == '\n' || *r->p == '\r'))
		r->p++;
}

static bool
take(struct reader *r, char c)
{
	if (r->p == r->end || *r->p != c)
		return false;
	r->p++;
	return true;
}

static bool
take_word(struct reader *r, const char *word)
{
	size_t len = strlen(word);

	if ((size_t)(r->end - r->p) < len || memcmp(r->p, word, len) != 0)
		return false;
	r->p += len;
	return true;
}

/* ---- strings ---- */

static bool
take_hex(struct reader *r, uint32_t *code)
{
	*code = 0;
	for (int i = 0; i < 4; i++, r->p++) {
		static const char digits[] = "0123456789abcdef";
		const char *at;

		if (r->p == r->end)
			return false;
		at = memchr(digits, *r->p | 0x20, 16);
		if (at == NULL || (*r->p < '0'))
			return false;
		*code = *code << 4 | (uint32_t)(at - digits);
	}
	return true;
}

static char *
put_utf8(char *out, uint32_t code)
{
	if (code < 0x80) {
		*out++ = (char)code;
		return out;
	}
	if (code < 0x800) {
		*out++ = (char)(0xc0 | code >> 6);
	} else if (code < 0x10000) {
		*out++ = (char)(0xe0 | code >> 12);
		*out++ = (char)(0x80 | (code >> 6 & 0x3f));
	} else {
		*out++ = (char)(0xf0 | code >> 18);
		*out++ = (char)(0x80 | (code >> 12 & 0x3f));
		*out++ = (char)(0x80 | (code >> 6 & 0x3f));
	}
	*out++ = (char)(0x80 | (code & 0x3f));
	return out;
}

/* Behind "\u"; a surrogate needs its other half. */
static bool
take_code(struct reader *r, uint32_t *code)
{
	uint32_t low;

	if (!take_hex(r, code))
		return false;
	if (*code < 0xd800 || *code > 0xdfff)
		return true;
	if (*code > 0xdbff || !take(r, '\\') || !take(r, 'u') ||
	    !take_hex(r, &low) || low < 0xdc00 || low > 0xdfff)
		return false;
	*code = 0x10000 + ((*code - 0xd800) << 10) + (low - 0xdc00);
	return true;
}

static char *
take_escape(struct reader *r, char *out)
{
	static const char names[] = "\"\\/bfnrt";
	static const char values[] = "\"\\/\b\f\n\r\t";
	const char *at;
	uint32_t code;

	if (r->p == r->end)
		return NULL;
	if (take(r, 'u'))
		return take_code(r, &code) ? put_utf8(out, code) : NULL;
	at = memchr(names, *r->p, sizeof(names) - 1);
	if (at == NULL)
		return NULL;
	r->p++;
	*out++ = values[at - names];
	return out;
}

/* What was escaped becomes shorter, never longer. */
static bool
read_string(struct reader *r, struct span *text)
{
	const char *end;
	char *out, *start;

	if (!take(r, '"'))
		return false;
	for (end = r->p; end < r->end && *end != '"'; end++)
		end += *end == '\\';
	if (end >= r->end)
		return false;
	start = out = arena_alloc(r->arena, (size_t)(end - r->p) + 1);
	while (r->p < end) {
		unsigned char c = (unsigned char)*r->p++;

		if (c < 0x20)
			return false;
		if (c != '\\') {
			*out++ = (char)c;
			continue;
		}
		out = take_escape(r, out);
		if (out == NULL)
			return false;
	}
	*text = span_of(start, (size_t)(out - start));
	return r->p == end && take(r, '"');
}

/* ---- the other values ---- */

static bool
take_digits(struct reader *r)
{
	const char *start = r->p;

	while (r->p < r->end && *r->p >= '0' && *r->p <= '9')
		r->p++;
	return r->p > start;
}

static bool
read_number(struct reader *r, struct jsonread_value *v)
{
	const char *start = r->p;

	v->type = JSONREAD_NUMBER;
	take(r, '-');
	if (!take(r, '0') && !take_digits(r))
		return false;
	if (take(r, '.') && !take_digits(r))
		return false;
	if (take(r, 'e') || take(r, 'E')) {
		if (!take(r, '-'))
			take(r, '+');
		if (!take_digits(r))
			return false;
	}
	v->text = span_of(start, (size_t)(r->p - start));
	return true;
}

static bool
read_word(struct reader *r, struct jsonread_value *v)
{
	const char *start = r->p;

	v->type = JSONREAD_BOOL;
	v->is_true = take_word(r, "true");
	if (!v->is_true && !take_word(r, "false")) {
		v->type = JSONREAD_NULL;
		if (!take_word(r, "null"))
			return false;
	}
	v->text = span_of(start, (size_t)(r->p - start));
	return true;
}

static bool
read_members(struct reader *r, struct jsonread_value *v, char end)
{
	struct jsonread_value **last = &v->first;
	bool is_object = end == '}';

	v->type = is_object ? JSONREAD_OBJECT : JSONREAD_ARRAY;
	r->p++;
	skip_space(r);
	if (take(r, end))
		return true;
	do {
		struct span name = { NULL, 0 };

		skip_space(r);
		if (is_object) {
			if (!read_string(r, &name))
				return false;
			skip_space(r);
			if (!take(r, ':'))
				return false;
		}
		*last = read_value(r);
		if (*last == NULL)
			return false;
		(*last)->name = name;
		last = &(*last)->next;
	} while (take(r, ','));
	return take(r, end);
}

static bool
read_any(struct reader *r, struct jsonread_value *v)
{
	switch (*r->p) {
	case '{':
		return read_members(r, v, '}');
	case '[':
		return read_members(r, v, ']');
	case '"':
		v->type = JSONREAD_STRING;
		return read_string(r, &v->text);
	case 't':
	case 'f':
	case 'n':
		return read_word(r, v);
	default:
		return read_number(r, v);
	}
}

/* With the space around it; NULL if there is none. */
static struct jsonread_value *
read_value(struct reader *r)
{
	struct jsonread_value *v = arena_zalloc(r->arena, sizeof(*v));
	bool is_good;

	skip_space(r);
	if (r->p == r->end || r->depth == DEPTH_MAX)
		return NULL;
	r->depth++;
	is_good = read_any(r, v);
	r->depth--;
	skip_space(r);
	return is_good ? v : NULL;
}

struct jsonread_value *
jsonread_parse(struct arena *arena, struct span text)
{
	struct reader r = { .arena = arena, .p = text.p,
		.end = text.p + text.len };
	struct jsonread_value *v = read_value(&r);

	return r.p == r.end ? v : NULL;
}

const struct jsonread_value *
jsonread_get(const struct jsonread_value *object, const char *name)
{
	if (object == NULL || object->type != JSONREAD_OBJECT)
		return NULL;
	for (const struct jsonread_value *v = object->first; v != NULL;
	     v = v->next) {
		if (span_eq(v->name, span_cstr(name)))
			return v;
	}
	return NULL;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* h1_body - the body of a message, and chunked coding (RFC 9112, section 7). */
#include "http/h1_body.h"

#include <stdlib.h>

#include "base/heap_alloc.h"
#include "http/chars.h"
#include "http/hop.h"

enum state {
	SIZE_FIRST,  /* the first digit of a chunk's size */
	SIZE,        /* further digits */
	SIZE_BLANK,  /* blanks before an extension */
	EXTENSION,
	SIZE_LF,
	DATA,
	DATA_CR,     /* after the last byte of a chunk */
	DATA_LF,
	TRAILERS,    /* after the last chunk's line */
	END,
	REFUSED,
};

enum { SIZE_DIGITS_MAX = 16, TRAILERS_FIRST_SIZE = 512 };

/* The trailer section while it is incomplete, and then what its fields are. */
struct h1_body_trailers {
	struct h1_state state;
	size_t len;
	size_t size; /* room in bytes */
	char *bytes;
	struct http_field *items;
};

void
h1_body_init(struct h1_body *b, enum http_framing framing,
    uint64_t content_length)
{
	memset(b, 0, sizeof(*b));
	b->framing = (uint8_t)framing;
	b->state = framing == HTTP_FRAMING_CHUNKED ? SIZE_FIRST : DATA;
	if (framing == HTTP_FRAMING_LENGTH)
		b->left = content_length;
	if (framing == HTTP_FRAMING_NONE)
		b->state = END;
}

void
h1_body_fini(struct h1_body *b)
{
	if (b->trailer_block == NULL)
		return;
	free(b->trailer_block->bytes);
	free(b->trailer_block->items);
	free(b->trailer_block);
	b->trailer_block = NULL;
	b->trailers = (struct http_fields){ .count = 0 };
}

bool
h1_body_may_end(const struct h1_body *b)
{
	if (b->framing == HTTP_FRAMING_CLOSE)
		return b->state != REFUSED;
	if (b->framing == HTTP_FRAMING_LENGTH)
		return b->left == 0;
	return b->state == END;
}

static void
cut(struct span *in, size_t len)
{
	in->p += len;
	in->len -= len;
}

static enum h1_body_event
refuse(struct h1_body *b, enum h1_refusal refusal)
{
	b->state = REFUSED;
	b->refusal = (uint8_t)refusal;
	return H1_BODY_REFUSED;
}

/* As much of the body or chunk as there is. */
static enum h1_body_event
give_data(struct h1_body *b, struct span *in, struct span *data)
{
	size_t len = in->len < b->left ? in->len : (size_t)b->left;

	*data = span_of(in->p, len);
	cut(in, len);
	b->left -= len;
	b->total += len;
	return H1_BODY_DATA;
}

/* -- chunk-size lines -------------------------------------------------- */

/* The first byte after size and extension that is neither, by what it is. */
static enum h1_refusal
misfit(char c)
{
	if (c == '\n')
		return H1_REFUSAL_BARE_LF;
	return chars_is(c, CHARS_VALUE) ? H1_REFUSAL_CHUNK_SIZE :
					  H1_REFUSAL_CONTROL;
}

/* A byte that is no digit of the size, and what may follow the size. */
static enum h1_refusal
end_size(struct h1_body *b, char c)
{
	if (b->state != SIZE_FIRST && c == ';') {
		b->state = EXTENSION;
		return H1_REFUSAL_NONE;
	}
	if (b->state != SIZE_FIRST && chars_is_blank(c)) {
		b->state = SIZE_BLANK;
		return H1_REFUSAL_NONE;
	}
	if (b->state == SIZE && c == '\r') {
		b->state = SIZE_LF;
		return H1_REFUSAL_NONE;
	}
	return c == '\r' ? H1_REFUSAL_CHUNK_SIZE : misfit(c);
}

static enum h1_refusal
add_digit(struct h1_body *b, char c)
{
	if (b->line_len > SIZE_DIGITS_MAX || b->left > INT64_MAX >> 4)
		return H1_REFUSAL_CHUNK_SIZE;
	b->left = b->left << 4 | chars_hex(c);
	b->state = SIZE;
	return H1_REFUSAL_NONE;
}

/* One byte of a chunk-size line; H1_REFUSAL_NONE goes on. */
static enum h1_refusal
read_size_byte(struct h1_body *b, char c)
{
	if (b->state <= SIZE && chars_is(c, CHARS_HEX))
		return add_digit(b, c);
	if (b->state <= SIZE_BLANK)
		return end_size(b, c);
	if (b->state == EXTENSION) {
		if (c == '\r')
			b->state = SIZE_LF;
		else if (!chars_is(c, CHARS_VALUE))
			return misfit(c);
		return H1_REFUSAL_NONE;
	}
	if (c != '\n')
		return H1_REFUSAL_BARE_CR;
	b->state = b->left > 0 ? DATA : TRAILERS;
	b->line_len = 0;
	return H1_REFUSAL_NONE;
}

/* The usual line, whole and without extension; false for any other. */
static bool
read_plain_size_line(struct h1_body *b, const struct h1_body_limits *limits,
    struct span *in)
{
	size_t digits_max = SIZE_DIGITS_MAX - 1;
	uint64_t size = 0;
	size_t n = 0;

	if (digits_max > limits->chunk_line_max)
		digits_max = limits->chunk_line_max;
	if (in->len < digits_max + 2)
		digits_max = in->len >= 2 ? in->len - 2 : 0;
	for (; n < digits_max && chars_is(in->p[n], CHARS_HEX); n++)
		size = size << 4 | chars_hex(in->p[n]);
	if (n == 0 || in->p[n] != '\r' || in->p[n + 1] != '\n')
		return false;
	cut(in, n + 2);
	b->left = size;
	b->state = size > 0 ? DATA : TRAILERS;
	return true;
}

/* A chunk-size line, as far as it is there. */
static enum h1_refusal
read_size_line(struct h1_body *b, const struct h1_body_limits *limits,
    struct span *in)
{
	if (b->state == SIZE_FIRST && read_plain_size_line(b, limits, in))
		return H1_REFUSAL_NONE;
	while (in->len > 0 && b->state <= SIZE_LF) {
		enum h1_refusal refusal;
		char c = in->p[0];

		b->line_len++;
		/* The line's end does not count. */
		if (b->line_len > limits->chunk_line_max && c != '\r' &&
		    c != '\n')
			return H1_REFUSAL_CHUNK_LINE_TOO_LONG;
		refusal = read_size_byte(b, c);
		if (refusal != H1_REFUSAL_NONE)
			return refusal;
		cut(in, 1);
	}
	return H1_REFUSAL_NONE;
}

/* CR and LF after the data of a chunk. */
static enum h1_refusal
read_data_end(struct h1_body *b, struct span *in)
{
	if (b->state == DATA_CR && in->len >= 2 &&
	    memcmp(in->p, "\r\n", 2) == 0) {
		b->state = SIZE_FIRST;
		cut(in, 2);
	}
	while (in->len > 0 && b->state != SIZE_FIRST) {
		if (in->p[0] != (b->state == DATA_CR ? '\r' : '\n'))
			return H1_REFUSAL_CHUNK_END;
		b->state = b->state == DATA_CR ? DATA_LF : SIZE_FIRST;
		cut(in, 1);
	}
	return H1_REFUSAL_NONE;
}

/* -- trailers ---------------------------------------------------------- */

/* Append what may belong to the section; how many bytes that was. */
static size_t
keep_bytes(struct h1_body_trailers *t, const struct h1_body_limits *limits,
    struct span in)
{
	size_t room = limits->trailers_max - t->len;
	size_t len = in.len < room ? in.len : room;

	if (len > t->size - t->len) {
		size_t size = t->size * 2 > t->len + len ? t->size * 2 :
							   t->len + len;

		if (size < TRAILERS_FIRST_SIZE)
			size = TRAILERS_FIRST_SIZE;
		t->bytes = heap_alloc_grow(t->bytes, size, 1);
		t->size = size;
	}
	if (len > 0)
		memcpy(t->bytes + t->len, in.p, len);
	t->len += len;
	return len;
}

/* The parser's table is not ours to keep. */
static void
keep_fields(struct h1_body *b, const struct http_fields *fields)
{
	struct h1_body_trailers *t = b->trailer_block;

	b->trailers = *fields;
	b->trailers.size = fields->count;
	if (fields->count == 0) {
		b->trailers.items = NULL;
		return;
	}
	t->items = heap_alloc_grow(NULL, fields->count, sizeof(*t->items));
	memcpy(t->items, fields->items, fields->count * sizeof(*t->items));
	b->trailers.items = t->items;
}

static enum h1_body_event
read_trailers(struct h1_body *b, const struct h1_body_limits *limits,
    struct span *in)
{
	const struct h1_limits head = { .head_max = limits->trailers_max,
		.fields_max = limits->trailer_fields_max };
	struct h1_body_trailers *t = b->trailer_block;
	struct http_fields fields;
	size_t before, kept, used = 0;

	if (t == NULL && in->len >= 2 && in->p[0] == '\r' &&
	    in->p[1] == '\n') {
		cut(in, 2);
		b->state = END;
		return H1_BODY_END;
	}
	if (t == NULL)
		b->trailer_block = t = heap_alloc_zeroed(1, sizeof(*t));
	before = t->len;
	kept = keep_bytes(t, limits, *in);
	switch (h1_parse_trailers(&t->state, t->bytes, t->len, &head, &fields,
	    &used)) {
	case H1_MORE:
		cut(in, kept);
		return H1_BODY_MORE;
	case H1_REFUSED:
		if (t->state.refusal == H1_REFUSAL_HEAD_TOO_LARGE ||
		    t->state.refusal == H1_REFUSAL_FIELDS_TOO_MANY)
			return refuse(b, H1_REFUSAL_TRAILER_TOO_LARGE);
		return refuse(b, H1_REFUSAL_TRAILER_INVALID);
	case H1_DONE:
		break;
	}
	cut(in, used - before);
	if (hop_check_trailers(&fields) != H1_REFUSAL_NONE)
		return refuse(b, H1_REFUSAL_TRAILER_INVALID);
	keep_fields(b, &fields);
	b->state = END;
	return H1_BODY_END;
}

/* -- all of it --------------------------------------------------------- */

static __attribute__((noinline)) enum h1_body_event
next_chunked(struct h1_body *b, const struct h1_body_limits *limits,
    struct span *in, struct span *data)
{
	while (in->len > 0) {
		enum h1_refusal refusal = H1_REFUSAL_NONE;

		if (b->state == TRAILERS)
			return read_trailers(b, limits, in);
		if (b->state == DATA) {
			give_data(b, in, data);
			if (b->left == 0)
				b->state = DATA_CR;
			return H1_BODY_DATA;
		}
		if (b->state <= SIZE_LF)
			refusal = read_size_line(b, limits, in);
		else
			refusal = read_data_end(b, in);
		if (refusal != H1_REFUSAL_NONE)
			return refuse(b, refusal);
	}
	return H1_BODY_MORE;
}

enum h1_body_event
h1_body_next(struct h1_body *b, const struct h1_body_limits *limits,
    struct span *in, struct span *data)
{
	if (b->state == END)
		return H1_BODY_END;
	if (b->state == REFUSED)
		return H1_BODY_REFUSED;
	switch ((enum http_framing)b->framing) {
	case HTTP_FRAMING_LENGTH:
		if (b->left == 0) {
			b->state = END;
			return H1_BODY_END;
		}
		return in->len == 0 ? H1_BODY_MORE : give_data(b, in, data);
	case HTTP_FRAMING_CLOSE:
		if (in->len == 0)
			return H1_BODY_MORE;
		*data = *in;
		b->total += in->len;
		cut(in, in->len);
		return H1_BODY_DATA;
	case HTTP_FRAMING_CHUNKED:
		return next_chunked(b, limits, in, data);
	case HTTP_FRAMING_NONE:
		break;
	}
	return H1_BODY_END;
}

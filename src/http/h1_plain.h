/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * h1_plain - the lines that fields of almost all messages are, recognised with
 * few comparisons.  Private to the parser, and inline in its loop.
 *
 * A plain line is a name of letters, digits and dashes, a colon, one space, a
 * value without tabs or blanks around it, CR and LF.  Any other, right or
 * wrong, is told by false and left to code that looks at each byte.
 */
#ifndef HTTP_H1_PLAIN_H
#define HTTP_H1_PLAIN_H

#include <string.h>

#include "http/http_field_private.h"
#include "http/scan.h"

#if SCAN_SSE2

/* So far before the end, loads of a line with a short name do not reach it. */
enum { H1_PLAIN_FAR = 2 * SCAN_WIDTH + 4 };

struct h1_plain_name {
	unsigned len; /* 0: it is not plain */
	unsigned id;
};

struct h1_plain_line {
	unsigned name_len;
	unsigned id;
	const char *value;
	const char *stop; /* the CR behind it */
};

/*
 * Bytes that are those of a name in lower case but for case.  CR and 0x12
 * become '-' and '2' with the bit of lower case set, so controls are looked
 * for too.
 */
static inline uint64_t
h1_plain_same_bytes(__m128i v, const char *lower)
{
	__m128i same = _mm_cmpeq_epi8(scan_load(lower),
	    _mm_or_si128(v, _mm_set1_epi8(0x20)));

	return scan_mask(_mm_and_si128(same,
	    _mm_cmpgt_epi8(v, _mm_set1_epi8(0x1f))));
}

/* Bytes that most names are made of. */
static inline uint64_t
h1_plain_name_bytes(__m128i v)
{
	__m128i lower = _mm_or_si128(v, _mm_set1_epi8(0x20));

	return scan_mask(_mm_or_si128(scan_equal(v, '-'),
	    _mm_or_si128(scan_range(lower, 'a', 'z'),
		scan_range(v, '0', '9'))));
}

/* A name of 16 to 31 bytes. */
static __attribute__((noinline)) struct h1_plain_name
h1_plain_long_name(const char *at, const char *end)
{
	const struct http_field_slot *slot;
	struct h1_plain_name name;
	__m128i first, second;
	uint64_t colon, bytes;

	if (end - at < H1_PLAIN_FAR + SCAN_WIDTH)
		return (struct h1_plain_name){ 0, FIELD_OTHER };
	first = scan_load(at);
	second = scan_load(at + SCAN_WIDTH);
	colon = scan_mask(scan_equal(second, ':'));
	if (colon == 0 || *at == ':')
		return (struct h1_plain_name){ 0, FIELD_OTHER };
	bytes = colon ^ (colon - 1);
	name.len = SCAN_WIDTH + scan_first(colon);
	slot = http_field_slot(at, name.len);
	name.id = slot->id;
	if (name.len <= HTTP_FIELD_NAME_MAX && slot->name[name.len] == ':' &&
	    h1_plain_same_bytes(first, slot->name) == 0xffff &&
	    (h1_plain_same_bytes(second, slot->name + SCAN_WIDTH) & bytes) ==
	    bytes)
		return name;
	bytes >>= 1;
	if (h1_plain_name_bytes(first) != 0xffff ||
	    (h1_plain_name_bytes(second) & bytes) != bytes)
		name.len = 0;
	name.id = FIELD_OTHER;
	return name;
}

/* Its array would cost its caller a stack guard. */
static __attribute__((noinline)) __m128i
h1_plain_load_last(const char *at, const char *end)
{
	return scan_load_padded(at, end);
}

/* A name of letters, digits and dashes, up to the first colon. */
static inline __attribute__((always_inline)) bool
h1_plain_read_name(struct h1_plain_line *line, const char *at, const char *end,
    __m128i v)
{
	const struct http_field_slot *slot;
	uint64_t colon = scan_mask(scan_equal(v, ':'));
	uint64_t bytes = colon ^ (colon - 1); /* up to and with the colon */

	/* No colon, or nothing before it. */
	if (bytes - 2 > UINT16_MAX) {
		struct h1_plain_name name = h1_plain_long_name(at, end);

		line->name_len = name.len;
		line->id = name.id;
		return name.len != 0;
	}
	line->name_len = scan_first(colon);
	slot = http_field_slot(at, line->name_len);
	line->id = slot->id;
	if ((h1_plain_same_bytes(v, slot->name) & bytes) == bytes)
		return true;
	line->id = FIELD_OTHER;
	bytes >>= 1;
	return (h1_plain_name_bytes(v) & bytes) == bytes;
}

/* A plain line that begins H1_PLAIN_FAR bytes before end, or earlier. */
static inline __attribute__((always_inline)) bool
h1_plain_far_line(struct h1_plain_line *line, const char *at, const char *end)
{
	const char *value;
	uint64_t stops;

	if (!h1_plain_read_name(line, at, end, scan_load(at)))
		return false;
	value = line->value = at + line->name_len + 2;
	if (value[-1] != ' ' || (unsigned char)value[0] <= ' ')
		return false;
	stops = scan_value_stops(value);
	if (stops != 0) {
		line->stop = value + scan_first(stops);
	} else {
		line->stop = scan_until(value + SCAN_WIDTH, end,
		    scan_value_stops);
		if (end - line->stop < 2)
			return false;
	}
	return memcmp(line->stop, "\r\n", 2) == 0 &&
	    (unsigned char)line->stop[-1] > ' ';
}

/* The same nearer to the end. */
static inline __attribute__((always_inline)) bool
h1_plain_near_line(struct h1_plain_line *line, const char *at, const char *end)
{
	const char *value;
	__m128i v;

	if (at >= end || *at == '\r')
		return false;
	v = end - at >= SCAN_WIDTH ? scan_load(at) :
				     h1_plain_load_last(at, end);
	if (!h1_plain_read_name(line, at, end, v))
		return false;
	value = line->value = at + line->name_len + 2;
	if (end - value < 3 || value[-1] != ' ' ||
	    (unsigned char)value[0] <= ' ')
		return false;
	line->stop = scan_until(value, end, scan_value_stops);
	return end - line->stop >= 2 && memcmp(line->stop, "\r\n", 2) == 0 &&
	    (unsigned char)line->stop[-1] > ' ';
}

#endif /* SCAN_SSE2 */

#endif

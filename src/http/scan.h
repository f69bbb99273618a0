/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * scan - finds the next byte of interest, sixteen bytes at a time.
 *
 * All of these look at [p, end) alone.  Where SSE2 is used, `base` is the start
 * of the buffer that p points into: with at least SCAN_WIDTH bytes from base to
 * end, the last ones are loaded together with bytes before p instead of bytes
 * behind end.  SCAN_PORTABLE chooses the plain loops, for tests.
 */
#ifndef HTTP_SCAN_H
#define HTTP_SCAN_H

#include <stdbool.h>
#include <stddef.h>

#include "http/chars.h"

enum { SCAN_WIDTH = 16 };

#if defined(__SSE2__) && !defined(SCAN_PORTABLE)
#define SCAN_SSE2 1
#include <emmintrin.h>
#else
#define SCAN_SSE2 0
#endif

/* The first byte of no such class, or end. */
static inline const char *
scan_class(const char *p, const char *end, unsigned classes)
{
	while (p < end && chars_is(*p, classes))
		p++;
	return p;
}

#if SCAN_SSE2

/* True if scan_load() may be used for bytes of this buffer. */
static inline bool
scan_is_wide(const char *base, const char *end)
{
	return end - base >= SCAN_WIDTH;
}

static inline __m128i
scan_bytes(const char *p)
{
	return _mm_loadu_si128((const __m128i_u *)(const void *)p);
}

/* 16 bytes from p on, NUL behind end. */
static inline __m128i
scan_load(const char *p, const char *end)
{
	char tail[2 * SCAN_WIDTH];

	if (__builtin_expect(end - p >= SCAN_WIDTH, 1))
		return scan_bytes(p);
	_mm_storeu_si128((__m128i_u *)(void *)tail,
	    scan_bytes(end - SCAN_WIDTH));
	_mm_storeu_si128((__m128i_u *)(void *)(tail + SCAN_WIDTH),
	    _mm_setzero_si128());
	return scan_bytes(tail + SCAN_WIDTH - (end - p));
}

static inline __m128i
scan_equal(__m128i v, char c)
{
	return _mm_cmpeq_epi8(v, _mm_set1_epi8(c));
}

/* Bytes that are not above c, without sign. */
static inline __m128i
scan_at_most(__m128i v, char c)
{
	return _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(c)), v);
}

static inline unsigned
scan_mask(__m128i v)
{
	return (unsigned)_mm_movemask_epi8(v);
}

static inline unsigned
scan_first(unsigned mask)
{
	return (unsigned)__builtin_ctz(mask);
}

#endif

/* The first byte that no field value may hold (CR among them), or end. */
static inline const char *
scan_value(const char *p, const char *end, const char *base)
{
#if SCAN_SSE2
	while (scan_is_wide(base, end)) {
		__m128i v = scan_load(p, end);
		unsigned stop = scan_mask(_mm_or_si128(scan_at_most(v, 0x1f),
		    scan_equal(v, 0x7f)));

		if (stop == 0) {
			p += SCAN_WIDTH;
			continue;
		}
		p += scan_first(stop);
		/* NUL stands for the end too; a tab is rare. */
		if (p >= end || *p != '\t')
			return p;
		p++;
	}
#endif
	(void)base;
	return scan_class(p, end, CHARS_VALUE);
}

/* The first byte that no target may hold (a space among them) or '?', or end. */
static inline const char *
scan_target(const char *p, const char *end, const char *base)
{
#if SCAN_SSE2
	while (scan_is_wide(base, end)) {
		__m128i v = scan_load(p, end);
		__m128i marks = _mm_or_si128(scan_equal(v, '#'),
		    scan_equal(v, '?'));
		__m128i bad = _mm_or_si128(scan_at_most(v, 0x20),
		    scan_equal(v, 0x7f));
		unsigned stop = scan_mask(_mm_or_si128(marks, bad));

		if (stop != 0)
			return p + scan_first(stop);
		p += SCAN_WIDTH;
	}
#endif
	(void)base;
	while (p < end && *p != '?' && chars_is(*p, CHARS_TARGET))
		p++;
	return p;
}

#endif

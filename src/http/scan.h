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

/* True if whole widths can be loaded from this buffer. */
static inline bool
scan_is_wide(const char *base, const char *end)
{
	return end - base >= SCAN_WIDTH;
}

static inline __m128i
scan_load(const char *p)
{
	return _mm_loadu_si128((const __m128i_u *)(const void *)p);
}

/* SCAN_WIDTH bytes from p on, NUL behind end; the buffer is wide. */
static inline __m128i
scan_load_padded(const char *p, const char *end)
{
	char tail[2 * SCAN_WIDTH];

	_mm_storeu_si128((__m128i_u *)(void *)tail,
	    scan_load(end - SCAN_WIDTH));
	_mm_storeu_si128((__m128i_u *)(void *)(tail + SCAN_WIDTH),
	    _mm_setzero_si128());
	return scan_load(tail + SCAN_WIDTH - (end - p));
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

/* Bytes from first to last. */
static inline __m128i
scan_range(__m128i v, char first, char last)
{
	return scan_at_most(_mm_sub_epi8(v, _mm_set1_epi8(first)),
	    (char)(last - first));
}

/* A bit for each byte, the first one's lowest. */
static inline uint64_t
scan_mask(__m128i v)
{
	return (unsigned)_mm_movemask_epi8(v);
}

static inline unsigned
scan_first(uint64_t mask)
{
	return (unsigned)__builtin_ctzll(mask);
}

/* Controls, the tab among them. */
static inline uint64_t
scan_value_stops(const char *p)
{
	__m128i v = scan_load(p);

	return scan_mask(_mm_or_si128(scan_at_most(v, 0x1f),
	    scan_equal(v, 0x7f)));
}

/* Also '!' and '"', which are rare: one comparison finds all up to '#'. */
static inline uint64_t
scan_target_stops(const char *p)
{
	__m128i v = scan_load(p);
	__m128i mark_or_del = scan_equal(
	    _mm_or_si128(v, _mm_set1_epi8('?' ^ 0x7f)), 0x7f);

	return scan_mask(_mm_or_si128(scan_at_most(v, '#'), mark_or_del));
}

static inline uint64_t
scan_mark_stops(const char *p)
{
	__m128i v = scan_load(p);

	return scan_mask(_mm_or_si128(scan_equal(v, '%'), scan_equal(v, '.')));
}

/* A dot before a dot, too. */
static inline uint64_t
scan_host_stops(const char *p)
{
	__m128i v = scan_load(p);
	__m128i dots = _mm_and_si128(scan_equal(v, '.'),
	    scan_equal(scan_load(p + 1), '.'));
	__m128i good = _mm_or_si128(scan_range(v, '-', '.'),
	    _mm_or_si128(scan_range(v, 'a', 'z'), scan_range(v, '0', '9')));

	return scan_mask(_mm_andnot_si128(dots, good)) ^ 0xffff;
}

/*
 * The first byte that `stops` marks, or end; [p, end) lies in a wide buffer.
 * The last load ends at end, so its mask holds bytes before p too.
 */
static inline __attribute__((always_inline)) const char *
scan_until(const char *p, const char *end, uint64_t (*stops)(const char *p))
{
	uint64_t mask;

	for (; end - p >= SCAN_WIDTH; p += SCAN_WIDTH) {
		mask = stops(p);
		if (mask != 0)
			return p + scan_first(mask);
	}
	mask = stops(end - SCAN_WIDTH) >> (SCAN_WIDTH - (end - p));
	return mask != 0 ? p + scan_first(mask) : end;
}

#endif

/* The first byte that no field value may hold (CR among them), or end. */
static inline const char *
scan_value(const char *p, const char *end, const char *base)
{
#if SCAN_SSE2
	if (__builtin_expect(scan_is_wide(base, end), 1)) {
		/* A tab is rare. */
		while ((p = scan_until(p, end, scan_value_stops)) < end &&
		    *p == '\t')
			p++;
		return p;
	}
#endif
	(void)base;
	return scan_class(p, end, CHARS_VALUE);
}

/* The first '?' or byte that no target may hold, as a space, or end. */
static inline const char *
scan_target(const char *p, const char *end, const char *base)
{
#if SCAN_SSE2
	if (__builtin_expect(scan_is_wide(base, end), 1)) {
		while ((p = scan_until(p, end, scan_target_stops)) < end &&
		    (*p == '!' || *p == '"'))
			p++;
		return p;
	}
#endif
	(void)base;
	while (p < end && *p != '?' && chars_is(*p, CHARS_TARGET))
		p++;
	return p;
}

#if SCAN_SSE2

/*
 * The length of the host in a plain authority of up to SCAN_WIDTH bytes, that
 * ends at end: lower case letters, digits, '-', single dots, then maybe a port
 * of one to four digits without zeros before them.  0 for any other, valid or
 * not.  As in a head, at least SCAN_WIDTH bytes before end and one behind it
 * are there.
 */
static inline size_t
scan_short_authority(const char *end, size_t len)
{
	const char *from = end - SCAN_WIDTH;
	unsigned before = (unsigned)(SCAN_WIDTH - len); /* do not count */
	uint64_t stops = scan_host_stops(from) >> before | 1U << len;
	unsigned host = scan_first(stops);
	const char *p = end - len;
	uint64_t digits, port;

	if (host == 0 || p[0] == '.' || p[host - 1] == '.')
		return 0;
	if (host == len)
		return host;
	digits = scan_mask(scan_range(scan_load(from), '0', '9')) >> before;
	port = (1U << len) - (2U << host);
	if (p[host] != ':' || (digits & port) != port || len - host > 5 ||
	    p[host + 1] < '1')
		return 0;
	return host;
}

#endif

/*
 * The first byte that is not of a plain host (lower case letters, digits, '-',
 * single dots), or end; p where that is not cheap to tell.  Here, as in a
 * head, at least SCAN_WIDTH bytes before end and one behind it are there.
 */
static inline const char *
scan_host(const char *p, const char *end)
{
#if SCAN_SSE2
	return scan_until(p, end, scan_host_stops);
#else
	(void)end;
	return p;
#endif
}

/* The first '%' or '.', or end. */
static inline const char *
scan_mark(const char *p, const char *end, const char *base)
{
#if SCAN_SSE2
	if (scan_is_wide(base, end))
		return scan_until(p, end, scan_mark_stops);
#endif
	(void)base;
	while (p < end && *p != '%' && *p != '.')
		p++;
	return p;
}

#endif

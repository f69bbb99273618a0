/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * span - a borrowed run of bytes: pointer and length, never terminated.
 *
 * A span owns nothing; whoever hands one out says how long the bytes live.
 */
#ifndef BASE_SPAN_H
#define BASE_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct span {
	const char *p; /* may be NULL when len is 0 */
	size_t len;    /* bytes */
};

#define SPAN(literal) ((struct span){ (literal), sizeof(literal) - 1 })
/* For printf's "%.*s". */
#define SPAN_ARG(s) (int)(s).len, (s).p != NULL ? (s).p : ""

static inline struct span
span_of(const char *p, size_t len)
{
	return (struct span){ p, len };
}

static inline struct span
span_cstr(const char *s)
{
	return (struct span){ s, s != NULL ? strlen(s) : 0 };
}

static inline bool
span_eq(struct span a, struct span b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

/* ASCII lower case of one byte; other bytes unchanged, no locale. */
static inline unsigned char
span_lower(unsigned char c)
{
	unsigned from_a = (unsigned)c - 'A';

	return from_a < 26 ? (unsigned char)(c + 32) : c;
}

/* Equal but for ASCII case. */
bool span_ieq(struct span a, struct span b);
/* As strcmp, by bytes; a proper prefix sorts first. */
int span_cmp(struct span a, struct span b);
bool span_starts(struct span s, struct span prefix);
bool span_ends_i(struct span s, struct span suffix);
/* Without leading and trailing blanks (space and tab). */
struct span span_trim(struct span s);
/*
 * Cut the next element of a comma-separated list off *rest, trimmed; empty
 * elements are passed over (RFC 9110, section 5.6.1).  False at the end.
 * Quoted strings are not looked into.
 */
bool span_next_item(struct span *rest, struct span *item);
/* Unsigned decimal, digits only, the whole span; -1 also on overflow. */
int span_u64(struct span s, uint64_t *value)
    __attribute__((warn_unused_result));

#endif

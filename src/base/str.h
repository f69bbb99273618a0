/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * str - the one bounded string builder: log lines, templates, heads.
 *
 * It writes into memory that the caller gave and never beyond: what does not
 * fit sets `overflow` and is dropped, and everything after it too.  The caller
 * looks at `overflow` once, at the end.
 */
#ifndef BASE_STR_H
#define BASE_STR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/span.h"

struct str {
	char *p;
	size_t len;
	size_t cap;
	bool overflow;
};

static inline void
str_init(struct str *s, char *memory, size_t cap)
{
	s->p = memory;
	s->len = 0;
	s->cap = cap;
	s->overflow = false;
}

static inline void
str_put(struct str *s, const char *p, size_t len)
{
	if (len > s->cap - s->len || s->overflow) {
		s->overflow = true;
		return;
	}
	if (len > 0)
		memcpy(s->p + s->len, p, len);
	s->len += len;
}

static inline void
str_span(struct str *s, struct span v)
{
	str_put(s, v.p, v.len);
}

static inline void
str_char(struct str *s, char c)
{
	str_put(s, &c, 1);
}

#define str_lit(s, literal) str_put((s), (literal), sizeof(literal) - 1)

static inline struct span
str_view(const struct str *s)
{
	return span_of(s->p, s->len);
}

void str_cstr(struct str *s, const char *text);
void str_u64(struct str *s, uint64_t n);
/* Lower-case hexadecimal without leading zeros. */
void str_hex(struct str *s, uint64_t n);
/* Milliseconds as seconds with three decimals: 1234 -> "1.234". */
void str_seconds(struct str *s, uint64_t ms);
/*
 * Bytes of a peer, fit for one line of a log: controls, DEL, bytes above 126,
 * backslash and double quote as \xHH.
 */
void str_escaped(struct str *s, struct span v);
/* The inside of a JSON string; bytes that are no UTF-8 become U+FFFD. */
void str_json(struct str *s, struct span v);
void str_printf(struct str *s, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void str_vprintf(struct str *s, const char *fmt, va_list ap)
    __attribute__((format(printf, 2, 0)));
/* Terminate with a NUL, cutting the last byte where there is no room. */
const char *str_terminate(struct str *s);

#endif

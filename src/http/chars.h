/* SPDX-License-Identifier: BSD-2-Clause */
/* chars - classes of single bytes, from the grammars of RFC 9110 and 3986. */
#ifndef HTTP_CHARS_H
#define HTTP_CHARS_H

#include <stdbool.h>
#include <stdint.h>

enum {
	CHARS_TOKEN = 1,      /* tchar */
	CHARS_VALUE = 2,      /* of a field: visible, blank, or above 127 */
	CHARS_TARGET = 4,     /* no control, space, DEL or '#' */
	CHARS_UNRESERVED = 8, /* of a URI: letters, digits, "-._~" */
	CHARS_HEX = 16,
};

extern const uint8_t chars_class[256];

static inline bool
chars_is(char c, unsigned classes)
{
	return (chars_class[(unsigned char)c] & classes) != 0;
}

static inline bool
chars_is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static inline bool
chars_is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Of a byte that is CHARS_HEX. */
static inline unsigned
chars_hex(char c)
{
	unsigned u = (unsigned char)c;

	return u <= '9' ? u - '0' : (u | 0x20) - 'a' + 10;
}

#endif

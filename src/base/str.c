/* SPDX-License-Identifier: BSD-2-Clause */
/* str - the bounded string builder's less frequent parts. */
#include "base/str.h"

#include <stdio.h>

static const char hex_digits[] = "0123456789abcdef";

void
str_cstr(struct str *s, const char *text)
{
	str_put(s, text, strlen(text));
}

void
str_u64(struct str *s, uint64_t n)
{
	char digits[20];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + n % 10);
		n /= 10;
	} while (n > 0);
	str_put(s, digits + at, sizeof(digits) - at);
}

void
str_hex(struct str *s, uint64_t n)
{
	char digits[16];
	size_t at = sizeof(digits);

	do {
		digits[--at] = hex_digits[n & 15];
		n >>= 4;
	} while (n > 0);
	str_put(s, digits + at, sizeof(digits) - at);
}

void
str_seconds(struct str *s, uint64_t ms)
{
	char fraction[4] = { '.', (char)('0' + ms / 100 % 10),
		(char)('0' + ms / 10 % 10), (char)('0' + ms % 10) };

	str_u64(s, ms / 1000);
	str_put(s, fraction, sizeof(fraction));
}

static void
put_hex_escape(struct str *s, unsigned char c)
{
	char escape[4] = { '\\', 'x', hex_digits[c >> 4], hex_digits[c & 15] };

	str_put(s, escape, sizeof(escape));
}

/* Not 0 if one of eight bytes is less than n, at most 128. */
static uint64_t
any_below(uint64_t x, uint64_t n)
{
	return (x - UINT64_C(0x0101010101010101) * n) & ~x &
	    UINT64_C(0x8080808080808080);
}

static uint64_t
any_equal(uint64_t x, unsigned char c)
{
	return any_below(x ^ UINT64_C(0x0101010101010101) * c, 1);
}

/* How many bytes from p on mean themselves in a log line and in JSON. */
static size_t
plain_len(const char *p, size_t len)
{
	size_t i = 0;

	for (uint64_t x; i + 8 <= len; i += 8) {
		memcpy(&x, p + i, 8);
		if (((x & UINT64_C(0x8080808080808080)) | any_below(x, 0x20) |
		    any_equal(x, 0x7f) | any_equal(x, '"') |
		    any_equal(x, '\\')) != 0)
			break;
	}
	for (; i < len; i++) {
		unsigned char c = (unsigned char)p[i];

		if (c < 0x20 || c >= 0x7f || c == '"' || c == '\\')
			break;
	}
	return i;
}

void
str_escaped(struct str *s, struct span v)
{
	size_t i = 0;

	while (i < v.len) {
		size_t plain = plain_len(v.p + i, v.len - i);

		str_put(s, v.p + i, plain);
		i += plain;
		if (i < v.len)
			put_hex_escape(s, (unsigned char)v.p[i++]);
	}
}

/*
 * Length of the well-formed UTF-8 sequence at p, 0 if there is none
 * (RFC 3629, section 4: no overlong forms, no surrogates).
 */
static size_t
utf8_len(const unsigned char *p, size_t len)
{
	unsigned char low = 0x80, high = 0xbf;
	size_t n;

	if (p[0] < 0x80)
		return 1;
	if (p[0] >= 0xc2 && p[0] <= 0xdf)
		n = 2;
	else if (p[0] >= 0xe0 && p[0] <= 0xef)
		n = 3;
	else if (p[0] >= 0xf0 && p[0] <= 0xf4)
		n = 4;
	else
		return 0;
	if (p[0] == 0xe0)
		low = 0xa0;
	else if (p[0] == 0xed)
		high = 0x9f;
	else if (p[0] == 0xf0)
		low = 0x90;
	else if (p[0] == 0xf4)
		high = 0x8f;
	if (n > len || p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < n; i++) {
		if (p[i] < 0x80 || p[i] > 0xbf)
			return 0;
	}
	return n;
}

void
str_json(struct str *s, struct span v)
{
	size_t i = 0;

	while (i < v.len) {
		size_t plain = plain_len(v.p + i, v.len - i);
		unsigned char c;
		size_t n;

		str_put(s, v.p + i, plain);
		i += plain;
		if (i == v.len)
			return;
		c = (unsigned char)v.p[i];
		n = utf8_len((const unsigned char *)v.p + i, v.len - i);
		if (n == 0) {
			str_lit(s, "\xef\xbf\xbd");
			n = 1;
		} else if (c == '"' || c == '\\') {
			char pair[2] = { '\\', (char)c };

			str_put(s, pair, 2);
		} else if (c < 0x20) {
			char escape[6] = { '\\', 'u', '0', '0',
				hex_digits[c >> 4], hex_digits[c & 15] };

			str_put(s, escape, sizeof(escape));
		} else {
			str_put(s, v.p + i, n);
		}
		i += n;
	}
}

void
str_vprintf(struct str *s, const char *fmt, va_list ap)
{
	size_t room = s->cap - s->len;
	int n;

	if (s->overflow)
		return;
	n = vsnprintf(s->p + s->len, room, fmt, ap);
	if (n < 0 || (size_t)n >= room) {
		s->overflow = true;
		return;
	}
	s->len += (size_t)n;
}

void
str_printf(struct str *s, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	str_vprintf(s, fmt, ap);
	va_end(ap);
}

const char *
str_terminate(struct str *s)
{
	if (s->cap == 0)
		return "";
	if (s->len == s->cap)
		s->len--;
	s->p[s->len] = '\0';
	return s->p;
}

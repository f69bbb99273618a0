/* SPDX-License-Identifier: BSD-2-Clause */
/* number - digits by hand, so that every overflow is seen. */
#include "conf/number.h"

#include <stdlib.h>

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static int
digit_value(char c)
{
	if (is_digit(c))
		return c - '0';
	c = (char)span_lower((unsigned char)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* False if there is anything but digits of that base. */
static bool
read_digits(struct span digits, unsigned base, uint64_t *value,
    bool *overflow)
{
	*value = 0;
	*overflow = false;
	for (size_t i = 0; i < digits.len; i++) {
		int digit = digit_value(digits.p[i]);

		if (digit < 0 || (unsigned)digit >= base)
			return false;
		if (*value > (UINT64_MAX - (unsigned)digit) / base)
			*overflow = true;
		*value = *value * base + (unsigned)digit;
	}
	return digits.len > 0;
}

static void
check_width(struct number *n, uint64_t magnitude, bool is_negative)
{
	uint64_t value = is_negative ? 0 - magnitude : magnitude;

	if (magnitude > (uint64_t)INT64_MAX + is_negative)
		n->overflow = true;
	n->wraps = !n->overflow && n->kind == NUMBER_INT &&
	    magnitude > (uint64_t)INT32_MAX + is_negative;
	n->wrapped = (int32_t)(uint32_t)value;
	n->integer = (int64_t)value;
}

static bool
read_integer(struct span text, struct number *n)
{
	bool is_negative = text.p[0] == '-';
	uint64_t magnitude;
	unsigned base = 10;

	n->kind = NUMBER_INT;
	for (int i = 0; i < 2 && text.len > 1 &&
	    text.p[text.len - 1] == 'L'; i++) {
		n->kind = NUMBER_INT64;
		text.len--;
	}
	if (text.len > 2 && text.p[0] == '0' &&
	    span_lower((unsigned char)text.p[1]) == 'x') {
		base = 16;
		text = span_of(text.p + 2, text.len - 2);
	} else if (text.p[0] == '-' || text.p[0] == '+') {
		text = span_of(text.p + 1, text.len - 1);
	}
	if (!read_digits(text, base, &magnitude, &n->overflow))
		return false;
	check_width(n, magnitude, is_negative);
	return true;
}

static size_t
skip_digits(struct span s, size_t *at)
{
	size_t from = *at;

	while (*at < s.len && is_digit(s.p[*at]))
		(*at)++;
	return *at - from;
}

static bool
is_float(struct span s)
{
	size_t at = s.p[0] == '-' || s.p[0] == '+', digits;
	bool has_point = false;

	digits = skip_digits(s, &at);
	if (at < s.len && s.p[at] == '.') {
		has_point = true;
		at++;
		digits += skip_digits(s, &at);
	}
	if (digits == 0)
		return false;
	if (at == s.len)
		return has_point;
	if (s.p[at] != 'e' && s.p[at] != 'E')
		return false;
	at++;
	if (at < s.len && (s.p[at] == '-' || s.p[at] == '+'))
		at++;
	return skip_digits(s, &at) > 0 && at == s.len;
}

bool
number_parse(struct span text, struct number *n)
{
	*n = (struct number){ .kind = NUMBER_FLOAT };
	if (text.len == 0)
		return false;
	if (!is_float(text))
		return read_integer(text, n);
	n->real = strtod(text.p, NULL);
	n->overflow = n->real - n->real != 0;
	return true;
}

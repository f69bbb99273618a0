/* SPDX-License-Identifier: BSD-2-Clause */
/* http_is - what the grammar of RFC 9110 calls a token, a field value. */
#include "http/chars.h"
#include "http/field.h"

bool
http_is_token(struct span s)
{
	for (size_t i = 0; i < s.len; i++) {
		if (!chars_is(s.p[i], CHARS_TOKEN))
			return false;
	}
	return s.len > 0;
}

bool
http_is_field_value(struct span s)
{
	for (size_t i = 0; i < s.len; i++) {
		if (!chars_is(s.p[i], CHARS_VALUE))
			return false;
	}
	return true;
}

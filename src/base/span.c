/* SPDX-License-Identifier: BSD-2-Clause */
/* span - comparing and cutting borrowed bytes, without locale. */
#include "base/span.h"

bool
span_ieq(struct span a, struct span b)
{
	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++) {
		if (span_lower((unsigned char)a.p[i]) !=
		    span_lower((unsigned char)b.p[i]))
			return false;
	}
	return true;
}

int
span_cmp(struct span a, struct span b)
{
	size_t len = a.len < b.len ? a.len : b.len;
	int order = len > 0 ? memcmp(a.p, b.p, len) : 0;

	if (order != 0)
		return order;
	return a.len < b.len ? -1 : a.len > b.len;
}

bool
span_starts(struct span s, struct span prefix)
{
	return s.len >= prefix.len &&
	    (prefix.len == 0 || memcmp(s.p, prefix.p, prefix.len) == 0);
}

bool
span_ends_i(struct span s, struct span suffix)
{
	if (s.len < suffix.len)
		return false;
	return span_ieq(span_of(s.p + (s.len - suffix.len), suffix.len),
	    suffix);
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

struct span
span_trim(struct span s)
{
	while (s.len > 0 && is_blank(s.p[0])) {
		s.p++;
		s.len--;
	}
	while (s.len > 0 && is_blank(s.p[s.len - 1]))
		s.len--;
	return s;
}

bool
span_next_item(struct span *rest, struct span *item)
{
	while (rest->len > 0) {
		const char *comma = memchr(rest->p, ',', rest->len);
		size_t len = comma != NULL ? (size_t)(comma - rest->p)
					   : rest->len;
		size_t used = comma != NULL ? len + 1 : len;

		*item = span_trim(span_of(rest->p, len));
		rest->p += used;
		rest->len -= used;
		if (item->len > 0)
			return true;
	}
	return false;
}

int
span_u64(struct span s, uint64_t *value)
{
	uint64_t n = 0;

	if (s.len == 0)
		return -1;
	for (size_t i = 0; i < s.len; i++) {
		unsigned digit = (unsigned)(unsigned char)s.p[i] - '0';

		if (digit > 9 || n > (UINT64_MAX - digit) / 10)
			return -1;
		n = n * 10 + digit;
	}
	*value = n;
	return 0;
}

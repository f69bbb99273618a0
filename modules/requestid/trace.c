/* SPDX-License-Identifier: BSD-2-Clause */
/* trace - reading and composing of traceparent. */
#include "trace.h"

static const char digits[] = "0123456789abcdef";

static int
digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Lower-case digits, not all of them zero unless that is allowed. */
static bool
is_hex(const char *p, size_t len, bool is_zero_allowed)
{
	bool is_zero = true;

	for (size_t i = 0; i < len; i++) {
		int value = digit(p[i]);

		if (value < 0)
			return false;
		is_zero &= value == 0;
	}
	return is_zero_allowed || !is_zero;
}

bool
trace_is_valid(struct span v)
{
	if (v.len < TRACE_LEN || v.p[2] != '-' ||
	    v.p[TRACE_PARENT_AT - 1] != '-' || v.p[TRACE_FLAGS_AT - 1] != '-')
		return false;
	if (!is_hex(v.p, 2, true) || (v.p[0] == 'f' && v.p[1] == 'f'))
		return false;
	/* Version 00 ends here; a later one may go on, behind a dash. */
	if (v.len > TRACE_LEN && (span_starts(v, SPAN("00")) ||
	    v.p[TRACE_LEN] != '-'))
		return false;
	return is_hex(v.p + TRACE_ID_AT, TRACE_ID_LEN, false) &&
	    is_hex(v.p + TRACE_PARENT_AT, TRACE_PARENT_LEN, false) &&
	    is_hex(v.p + TRACE_FLAGS_AT, 2, true);
}

void
trace_hex(char *out, const void *p, size_t n)
{
	const unsigned char *bytes = p;

	for (size_t i = 0; i < n; i++) {
		out[2 * i] = digits[bytes[i] >> 4];
		out[2 * i + 1] = digits[bytes[i] & 15];
	}
}

void
trace_compose(char out[TRACE_LEN], struct span from, bool is_sampled,
    const uint64_t random[3])
{
	uint64_t ids[3] = { random[0], random[1], random[2] };

	ids[0] |= ids[0] == 0;
	ids[2] |= ids[2] == 0;
	memcpy(out, "00-", TRACE_ID_AT);
	if (from.len > 0) {
		memcpy(out + TRACE_ID_AT, from.p + TRACE_ID_AT, TRACE_ID_LEN);
		is_sampled = (digit(from.p[TRACE_FLAGS_AT + 1]) & 1) != 0;
	} else {
		trace_hex(out + TRACE_ID_AT, ids, 16);
	}
	out[TRACE_PARENT_AT - 1] = '-';
	trace_hex(out + TRACE_PARENT_AT, &ids[2], 8);
	memcpy(out + TRACE_FLAGS_AT - 1, is_sampled ? "-01" : "-00", 3);
}

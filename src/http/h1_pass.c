/* SPDX-License-Identifier: BSD-2-Clause */
/* h1_pass - lines that are refused, and where lines end. */
#include "http/h1_pass.h"

#include "http/chars.h"

enum h1_line
h1_pass_refuse(struct h1_pass *s, const char *at, enum h1_refusal refusal)
{
	s->state->refusal = refusal;
	s->state->offset = (size_t)(at - s->base);
	return H1_LINE_REFUSED;
}

enum h1_line
h1_pass_refuse_byte(struct h1_pass *s, const char *at, enum h1_refusal lacks)
{
	if (at >= s->end)
		return H1_LINE_MORE;
	if (*at == '\n')
		return h1_pass_refuse(s, at, H1_REFUSAL_BARE_LF);
	if (*at == '\r') {
		if (at + 1 >= s->end)
			return H1_LINE_MORE;
		return h1_pass_refuse(s, at,
		    at[1] == '\n' ? lacks : H1_REFUSAL_BARE_CR);
	}
	if (!chars_is(*at, CHARS_VALUE))
		return h1_pass_refuse(s, at, H1_REFUSAL_CONTROL);
	return h1_pass_refuse(s, at, lacks);
}

enum h1_line
h1_pass_line_end(struct h1_pass *s, const char *at, enum h1_line whole)
{
	if (at + 1 >= s->end)
		return H1_LINE_MORE;
	if (at[1] != '\n')
		return h1_pass_refuse(s, at, H1_REFUSAL_BARE_CR);
	s->at = at + 2;
	return whole;
}

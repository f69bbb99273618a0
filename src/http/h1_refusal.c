/* SPDX-License-Identifier: BSD-2-Clause */
/* h1_refusal - what a refused head or body is answered with. */
#include "http/h1_parse.h"

static const struct {
	uint16_t status;
	const char *text;
} refusals[H1_REFUSAL_COUNT] = {
#define X(id, status, text) { status, text },
	H1_REFUSAL_LIST(X)
#undef X
};

unsigned
h1_refusal_status(enum h1_refusal r)
{
	return refusals[r].status;
}

const char *
h1_refusal_text(enum h1_refusal r)
{
	return refusals[r].text;
}

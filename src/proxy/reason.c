/* SPDX-License-Identifier: BSD-2-Clause */
/* reason - the registry of reasons as a table. */
#include "proxy/reason.h"

#include <assert.h>

static const struct reason_info infos[REASON_COUNT] = {
#define X(id, name_, status_, blame_, proxy_status_, cause_, advice_)         \
	[REASON_##id] = { .name = name_, .status = status_,                   \
		.blame = BLAME_##blame_, .proxy_status = proxy_status_,       \
		.cause = cause_, .advice = advice_ },
	REASON_LIST(X)
#undef X
};

const struct reason_info *
reason_info(enum reason r)
{
	assert(r < REASON_COUNT);
	return &infos[r];
}

const char *
reason_name(enum reason r)
{
	return reason_info(r)->name;
}

enum reason
reason_of_refusal(enum h1_refusal refusal)
{
	switch (h1_refusal_status(refusal)) {
	case 414:
		return REASON_LINE_TOO_LONG;
	case 417:
		return REASON_EXPECTATION;
	case 431:
		return REASON_HEADER_TOO_LARGE;
	case 501:
		return REASON_CODING_UNKNOWN;
	case 505:
		return REASON_VERSION_UNSUPPORTED;
	default:
		return REASON_BAD_REQUEST;
	}
}

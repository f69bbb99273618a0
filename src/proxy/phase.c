/* SPDX-License-Identifier: BSD-2-Clause */
/* phase - the phases' names. */
#include "proxy/phase.h"

#include <assert.h>

static const char *const names[PHASE_COUNT] = {
#define X(id, name) [PHASE_##id] = name,
	PHASE_LIST(X)
#undef X
};

const char *
phase_name(enum phase phase)
{
	assert(phase < PHASE_COUNT);
	return names[phase];
}

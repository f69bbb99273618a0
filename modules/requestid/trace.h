/* SPDX-License-Identifier: BSD-2-Clause */
/* trace - the field traceparent (W3C Trace Context, section 3.2). */
#ifndef MODULES_REQUESTID_TRACE_H
#define MODULES_REQUESTID_TRACE_H

#include "module.h"

enum {
	TRACE_ID_LEN = 32,
	TRACE_PARENT_LEN = 16,
	TRACE_LEN = 55, /* of what weir sends: version 00 */
	TRACE_ID_AT = 3,
	TRACE_PARENT_AT = 36,
	TRACE_FLAGS_AT = 53,
};

/*
 * True if the value is a traceparent that can be continued: of version 00, or
 * of a later one of which the beginning is understood; no zero ids.
 */
bool trace_is_valid(struct span value);
/*
 * The value to send on, of TRACE_LEN bytes: in the trace of `from` (valid, or
 * empty for a new one), with random numbers for the ids that are new.
 * Flags of `from` that are not known are not passed on.
 */
void trace_compose(char out[TRACE_LEN], struct span from, bool is_sampled,
    const uint64_t random[3]);
/* n bytes at p as 2 * n lower-case digits. */
void trace_hex(char *out, const void *p, size_t n);

#endif

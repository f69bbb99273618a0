/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * http_field_private - the table of known names, shared with the parser, which
 * looks a name up while it scans it.
 */
#ifndef HTTP_HTTP_FIELD_PRIVATE_H
#define HTTP_HTTP_FIELD_PRIVATE_H

#include <stddef.h>
#include <stdint.h>

#include "http/field.h"

enum { HTTP_FIELD_NAME_MAX = 31, HTTP_FIELD_SLOTS = 256 };

struct http_field_known {
	char name[HTTP_FIELD_NAME_MAX]; /* padded with NUL */
	uint8_t len;
};

extern const struct http_field_known http_field_known[FIELD_ID_COUNT];
/* The one known name that may lie in a slot; FIELD_OTHER if there is none. */
extern const uint8_t http_field_slots[HTTP_FIELD_SLOTS];

/*
 * No two known names share a slot: two rows of http_field_slots in one place
 * are a warning of the compiler, and then the factors have to change.
 */
#define HTTP_FIELD_SLOT(len, first, last)                                  \
	(((len) * 8 + ((first) | 0x20) * 29 + ((last) | 0x20)) &           \
	    (HTTP_FIELD_SLOTS - 1))

/* len > 0; the caller compares the name. */
static inline enum http_field_id
http_field_candidate(const char *name, size_t len)
{
	size_t slot = HTTP_FIELD_SLOT(len, (unsigned char)name[0],
	    (unsigned char)name[len - 1]);

	return (enum http_field_id)http_field_slots[slot];
}

#endif

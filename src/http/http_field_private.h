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

enum { HTTP_FIELD_NAME_MAX = 30, HTTP_FIELD_SLOTS = 256 };

extern const struct span http_field_spellings[FIELD_ID_COUNT];

/* The one known name that may lie in a slot. */
struct http_field_slot {
	char name[HTTP_FIELD_NAME_MAX + 1]; /* lower case, a colon, NULs */
	uint8_t id;                         /* FIELD_OTHER: there is none */
};

extern const struct http_field_slot http_field_slots[HTTP_FIELD_SLOTS];

/*
 * No two known names share a slot: two rows of http_field_slots in one place
 * are a warning of the compiler, and then the factors have to change.
 */
#define HTTP_FIELD_HASH(len, first, last)                                  \
	(((len) * 8U + ((first) | 0x20U) * 29U + ((last) | 0x20U)) &       \
	    (HTTP_FIELD_SLOTS - 1))

/* The slot of a name of len > 0 bytes; the caller compares it. */
static inline const struct http_field_slot *
http_field_slot(const char *name, size_t len)
{
	return &http_field_slots[HTTP_FIELD_HASH((unsigned)len,
	    (unsigned char)name[0], (unsigned char)name[len - 1])];
}

#endif

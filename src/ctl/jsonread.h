/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * jsonread - JSON text (RFC 8259) as a tree, for answers of the control socket.
 *
 * Numbers stay text; of strings the escapes are resolved.  Everything lies in
 * the arena.
 */
#ifndef CTL_JSONREAD_H
#define CTL_JSONREAD_H

#include <stdbool.h>

#include "base/span.h"

struct arena;

enum jsonread_type {
	JSONREAD_NULL,
	JSONREAD_BOOL,
	JSONREAD_NUMBER,
	JSONREAD_STRING,
	JSONREAD_ARRAY,
	JSONREAD_OBJECT,
};

struct jsonread_value {
	enum jsonread_type type;
	struct span name;  /* of an object's member, else empty */
	struct span text;  /* a string's bytes; else as written */
	bool is_true;      /* of BOOL */
	struct jsonread_value *first; /* of ARRAY and OBJECT */
	struct jsonread_value *next;  /* the one behind it there */
};

/* NULL if text is anything else than one value. */
struct jsonread_value *jsonread_parse(struct arena *arena, struct span text);
/* The object's member of that name, NULL if there is none. */
const struct jsonread_value *jsonread_get(const struct jsonread_value *object,
    const char *name);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * json - a writer of JSON (RFC 8259) on the bounded string builder.
 *
 * Values go out in the order of the calls, on one line.  Inside an object each
 * has a name, inside an array and at the top name is NULL.  What does not fit
 * sets `overflow` of the string, which the caller looks at once, at the end.
 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"

struct str;

enum { JSON_DEPTH_MAX = 32 }; /* of objects and arrays that are open */

struct json {
	struct str *out;
	uint32_t is_array; /* a bit for each that is open */
	unsigned depth;
	bool has_value;    /* a comma comes before the next value */
};

/* out: borrowed; the caller may have put something there before. */
void json_init(struct json *j, struct str *out);
void json_object(struct json *j, const char *name);
void json_array(struct json *j, const char *name);
/* End of the object or array that was begun last. */
void json_close(struct json *j);

/* Bytes that are no UTF-8 become U+FFFD. */
void json_span(struct json *j, const char *name, struct span value);
/* NULL becomes null. */
void json_cstr(struct json *j, const char *name, const char *value);
void json_printf(struct json *j, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void json_u64(struct json *j, const char *name, uint64_t value);
void json_i64(struct json *j, const char *name, int64_t value);
void json_bool(struct json *j, const char *name, bool value);
void json_null(struct json *j, const char *name);
/* A value that is JSON already. */
void json_raw(struct json *j, const char *name, struct span value);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/* date - HTTP dates (RFC 9110, section 5.6.7). */
#ifndef HTTP_DATE_H
#define HTTP_DATE_H

#include <stdint.h>

#include "base/span.h"

enum { DATE_BYTES = 29 }; /* "Sun, 06 Nov 1994 08:49:37 GMT" */

/* out has DATE_BYTES; seconds since 1970. */
void date_format(char *out, uint64_t seconds);
/* The current second's, formatted once a second; valid until the next call. */
struct span date_now(void);
/* All three forms; -1 if it is none. */
int date_parse(struct span s, int64_t *seconds);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/* negotiate - what a client accepts (RFC 9110, section 12.5.3). */
#ifndef MODULES_COMPRESS_NEGOTIATE_H
#define MODULES_COMPRESS_NEGOTIATE_H

#include <stdbool.h>
#include <stddef.h>

#include "module.h"

#include "coder.h"

enum { NEGOTIATE_Q_NONE = -1, NEGOTIATE_Q_MAX = 1000 };

/*
 * The weight, 0 to 1000, that Accept-Encoding gives a coding by name or by
 * "*"; NEGOTIATE_Q_NONE if it says nothing of it.  Elements that cannot be
 * read are passed over.
 */
int negotiate_weight(const struct http_fields *request, struct span coding);
/* May the client be sent that coding? */
bool negotiate_accepts(const struct http_fields *request, struct span coding);
/*
 * Of the kinds, the one that the client likes best, the earlier of equals;
 * false if it likes none, or the plain body better than all.
 */
bool negotiate_choose(const struct http_fields *request,
    const enum coder_kind *kinds, size_t count, enum coder_kind *chosen);

#endif

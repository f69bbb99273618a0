/* SPDX-License-Identifier: BSD-2-Clause */
/* value - field values that templates make for an exchange. */
#ifndef PROXY_VALUE_H
#define PROXY_VALUE_H

#include <stdbool.h>

#include "base/span.h"

struct exchange;
struct template;

enum { VALUE_BYTES_MAX = 8192 }; /* bytes; what is longer is dropped */

/*
 * The template's value, in the exchange's arena or of the configuration.
 * False if no field may have it (RFC 9110, section 5.5: a control character
 * would let a client write fields of its own) or if it is too long: then it is
 * counted as dropped.  Blanks around it are cut off.
 */
bool value_field(struct exchange *ex, const struct template *t,
    struct span *value) __attribute__((warn_unused_result));
/* Count one that was dropped for another reason. */
void value_count_dropped(struct exchange *ex);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sign - a number for all values of a struct: two that mean the same have the
 * same, others another one.  It is made for each route at a reload, so it goes
 * by the values themselves rather than by their text.
 */
#ifndef CONF_SIGN_H
#define CONF_SIGN_H

#include <stdint.h>

#include "conf/item.h"
#include "conf/tree.h"

/*
 * Of what the rows of the table describe, secrets too: it must not be shown.
 * CUSTOM rows count by what they print; those that cannot, and groups that
 * were not given, do not count.
 */
uint64_t conf_sign_table(const struct conf_table *table, const void *conf);
/* The same of what no table describes: the group `custom`. */
uint64_t conf_sign_node(const struct conf_node *node);
uint64_t conf_sign_mix(uint64_t sign, uint64_t more);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/* oracle - libconfig's own reading of a text, which ours must equal. */
#ifndef CONF_ORACLE_H
#define CONF_ORACLE_H

#include "conf/tree.h"

/*
 * Let libconfig read text, of which root is our reading.  -1 and an error in
 * the report if it refuses the text or finds another structure or value.
 */
int oracle_check(const struct conf_node *root, const char *text,
    struct conf_report *r);

#endif

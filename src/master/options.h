/* SPDX-License-Identifier: BSD-2-Clause */
/* options - weir --dump-options: what the manual's test compares. */
#ifndef MASTER_OPTIONS_H
#define MASTER_OPTIONS_H

#include <stdio.h>

/*
 * A line of JSON for each row of the option tables (see conf/rows.h), with its
 * level as "path", and for each variable of templates.
 */
void options_print(FILE *out);

#endif

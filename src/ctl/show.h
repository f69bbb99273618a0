/* SPDX-License-Identifier: BSD-2-Clause */
/* show - the result of a command as text for people. */
#ifndef CTL_SHOW_H
#define CTL_SHOW_H

#include <stdio.h>

struct jsonread_value;

/*
 * Scalars as "name: value"; an array of objects as a table, whose columns are
 * the members of all of them; an array with sentences in it as lines; an
 * object called "text" as it stands.  Controls
 * are escaped, so that no answer drives the terminal.
 */
void show(const struct jsonread_value *result, FILE *out);

#endif

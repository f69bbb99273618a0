/* SPDX-License-Identifier: BSD-2-Clause */
/* options - the option tables as JSON lines, for the manual's test. */
#ifndef MASTER_OPTIONS_H
#define MASTER_OPTIONS_H

#include <stdio.h>

/*
 * One object a row: place ("services.routes"), name, type, default, min, max,
 * unit, values, help, required, secret, restart.  Tables that several places
 * share appear at each.
 */
void options_print(FILE *out);

#endif

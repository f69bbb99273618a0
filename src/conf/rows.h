/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rows - what options and variables there are, as JSON, a line each (weir
 * --dump-options).
 */
#ifndef CONF_ROWS_H
#define CONF_ROWS_H

#include <stdio.h>

struct conf_table;
struct template_vars;

/*
 * Each row as {"path", "name", "type", "default", "min", "max", "range",
 * "unit", "values", "help", "flags"}; the rows of its table, where it has one,
 * follow with a longer path ("upstreams" + "." + "timeouts").
 */
void conf_rows_items(FILE *out, const struct conf_table *table,
    const char *path);
/* Each variable as {"variable", "help"}. */
void conf_rows_vars(FILE *out, const struct template_vars *vars);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/* options - what a generation is made of, in the words of conf/rows. */
#include "master/options.h"

#include "conf/rows.h"
#include "site/generation.h"

static void
on_table(void *arg, const char *place, const struct conf_table *table)
{
	if (table != NULL)
		conf_rows_items(arg, table, place);
}

void
options_print(FILE *out)
{
	generation_each_table(on_table, out);
	conf_rows_vars(out, generation_vars());
}

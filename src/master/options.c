/* SPDX-License-Identifier: BSD-2-Clause */
/* options - what a generation is made of, in the words of conf/dump. */
#include "master/options.h"

#include "conf/dump.h"
#include "site/generation.h"

static void
on_table(void *arg, const char *place, const struct conf_table *table)
{
	if (table != NULL)
		conf_dump_items_json(arg, table, place);
}

void
options_print(FILE *out)
{
	generation_each_table(on_table, out);
	conf_dump_vars_json(out, generation_vars());
}

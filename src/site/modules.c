/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * modules - expands modules.def, which configure writes, into the list.
 *
 * The one file of src/ that knows modules by name.
 */
#include "site/modules.h"

#include <stdlib.h>
#include <string.h>

#include "module.h"

#define MODULE(name) extern const struct module mod_##name;
#include "site/modules.def"
#undef MODULE

static const struct module *list[] = {
#define MODULE(name) &mod_##name,
#include "site/modules.def"
#undef MODULE
	NULL,
};

static int
by_order(const void *a, const void *b)
{
	const struct module *const *x = a, *const *y = b;

	if ((*x)->order != (*y)->order)
		return (*x)->order < (*y)->order ? -1 : 1;
	return strcmp((*x)->name, (*y)->name);
}

size_t
modules_count(void)
{
	return sizeof(list) / sizeof(*list) - 1;
}

const struct module *
modules_get(size_t index)
{
	static int is_sorted;

	if (!is_sorted) {
		qsort(list, modules_count(), sizeof(*list), by_order);
		is_sorted = 1;
	}
	return list[index];
}

const struct metric_set *const *
modules_metrics(void)
{
	static const struct metric_set *sets[sizeof(list) / sizeof(*list)];

	for (size_t i = 0; i < modules_count(); i++)
		sets[i] = modules_get(i)->metrics;
	return sets;
}

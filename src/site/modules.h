/* SPDX-License-Identifier: BSD-2-Clause */
/* modules - the only list of modules: those that configure has enabled. */
#ifndef SITE_MODULES_H
#define SITE_MODULES_H

#include <stddef.h>

#include "proxy/module_def.h"

size_t modules_count(void);
/* In the order of their handlers: by module.order, then by name. */
const struct module *modules_get(size_t index);
/* What they count, in the same order; NULL = nothing. */
const struct metric_set *const *modules_metrics(void);

#endif

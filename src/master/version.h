/* SPDX-License-Identifier: BSD-2-Clause */
/* version - what this program is made of. */
#ifndef MASTER_VERSION_H
#define MASTER_VERSION_H

#include <stddef.h>
#include <stdio.h>

/* weir -V: version, modules, libraries as they are at run time. */
void version_print(FILE *out, const char *const *modules, size_t count);
const char *version_text(void);

#endif

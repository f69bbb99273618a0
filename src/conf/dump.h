/* SPDX-License-Identifier: BSD-2-Clause */
/* dump - the effective configuration as text that loads again (weir -T). */
#ifndef CONF_DUMP_H
#define CONF_DUMP_H

#include <stdio.h>

#include "conf/item.h"

struct conf_dump {
	FILE *out;
	const struct conf_origins *origins; /* NULL: all shows as default */
	unsigned indent; /* tabs */
	/* Leave out what has its default or was inherited. */
	bool only_set;
	unsigned hidden; /* leave out rows with one of these flags */
};

/*
 * The rows of the table as `key = value;`, each with a comment that says where
 * the value is from: `# default`, `# FILE:LINE`.  Values of CONF_SECRET are
 * masked, what is unset becomes a comment; CUSTOM rows that cannot print are
 * left to their owner.  The caller writes the braces around it.
 */
void conf_dump_table(const struct conf_dump *d,
    const struct conf_table *table, const void *conf);
/* text in quotes, escaped, so that it reads back the same. */
void conf_dump_quoted(FILE *out, struct span text);

/* A value as it was read, in one line or several: for the group `custom`. */
void conf_dump_node(const struct conf_dump *d, const struct conf_node *node);

#endif

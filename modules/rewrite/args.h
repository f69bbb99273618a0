/* SPDX-License-Identifier: BSD-2-Clause */
/* args - dropping and setting arguments of a query. */
#ifndef MODULES_REWRITE_ARGS_H
#define MODULES_REWRITE_ARGS_H

#include "module.h"

/*
 * True if the argument of a query, "a%62c=1", has that name, "abc": names are
 * compared as the backend will understand them, escapes and plus signs undone.
 */
bool args_is_called(struct span arg, struct span name);
/* The next argument of *rest, without its "&"; false at the end. */
bool args_next(struct span *rest, struct span *arg);
/*
 * Copy to out the arguments of query but those with one of the names; a name
 * "*" is any, and one that ends in "*" any that begins so.
 */
void args_drop(struct str *out, struct span query,
    const struct conf_strings *names);
/* Append name=value, both escaped. */
void args_add(struct str *out, struct span name, struct span value);

#endif

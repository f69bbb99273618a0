/* SPDX-License-Identifier: BSD-2-Clause */
/* origins - which option was set where, for weir -T. */
#ifndef CONF_ORIGINS_H
#define CONF_ORIGINS_H

#include <stddef.h>

#include "conf/report.h"

struct conf_origins;

struct conf_origins *conf_origins_new(void);
void conf_origins_free(struct conf_origins *o);
/*
 * The value at field (its address in the struct that a table fills) was set
 * at place; conf_apply() calls this.  o NULL = nobody wants to know.  A place
 * of line 0 names a source that is no file: { .file = "command line" }.
 */
void conf_origins_set(struct conf_origins *o, const void *field,
    const struct conf_place *place);
/* copy began as a copy of original: what is not set in it is from there. */
void conf_origins_inherit(struct conf_origins *o, const void *copy,
    const void *original);
/*
 * Where the field at offset of the struct at conf was set, by itself or by
 * what it inherits from; NULL = nowhere: it has its default.
 */
const struct conf_place *conf_origins_get(const struct conf_origins *o,
    const void *conf, size_t offset);

/* The same without what it inherits. */
const struct conf_place *conf_origins_own(const struct conf_origins *o,
    const void *field);

#endif

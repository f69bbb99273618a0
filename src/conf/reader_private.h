/* SPDX-License-Identifier: BSD-2-Clause */
/* reader - the value of one option: from a node, or from its default. */
#ifndef CONF_READER_PRIVATE_H
#define CONF_READER_PRIVATE_H

#include "conf/item.h"

/* Set the field to the row's default; GROUPs are the caller's. */
void reader_default(struct conf_ctx *ctx, const struct conf_item *item,
    void *field);
/*
 * Read a value of any type but GROUP and LIST; -1 = reported, the field is as
 * it was.
 */
int reader_read(struct conf_ctx *ctx, const struct conf_item *item,
    const struct conf_node *node, void *field);
/* Unset, zero, without elements; false for GROUP and CUSTOM. */
bool reader_is_empty(const struct conf_item *item, const void *field);

#endif

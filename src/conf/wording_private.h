/* SPDX-License-Identifier: BSD-2-Clause */
/* wording - how messages call options and their values. */
#ifndef CONF_WORDING_PRIVATE_H
#define CONF_WORDING_PRIVATE_H

#include "conf/item.h"

/* "`name`", or "this element of `name`". */
const char *wording_name(struct conf_ctx *ctx, const struct conf_node *node);
/* A number of the row's type as the admin writes it. */
const char *wording_number(struct conf_ctx *ctx,
    const struct conf_item *item, uint64_t n);
/* What the row's range ends at. */
uint64_t wording_largest(const struct conf_item *item);

#endif

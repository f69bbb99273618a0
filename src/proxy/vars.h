/* SPDX-License-Identifier: BSD-2-Clause */
/* vars - the variables that templates may name; their subject is an exchange. */
#ifndef PROXY_VARS_H
#define PROXY_VARS_H

#include "conf/template.h"

extern const struct template_vars vars_all;

struct conf_node;

/* The `custom` group, for ${custom.NAME}; borrowed by the generation. */
void vars_set_custom(const struct conf_node *custom);

#endif

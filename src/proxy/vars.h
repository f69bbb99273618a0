/* SPDX-License-Identifier: BSD-2-Clause */
/* vars - the variables that templates may name; their subject is an exchange. */
#ifndef PROXY_VARS_H
#define PROXY_VARS_H

#include "conf/template.h"

/*
 * Whoever compiles with a copy gives it a context: the group `custom` (a struct
 * conf_node), in which ${custom.NAME} is looked up.
 */
extern const struct template_vars vars_all;

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * upstreams_cmds - the control commands about upstreams and their backends.
 *
 * What they change lives in the backends' slots: it is there for all workers
 * at once, and outlives reload and upgrade.
 */
#ifndef BACKGROUND_UPSTREAMS_CMDS_H
#define BACKGROUND_UPSTREAMS_CMDS_H

#include "base/command.h"

/* For commands_add(); arg: the generation's struct generation_shared. */
extern const struct command upstreams_cmds[];

#endif

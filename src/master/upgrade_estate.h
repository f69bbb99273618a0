/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * upgrade_estate - what this master, or a worker whose master has died, hands
 * over.
 */
#ifndef MASTER_UPGRADE_ESTATE_H
#define MASTER_UPGRADE_ESTATE_H

struct manifest;

/* All that this master has; arg is the master. */
void upgrade_estate_collect(void *arg, struct manifest *manifest);
/* In a worker whose master has died. */
void upgrade_estate_collect_orphan(void *arg, struct manifest *manifest);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * background - the unprivileged process that serves no client: it writes the
 * logs, resolves names and reaps parked connections.
 */
#ifndef BACKGROUND_BACKGROUND_H
#define BACKGROUND_BACKGROUND_H

#include "site/boot.h"

/* A process_main_fn. */
int background_main(const struct process_boot *boot);

#endif

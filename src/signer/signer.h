/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * signer - the process that holds the private keys of its generation, and signs
 * for the others (key_isolation).
 *
 * It has no network and no files: a channel to the master, the vault, the desk
 * and the connections that come there.  It never speaks first, never waits for
 * anybody, and does nothing but sign.
 */
#ifndef SIGNER_SIGNER_H
#define SIGNER_SIGNER_H

#include "site/boot.h"

int signer_main(const struct process_boot *boot);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/* apr1 - the MD5-based hash of htpasswd -m, which libcrypt does not know. */
#ifndef MODULES_AUTH_APR1_H
#define MODULES_AUTH_APR1_H

#include "module.h"

enum { APR1_SALT_MAX = 8, APR1_TEXT_BYTES = 22 };

/*
 * The text behind "$apr1$SALT$", from whatever thread.  -1: OpenSSL was set up
 * without MD5.
 */
int apr1_hash(struct span salt, struct span password,
    char text[APR1_TEXT_BYTES]) __attribute__((warn_unused_result));

#endif

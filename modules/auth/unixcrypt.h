/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * unixcrypt - the hashes of crypt(5), by libcrypt.
 *
 * unixcrypt_none.c stands in where it was left out.
 */
#ifndef MODULES_AUTH_UNIXCRYPT_H
#define MODULES_AUTH_UNIXCRYPT_H

#include <stdbool.h>

/* Whether this build can. */
bool unixcrypt_is_there(void);
/*
 * True if that is the password of the hash ("$y$...").  Takes milliseconds and
 * up to some tens of MB; from whatever thread.
 */
bool unixcrypt_check(const char *hash, const char *password);

#endif

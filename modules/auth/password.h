/* SPDX-License-Identifier: BSD-2-Clause */
/* password - hashes of passwords: which there are, and checking them. */
#ifndef MODULES_AUTH_PASSWORD_H
#define MODULES_AUTH_PASSWORD_H

#include "module.h"

enum {
	PASSWORD_BYTES_MAX = 511,  /* libcrypt takes no more */
	PASSWORD_HASH_MAX = 255,
};

/*
 * NULL if hash is one that this build can check, in its whole form; else why
 * not.  Does not repeat the hash.
 */
const char *password_fault(struct span hash);
/*
 * True if that is the password of the hash, which password_fault() has passed.
 * Takes milliseconds: for helper threads.
 */
bool password_check(const char *hash, const char *password);

#endif

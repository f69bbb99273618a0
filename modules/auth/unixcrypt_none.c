/* SPDX-License-Identifier: BSD-2-Clause */
/* unixcrypt_none - a build without libcrypt checks no such hash. */
#include "unixcrypt.h"

bool
unixcrypt_is_there(void)
{
	return false;
}

bool
unixcrypt_check(const char *hash, const char *password)
{
	(void)hash;
	(void)password;
	return false;
}

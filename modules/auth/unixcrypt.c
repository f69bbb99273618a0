/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * unixcrypt - crypt_rn() with working memory of its own, wiped afterwards.
 *
 * Not crypt_r(), for which AddressSanitizer has a stand-in that crashes.
 */
#include "unixcrypt.h"

#include <crypt.h>
#include <stdlib.h>

#include "module.h"

bool
unixcrypt_is_there(void)
{
	return true;
}

bool
unixcrypt_check(const char *hash, const char *password)
{
	struct crypt_data *data = heap_alloc_zeroed(1, sizeof(*data));
	/* NULL: the hash is none of libcrypt's. */
	const char *made = crypt_rn(password, hash, data, sizeof(*data));
	size_t len = strlen(hash);
	bool is_same = made != NULL && strlen(made) == len &&
	    digest_is_equal(made, hash, len);

	digest_wipe(data, sizeof(*data));
	free(data);
	return is_same;
}

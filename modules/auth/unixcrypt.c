/* SPDX-License-Identifier: BSD-2-Clause */
/* unixcrypt - crypt_r() with working memory of its own, wiped afterwards. */
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
	const char *made = crypt_r(password, hash, data);
	size_t len = strlen(hash);
	/* "*0": the hash is none of libcrypt's. */
	bool is_same = made != NULL && made[0] != '*' &&
	    strlen(made) == len && digest_is_equal(made, hash, len);

	digest_wipe(data, sizeof(*data));
	free(data);
	return is_same;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* verdicts - sets of a few entries, chosen by the digest's first byte. */
#include "verdicts.h"

bool
verdicts_get(const struct verdicts *v,
    const uint8_t digest[DIGEST_SHA256_BYTES], uint64_t now_ms,
    bool *is_right)
{
	const struct verdicts_entry *set = v->entries[digest[0]];

	for (size_t i = 0; i < VERDICTS_WAYS; i++) {
		if (set[i].until_ms > now_ms &&
		    digest_is_equal(set[i].digest, digest,
		    DIGEST_SHA256_BYTES)) {
			*is_right = set[i].is_right;
			return true;
		}
	}
	return false;
}

void
verdicts_put(struct verdicts *v, const uint8_t digest[DIGEST_SHA256_BYTES],
    uint64_t until_ms, bool is_right)
{
	struct verdicts_entry *set = v->entries[digest[0]], *to = set;

	for (size_t i = 0; i < VERDICTS_WAYS; i++) {
		if (digest_is_equal(set[i].digest, digest,
		    DIGEST_SHA256_BYTES)) {
			to = &set[i];
			break;
		}
		if (set[i].until_ms < to->until_ms)
			to = &set[i];
	}
	memcpy(to->digest, digest, DIGEST_SHA256_BYTES);
	to->until_ms = until_ms;
	to->is_right = is_right;
}

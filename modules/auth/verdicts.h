/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * verdicts - what hashes of passwords have come to, for a while.
 *
 * In the memory of one worker.  Kept is a digest, under a random key of this
 * process, of user, password and hash together, and yes or no: nothing from
 * which a password could be found.  A changed hash is another digest.
 */
#ifndef MODULES_AUTH_VERDICTS_H
#define MODULES_AUTH_VERDICTS_H

#include "module.h"

enum { VERDICTS_SETS = 256, VERDICTS_WAYS = 8 };

struct verdicts {
	struct verdicts_entry {
		uint8_t digest[DIGEST_SHA256_BYTES];
		uint64_t until_ms; /* monotonic; 0 = free */
		bool is_right;
	} entries[VERDICTS_SETS][VERDICTS_WAYS];
};

/* True if it is known; then *is_right. */
bool verdicts_get(const struct verdicts *v,
    const uint8_t digest[DIGEST_SHA256_BYTES], uint64_t now_ms,
    bool *is_right);
/* In a full set the one that would end first goes. */
void verdicts_put(struct verdicts *v,
    const uint8_t digest[DIGEST_SHA256_BYTES], uint64_t until_ms,
    bool is_right);

#endif

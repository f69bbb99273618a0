/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * keys - a file of API keys in memory, found by the hash of a key.
 *
 * The file holds SHA-256 of each key (conf/keyfile.h).  The table's places
 * follow from that hash, which nobody can steer who does not know the key, so
 * how long a look takes says nothing about the keys that there are.
 */
#ifndef MODULES_AUTH_KEYS_H
#define MODULES_AUTH_KEYS_H

#include "module.h"

struct keys {
	struct arena own;   /* of all below; unused if another was given */
	struct keyfile_entry *entries;
	uint32_t *places;   /* number of an entry + 1; 0 = free */
	uint32_t mask;      /* of places, a power of two less 1 */
	uint32_t count;
};

/*
 * From a file's text, of which nothing is kept, in arena; NULL: in memory of
 * its own, for keys_free().  NULL and err: its first fault, with its place.
 */
struct keys *keys_parse(struct span text, struct arena *arena,
    struct error *err);
void keys_free(struct keys *k);
/* NULL if there is none of that hash. */
const struct keyfile_entry *keys_find(const struct keys *k,
    const uint8_t hash[DIGEST_SHA256_BYTES]);

#endif

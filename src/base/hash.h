/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hash - keyed hashing of bytes, and a map from bytes to pointers.
 *
 * The key is random per process tree (made before the fork), so that a peer
 * cannot choose keys that collide.  Keys are borrowed: they must outlive the
 * map.  Lookups cost the same with ten entries and with a hundred thousand.
 */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

uint64_t hash_bytes(struct span s);
/* As if the bytes were lower case (ASCII). */
uint64_t hash_bytes_i(struct span s);
/* Under the caller's key: for tables that outlive the process tree. */
uint64_t hash_keyed(const uint64_t key[2], struct span s);
/* FNV-1a of 64 bits: the same in all processes and versions; no secret. */
uint64_t hash_stable(struct span s);

struct hash_entry {
	struct span key;
	uint64_t hash;
	void *value; /* NULL = free place */
};

struct hash_map {
	struct hash_entry *entries;
	size_t size; /* a power of two, or 0 */
	size_t used;
	bool ignore_case;
};

void hash_map_init(struct hash_map *m, bool ignore_case);
void hash_map_fini(struct hash_map *m);
/* NULL if absent. */
void *hash_map_get(const struct hash_map *m, struct span key);
/* Sets value (not NULL); returns what was there before, or NULL. */
void *hash_map_put(struct hash_map *m, struct span key, void *value);
/* NULL if absent, else what was removed. */
void *hash_map_remove(struct hash_map *m, struct span key);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * keytable - which key lies in which slot of a bucket, in shared memory.
 *
 * A bucket has room for 15 keys and is all that a key may lie in.  Any number
 * of processes look up and insert at the same time without a lock, a key never
 * gets two slots, and whoever dies on the way leaves nothing undone that the
 * next one would not finish.
 *
 * How: an insertion is one exchange of `head`, which says what goes where; the
 * tag follows, written by whoever comes first.  As it succeeds only if no other
 * insertion came since the bucket was searched, the key is really new.  The
 * number of the insertion, modulo 4096, goes with the tag: what the owner keeps
 * beside a tag carries it too, so that a leftover of the slot's former key is
 * known as such.
 */
#ifndef MODULES_RATELIMIT_KEYTABLE_H
#define MODULES_RATELIMIT_KEYTABLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	KEYTABLE_SLOTS = 15,
	KEYTABLE_SEQ_BITS = 12,
};

#define KEYTABLE_SEQ_MASK ((UINT64_C(1) << KEYTABLE_SEQ_BITS) - 1)
#define KEYTABLE_TAG_MASK ((UINT64_C(1) << 48) - 1)

struct keytable_bucket {
	_Atomic uint64_t head; /* tag, 4 bits of slot, 12 of number */
	_Atomic uint64_t tags[KEYTABLE_SLOTS]; /* tag, 12 bits of number */
};

_Static_assert(sizeof(struct keytable_bucket) == 128, "two cache lines");

/* A slot that holds a key: valid while the tag word is still the same. */
struct keytable_ref {
	int slot;      /* -1 = none */
	uint64_t word; /* of tags[slot] */
};

/*
 * Chooses the slot to overwrite where none is empty; -1 = none may be.  Slots
 * are those of the bucket; arg is the caller's.
 */
typedef int keytable_victim_fn(const struct keytable_bucket *b, void *arg);

/* Of a hash: 48 bits, never 0. */
static inline uint64_t
keytable_tag(uint64_t hash)
{
	uint64_t tag = hash >> 16;

	return tag != 0 ? tag : 1;
}

/* Which of count buckets a tag belongs to; the same for a tag for ever. */
static inline size_t
keytable_bucket_of(uint64_t tag, uint32_t count)
{
	return (size_t)(((tag & UINT32_MAX) * count) >> 32);
}

/* The number of the insertion that put the key there. */
static inline uint64_t
keytable_seq(uint64_t word)
{
	return word & KEYTABLE_SEQ_MASK;
}

static inline struct keytable_ref
keytable_find(const struct keytable_bucket *b, uint64_t tag)
{
	struct keytable_ref ref = { -1, 0 };

	for (int i = 0; i < KEYTABLE_SLOTS; i++) {
		uint64_t word = atomic_load_explicit(&b->tags[i],
		    memory_order_acquire);

		if (word >> KEYTABLE_SEQ_BITS == tag) {
			ref = (struct keytable_ref){ i, word };
			break;
		}
	}
	return ref;
}

/* The key has the slot still, so that what was done there was done to it. */
static inline bool
keytable_holds(const struct keytable_bucket *b, struct keytable_ref ref)
{
	return atomic_load_explicit(&b->tags[ref.slot],
	    memory_order_seq_cst) == ref.word;
}

/*
 * Find the key or give it a slot; *is_new tells which.  slot -1 if no slot may
 * be overwritten, or others were faster many times in a row.
 */
struct keytable_ref keytable_insert(struct keytable_bucket *b, uint64_t tag,
    keytable_victim_fn *victim, void *arg, bool *is_new);
/*
 * Announce the key anew: who has chosen its slot to overwrite, by what was
 * there before, has to choose again.  False if it has lost the slot.
 */
bool keytable_renew(struct keytable_bucket *b, struct keytable_ref *ref);

#endif

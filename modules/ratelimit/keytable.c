/* SPDX-License-Identifier: BSD-2-Clause */
/* keytable - changes: announced in the bucket's head, done by anyone. */
#include "keytable.h"

enum { TRIES_MAX = 64, SLOT_SHIFT = KEYTABLE_SEQ_BITS, TAG_SHIFT = 16 };

static uint64_t
tag_word(uint64_t head)
{
	return head >> TAG_SHIFT << KEYTABLE_SEQ_BITS |
	    (head & KEYTABLE_SEQ_MASK);
}

/*
 * Write the tag that head announces, unless it is there.  The second look at
 * the head makes sure that `word` is from before it: a later insertion into
 * the same slot is not overwritten.
 */
static void
finish(struct keytable_bucket *b, uint64_t head)
{
	_Atomic uint64_t *tag = &b->tags[(head >> SLOT_SHIFT & 15) %
	    KEYTABLE_SLOTS];
	uint64_t want = tag_word(head);
	uint64_t word;

	if (head == 0)
		return;
	word = atomic_load_explicit(tag, memory_order_seq_cst);
	if (word == want ||
	    atomic_load_explicit(&b->head, memory_order_seq_cst) != head)
		return;
	(void)atomic_compare_exchange_strong(tag, &word, want);
}

static int
choose(const struct keytable_bucket *b, keytable_victim_fn *victim, void *arg)
{
	for (int i = 0; i < KEYTABLE_SLOTS; i++) {
		if (atomic_load_explicit(&b->tags[i],
		    memory_order_relaxed) == 0)
			return i;
	}
	return victim(b, arg);
}

struct keytable_ref
keytable_insert(struct keytable_bucket *b, uint64_t tag,
    keytable_victim_fn *victim, void *arg, bool *is_new)
{
	struct keytable_ref ref = { -1, 0 };

	*is_new = false;
	for (unsigned i = 0; i < TRIES_MAX; i++) {
		uint64_t head = atomic_load_explicit(&b->head,
		    memory_order_seq_cst);
		uint64_t next;
		int slot;

		finish(b, head);
		ref = keytable_find(b, tag);
		if (ref.slot >= 0)
			return ref;
		slot = choose(b, victim, arg);
		if (slot < 0)
			return ref;
		next = tag << TAG_SHIFT | (uint64_t)slot << SLOT_SHIFT |
		    ((head + 1) & KEYTABLE_SEQ_MASK);
		if (!atomic_compare_exchange_strong(&b->head, &head, next))
			continue;
		finish(b, next);
		*is_new = true;
		return (struct keytable_ref){ slot, tag_word(next) };
	}
	return ref;
}

bool
keytable_renew(struct keytable_bucket *b, struct keytable_ref *ref)
{
	for (unsigned i = 0; i < TRIES_MAX; i++) {
		uint64_t head = atomic_load_explicit(&b->head,
		    memory_order_seq_cst);
		uint64_t tag = ref->word >> KEYTABLE_SEQ_BITS;
		uint64_t next = tag << TAG_SHIFT |
		    (uint64_t)ref->slot << SLOT_SHIFT |
		    ((head + 1) & KEYTABLE_SEQ_MASK);

		finish(b, head);
		if (!keytable_holds(b, *ref))
			return false;
		if (!atomic_compare_exchange_strong(&b->head, &head, next))
			continue;
		finish(b, next);
		ref->word = tag_word(next);
		return true;
	}
	return false;
}

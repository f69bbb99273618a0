/* SPDX-License-Identifier: BSD-2-Clause */
/* gcra - the table of arrival times. */
#include "gcra.h"

#include "keytable.h"
#include "module.h"

enum { TRIES_MAX = 64, LEFTOVER_US = 60000000 };

/* In front of the buckets. */
struct gcra_head {
	uint64_t key[2];
	uint64_t unused[14];
};

struct gcra_bucket {
	struct keytable_bucket keys;
	/* Arrival time in ticks, 52 bits; 12 bits of the key's number. */
	_Atomic uint64_t times[KEYTABLE_SLOTS];
	_Atomic uint64_t unused;
};

_Static_assert(sizeof(struct gcra_head) == 128, "a multiple of a line");
_Static_assert(sizeof(struct gcra_bucket) == 256, "four cache lines");

/* ---- limits ---- */

void
gcra_limit_set(struct gcra_limit *l, uint32_t requests, uint64_t period_us,
    uint32_t burst, uint64_t delay_us)
{
	uint64_t period = period_us * GCRA_TICKS_PER_US;

	l->interval = (period + requests / 2) / requests;
	if (l->interval == 0)
		l->interval = 1;
	l->tolerance = l->interval * (burst - 1);
	l->delay = delay_us * GCRA_TICKS_PER_US;
}

uint32_t
gcra_remaining(const struct gcra_limit *l, uint64_t ahead)
{
	uint64_t room = l->tolerance + l->interval;

	return ahead >= room ? 0 : (uint32_t)((room - ahead) / l->interval);
}

uint64_t
gcra_reset_us(uint64_t ahead)
{
	return (ahead + GCRA_TICKS_PER_US - 1) / GCRA_TICKS_PER_US;
}

/* ---- the table ---- */

void
gcra_open(struct gcra *g, void *memory, size_t bytes, bool is_new)
{
	struct gcra_head *head = memory;
	size_t count = (bytes - sizeof(*head)) / sizeof(*g->buckets);

	if (is_new)
		entropy_fill(head->key, sizeof(head->key));
	memcpy(g->key, head->key, sizeof(g->key));
	g->buckets = (struct gcra_bucket *)(void *)(head + 1);
	g->count = count < UINT32_MAX ? (uint32_t)count : UINT32_MAX;
}

uint64_t
gcra_hash(const struct gcra *g, const void *p, size_t len)
{
	return hash_keyed(g->key, span_of(p, len));
}

static struct gcra_bucket *
bucket_of(const struct gcra *g, uint64_t tag)
{
	return &g->buckets[keytable_bucket_of(tag, g->count)];
}

static uint64_t
time_word(uint64_t time, uint64_t seq)
{
	return time << KEYTABLE_SEQ_BITS | seq;
}

static bool
is_of_key(uint64_t time, uint64_t tag)
{
	return keytable_seq(time) == keytable_seq(tag);
}

struct victim {
	struct gcra_bucket *b;
	uint64_t now;
	bool evicted;
};

/*
 * The key that has been quiet longest, if it does not count any more; else one
 * whose process died before it wrote a time; else the one that counts least.
 */
static int
oldest(const struct keytable_bucket *keys, void *arg)
{
	struct victim *v = arg;
	uint64_t least = UINT64_MAX;
	int found = 0, leftover = -1;

	for (int i = 0; i < KEYTABLE_SLOTS; i++) {
		uint64_t tag = atomic_load_explicit(&keys->tags[i],
		    memory_order_relaxed);
		uint64_t word = atomic_load_explicit(&v->b->times[i],
		    memory_order_relaxed);

		if (!is_of_key(word, tag)) {
			leftover = i;
		} else if (word >> KEYTABLE_SEQ_BITS < least) {
			least = word >> KEYTABLE_SEQ_BITS;
			found = i;
		}
	}
	v->evicted = least > v->now && leftover < 0;
	return least > v->now && leftover >= 0 ? leftover : found;
}

/* What one look at the time says; *time moves on if the request may. */
static enum gcra_verdict
decide(const struct gcra_limit *l, uint64_t now, uint64_t *time,
    struct gcra_answer *a)
{
	uint64_t at = *time > now ? *time : now;
	uint64_t ahead = at - now;
	uint64_t most = l->tolerance + l->delay;

	a->ahead = ahead;
	if (ahead > most) {
		a->wait_us = (ahead - most + GCRA_TICKS_PER_US - 1) /
		    GCRA_TICKS_PER_US;
		return GCRA_REFUSED;
	}
	*time = at + l->interval;
	a->ahead += l->interval;
	a->wait_us = ahead <= l->tolerance ? 0
	    : (ahead - l->tolerance + GCRA_TICKS_PER_US - 1) /
	    GCRA_TICKS_PER_US;
	return GCRA_TAKEN;
}

/*
 * A time so far ahead that this limit cannot have made it is of a slower one
 * that the configuration had before: it becomes the worst of this one.
 */
static uint64_t
tame(const struct gcra_limit *l, uint64_t now, uint64_t time)
{
	uint64_t worst = now + l->tolerance + l->delay + l->interval;

	return time > worst + LEFTOVER_US * (uint64_t)GCRA_TICKS_PER_US
	    ? worst : time;
}

/* False if the slot was taken away meanwhile. */
static bool
take_at(struct gcra_bucket *b, struct keytable_ref ref,
    const struct gcra_limit *l, uint64_t now, struct gcra_answer *a)
{
	_Atomic uint64_t *place = &b->times[ref.slot];
	uint64_t seq = keytable_seq(ref.word);
	uint64_t word = atomic_load_explicit(place, memory_order_acquire);
	uint64_t time;

	do {
		time = is_of_key(word, ref.word)
		    ? tame(l, now, word >> KEYTABLE_SEQ_BITS) : 0;
		a->verdict = decide(l, now, &time, a);
		if (a->verdict == GCRA_REFUSED &&
		    time == word >> KEYTABLE_SEQ_BITS)
			break;
	} while (!atomic_compare_exchange_weak(place, &word,
	    time_word(time, seq)));
	return keytable_holds(&b->keys, ref);
}

void
gcra_take(const struct gcra *g, uint64_t hash, const struct gcra_limit *l,
    uint64_t now_us, struct gcra_answer *answer)
{
	uint64_t tag = keytable_tag(hash);
	struct gcra_bucket *b = bucket_of(g, tag);
	struct victim v = { .b = b, .now = now_us * GCRA_TICKS_PER_US };

	/* All its lines at once: one wait for memory, not three. */
	__builtin_prefetch(&b->keys.tags[7]);
	__builtin_prefetch(&b->times[0]);
	__builtin_prefetch(&b->times[8]);
	*answer = (struct gcra_answer){ .verdict = GCRA_TAKEN };
	for (unsigned i = 0; i < TRIES_MAX; i++) {
		struct keytable_ref ref = keytable_find(&b->keys, tag);

		if (ref.slot < 0) {
			bool is_new;

			v.evicted = false;
			ref = keytable_insert(&b->keys, tag, oldest, &v,
			    &is_new);
			answer->evicted |= is_new && v.evicted;
		}
		if (ref.slot >= 0 && take_at(b, ref, l, v.now, answer))
			return;
	}
	answer->verdict = GCRA_TAKEN;
	answer->wait_us = 0;
	answer->is_full = true;
}

void
gcra_give_back(const struct gcra *g, uint64_t hash, const struct gcra_limit *l)
{
	uint64_t tag = keytable_tag(hash);
	struct gcra_bucket *b = bucket_of(g, tag);
	struct keytable_ref ref = keytable_find(&b->keys, tag);
	uint64_t word;

	if (ref.slot < 0)
		return;
	word = atomic_load_explicit(&b->times[ref.slot],
	    memory_order_acquire);
	while (is_of_key(word, ref.word) &&
	    word >> KEYTABLE_SEQ_BITS >= l->interval) {
		if (atomic_compare_exchange_weak(&b->times[ref.slot], &word,
		    word - (l->interval << KEYTABLE_SEQ_BITS)))
			return;
	}
}

/* ---- the whole table ---- */

/* The tag of a slot that counts at now, and its time; 0 if it does not. */
static uint64_t
live_tag(const struct gcra_bucket *b, int slot, uint64_t now, uint64_t *time)
{
	uint64_t tag = atomic_load(&b->keys.tags[slot]);
	uint64_t word = atomic_load(&b->times[slot]);

	*time = word >> KEYTABLE_SEQ_BITS;
	return tag != 0 && is_of_key(word, tag) && *time > now
	    ? tag >> KEYTABLE_SEQ_BITS : 0;
}

static void
copy_one(struct gcra *to, uint64_t tag, uint64_t time, uint64_t now)
{
	struct gcra_bucket *b = bucket_of(to, tag);
	struct victim v = { .b = b, .now = now };
	bool is_new;
	struct keytable_ref ref =
	    keytable_insert(&b->keys, tag, oldest, &v, &is_new);

	if (ref.slot >= 0)
		atomic_store(&b->times[ref.slot],
		    time_word(time, keytable_seq(ref.word)));
}

void
gcra_copy(struct gcra *to, void *to_memory, const struct gcra *from,
    uint64_t now_us)
{
	struct gcra_head *head = to_memory;
	uint64_t now = now_us * GCRA_TICKS_PER_US;

	memcpy(head->key, from->key, sizeof(head->key));
	memcpy(to->key, from->key, sizeof(to->key));
	for (uint32_t i = 0; i < from->count; i++) {
		for (int slot = 0; slot < KEYTABLE_SLOTS; slot++) {
			uint64_t time;
			uint64_t tag = live_tag(&from->buckets[i], slot, now,
			    &time);

			if (tag != 0)
				copy_one(to, tag, time, now);
		}
	}
}

size_t
gcra_used(const struct gcra *g, uint64_t now_us)
{
	uint64_t now = now_us * GCRA_TICKS_PER_US;
	size_t used = 0;

	for (uint32_t i = 0; i < g->count; i++) {
		for (int slot = 0; slot < KEYTABLE_SLOTS; slot++) {
			uint64_t time;

			used += live_tag(&g->buckets[i], slot, now,
			    &time) != 0;
		}
	}
	return used;
}

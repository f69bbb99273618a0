/* SPDX-License-Identifier: BSD-2-Clause */
/* leases - counts of requests under way, by key and process. */
#include "leases.h"

#include "keytable.h"
#include "module.h"

enum {
	TRIES_MAX = 64,
	COUNT_MAX = 65535,
	/*
	 * A key that is not in use goes only after this time.  Between finding
	 * it and counting there lie nanoseconds; only a process that is stopped
	 * in between for longer could count for somebody else's key.
	 */
	QUIET_MS = 2000,
	LIVES_MAX = 4096, /* process slots */
};

/* In used_ms: somebody may not know yet that it is in use again. */
#define IN_DOUBT (UINT64_C(1) << 63)

struct leases_head {
	uint64_t key[2];
	uint64_t unused[14];
	_Atomic uint32_t lives[LIVES_MAX]; /* by process slot, 16 bits used */
};

/* A bucket is its keys and an entry for each; an entry: */
struct entry {
	_Atomic uint64_t used_ms;    /* a second or so ago */
	_Atomic uint32_t counts[];   /* by process slot: life, 16; count, 16 */
};

void
leases_open(struct leases *t, void *memory, size_t bytes, uint32_t processes,
    bool is_new)
{
	size_t bucket;

	t->head = memory;
	t->processes = processes < LIVES_MAX ? processes : LIVES_MAX;
	t->entry_bytes = (uint32_t)((sizeof(struct entry) +
	    t->processes * sizeof(uint32_t) + 15) & ~(size_t)15);
	bucket = sizeof(struct keytable_bucket) +
	    KEYTABLE_SLOTS * (size_t)t->entry_bytes;
	t->buckets = (char *)(t->head + 1);
	t->count = bytes > sizeof(*t->head) + bucket
	    ? (uint32_t)((bytes - sizeof(*t->head)) / bucket) : 0;
	if (is_new)
		entropy_fill(t->head->key, sizeof(t->head->key));
	memcpy(t->key, t->head->key, sizeof(t->key));
}

void
leases_begin_life(const struct leases *t, uint32_t process)
{
	if (process < t->processes)
		atomic_fetch_add(&t->head->lives[process], 1);
}

uint64_t
leases_hash(const struct leases *t, const void *p, size_t len)
{
	return hash_keyed(t->key, span_of(p, len));
}

static struct keytable_bucket *
bucket_of(const struct leases *t, uint64_t tag)
{
	size_t bytes = sizeof(struct keytable_bucket) +
	    KEYTABLE_SLOTS * (size_t)t->entry_bytes;

	return (struct keytable_bucket *)(void *)(t->buckets +
	    keytable_bucket_of(tag, t->count) * bytes);
}

static struct entry *
entry_of(const struct leases *t, const struct keytable_bucket *b, int slot)
{
	return (struct entry *)(void *)((uintptr_t)(b + 1) +
	    (size_t)slot * t->entry_bytes);
}

static uint32_t
life_of(const struct leases *t, uint32_t process)
{
	return atomic_load_explicit(&t->head->lives[process],
	    memory_order_acquire) << 16;
}

static uint32_t
sum(const struct leases *t, const struct entry *e)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < t->processes; i++) {
		uint32_t c = atomic_load_explicit(&e->counts[i],
		    memory_order_seq_cst);

		if ((c & COUNT_MAX) != 0 &&
		    (c & ~(uint32_t)COUNT_MAX) == life_of(t, i))
			n += c & COUNT_MAX;
	}
	return n;
}

struct victim {
	const struct leases *t;
	uint64_t now_ms;
};

/* One that nobody uses now or has of late. */
static int
unused(const struct keytable_bucket *b, void *arg)
{
	const struct victim *v = arg;

	for (int i = 0; i < KEYTABLE_SLOTS; i++) {
		const struct entry *e = entry_of(v->t, b, i);
		uint64_t used_ms = atomic_load_explicit(&e->used_ms,
		    memory_order_acquire) & ~IN_DOUBT;

		if (used_ms + QUIET_MS < v->now_ms && sum(v->t, e) == 0)
			return i;
	}
	return -1;
}

/* The count of this process, void ones of earlier lives forgotten. */
static uint32_t
own_count(const struct leases *t, const struct entry *e, uint32_t process)
{
	uint32_t life = life_of(t, process);
	uint32_t c = atomic_load_explicit(&e->counts[process],
	    memory_order_relaxed);

	return (c & ~(uint32_t)COUNT_MAX) == life ? c : life;
}

/* One more, if nothing has changed since own_count(). */
static bool
add(_Atomic uint32_t *place, uint32_t before, struct lease *lease)
{
	uint32_t c = atomic_load_explicit(place, memory_order_relaxed);

	if (c != before && (c & ~(uint32_t)COUNT_MAX) ==
	    (before & ~(uint32_t)COUNT_MAX))
		return false;
	if (!atomic_compare_exchange_strong(place, &c, before + 1))
		return false;
	lease->place = place;
	lease->life = before & ~(uint32_t)COUNT_MAX;
	return true;
}

enum outcome { TAKEN, TAKEN_BEYOND, FULL };

/*
 * Count, look, and take it back if it was too many.  When others were trying
 * too, the sum may have been too high for a moment: then look again.
 */
static enum outcome
take_at(const struct leases *t, struct entry *e, uint32_t process,
    uint32_t max, bool is_forced, struct lease *lease)
{
	for (unsigned i = 0; i < TRIES_MAX; i++) {
		uint32_t own = own_count(t, e, process);
		bool fits = sum(t, e) < max;

		if ((!fits && !is_forced) || (own & COUNT_MAX) == COUNT_MAX)
			return FULL;
		if (!add(&e->counts[process], own, lease))
			continue;
		if (is_forced)
			return fits ? TAKEN : TAKEN_BEYOND;
		if (sum(t, e) <= max)
			return TAKEN;
		leases_return(lease);
	}
	return FULL;
}

/*
 * Seldom, so that processes do not fight for the line.  Who has seen before
 * that the key was quiet must not overwrite it now: it is announced anew, by
 * everybody until it is certain that one has.  False if it has gone.
 */
static bool
touch(struct keytable_bucket *b, struct keytable_ref *ref, struct entry *e,
    uint64_t now_ms)
{
	uint64_t used_ms = atomic_load_explicit(&e->used_ms,
	    memory_order_acquire);

	if ((used_ms & IN_DOUBT) == 0 && used_ms + QUIET_MS / 4 > now_ms)
		return true;
	atomic_store(&e->used_ms, now_ms | IN_DOUBT);
	if (!keytable_renew(b, ref))
		return false;
	atomic_store(&e->used_ms, now_ms);
	return true;
}

bool
leases_take(const struct leases *t, uint64_t hash, uint32_t process,
    uint32_t max, bool is_forced, uint64_t now_ms, struct lease *lease,
    bool *is_full)
{
	uint64_t tag = keytable_tag(hash);
	struct victim v = { t, now_ms };
	struct keytable_bucket *b;

	lease->place = NULL;
	*is_full = false;
	if (t->count == 0 || process >= t->processes) {
		*is_full = true;
		return true;
	}
	b = bucket_of(t, tag);
	for (unsigned i = 0; i < TRIES_MAX; i++) {
		bool is_new;
		struct keytable_ref ref =
		    keytable_insert(b, tag, unused, &v, &is_new);
		enum outcome outcome;
		struct entry *e;

		if (ref.slot < 0)
			break;
		e = entry_of(t, b, ref.slot);
		if (!touch(b, &ref, e, now_ms))
			continue;
		outcome = take_at(t, e, process, max, is_forced, lease);
		if (outcome == FULL)
			return false;
		if (keytable_holds(b, ref))
			return outcome == TAKEN;
		leases_return(lease);
	}
	*is_full = true;
	return true;
}

void
leases_return(struct lease *lease)
{
	_Atomic uint32_t *place = lease->place;
	uint32_t c;

	lease->place = NULL;
	if (place == NULL)
		return;
	c = atomic_load_explicit(place, memory_order_relaxed);
	while ((c & COUNT_MAX) > 0 &&
	    (c & ~(uint32_t)COUNT_MAX) == lease->life &&
	    !atomic_compare_exchange_weak(place, &c, c - 1))
		continue;
}

uint32_t
leases_sum(const struct leases *t, uint64_t hash)
{
	uint64_t tag = keytable_tag(hash);
	const struct keytable_bucket *b;
	struct keytable_ref ref;

	if (t->count == 0)
		return 0;
	b = bucket_of(t, tag);
	ref = keytable_find(b, tag);
	return ref.slot < 0 ? 0 : sum(t, entry_of(t, b, ref.slot));
}

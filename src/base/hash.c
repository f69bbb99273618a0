/* SPDX-License-Identifier: BSD-2-Clause */
/* hash - SipHash-1-3 under a random key; open addressing, at most 3/4 full. */
#include "base/hash.h"

#include <stdlib.h>

#include "base/entropy.h"
#include "base/heap_alloc.h"

static uint64_t seed[2];
static bool is_seeded;

static uint64_t
rotate(uint64_t x, unsigned by)
{
	return (x << by) | (x >> (64 - by));
}

static void
sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[2] += v[3];
	v[1] = rotate(v[1], 13) ^ v[0];
	v[3] = rotate(v[3], 16) ^ v[2];
	v[0] = rotate(v[0], 32);
	v[2] += v[1];
	v[0] += v[3];
	v[1] = rotate(v[1], 17) ^ v[2];
	v[3] = rotate(v[3], 21) ^ v[0];
	v[2] = rotate(v[2], 32);
}

/* Lower the case of eight bytes at once: add 0x20 to each of 'A' to 'Z'. */
static uint64_t
lower8(uint64_t x)
{
	uint64_t low7 = x & 0x7f7f7f7f7f7f7f7fU;
	uint64_t from_a = low7 + 0x3f3f3f3f3f3f3f3fU;
	uint64_t past_z = low7 + 0x2525252525252525U;
	uint64_t upper = (from_a & ~past_z & ~x) & 0x8080808080808080U;

	return x | (upper >> 2);
}

static inline uint64_t
sip_keyed(const uint64_t key[2], struct span s, bool ignore_case)
{
	uint64_t v[4];
	uint64_t word = 0;
	size_t i;

	v[0] = key[0] ^ 0x736f6d6570736575U;
	v[1] = key[1] ^ 0x646f72616e646f6dU;
	v[2] = key[0] ^ 0x6c7967656e657261U;
	v[3] = key[1] ^ 0x7465646279746573U;
	for (i = 0; i + 8 <= s.len; i += 8) {
		memcpy(&word, s.p + i, 8);
		if (ignore_case)
			word = lower8(word);
		v[3] ^= word;
		sip_round(v);
		v[0] ^= word;
	}
	word = 0;
	if (i < s.len)
		memcpy(&word, s.p + i, s.len - i);
	if (ignore_case)
		word = lower8(word);
	word |= (uint64_t)s.len << 56;
	v[3] ^= word;
	sip_round(v);
	v[0] ^= word;
	v[2] ^= 0xff;
	sip_round(v);
	sip_round(v);
	sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static uint64_t
sip(struct span s, bool ignore_case)
{
	if (!is_seeded) {
		entropy_fill(seed, sizeof(seed));
		is_seeded = true;
	}
	return sip_keyed(seed, s, ignore_case);
}

uint64_t
hash_keyed(const uint64_t key[2], struct span s)
{
	return sip_keyed(key, s, false);
}

uint64_t
hash_bytes(struct span s)
{
	return sip(s, false);
}

uint64_t
hash_bytes_i(struct span s)
{
	return sip(s, true);
}

uint64_t
hash_stable(struct span s)
{
	uint64_t h = 0xcbf29ce484222325U;

	for (size_t i = 0; i < s.len; i++)
		h = (h ^ (unsigned char)s.p[i]) * 0x100000001b3U;
	return h;
}

void
hash_map_init(struct hash_map *m, bool ignore_case)
{
	memset(m, 0, sizeof(*m));
	m->ignore_case = ignore_case;
}

void
hash_map_fini(struct hash_map *m)
{
	free(m->entries);
	m->entries = NULL;
	m->size = 0;
	m->used = 0;
}

static bool
is_same(const struct hash_map *m, const struct hash_entry *e, uint64_t hash,
    struct span key)
{
	if (e->hash != hash)
		return false;
	return m->ignore_case ? span_ieq(e->key, key) : span_eq(e->key, key);
}

/* The entry of key, or the free place where it belongs. */
static struct hash_entry *
find(const struct hash_map *m, uint64_t hash, struct span key)
{
	size_t at = (size_t)hash & (m->size - 1);

	while (m->entries[at].value != NULL &&
	    !is_same(m, &m->entries[at], hash, key))
		at = (at + 1) & (m->size - 1);
	return &m->entries[at];
}

void *
hash_map_get(const struct hash_map *m, struct span key)
{
	if (m->used == 0)
		return NULL;
	return find(m, sip(key, m->ignore_case), key)->value;
}

static void
grow(struct hash_map *m)
{
	struct hash_map bigger = *m;

	bigger.size = m->size > 0 ? m->size * 2 : 16;
	bigger.entries =
	    heap_alloc_zeroed(bigger.size, sizeof(*bigger.entries));
	for (size_t i = 0; i < m->size; i++) {
		struct hash_entry *e = &m->entries[i];

		if (e->value != NULL)
			*find(&bigger, e->hash, e->key) = *e;
	}
	free(m->entries);
	*m = bigger;
}

void *
hash_map_put(struct hash_map *m, struct span key, void *value)
{
	uint64_t hash = sip(key, m->ignore_case);
	struct hash_entry *e;
	void *before;

	if ((m->used + 1) * 4 > m->size * 3)
		grow(m);
	e = find(m, hash, key);
	before = e->value;
	if (before == NULL)
		m->used++;
	*e = (struct hash_entry){ key, hash, value };
	return before;
}

void *
hash_map_remove(struct hash_map *m, struct span key)
{
	struct hash_entry *e;
	void *before;
	size_t hole, at;

	if (m->used == 0)
		return NULL;
	e = find(m, sip(key, m->ignore_case), key);
	before = e->value;
	if (before == NULL)
		return NULL;
	/* Close the gap: move back what would no longer be found. */
	hole = (size_t)(e - m->entries);
	at = hole;
	for (;;) {
		size_t home;

		at = (at + 1) & (m->size - 1);
		if (m->entries[at].value == NULL)
			break;
		home = (size_t)m->entries[at].hash & (m->size - 1);
		if (((at - home) & (m->size - 1)) >=
		    ((at - hole) & (m->size - 1))) {
			m->entries[hole] = m->entries[at];
			hole = at;
		}
	}
	m->entries[hole].value = NULL;
	m->used--;
	return before;
}

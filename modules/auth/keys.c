/* SPDX-License-Identifier: BSD-2-Clause */
/* keys - an open table of the hashes. */
#include "keys.h"

#include <stdlib.h>

static size_t
count_lines(struct span text)
{
	struct span line;
	size_t count = 0;

	while (keyfile_next_line(&text, &line))
		count++;
	return count;
}

static uint64_t
start_of(const uint8_t hash[DIGEST_SHA256_BYTES])
{
	uint64_t x;

	memcpy(&x, hash, sizeof(x));
	return x;
}

const struct keyfile_entry *
keys_find(const struct keys *k, const uint8_t hash[DIGEST_SHA256_BYTES])
{
	for (uint64_t at = start_of(hash);; at++) {
		uint32_t place = k->places[at & k->mask];

		if (place == 0)
			return NULL;
		if (digest_is_equal(k->entries[place - 1].hash, hash,
		    DIGEST_SHA256_BYTES))
			return &k->entries[place - 1];
	}
}

static void
add(struct keys *k, struct arena *a, const struct keyfile_entry *from)
{
	struct keyfile_entry *e = &k->entries[k->count++];
	uint64_t at = start_of(from->hash);

	*e = *from;
	e->identity.p = arena_dup(a, from->identity);
	if (from->scopes.len > 0)
		e->scopes.p = arena_dup(a, from->scopes);
	while (k->places[at & k->mask] != 0)
		at++;
	k->places[at & k->mask] = k->count;
}

static int
add_all(struct keys *k, struct arena *a, struct span text, struct error *err)
{
	struct span line;

	for (unsigned number = 1; keyfile_next_line(&text, &line); number++) {
		struct keyfile_entry e;
		struct error why;
		unsigned column = 1;

		switch (keyfile_parse(line, &e, &column, &why)) {
		case 0:
			continue;
		case 1:
			break;
		default:
			return error_set(err, "line %u, column %u: %s",
			    number, column, why.text);
		}
		if (keys_find(k, e.hash) != NULL)
			return error_set(err, "line %u: this key is there "
			    "already", number);
		add(k, a, &e);
	}
	return 0;
}

struct keys *
keys_parse(struct span text, struct arena *arena, struct error *err)
{
	size_t lines = count_lines(text), size = 16;
	struct arena *a = arena;
	struct keys *k;

	if (arena != NULL) {
		k = arena_zalloc(arena, sizeof(*k));
	} else {
		k = heap_alloc_zeroed(1, sizeof(*k));
		arena_init(&k->own, NULL);
		a = &k->own;
	}
	/* At most half full, so that a look ends soon. */
	while (size < 2 * lines)
		size *= 2;
	k->mask = (uint32_t)size - 1;
	k->places = arena_zalloc(a, size * sizeof(*k->places));
	k->entries = arena_alloc(a, (lines + 1) * sizeof(*k->entries));
	if (add_all(k, a, text, err) == 0)
		return k;
	if (arena == NULL)
		keys_free(k);
	return NULL;
}

void
keys_free(struct keys *k)
{
	if (k == NULL)
		return;
	arena_fini(&k->own);
	free(k);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* origins - two maps by address: fields to places, structs to structs. */
#include "conf/origins.h"

#include <stdlib.h>

#include "base/arena.h"
#include "base/hash.h"
#include "base/heap_alloc.h"

struct conf_origins {
	struct arena arena;
	struct hash_map places;
	struct hash_map parents;
};

/* What the maps hold; the address is the key. */
struct origin {
	const void *address;
	struct conf_place place;
	const void *original;
};

struct conf_origins *
conf_origins_new(void)
{
	struct conf_origins *o = heap_alloc_zeroed(1, sizeof(*o));

	arena_init(&o->arena, NULL);
	hash_map_init(&o->places, false);
	hash_map_init(&o->parents, false);
	return o;
}

void
conf_origins_free(struct conf_origins *o)
{
	if (o == NULL)
		return;
	hash_map_fini(&o->places);
	hash_map_fini(&o->parents);
	arena_fini(&o->arena);
	free(o);
}

static struct span
key_of(const void *const *address)
{
	return span_of((const char *)address, sizeof(*address));
}

static struct origin *
put(struct conf_origins *o, struct hash_map *map, const void *address)
{
	struct origin *origin = arena_zalloc(&o->arena, sizeof(*origin));

	origin->address = address;
	hash_map_put(map, key_of(&origin->address), origin);
	return origin;
}

void
conf_origins_set(struct conf_origins *o, const void *field,
    const struct conf_place *place)
{
	if (o != NULL)
		put(o, &o->places, field)->place = *place;
}

void
conf_origins_inherit(struct conf_origins *o, const void *copy,
    const void *original)
{
	if (o != NULL)
		put(o, &o->parents, copy)->original = original;
}

const struct conf_place *
conf_origins_own(const struct conf_origins *o, const void *field)
{
	const struct origin *found =
	    o == NULL ? NULL : hash_map_get(&o->places, key_of(&field));

	return found != NULL ? &found->place : NULL;
}

const struct conf_place *
conf_origins_get(const struct conf_origins *o, const void *conf,
    size_t offset)
{
	while (o != NULL && conf != NULL) {
		const struct conf_place *place =
		    conf_origins_own(o, (const char *)conf + offset);
		const struct origin *found;

		if (place != NULL)
			return place;
		found = hash_map_get(&o->parents, key_of(&conf));
		conf = found != NULL ? found->original : NULL;
	}
	return NULL;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* http_fields - finding and changing the fields of a message. */
#include <assert.h>

#include "base/arena.h"
#include "http/http_field_private.h"

enum { FIRST_SIZE = 16 };

static_assert(FIELD_ID_COUNT <= 63, "present has a bit for each");

static bool
is_named(const struct http_field *f, enum http_field_id id, struct span name)
{
	if ((f->flags & HTTP_FIELD_DROPPED) != 0 || f->id != id)
		return false;
	return id != FIELD_OTHER || span_ieq(http_field_name(f), name);
}

/* The first such field from index i on. */
static struct http_field *
find_from(const struct http_fields *f, uint32_t i, enum http_field_id id,
    struct span name)
{
	for (; i < f->count; i++) {
		if (is_named(&f->items[i], id, name))
			return &f->items[i];
	}
	return NULL;
}

struct http_field *
http_fields_get(const struct http_fields *f, enum http_field_id id)
{
	if (!http_fields_may_have(f, id))
		return NULL;
	return find_from(f, 0, id, http_field_spelling(id));
}

struct http_field *
http_fields_find(const struct http_fields *f, struct span name)
{
	enum http_field_id id = http_field_lookup(name);

	if (!http_fields_may_have(f, id))
		return NULL;
	return find_from(f, 0, id, name);
}

struct http_field *
http_fields_next(const struct http_fields *f, const struct http_field *after)
{
	return find_from(f, (uint32_t)(after - f->items) + 1,
	    (enum http_field_id)after->id, http_field_name(after));
}

static void
field_rename(struct http_fields *f, struct http_field *field,
    struct span name)
{
	assert(name.len > 0 && name.len <= UINT16_MAX);
	field->name = name.p;
	field->name_len = (uint16_t)name.len;
	field->id = (uint8_t)http_field_lookup(name);
	field->flags = 0;
	f->present |= UINT64_C(1) << field->id;
	if (field->id == FIELD_OTHER &&
	    memchr(name.p, '_', name.len) != NULL) {
		field->flags = HTTP_FIELD_UNDERSCORE;
		f->present |= HTTP_FIELDS_UNDERSCORE;
	}
}

static void
field_set(struct http_fields *f, struct http_field *field, struct span name,
    struct span value)
{
	assert(value.len <= UINT32_MAX);
	field_rename(f, field, name);
	field->value = value.p;
	field->value_len = (uint32_t)value.len;
}

static __attribute__((noinline)) void
grow(struct http_fields *f, struct arena *a)
{
	uint32_t size = f->size < FIRST_SIZE ? FIRST_SIZE : f->size * 2;
	struct http_field *items = arena_alloc(a, size * sizeof(*items));

	if (f->count > 0)
		memcpy(items, f->items, f->count * sizeof(*items));
	f->items = items;
	f->size = size;
}

/* A place at the end; the table grows in a. */
static inline struct http_field *
append(struct http_fields *f, struct arena *a)
{
	if (f->count == f->size)
		grow(f, a);
	return &f->items[f->count++];
}

struct span
http_fields_media_type(const struct http_fields *f)
{
	const struct http_field *field =
	    http_fields_get(f, FIELD_CONTENT_TYPE);
	struct span type = { "", 0 };
	const char *semicolon;

	if (field == NULL)
		return type;
	type = http_field_value(field);
	semicolon = memchr(type.p, ';', type.len);
	if (semicolon != NULL)
		type.len = (size_t)(semicolon - type.p);
	return span_trim(type);
}

void
http_fields_add(struct http_fields *f, struct arena *a, struct span name,
    struct span value)
{
	field_set(f, append(f, a), name, value);
}

static void
add_known(struct http_fields *f, enum http_field_id id, struct span value)
{
	const struct span *name = &http_field_spellings[id];

	assert(id != FIELD_OTHER && value.len <= UINT32_MAX);
	f->items[f->count++] = (struct http_field){ .name = name->p,
		.name_len = (uint16_t)name->len, .id = (uint8_t)id,
		.value = value.p, .value_len = (uint32_t)value.len };
	f->present |= UINT64_C(1) << id;
}

static __attribute__((noinline)) void
grow_and_add_known(struct http_fields *f, struct arena *a,
    enum http_field_id id, struct span value)
{
	grow(f, a);
	add_known(f, id, value);
}

void
http_fields_add_id(struct http_fields *f, struct arena *a,
    enum http_field_id id, struct span value)
{
	if (f->count < f->size)
		add_known(f, id, value);
	else
		grow_and_add_known(f, a, id, value);
}

void
http_fields_add_line(struct http_fields *f, struct arena *a,
    enum http_field_id id, size_t name_len, struct span line)
{
	size_t value_at = name_len + 2; /* behind ": " */

	*append(f, a) = (struct http_field){ .name = line.p,
		.name_len = (uint16_t)name_len, .id = (uint8_t)id,
		.flags = HTTP_FIELD_VERBATIM, .value = line.p + value_at,
		.value_len = (uint32_t)(line.len - value_at - 2) };
	f->present |= UINT64_C(1) << id;
}

void
http_fields_set(struct http_fields *f, struct arena *a, struct span name,
    struct span value)
{
	struct http_field *field = http_fields_find(f, name);
	struct http_field *next;

	if (field == NULL) {
		http_fields_add(f, a, name, value);
		return;
	}
	while ((next = http_fields_next(f, field)) != NULL)
		next->flags |= HTTP_FIELD_DROPPED;
	field_set(f, field, name, value);
}

static unsigned
remove_all(struct http_fields *f, enum http_field_id id, struct span name)
{
	unsigned n = 0;

	if (!http_fields_may_have(f, id))
		return 0;
	for (uint32_t i = 0; i < f->count; i++) {
		if (!is_named(&f->items[i], id, name))
			continue;
		f->items[i].flags |= HTTP_FIELD_DROPPED;
		n++;
	}
	return n;
}

unsigned
http_fields_remove(struct http_fields *f, struct span name)
{
	return remove_all(f, http_field_lookup(name), name);
}

unsigned
http_fields_remove_id(struct http_fields *f, enum http_field_id id)
{
	unsigned n = 0;

	if (!http_fields_may_have(f, id) || id == FIELD_OTHER)
		return 0;
	for (uint32_t i = 0; i < f->count; i++) {
		if (f->items[i].id != id ||
		    (f->items[i].flags & HTTP_FIELD_DROPPED) != 0)
			continue;
		f->items[i].flags |= HTTP_FIELD_DROPPED;
		n++;
	}
	return n;
}

unsigned
http_fields_rename(struct http_fields *f, struct span from, struct span to)
{
	enum http_field_id id = http_field_lookup(from);
	unsigned n = 0;

	if (!http_fields_may_have(f, id))
		return 0;
	for (uint32_t i = 0; i < f->count; i++) {
		if (!is_named(&f->items[i], id, from))
			continue;
		field_rename(f, &f->items[i], to);
		n++;
	}
	return n;
}

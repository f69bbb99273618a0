/* SPDX-License-Identifier: BSD-2-Clause */
/* htpasswd - lines "user:hash", as htpasswd(1) writes them. */
#include "htpasswd.h"

#include <stdlib.h>

#include "password.h"

bool
htpasswd_is_name(struct span name)
{
	for (size_t i = 0; i < name.len; i++) {
		unsigned char c = (unsigned char)name.p[i];

		if (c < ' ' || c == 0x7f || c == ':')
			return false;
	}
	return name.len > 0 && name.len <= HTPASSWD_USER_MAX;
}

static int
fault(struct error *err, unsigned number, size_t at, const char *why)
{
	return error_set(err, "line %u, column %zu: %s", number, at + 1,
	    why);
}

/* The place of a name, or the free one where it would be. */
static uint32_t *
find_place(const struct htpasswd *h, struct span name)
{
	for (uint64_t at = hash_bytes(name);; at++) {
		uint32_t *place = &h->places[at & h->mask];

		if (*place == 0 ||
		    span_eq(h->users[*place - 1].name, name))
			return place;
	}
}

static int
add_line(struct htpasswd *h, struct arena *a, struct span line,
    unsigned number, struct error *err)
{
	const char *colon = memchr(line.p, ':', line.len);
	struct htpasswd_user *user = &h->users[h->count];
	struct span name, hash;
	uint32_t *place;
	const char *why;
	size_t at;

	if (colon == NULL)
		return fault(err, number, 0, "a line is a user's name, a "
		    "colon and a hash");
	at = (size_t)(colon - line.p);
	name = span_of(line.p, at);
	hash = span_of(colon + 1, line.len - at - 1);
	/* Some write more fields behind it. */
	colon = hash.len > 0 ? memchr(hash.p, ':', hash.len) : NULL;
	if (colon != NULL)
		hash.len = (size_t)(colon - hash.p);
	if (!htpasswd_is_name(name))
		return fault(err, number, 0, "a user's name is made of up to "
		    "255 bytes, without control characters");
	why = password_fault(hash);
	if (why != NULL)
		return fault(err, number, at + 1, why);
	place = find_place(h, name);
	if (*place != 0)
		return fault(err, number, 0, "this user is there already");
	user->name = span_of(arena_dup(a, name), name.len);
	user->hash = arena_dup(a, hash);
	*place = ++h->count;
	return 0;
}

static int
add_all(struct htpasswd *h, struct arena *a, struct span text,
    struct error *err)
{
	struct span line;

	for (unsigned number = 1; keyfile_next_line(&text, &line); number++) {
		struct span bare = span_trim(line);

		if (bare.len > 0 && bare.p[0] != '#' &&
		    add_line(h, a, line, number, err) != 0)
			return -1;
	}
	return 0;
}

struct htpasswd *
htpasswd_parse(struct span text, struct arena *arena, struct error *err)
{
	struct span rest = text, line;
	size_t lines = 0, size = 16;
	struct arena *a = arena;
	struct htpasswd *h;

	if (arena != NULL) {
		h = arena_zalloc(arena, sizeof(*h));
	} else {
		h = heap_alloc_zeroed(1, sizeof(*h));
		arena_init(&h->own, NULL);
		a = &h->own;
	}
	while (keyfile_next_line(&rest, &line))
		lines++;
	/* At most half full, so that a look ends soon. */
	while (size < 2 * lines)
		size *= 2;
	h->mask = (uint32_t)size - 1;
	h->places = arena_zalloc(a, size * sizeof(*h->places));
	h->users = arena_alloc(a, (lines + 1) * sizeof(*h->users));
	if (add_all(h, a, text, err) == 0)
		return h;
	if (arena == NULL)
		htpasswd_free(h);
	return NULL;
}

void
htpasswd_free(struct htpasswd *h)
{
	if (h == NULL)
		return;
	arena_fini(&h->own);
	free(h);
}

const struct htpasswd_user *
htpasswd_find(const struct htpasswd *h, struct span name, bool *is_known)
{
	uint32_t place = *find_place(h, name);

	*is_known = place != 0;
	if (place != 0)
		return &h->users[place - 1];
	return h->count == 0 ? NULL
	    : &h->users[hash_bytes(name) % h->count];
}

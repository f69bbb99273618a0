/* SPDX-License-Identifier: BSD-2-Clause */
/* h1_copy - moves a parsed head out of the receive scratch. */
#include "base/arena.h"
#include "http/h1_parse.h"

/*
 * Spans of the head move with it; literals stay.  The table's room is that of
 * its fields and spare ones.
 */
static void
move_span(struct span *s, const char *from, size_t used, const char *to)
{
	size_t at = (size_t)((uintptr_t)s->p - (uintptr_t)from);

	if (at <= used)
		s->p = to + at;
}

static void
move_fields(struct arena *a, struct http_fields *f, const char *from,
    const char *to, uint32_t spare)
{
	uint32_t size = f->count + spare;
	struct http_field *items = arena_alloc(a, size * sizeof(*items));

	for (uint32_t i = 0; i < f->count; i++) {
		const struct http_field *old = &f->items[i];

		items[i] = *old;
		items[i].name = to + (old->name - from);
		items[i].value = to + (old->value - from);
	}
	f->items = items;
	f->size = size;
}

void
h1_copy_request(struct arena *a, const char *p, size_t used, uint32_t spare,
    struct http_request *req)
{
	char *to = arena_alloc(a, used);
	size_t host_at = (size_t)((uintptr_t)req->host.p - (uintptr_t)p);

	memcpy(to, p, used);
	/* Lower-casing put it outside of the head. */
	if (host_at > used)
		req->host.p = arena_dup(a, req->host);
	else
		req->host.p = to + host_at;
	move_span(&req->method, p, used, to);
	move_span(&req->target, p, used, to);
	move_span(&req->scheme, p, used, to);
	move_span(&req->authority, p, used, to);
	move_span(&req->path, p, used, to);
	move_span(&req->query, p, used, to);
	move_fields(a, &req->fields, p, to, spare);
}

void
h1_copy_response(struct arena *a, const char *p, size_t used, uint32_t spare,
    struct http_response *res)
{
	char *to = arena_alloc(a, used);

	memcpy(to, p, used);
	move_span(&res->reason, p, used, to);
	move_fields(a, &res->fields, p, to, spare);
}

/* Copies name and value of each field; they may lie anywhere. */
void
h1_copy_fields(struct arena *a, struct http_fields *fields)
{
	size_t len = 0;
	struct http_field *items;
	char *to;

	for (uint32_t i = 0; i < fields->count; i++)
		len += fields->items[i].name_len + fields->items[i].value_len +
		    (size_t)4;
	items = arena_alloc(a, fields->count * sizeof(*items));
	to = arena_alloc(a, len);
	for (uint32_t i = 0; i < fields->count; i++) {
		struct http_field *f = &items[i];

		*f = fields->items[i];
		memcpy(to, f->name, f->name_len);
		f->name = to;
		to += f->name_len;
		memcpy(to, ": ", 2);
		to += 2;
		memcpy(to, f->value, f->value_len);
		f->value = to;
		to += f->value_len;
		memcpy(to, "\r\n", 2);
		to += 2;
		f->flags |= HTTP_FIELD_VERBATIM;
	}
	fields->items = items;
	fields->size = fields->count;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* hop - marks fields of one connection as dropped. */
#include "http/hop.h"

enum { NAMED_MAX = 9 }; /* fields that Connection may name */

#define BIT(id) (UINT64_C(1) << FIELD_##id)

static const uint64_t hop_by_hop = BIT(CONNECTION) | BIT(KEEP_ALIVE) |
    BIT(PROXY_CONNECTION) | BIT(TE) | BIT(TRAILER) | BIT(TRANSFER_ENCODING) |
    BIT(UPGRADE) | BIT(HTTP2_SETTINGS) | BIT(PROXY_AUTHENTICATE) |
    BIT(PROXY_AUTHORIZATION);

static const uint64_t request_drops = BIT(CONTENT_LENGTH) | BIT(PROXY);

/* What a Connection field of a request must not name. */
static const uint64_t request_protected = BIT(HOST) | BIT(CONTENT_LENGTH) |
    BIT(TRANSFER_ENCODING) | BIT(FORWARDED);

/* What a message says before its body, and nowhere else. */
static const uint64_t no_trailers = BIT(CONNECTION) | BIT(KEEP_ALIVE) |
    BIT(PROXY_CONNECTION) | BIT(TE) | BIT(TRAILER) | BIT(TRANSFER_ENCODING) |
    BIT(UPGRADE) | BIT(HTTP2_SETTINGS) | BIT(PROXY_AUTHENTICATE) |
    BIT(PROXY_AUTHORIZATION) | BIT(CONTENT_LENGTH) | BIT(CONTENT_ENCODING) |
    BIT(CONTENT_TYPE) | BIT(CONTENT_RANGE) | BIT(EXPECT) | BIT(HOST) |
    BIT(FORWARDED) | BIT(X_FORWARDED_FOR) | BIT(X_FORWARDED_HOST) |
    BIT(X_FORWARDED_PROTO) | BIT(X_REAL_IP) | BIT(VIA) | BIT(PROXY) |
    BIT(AUTHORIZATION) | BIT(WWW_AUTHENTICATE) | BIT(COOKIE) |
    BIT(SET_COOKIE);

static bool
has_bit(uint64_t set, unsigned id)
{
	return (set >> id & 1) != 0;
}

/* Connection options that are no names of fields (RFC 9110, section 7.6.1). */
static bool
is_plain_option(struct span item)
{
	switch (item.len) {
	case 2:
		return span_ieq(item, SPAN("te"));
	case 5:
		return span_ieq(item, SPAN("close"));
	case 7:
		return span_ieq(item, SPAN("upgrade"));
	case 10:
		return span_ieq(item, SPAN("keep-alive"));
	default:
		return false;
	}
}

static bool
is_x_forwarded(struct span name)
{
	return name.len >= 12 &&
	    span_ieq(span_of(name.p, 12), SPAN("X-Forwarded-"));
}

/* Drop what one Connection field names; named counts over all of them. */
static enum h1_refusal
drop_named(struct http_fields *f, struct span value, uint64_t protected,
    unsigned *named)
{
	struct span item;

	while (span_next_item(&value, &item)) {
		if (is_plain_option(item))
			continue;
		if (!http_is_token(item) || ++*named > NAMED_MAX)
			return H1_REFUSAL_CONNECTION_INVALID;
		if (protected != 0 && (is_x_forwarded(item) ||
		    has_bit(protected, http_field_lookup(item))))
			return H1_REFUSAL_CONNECTION_INVALID;
		http_fields_remove(f, item);
	}
	return H1_REFUSAL_NONE;
}

static __attribute__((noinline)) enum h1_refusal
drop_connection(struct http_fields *f, uint64_t protected)
{
	unsigned named = 0;

	for (uint32_t i = 0; i < f->count; i++) {
		const struct http_field *field = &f->items[i];
		enum h1_refusal refusal;

		if (field->id != FIELD_CONNECTION)
			continue;
		refusal = drop_named(f, http_field_value(field), protected,
		    &named);
		if (refusal != H1_REFUSAL_NONE)
			return refusal;
	}
	return H1_REFUSAL_NONE;
}

/* The usual Connection, which names nothing. */
static bool
is_keep_alive(const struct http_field *f)
{
	return f->value_len == 10 &&
	    (memcmp(f->value, "keep-alive", 10) == 0 ||
		memcmp(f->value, "Keep-Alive", 10) == 0);
}

/* Drop the fields with these ids, and what Connection names. */
static enum h1_refusal
strip(struct http_fields *f, uint64_t ids, uint64_t protected)
{
	bool is_naming = false;

	if ((f->present & ids) == 0)
		return H1_REFUSAL_NONE;
	for (struct http_field *field = f->items, *end = field + f->count;
	     field < end; field++) {
		if ((ids >> field->id & 1) == 0)
			continue;
		field->flags |= HTTP_FIELD_DROPPED;
		if (field->id == FIELD_CONNECTION && !is_keep_alive(field))
			is_naming = true;
	}
	return is_naming ? drop_connection(f, protected) : H1_REFUSAL_NONE;
}

enum h1_refusal
hop_strip_request(struct http_request *req)
{
	uint64_t ids = hop_by_hop | request_drops;

	/* HTTP/1.0 knew no expectations, and it goes on as HTTP/1.1. */
	if (req->minor == 0)
		ids |= BIT(EXPECT);
	return strip(&req->fields, ids, request_protected);
}

/*
 * Where there is no body for other reasons than its length, Content-Length is
 * a fact about the resource: in answers to HEAD and in 304.
 */
static bool
keeps_length(const struct http_response *res)
{
	return res->framing == HTTP_FRAMING_NONE && res->status >= 200 &&
	    res->status != 204;
}

enum h1_refusal
hop_strip_response(struct http_response *res)
{
	uint64_t ids = hop_by_hop;

	if (!keeps_length(res))
		ids |= BIT(CONTENT_LENGTH);
	return strip(&res->fields, ids, 0);
}

enum h1_refusal
hop_check_trailers(struct http_fields *trailers)
{
	if ((trailers->present & no_trailers) != 0)
		return H1_REFUSAL_TRAILER_INVALID;
	for (uint32_t i = 0; i < trailers->count; i++) {
		if (is_x_forwarded(http_field_name(&trailers->items[i])))
			return H1_REFUSAL_TRAILER_INVALID;
	}
	return H1_REFUSAL_NONE;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* h2_head - pseudo-header fields, and the rules of RFC 9113, section 8. */
#include "http/h2_head.h"

#include <assert.h>

#include "base/arena.h"
#include "http/chars.h"
#include "http/uri.h"

enum {
	FIRST_FIELDS = 24,  /* room of the table, to begin with */
	LIST_OVERHEAD = 32, /* of a field: RFC 9113, section 6.5.2 */
	LENGTH_DIGITS_MAX = 19,
};

void
h2_head_begin(struct h2_head *h, enum h2_head_kind kind, struct arena *arena,
    const struct h2_head_limits *limits)
{
	memset(h, 0, sizeof(*h));
	h->kind = kind;
	h->arena = arena;
	h->limits = limits;
}

static void
refuse(struct h2_head *h, enum h1_refusal refusal)
{
	/* Malformed is worse than too large, which would be answered. */
	if (h->refusal == H1_REFUSAL_NONE ||
	    (h1_refusal_status(h->refusal) != 400 &&
	    h1_refusal_status(refusal) == 400))
		h->refusal = refusal;
}

static struct span
keep(const struct h2_head *h, struct span s)
{
	if (h->arena == NULL || h->refusal != H1_REFUSAL_NONE)
		return span_of("", 0);
	return span_of(arena_dup(h->arena, s), s.len);
}

/* ---- pseudo-header fields (RFC 9113, section 8.3) ---- */

static void
set_once(struct h2_head *h, struct span *place, struct span value)
{
	if (place->p != NULL || value.len == 0)
		refuse(h, H1_REFUSAL_H2_PSEUDO);
	*place = keep(h, value);
}

static void
add_status(struct h2_head *h, struct span value)
{
	uint64_t status;

	if (h->status != 0 || value.len != 3 || span_u64(value, &status) != 0 ||
	    status < 100 || status > 599) {
		refuse(h, H1_REFUSAL_STATUS_LINE);
		return;
	}
	h->status = (uint16_t)status;
}

static void
add_pseudo(struct h2_head *h, struct span name, struct span value)
{
	if (h->is_regular || h->kind == H2_HEAD_TRAILERS) {
		refuse(h, H1_REFUSAL_H2_PSEUDO);
	} else if (h->kind == H2_HEAD_RESPONSE) {
		if (span_eq(name, SPAN(":status")))
			add_status(h, value);
		else
			refuse(h, H1_REFUSAL_H2_PSEUDO);
	} else if (span_eq(name, SPAN(":method"))) {
		set_once(h, &h->method, value);
	} else if (span_eq(name, SPAN(":scheme"))) {
		set_once(h, &h->scheme, value);
	} else if (span_eq(name, SPAN(":authority"))) {
		set_once(h, &h->authority, value);
	} else if (span_eq(name, SPAN(":path"))) {
		set_once(h, &h->path, value);
		if (value.len > h->limits->line_max)
			refuse(h, H1_REFUSAL_LINE_TOO_LONG);
	} else if (span_eq(name, SPAN(":protocol"))) {
		set_once(h, &h->protocol, value);
	} else {
		refuse(h, H1_REFUSAL_H2_PSEUDO);
	}
}

/* ---- fields ---- */

static bool
is_lower_token(struct span name)
{
	for (size_t i = 0; i < name.len; i++) {
		if (!chars_is(name.p[i], CHARS_TOKEN) ||
		    (name.p[i] >= 'A' && name.p[i] <= 'Z'))
			return false;
	}
	return name.len > 0 && name.len <= UINT16_MAX;
}

static bool
has_blanks_around(struct span value)
{
	return value.len > 0 && (chars_is_blank(value.p[0]) ||
	    chars_is_blank(value.p[value.len - 1]));
}

/* RFC 9110, section 8.6, as strictly as in HTTP/1. */
static void
note_length(struct h2_head *h, struct span value)
{
	if (http_fields_may_have(&h->fields, FIELD_CONTENT_LENGTH))
		refuse(h, H1_REFUSAL_LENGTH_REPEATED);
	else if (value.len > LENGTH_DIGITS_MAX ||
	    span_u64(value, &h->content_length) != 0 ||
	    h->content_length > INT64_MAX)
		refuse(h, H1_REFUSAL_LENGTH_INVALID);
}

static void
note_request_field(struct h2_head *h, unsigned id, struct span value)
{
	switch (id) {
	case FIELD_HOST:
		if (http_fields_may_have(&h->fields, FIELD_HOST))
			refuse(h, H1_REFUSAL_HOST_REPEATED);
		h->host = keep(h, value);
		break;
	case FIELD_TE:
		if (!span_ieq(value, SPAN("trailers")))
			refuse(h, H1_REFUSAL_H2_CONNECTION);
		h->te_trailers = true;
		break;
	case FIELD_EXPECT:
		if (!span_ieq(value, SPAN("100-continue")))
			refuse(h, H1_REFUSAL_EXPECTATION);
		h->expects_continue = true;
		break;
	case FIELD_COOKIE:
		h->crumbs++;
		h->crumb_bytes += value.len + 2;
		break;
	default:
		break;
	}
}

static void
note(struct h2_head *h, unsigned id, struct span value)
{
	switch (id) {
	case FIELD_CONNECTION:
	case FIELD_KEEP_ALIVE:
	case FIELD_PROXY_CONNECTION:
	case FIELD_TRANSFER_ENCODING:
	case FIELD_UPGRADE:
		refuse(h, H1_REFUSAL_H2_CONNECTION);
		return;
	case FIELD_CONTENT_LENGTH:
		if (h->kind != H2_HEAD_TRAILERS)
			note_length(h, value);
		return;
	default:
		if (h->kind == H2_HEAD_REQUEST)
			note_request_field(h, id, value);
		return;
	}
}

/* "name: value" CR LF, as HTTP/1 has it. */
static void
store(struct h2_head *h, enum http_field_id id, struct span name,
    struct span value, unsigned flags)
{
	struct http_fields *f = &h->fields;
	struct http_field *items = f->items;
	char *to = arena_alloc(h->arena, name.len + value.len + 4);

	if (f->count == f->size) {
		uint32_t size = f->size == 0 ? FIRST_FIELDS : f->size * 2;

		items = arena_alloc(h->arena, size * sizeof(*items));
		if (f->count > 0)
			memcpy(items, f->items, f->count * sizeof(*items));
		f->items = items;
		f->size = size;
	}
	items += f->count++;
	*items = (struct http_field){ .name = to, .id = (uint8_t)id,
		.name_len = (uint16_t)name.len,
		.value = to + name.len + 2, .value_len = (uint32_t)value.len,
		.flags = (uint8_t)(HTTP_FIELD_VERBATIM | flags) };
	memcpy(to, name.p, name.len);
	memcpy(to + name.len, ": ", 2);
	if (value.len > 0)
		memcpy(to + name.len + 2, value.p, value.len);
	memcpy(to + name.len + 2 + value.len, "\r\n", 2);
	f->present |= UINT64_C(1) << id;
	if (id == FIELD_OTHER && memchr(name.p, '_', name.len) != NULL) {
		items->flags |= HTTP_FIELD_UNDERSCORE;
		f->present |= HTTP_FIELDS_UNDERSCORE;
	}
}

void
h2_head_add(struct h2_head *h, struct span name, struct span value,
    uint8_t flags)
{
	enum http_field_id id;

	h->decoded += name.len + value.len + LIST_OVERHEAD;
	h->bytes += name.len + value.len + 4;
	if (h->bytes > h->limits->bytes_max)
		refuse(h, H1_REFUSAL_HEAD_TOO_LARGE);
	if (!http_is_field_value(value)) {
		refuse(h, H1_REFUSAL_CONTROL);
		return;
	}
	if (has_blanks_around(value)) {
		refuse(h, H1_REFUSAL_H2_BLANKS);
		return;
	}
	if (name.len > 0 && name.p[0] == ':') {
		add_pseudo(h, name, value);
		return;
	}
	h->is_regular = true;
	if (!is_lower_token(name)) {
		refuse(h, H1_REFUSAL_FIELD_NAME);
		return;
	}
	if (h->fields.count >= h->limits->fields_max)
		refuse(h, H1_REFUSAL_FIELDS_TOO_MANY);
	id = http_field_lookup(name);
	note(h, id, value);
	if (h->refusal == H1_REFUSAL_NONE && h->arena != NULL)
		store(h, id, name, value, flags);
}

/* ---- the whole head ---- */

/* RFC 9113, section 8.2.3: crumbs go on as one field. */
static void
join_cookies(struct h2_head *h)
{
	struct http_field *first = NULL;
	struct str out;
	size_t size = (size_t)h->crumb_bytes + sizeof("cookie: \r\n");

	str_init(&out, arena_alloc(h->arena, size), size);
	str_lit(&out, "cookie: ");
	for (uint32_t i = 0; i < h->fields.count; i++) {
		struct http_field *f = &h->fields.items[i];

		if (f->id != FIELD_COOKIE)
			continue;
		if (first != NULL) {
			str_lit(&out, "; ");
			f->flags |= HTTP_FIELD_DROPPED;
		} else {
			first = f;
		}
		str_span(&out, http_field_value(f));
	}
	if (first == NULL)
		return;
	first->name = out.p;
	first->value = out.p + sizeof("cookie: ") - 1;
	first->value_len = (uint32_t)(out.len - (sizeof("cookie: ") - 1));
	str_lit(&out, "\r\n");
	assert(!out.overflow);
}

/* Is :path one, and are the pseudo-header fields those of the method? */
static enum h1_refusal
check_pseudo(const struct h2_head *h, bool is_connect)
{
	if (h->method.len == 0 || !http_is_token(h->method))
		return H1_REFUSAL_METHOD;
	if (is_connect && h->protocol.p == NULL)
		return h->scheme.p != NULL || h->path.p != NULL ||
		    h->authority.p == NULL ? H1_REFUSAL_H2_PSEUDO
					   : H1_REFUSAL_NONE;
	if (h->protocol.p != NULL && !is_connect)
		return H1_REFUSAL_H2_PSEUDO;
	if (!span_ieq(h->scheme, SPAN("http")) &&
	    !span_ieq(h->scheme, SPAN("https")))
		return H1_REFUSAL_H2_PSEUDO;
	if (h->path.len == 0 || (h->path.p[0] != '/' &&
	    !span_eq(h->path, SPAN("*"))))
		return H1_REFUSAL_TARGET;
	return H1_REFUSAL_NONE;
}

/* :authority and Host, which must not contradict it (8.3.1). */
static enum h1_refusal
set_authority(struct h2_head *h, struct http_request *req)
{
	bool has_host = http_fields_may_have(&h->fields, FIELD_HOST);
	struct span authority = h->authority.p != NULL ? h->authority
						       : h->host;

	if (authority.len == 0)
		return H1_REFUSAL_HOST_MISSING;
	if (!uri_is_authority(authority) ||
	    (has_host && !uri_is_authority(h->host)))
		return H1_REFUSAL_AUTHORITY;
	if (has_host && h->authority.p != NULL &&
	    !uri_same_authority(h->host, h->authority,
	    h->scheme.len == 5 ? 443 : 80))
		return H1_REFUSAL_HOST_CONTRADICTS;
	req->authority = authority;
	req->host = uri_host_of(authority,
	    arena_alloc(h->arena, authority.len + 1));
	if (!has_host)
		store(h, FIELD_HOST, SPAN("host"), authority, 0);
	return H1_REFUSAL_NONE;
}

static void
set_request_body(const struct h2_head *h, bool is_end,
    struct http_request *req)
{
	req->content_length = h->content_length;
	if (http_fields_may_have(&h->fields, FIELD_CONTENT_LENGTH))
		req->framing = HTTP_FRAMING_LENGTH;
	else
		req->framing = is_end ? HTTP_FRAMING_NONE
				      : HTTP_FRAMING_CHUNKED;
	if (req->upgrade_websocket)
		req->framing = HTTP_FRAMING_NONE;
}

/* As far as a head that is to be answered can be told. */
static void
fill_request(struct h2_head *h, struct http_request *req)
{
	memset(req, 0, sizeof(*req));
	req->minor = 1;
	req->is_h2 = true;
	req->keep_alive = true;
	req->method = h->method;
	req->method_id = (uint8_t)http_method_lookup(h->method);
	req->target = h->path;
	req->expect_continue = h->expects_continue;
	req->te_trailers = h->te_trailers;
	req->fields = h->fields; /* up to the one that was too much */
}

enum h1_refusal
h2_head_end_request(struct h2_head *h, bool is_end, struct http_request *req)
{
	bool is_connect;
	enum h1_refusal refusal;

	fill_request(h, req);
	if (h->refusal != H1_REFUSAL_NONE)
		return h->refusal;
	is_connect = req->method_id == HTTP_METHOD_CONNECT;
	refusal = check_pseudo(h, is_connect);
	if (refusal != H1_REFUSAL_NONE)
		return refusal;
	if (is_connect && h->protocol.p != NULL) {
		/* RFC 8441: what HTTP/1 asks for by Upgrade. */
		req->upgrade_websocket =
		    span_ieq(h->protocol, SPAN("websocket")) && !is_end;
		if (!req->upgrade_websocket)
			return H1_REFUSAL_H2_PSEUDO;
		req->method = SPAN("GET");
		req->method_id = HTTP_METHOD_GET;
	} else if (is_connect) {
		req->target = h->authority;
	}
	if (!uri_split_target(req))
		return H1_REFUSAL_TARGET;
	refusal = set_authority(h, req);
	if (refusal != H1_REFUSAL_NONE)
		return refusal;
	if (is_end && h->content_length > 0)
		return H1_REFUSAL_H2_LENGTH;
	set_request_body(h, is_end, req);
	if (h->crumbs > 1)
		join_cookies(h);
	req->fields = h->fields;
	return H1_REFUSAL_NONE;
}

enum h1_refusal
h2_head_end_response(struct h2_head *h, bool is_end,
    const struct h2_head_asked *asked, struct http_response *res)
{
	bool has_length = http_fields_may_have(&h->fields,
	    FIELD_CONTENT_LENGTH);

	memset(res, 0, sizeof(*res));
	if (h->refusal != H1_REFUSAL_NONE)
		return h->refusal;
	if (h->status == 0 || h->status == 101 ||
	    (h->status < 200 && is_end))
		return H1_REFUSAL_STATUS_LINE;
	res->status = h->status;
	res->minor = 1;
	res->keep_alive = true;
	res->reason = http_status_phrase(h->status);
	res->fields = h->fields;
	if (asked->upgrade_websocket && h->status >= 200 && h->status < 300) {
		res->status = 101;
		res->reason = http_status_phrase(101);
		res->upgrade_websocket = true;
		res->framing = HTTP_FRAMING_CLOSE;
		return is_end ? H1_REFUSAL_STATUS_LINE : H1_REFUSAL_NONE;
	}
	if (h->status < 200 || h->status == 204 || h->status == 304 ||
	    asked->method == HTTP_METHOD_HEAD) {
		res->framing = HTTP_FRAMING_NONE;
	} else if (has_length) {
		res->framing = HTTP_FRAMING_LENGTH;
		res->content_length = h->content_length;
		if (is_end && h->content_length > 0)
			return H1_REFUSAL_H2_LENGTH;
	} else {
		res->framing = is_end ? HTTP_FRAMING_NONE
				      : HTTP_FRAMING_CHUNKED;
	}
	return H1_REFUSAL_NONE;
}

enum h1_refusal
h2_head_end_trailers(struct h2_head *h, struct http_fields *trailers)
{
	*trailers = h->fields;
	return h->refusal;
}

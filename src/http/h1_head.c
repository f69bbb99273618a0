/* SPDX-License-Identifier: BSD-2-Clause */
/* h1_head - framing, Host and connection (RFC 9112, sections 3.2, 6, 9). */
#include "http/h1_head.h"

#include "http/chars.h"
#include "http/uri.h"

enum {
	LENGTH_DIGITS_MAX = 19,
	HOST_MEMORY = 512, /* an authority is shorter: uri_is_authority() */
};

static bool
was_seen(const struct h1_head *h, enum http_field_id id)
{
	return (h->present >> id & 1) != 0;
}

/* -- one field --------------------------------------------------------- */

static enum h1_refusal
note_host(struct h1_head *h, const struct http_field *f)
{
	if (h->kind != H1_HEAD_REQUEST)
		return H1_REFUSAL_NONE;
	if (was_seen(h, FIELD_HOST))
		return H1_REFUSAL_HOST_REPEATED;
	h->host = http_field_value(f);
	return uri_is_authority(h->host) ? H1_REFUSAL_NONE :
					   H1_REFUSAL_AUTHORITY;
}

/* Beyond 63 bits readers that count with a sign disagree. */
static enum h1_refusal
note_length(struct h1_head *h, const struct http_field *f)
{
	struct span value = http_field_value(f);

	if (was_seen(h, FIELD_CONTENT_LENGTH))
		return H1_REFUSAL_LENGTH_REPEATED;
	if (was_seen(h, FIELD_TRANSFER_ENCODING))
		return H1_REFUSAL_LENGTH_AND_CODING;
	if (value.len > LENGTH_DIGITS_MAX ||
	    span_u64(value, &h->content_length) != 0 ||
	    h->content_length > INT64_MAX)
		return H1_REFUSAL_LENGTH_INVALID;
	return H1_REFUSAL_NONE;
}

static enum h1_refusal
note_coding(const struct h1_head *h)
{
	if (h->minor == 0)
		return H1_REFUSAL_CODING_IN_1_0;
	if (was_seen(h, FIELD_CONTENT_LENGTH))
		return H1_REFUSAL_LENGTH_AND_CODING;
	return H1_REFUSAL_NONE;
}

static void
note_connection(struct h1_head *h, struct span value)
{
	struct span item;

	while (span_next_item(&value, &item)) {
		if (span_ieq(item, SPAN("close")))
			h->has_close = true;
		else if (span_ieq(item, SPAN("keep-alive")))
			h->has_keep_alive = true;
		else if (span_ieq(item, SPAN("upgrade")))
			h->has_upgrade = true;
	}
}

/* HTTP/1.0 knew no expectations (RFC 9110, section 10.1.1). */
static enum h1_refusal
note_expect(struct h1_head *h, struct span value)
{
	if (h->kind != H1_HEAD_REQUEST || h->minor == 0)
		return H1_REFUSAL_NONE;
	if (!span_ieq(value, SPAN("100-continue")))
		return H1_REFUSAL_EXPECTATION;
	h->expect_continue = true;
	return H1_REFUSAL_NONE;
}

static void
note_te(struct h1_head *h, struct span value)
{
	struct span item;

	while (span_next_item(&value, &item)) {
		if (span_ieq(item, SPAN("trailers")))
			h->te_trailers = true;
	}
}

/* "timeout=5, max=100", in any order. */
static void
note_keep_alive(struct h1_head *h, struct span value)
{
	struct span item;

	while (span_next_item(&value, &item)) {
		const char *equals = memchr(item.p, '=', item.len);
		size_t len = equals != NULL ? (size_t)(equals - item.p) : 0;
		uint64_t seconds;

		if (equals == NULL ||
		    !span_ieq(span_trim(span_of(item.p, len)),
			SPAN("timeout")) ||
		    span_u64(span_trim(span_of(equals + 1, item.len - len - 1)),
			&seconds) != 0)
			continue;
		h->keep_alive_timeout = seconds > UINT32_MAX ?
		    UINT32_MAX : (uint32_t)seconds;
	}
}

enum h1_refusal
h1_head_note(struct h1_head *h, const struct http_field *f)
{
	struct span value = http_field_value(f);

	if (h->kind == H1_HEAD_TRAILERS)
		return H1_REFUSAL_NONE;
	if (f->id == FIELD_HOST)
		return note_host(h, f);
	if (f->id == FIELD_CONTENT_LENGTH)
		return note_length(h, f);
	if (f->id == FIELD_TRANSFER_ENCODING)
		return note_coding(h);
	if (f->id == FIELD_EXPECT)
		return note_expect(h, value);
	if (f->id == FIELD_CONNECTION)
		note_connection(h, value);
	else if (f->id == FIELD_UPGRADE)
		h->to_websocket = !was_seen(h, FIELD_UPGRADE) &&
		    span_ieq(value, SPAN("websocket"));
	else if (f->id == FIELD_TE)
		note_te(h, value);
	else if (f->id == FIELD_KEEP_ALIVE)
		note_keep_alive(h, value);
	return H1_REFUSAL_NONE;
}

/* -- the whole head ---------------------------------------------------- */

struct codings {
	bool is_chunked; /* the last one so far */
	bool has_other;
};

/*
 * The codings of one field.  Empty elements are refused, for readers differ in
 * what they make of them.
 */
static bool
read_codings(struct span rest, struct codings *codings)
{
	for (;;) {
		const char *comma = memchr(rest.p, ',', rest.len);
		size_t len = comma != NULL ? (size_t)(comma - rest.p) :
					     rest.len;
		struct span item = span_trim(span_of(rest.p, len));

		if (codings->is_chunked || !http_is_token(item))
			return false;
		if (span_ieq(item, SPAN("chunked")))
			codings->is_chunked = true;
		else
			codings->has_other = true;
		if (comma == NULL)
			return true;
		rest = span_of(comma + 1, rest.len - len - 1);
	}
}

/* Only a single "chunked" frames a message here. */
static enum h1_refusal
check_codings(const struct http_fields *fields)
{
	struct codings codings = { false, false };
	const struct http_field *f;

	for (f = http_fields_get(fields, FIELD_TRANSFER_ENCODING); f != NULL;
	     f = http_fields_next(fields, f)) {
		if (!read_codings(http_field_value(f), &codings))
			return H1_REFUSAL_CODING_INVALID;
	}
	if (!codings.is_chunked)
		return H1_REFUSAL_CODING_INVALID;
	return codings.has_other ? H1_REFUSAL_CODING_UNKNOWN : H1_REFUSAL_NONE;
}

static bool
wishes_to_keep(const struct h1_head *h)
{
	return !h->has_close && (h->minor > 0 || h->has_keep_alive);
}

/* What both sides of authority say, as far as there are two. */
static bool
host_agrees(const struct h1_head *h, const struct http_request *req)
{
	uint16_t fallback;

	if (h->host.len == 0 || req->authority.len == 0)
		return true;
	if (req->method_id == HTTP_METHOD_CONNECT)
		fallback = uri_port_of(req->authority, 0);
	else
		fallback = req->scheme.len == 5 ? 443 : 80;
	return uri_same_authority(h->host, req->authority, fallback);
}

/* The lower-cased host is borrowed from the head where it is lower case. */
static void
set_host(struct http_request *req)
{
	static char memory[HOST_MEMORY];
	struct span host = uri_host_of(req->authority, memory);

	if (host.len > 0 && memcmp(host.p, req->authority.p, host.len) == 0)
		host.p = req->authority.p;
	req->host = host;
}

enum h1_refusal
h1_head_end_request(const struct h1_head *h, struct http_request *req)
{
	if (h->minor > 0 && !was_seen(h, FIELD_HOST))
		return H1_REFUSAL_HOST_MISSING;
	if (!host_agrees(h, req))
		return H1_REFUSAL_HOST_CONTRADICTS;
	if (req->authority.len == 0)
		req->authority = h->host;
	set_host(req);
	req->content_length = 0;
	req->framing = HTTP_FRAMING_NONE;
	if (was_seen(h, FIELD_CONTENT_LENGTH)) {
		req->framing = HTTP_FRAMING_LENGTH;
		req->content_length = h->content_length;
	} else if (was_seen(h, FIELD_TRANSFER_ENCODING)) {
		req->framing = HTTP_FRAMING_CHUNKED;
	}
	req->minor = h->minor;
	req->keep_alive = wishes_to_keep(h);
	req->expect_continue = h->expect_continue;
	req->te_trailers = h->te_trailers;
	req->upgrade_websocket = h->minor > 0 && h->has_upgrade &&
	    h->to_websocket && req->method_id == HTTP_METHOD_GET;
	return req->framing == HTTP_FRAMING_CHUNKED ?
	    check_codings(&req->fields) : H1_REFUSAL_NONE;
}

/* RFC 9112, section 6.3, rules 1 and 2. */
static bool
has_no_body(const struct http_response *res, enum http_method method)
{
	return res->status < 200 || res->status == 204 || res->status == 304 ||
	    method == HTTP_METHOD_HEAD ||
	    (method == HTTP_METHOD_CONNECT && res->status < 300);
}

enum h1_refusal
h1_head_end_response(const struct h1_head *h,
    const struct h1_expected *expected, struct http_response *res)
{
	res->minor = h->minor;
	res->keep_alive = wishes_to_keep(h);
	res->keep_alive_timeout = h->keep_alive_timeout;
	res->upgrade_websocket = false;
	res->content_length = 0;
	if (was_seen(h, FIELD_TRANSFER_ENCODING)) {
		enum h1_refusal refusal = check_codings(&res->fields);

		if (refusal != H1_REFUSAL_NONE)
			return refusal;
	}
	if (res->status == 101) {
		res->upgrade_websocket = expected->upgrade_websocket &&
		    h->minor > 0 && h->has_upgrade && h->to_websocket;
		if (!res->upgrade_websocket)
			return H1_REFUSAL_INTERIM_UPGRADE;
	}
	if (has_no_body(res, expected->method)) {
		res->framing = HTTP_FRAMING_NONE;
	} else if (was_seen(h, FIELD_TRANSFER_ENCODING)) {
		res->framing = HTTP_FRAMING_CHUNKED;
	} else if (was_seen(h, FIELD_CONTENT_LENGTH)) {
		res->framing = HTTP_FRAMING_LENGTH;
		res->content_length = h->content_length;
	} else {
		res->framing = HTTP_FRAMING_CLOSE;
		res->keep_alive = false;
	}
	return H1_REFUSAL_NONE;
}

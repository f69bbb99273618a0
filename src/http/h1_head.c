/* SPDX-License-Identifier: BSD-2-Clause */
/* h1_head - framing, Host and connection (RFC 9112, sections 3.2, 6, 9). */
#include "http/h1_head.h"

#include "http/chars.h"
#include "http/scan.h"
#include "http/uri.h"

enum {
	LENGTH_DIGITS_MAX = 19,
	HOST_MEMORY = 512, /* an authority is shorter: uri_is_authority() */
	PLAIN_HOST_MAX = 200,
};

static bool
was_seen(const struct h1_head *h, enum http_field_id id)
{
	return (h->present >> id & 1) != 0;
}

static bool
has_flag(const struct h1_head *h, enum h1_head_flags flag)
{
	return (h->flags & flag) != 0;
}

/* Kept out of line, so that what is usual saves no registers for it. */
#define COLD __attribute__((noinline))

/* -- one field --------------------------------------------------------- */

/* ":" and one to five digits that are no more than 65535. */
static bool
is_port(const char *p, const char *end)
{
	unsigned port = 0;

	if (end - p < 2 || end - p > 6 || *p != ':')
		return false;
	while (++p < end) {
		if (!chars_is_digit(*p))
			return false;
		port = port * 10 + (unsigned)(*p - '0');
	}
	return port >= 1 && port <= UINT16_MAX;
}

/*
 * The length of the host in the usual Host: a short name in lower case, maybe
 * with a port.  0 for all others, valid or not.
 */
static size_t
plain_host_len(struct span value)
{
	const char *end = value.p + value.len;
	const char *stop;

	if (value.len == 0 || value.len > PLAIN_HOST_MAX || value.p[0] == '.')
		return 0;
	stop = scan_host(value.p, end);
	if (stop == value.p || stop[-1] == '.')
		return 0;
	if (stop < end && !is_port(stop, end))
		return 0;
	return (size_t)(stop - value.p);
}

static COLD enum h1_refusal
note_host(struct h1_head *h, struct span value)
{
	if (h->kind != H1_HEAD_REQUEST)
		return H1_REFUSAL_NONE;
	if (was_seen(h, FIELD_HOST))
		return H1_REFUSAL_HOST_REPEATED;
	h->host = value;
	h->plain_host_len = plain_host_len(value);
	if (h->plain_host_len == 0 && !uri_is_authority(value))
		return H1_REFUSAL_AUTHORITY;
	return H1_REFUSAL_NONE;
}

/* One to 19 digits; beyond 63 bits readers that count with a sign disagree. */
static bool
read_length(struct span value, uint64_t *length)
{
	uint64_t n = 0;

	if (value.len == 0 || value.len > LENGTH_DIGITS_MAX)
		return false;
	for (size_t i = 0; i < value.len; i++) {
		unsigned digit = (unsigned char)value.p[i] - (unsigned)'0';

		if (digit > 9)
			return false;
		n = n * 10 + digit;
	}
	*length = n;
	return n <= INT64_MAX;
}

static enum h1_refusal
note_length(struct h1_head *h, const struct http_field *f)
{
	if (was_seen(h, FIELD_CONTENT_LENGTH))
		return H1_REFUSAL_LENGTH_REPEATED;
	if (was_seen(h, FIELD_TRANSFER_ENCODING))
		return H1_REFUSAL_LENGTH_AND_CODING;
	return read_length(http_field_value(f), &h->content_length) ?
	    H1_REFUSAL_NONE : H1_REFUSAL_LENGTH_INVALID;
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

/* True if s is that word, in lower case, but for case. */
static bool
is_word(struct span s, const char *word, size_t len)
{
	return s.len == len && span_ieq(s, span_of(word, len));
}

#define IS_WORD(s, word) is_word((s), (word), sizeof(word) - 1)

static void
note_option(struct h1_head *h, struct span option)
{
	if (IS_WORD(option, "close"))
		h->flags |= H1_HEAD_CLOSE;
	else if (IS_WORD(option, "keep-alive"))
		h->flags |= H1_HEAD_KEEP_ALIVE;
	else if (IS_WORD(option, "upgrade"))
		h->flags |= H1_HEAD_UPGRADE;
}

static COLD void
note_connection(struct h1_head *h, struct span value)
{
	struct span item;

	while (span_next_item(&value, &item))
		note_option(h, item);
}

/* HTTP/1.0 knew no expectations (RFC 9110, section 10.1.1). */
static COLD enum h1_refusal
note_expect(struct h1_head *h, struct span value)
{
	if (h->kind != H1_HEAD_REQUEST || h->minor == 0)
		return H1_REFUSAL_NONE;
	if (!span_ieq(value, SPAN("100-continue")))
		return H1_REFUSAL_EXPECTATION;
	h->flags |= H1_HEAD_EXPECT;
	return H1_REFUSAL_NONE;
}

/* More than one is as if none named the WebSocket. */
static COLD void
note_upgrade(struct h1_head *h, struct span value)
{
	h->flags &= (uint8_t)~H1_HEAD_WEBSOCKET;
	if (!was_seen(h, FIELD_UPGRADE) && IS_WORD(value, "websocket"))
		h->flags |= H1_HEAD_WEBSOCKET;
}

static COLD void
note_te(struct h1_head *h, struct span value)
{
	struct span item;

	while (span_next_item(&value, &item)) {
		if (span_ieq(item, SPAN("trailers")))
			h->flags |= H1_HEAD_TRAILERS_OK;
	}
}

/* "timeout=5, max=100", in any order. */
static COLD void
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
	switch (f->id) {
	case FIELD_HOST:
		return note_host(h, value);
	case FIELD_CONTENT_LENGTH:
		return note_length(h, f);
	case FIELD_TRANSFER_ENCODING:
		return note_coding(h);
	case FIELD_EXPECT:
		return note_expect(h, value);
	case FIELD_CONNECTION:
		if (value.len == 10 && memcmp(value.p, "keep-alive", 10) == 0)
			h->flags |= H1_HEAD_KEEP_ALIVE;
		else
			note_connection(h, value);
		break;
	case FIELD_UPGRADE:
		note_upgrade(h, value);
		break;
	case FIELD_TE:
		note_te(h, value);
		break;
	case FIELD_KEEP_ALIVE:
		note_keep_alive(h, value);
		break;
	default:
		break;
	}
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
	unsigned options = h->flags & (H1_HEAD_CLOSE | H1_HEAD_KEEP_ALIVE);

	return h->minor > 0 ? (options & H1_HEAD_CLOSE) == 0 :
			      options == H1_HEAD_KEEP_ALIVE;
}

/* Or agrees to it, in a response. */
static bool
asks_for_websocket(const struct h1_head *h)
{
	return h->minor > 0 && has_flag(h, H1_HEAD_UPGRADE) &&
	    has_flag(h, H1_HEAD_WEBSOCKET);
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

/* Borrowed from the head where it is lower case there. */
static void
set_host(const struct h1_head *h, struct http_request *req)
{
	static char memory[HOST_MEMORY];

	if (req->authority.p == h->host.p && h->plain_host_len > 0) {
		req->host = span_of(h->host.p, h->plain_host_len);
		return;
	}
	req->host = uri_host_of(req->authority, memory);
	if (req->host.len > 0 && memcmp(req->host.p, req->authority.p,
	    req->host.len) == 0)
		req->host.p = req->authority.p;
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
	set_host(h, req);
	req->content_length = 0;
	req->framing = HTTP_FRAMING_NONE;
	if (was_seen(h, FIELD_CONTENT_LENGTH)) {
		req->framing = HTTP_FRAMING_LENGTH;
		req->content_length = h->content_length;
	} else if (was_seen(h, FIELD_TRANSFER_ENCODING)) {
		req->framing = HTTP_FRAMING_CHUNKED;
	}
	req->minor = h->minor;
	req->is_h2 = false;
	req->keep_alive = wishes_to_keep(h);
	req->expect_continue = has_flag(h, H1_HEAD_EXPECT);
	req->te_trailers = has_flag(h, H1_HEAD_TRAILERS_OK);
	req->upgrade_websocket = asks_for_websocket(h);
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
		    asks_for_websocket(h);
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

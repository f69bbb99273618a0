/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * exchange_request - what is done to every request before it is routed, and
 * what a backend is sent in its place.
 */
#include <stdlib.h>

#include "conf/template.h"
#include "http/hop.h"
#include "http/uri.h"
#include "net/conn.h"
#include "net/listener.h"
#include "proxy/client_addr.h"
#include "proxy/exchange_private.h"
#include "proxy/proxy_private.h"
#include "proxy/route.h"

enum {
	VALUE_MAX = 4096,
	FIELDS_ADDED_MAX = 13, /* before the table has to grow */
};

/* The path as routes see it; the same path goes upstream. */
static enum reason
normalise_path(struct exchange *ex)
{
	struct http_request *req = &ex->req;
	struct str out;

	ex->match_path = req->path;
	if (req->path_is_plain)
		return REASON_NONE;
	switch (uri_path_check(req->path)) {
	case URI_PATH_PLAIN:
		return REASON_NONE;
	case URI_PATH_INVALID:
		ex->detail = "invalid percent-encoding in the path";
		return REASON_BAD_REQUEST;
	case URI_PATH_DOTS:
		if (ex->core->dot_segments == CORE_DOTS_REFUSE)
			return REASON_BAD_PATH;
		str_init(&out, arena_alloc(&ex->arena, req->path.len + 1),
		    req->path.len + 1);
		uri_path_resolve(req->path, &out);
		req->path = str_view(&out);
		break;
	case URI_PATH_ENCODED:
	default:
		break;
	}
	str_init(&out, arena_alloc(&ex->arena, req->path.len + 1),
	    req->path.len + 1);
	uri_path_decode(req->path, &out);
	ex->match_path = str_view(&out);
	return REASON_NONE;
}

static enum reason
treat_underscores(struct exchange *ex)
{
	struct http_fields *fields = &ex->req.fields;

	if (ex->core->underscore_fields == CORE_UNDERSCORE_PASS ||
	    !http_fields_may_have_underscore(fields))
		return REASON_NONE;
	for (uint32_t i = 0; i < fields->count; i++) {
		struct http_field *f = &fields->items[i];

		if ((f->flags & HTTP_FIELD_UNDERSCORE) == 0)
			continue;
		if (ex->core->underscore_fields == CORE_UNDERSCORE_REFUSE) {
			ex->detail = h1_refusal_text(H1_REFUSAL_UNDERSCORE);
			return REASON_BAD_REQUEST;
		}
		f->flags |= HTTP_FIELD_DROPPED;
	}
	return REASON_NONE;
}

/*
 * A certificate was shown to the name of the handshake: a request for another
 * one on the same connection might pass where its holder was never let in.
 */
static __attribute__((noinline)) bool
is_misdirected(const struct exchange *ex)
{
	const struct conn *conn = ex->client_ops->conn(ex);
	char memory[512];
	struct str out;

	str_init(&out, memory, sizeof(memory));
	if (!conn_fact(conn, CONN_FACT_PEER_VERIFY, &out) ||
	    span_eq(str_view(&out), SPAN("none")))
		return false;
	str_init(&out, memory, sizeof(memory));
	return conn_fact(conn, CONN_FACT_SERVER_NAME, &out) &&
	    !span_ieq(str_view(&out), ex->req.host);
}

/* May it be done more than once (RFC 8470, section 4)? */
static bool
is_harmless(const struct http_request *req)
{
	return http_method_is_safe((enum http_method)req->method_id) &&
	    !req->upgrade_websocket &&
	    (req->framing == HTTP_FRAMING_NONE ||
	    (req->framing == HTTP_FRAMING_LENGTH &&
	    req->content_length == 0));
}

/* RFC 8470, section 5.1; what the client said of itself stays. */
static void
add_early(struct exchange *ex, struct http_request *up)
{
	http_fields_remove(&up->fields, SPAN("Early-Data"));
	http_fields_add(&up->fields, &ex->arena, SPAN("Early-Data"),
	    SPAN("1"));
}

enum reason
exchange_request_prepare(struct exchange *ex)
{
	enum h1_refusal refusal = hop_strip_request(&ex->req);
	enum reason reason;

	if (refusal != H1_REFUSAL_NONE) {
		ex->detail = h1_refusal_text(refusal);
		ex->force_close = true;
		return reason_of_refusal(refusal);
	}
	if (ex->req.method_id == HTTP_METHOD_CONNECT ||
	    ex->req.method_id == HTTP_METHOD_TRACE) {
		ex->detail = "CONNECT and TRACE are refused";
		ex->force_close = true;
		return REASON_METHOD_REFUSED;
	}
	if (ex->is_early && !is_harmless(&ex->req)) {
		ex->detail = "in early data";
		return REASON_TOO_EARLY;
	}
	if (ex->is_secure && is_misdirected(ex)) {
		ex->force_close = true;
		return REASON_MISDIRECTED;
	}
	reason = normalise_path(ex);
	if (reason == REASON_NONE)
		reason = treat_underscores(ex);
	if (reason != REASON_NONE)
		ex->force_close = true;
	if (!ex->core->websocket)
		ex->req.upgrade_websocket = false;
	return reason;
}

/* Bytes of a template in the arena; controls make it empty, counted. */
static __attribute__((noinline)) struct span
evaluate(struct exchange *ex, const struct template *t)
{
	char memory[VALUE_MAX];
	struct str out;
	struct span value;

	str_init(&out, memory, sizeof(memory));
	template_eval(t, ex, &out);
	value = str_view(&out);
	if (!http_is_field_value(value)) {
		counter_add(&ex->proxy->stats[PROXY_STAT_SUPPRESSED_VALUES],
		    1);
		return span_of("", 0);
	}
	return span_of(arena_dup(&ex->arena, value), value.len);
}

/* No controls, blanks or fragment may come out of a template. */
static bool
is_target(struct span s)
{
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c <= ' ' || c == 0x7f || c == '#')
			return false;
	}
	return true;
}

/* Origin-form of what is asked for; empty if a rewrite made no path. */
static struct span
target_of(struct exchange *ex)
{
	const struct http_request *req = &ex->req;
	struct span path = req->path;
	struct str out;

	if (ex->route->rewrite_path != NULL) {
		path = evaluate(ex, ex->route->rewrite_path);
		if (path.len == 0 || path.p[0] != '/' || !is_target(path))
			return span_of(NULL, 0);
		if (memchr(path.p, '?', path.len) != NULL || !req->has_query)
			return path;
	} else if (!req->has_query) {
		return path;
	} else if (req->query.p == path.p + path.len + 1) {
		/* As received: path and query lie together. */
		return span_of(path.p, path.len + 1 + req->query.len);
	}
	str_init(&out, arena_alloc(&ex->arena,
	    path.len + req->query.len + 1), path.len + req->query.len + 1);
	str_span(&out, path);
	str_char(&out, '?');
	str_span(&out, req->query);
	return str_view(&out);
}

static void
add_via(struct exchange *ex, struct http_request *up)
{
	/* RFC 9110, section 7.6.3: the version received, and a pseudonym. */
	struct span line = ex->req.minor >= 1 ? SPAN("Via: 1.1 weir\r\n")
					      : SPAN("Via: 1.0 weir\r\n");

	if (ex->req.is_h2)
		line = SPAN("Via: 2 weir\r\n");
	http_fields_add_line(&up->fields, &ex->arena, FIELD_VIA,
	    sizeof("Via") - 1, line);
}

/* A table of its own for this try: what goes on to a backend, but Host. */
static void
copy_fields(struct exchange *ex, struct http_fields *to)
{
	const struct http_fields *from = &ex->req.fields;
	uint32_t size = from->count + FIELDS_ADDED_MAX;
	struct http_field *item =
	    arena_alloc(&ex->arena, size * sizeof(*item));

	*to = (struct http_fields){ .items = item, .present = from->present,
		.size = size };
	for (uint32_t i = 0; i < from->count; i++) {
		const struct http_field *f = &from->items[i];

		if ((f->flags & HTTP_FIELD_DROPPED) == 0 &&
		    f->id != FIELD_HOST)
			*item++ = *f;
	}
	to->count = (uint32_t)(item - to->items);
}

/* The whole body is there: its length is known, whatever came before. */
static void
tell_length(const struct exchange *ex, struct http_request *up)
{
	if (ex->request_body.trailers != NULL) {
		up->framing = HTTP_FRAMING_CHUNKED;
	} else if (ex->replay.len > 0 || up->framing != HTTP_FRAMING_NONE) {
		up->framing = HTTP_FRAMING_LENGTH;
		up->content_length = ex->replay.len;
	}
}

int
exchange_request_compose(struct exchange *ex)
{
	struct http_request *up = &ex->up_req;
	const struct template *host = ex->group->conf->host;

	*up = ex->req;
	copy_fields(ex, &up->fields);
	ex->up_target = target_of(ex);
	if (ex->up_target.len == 0) {
		ex->detail = "rewrite_path made no path";
		return -1;
	}
	ex->up_host = host != NULL ? evaluate(ex, host) : ex->req.authority;
	if (ex->up_host.len == 0) /* HTTP/1.0 may come without */
		ex->up_host = ex->backend->spec->addr.u.sa.sa_family == AF_UNIX
		    ? SPAN("localhost") : ex->backend->text;
	if (ex->is_collected)
		tell_length(ex, up);
	client_addr_forward(ex, up);
	if (ex->core->via)
		add_via(ex, up);
	if (ex->is_early)
		add_early(ex, up);
	if (up->expect_continue && up->minor == 0) {
		http_fields_remove_id(&up->fields, FIELD_EXPECT);
		up->expect_continue = false;
	}
	return 0;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* render - messages as text. */
#include "render.h"

#include <inttypes.h>

static void
render_framing(struct str *out, enum http_framing framing, uint64_t length)
{
	switch (framing) {
	case HTTP_FRAMING_NONE:
		break;
	case HTTP_FRAMING_LENGTH:
		str_printf(out, " length=%" PRIu64, length);
		break;
	case HTTP_FRAMING_CHUNKED:
		str_lit(out, " chunked");
		break;
	case HTTP_FRAMING_CLOSE:
		str_lit(out, " until-close");
		break;
	}
}

static void
render_part(struct str *out, const char *name, struct span s)
{
	str_lit(out, " ");
	str_cstr(out, name);
	str_lit(out, "=");
	str_span(out, s);
}

void
render_fields(struct str *out, const struct http_fields *fields)
{
	for (uint32_t i = 0; i < fields->count; i++) {
		const struct http_field *f = &fields->items[i];

		if ((f->flags & HTTP_FIELD_DROPPED) != 0)
			continue;
		str_lit(out, "|");
		str_span(out, http_field_name(f));
		if ((f->flags & HTTP_FIELD_UNDERSCORE) != 0)
			str_cstr(out, http_fields_may_have_underscore(fields) ?
			    "_" : "?");
		if ((f->flags & HTTP_FIELD_VERBATIM) != 0)
			str_lit(out, ": ");
		else
			str_lit(out, "=");
		str_span(out, http_field_value(f));
	}
}

void
render_request(struct str *out, const struct http_request *req)
{
	str_span(out, req->method);
	str_lit(out, " ");
	str_span(out, req->target);
	str_printf(out, " 1.%u", (unsigned)req->minor);
	if (req->scheme.len > 0)
		render_part(out, "scheme", req->scheme);
	if (req->authority.len > 0)
		render_part(out, "authority", req->authority);
	if (!span_eq(req->host, req->authority))
		render_part(out, "host", req->host);
	if (!span_eq(req->path, req->target))
		render_part(out, "path", req->path);
	if (req->has_query)
		render_part(out, "query", req->query);
	render_framing(out, (enum http_framing)req->framing,
	    req->content_length);
	if (req->keep_alive)
		str_lit(out, " keep");
	if (req->expect_continue)
		str_lit(out, " expect");
	if (req->upgrade_websocket)
		str_lit(out, " websocket");
	if (req->te_trailers)
		str_lit(out, " te");
	render_fields(out, &req->fields);
}

void
render_response(struct str *out, const struct http_response *res)
{
	str_printf(out, "%u ", (unsigned)res->status);
	str_span(out, res->reason);
	str_printf(out, " 1.%u", (unsigned)res->minor);
	render_framing(out, (enum http_framing)res->framing,
	    res->content_length);
	if (res->keep_alive)
		str_lit(out, " keep");
	if (res->keep_alive_timeout > 0)
		str_printf(out, " keep-alive=%" PRIu32,
		    res->keep_alive_timeout);
	if (res->upgrade_websocket)
		str_lit(out, " websocket");
	render_fields(out, &res->fields);
}

void
render_refusal(struct str *out, const struct h1_state *state)
{
	str_printf(out, "%u %s @%zu", h1_refusal_status(state->refusal),
	    h1_refusal_text(state->refusal), state->offset);
}

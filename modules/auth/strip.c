/* SPDX-License-Identifier: BSD-2-Clause */
/* strip - copies without the credentials, in the exchange's arena. */
#include "strip.h"

#include "credentials.h"

void
strip_target(struct exchange *ex, const struct options_api_key *k)
{
	struct span target = ex->req.target, query;
	const char *mark = target.len > 0
	    ? memchr(target.p, '?', target.len) : NULL;
	/* An argument can grow by the three stars. */
	size_t room = 2 * target.len + 8;
	struct str out;

	if (mark == NULL)
		return;
	query = span_of(mark + 1, (size_t)(target.p + target.len - mark - 1));
	str_init(&out, arena_alloc(&ex->arena, room), room);
	str_put(&out, target.p, target.len - query.len);
	out.p += out.len;
	out.cap -= out.len;
	out.len = 0;
	if (!credentials_hide_arg(&out, query, span_cstr(k->query)))
		return;
	exchange_show_target(ex, span_of(out.p - (target.len - query.len),
	    target.len - query.len + out.len));
}

static void
drop_cookie(struct exchange *ex, struct span name)
{
	struct http_fields *fields = &ex->req.fields;

	for (struct http_field *f = http_fields_get(fields, FIELD_COOKIE);
	    f != NULL; f = http_fields_next(fields, f)) {
		struct span value = http_field_value(f), found;
		struct str out;

		if (credentials_cookie(value, name, &found) ==
		    CREDENTIALS_NONE)
			continue;
		/* A blank may come behind each semicolon. */
		str_init(&out, arena_alloc(&ex->arena, 2 * value.len),
		    2 * value.len);
		credentials_drop_cookie(&out, value, name);
		f->value = out.p;
		f->value_len = (uint32_t)out.len;
		f->flags &= (uint8_t)~HTTP_FIELD_VERBATIM;
		if (out.len == 0)
			f->flags |= HTTP_FIELD_DROPPED;
	}
}

static void
drop_arg(struct exchange *ex, struct span name)
{
	struct http_request *req = &ex->req;
	struct str out;

	if (!req->has_query)
		return;
	str_init(&out, arena_alloc(&ex->arena, req->query.len + 1),
	    req->query.len + 1);
	credentials_drop_arg(&out, req->query, name);
	if (out.len == req->query.len)
		return;
	req->query = str_view(&out);
	req->has_query = out.len > 0;
}

/* Of Authorization, only what is of the scheme that is asked for. */
static void
drop_field(struct exchange *ex, struct span name, struct span scheme)
{
	struct http_fields *fields = &ex->req.fields;

	for (struct http_field *f = http_fields_find(fields, name); f != NULL;
	    f = http_fields_next(fields, f)) {
		struct span rest;

		if (credentials_scheme(http_field_value(f), scheme, &rest) !=
		    CREDENTIALS_NONE)
			f->flags |= HTTP_FIELD_DROPPED;
	}
}

void
strip_credentials(struct exchange *ex, const struct auth_conf *conf)
{
	const struct options_api_key *k = &conf->api_key;

	if (conf->has_api_key && !k->forward) {
		if (k->header != NULL)
			drop_field(ex, span_cstr(k->header),
			    span_cstr(k->scheme));
		if (k->cookie != NULL)
			drop_cookie(ex, span_cstr(k->cookie));
		if (k->query != NULL)
			drop_arg(ex, span_cstr(k->query));
	}
	if (conf->has_basic && !conf->basic.forward)
		drop_field(ex, SPAN("Authorization"), SPAN("Basic"));
}

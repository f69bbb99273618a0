/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * exchange_answer - weir's own answers: respond, redirect, errors.
 */
#include "base/now.h"
#include "base/str.h"
#include "conf/template.h"
#include "proxy/exchange_private.h"
#include "proxy/grpc.h"
#include "proxy/proxy_private.h"
#include "proxy/route.h"

enum { BODY_MAX = 65536, VALUE_MAX = 8192, OWN_FIELDS = 12 };

static void
begin(struct exchange *ex, unsigned status)
{
	struct http_response *res = &ex->res;

	memset(res, 0, sizeof(*res));
	res->status = (uint16_t)status;
	res->minor = 1;
	res->reason = http_status_phrase(status);
	res->framing = HTTP_FRAMING_LENGTH;
	res->fields.items = arena_alloc(&ex->arena,
	    OWN_FIELDS * sizeof(*res->fields.items));
	res->fields.size = OWN_FIELDS;
	http_fields_add_id(&res->fields, &ex->arena, FIELD_SERVER,
	    SPAN("weir"));
	ex->is_answered = true;
	ex->is_tunnel = false;
	ex->answer = span_of(NULL, 0);
}

static void
add(struct exchange *ex, struct span name, struct span value)
{
	http_fields_add(&ex->res.fields, &ex->arena, name, value);
}

/* In the arena, at most max bytes. */
static struct span
evaluate(struct exchange *ex, const struct template *t, size_t max)
{
	struct span text;
	struct str out;

	if (template_is_constant(t, &text))
		return text;
	str_init(&out, arena_alloc(&ex->arena, max), max);
	template_eval(t, ex, &out);
	return str_view(&out);
}

enum verdict
exchange_answer_body(struct exchange *ex, unsigned status,
    struct span content_type, struct span body)
{
	begin(ex, status);
	if (content_type.len > 0)
		add(ex, SPAN("Content-Type"), content_type);
	ex->answer = body;
	return VERDICT_ANSWERED;
}

static const struct core_error_page *
page_for(const struct core_conf *core, unsigned status)
{
	const struct core_error_page *pages = core->error_pages.items;

	for (size_t i = 0; i < core->error_pages.count; i++) {
		for (size_t j = 0; j < pages[i].statuses.count; j++) {
			if (pages[i].statuses.items[j] == status)
				return &pages[i];
		}
	}
	return NULL;
}

/* The configured page, or a plain one that says what the status says. */
static void
put_page(struct exchange *ex, unsigned status)
{
	const struct core_error_page *page = page_for(ex->core, status);
	struct span phrase = http_status_phrase(status);

	if (status == 204 || status == 304)
		return;
	if (page == NULL) {
		const char *text = arena_printf(&ex->arena, "%u %.*s\n",
		    status, SPAN_ARG(phrase));

		add(ex, SPAN("Content-Type"), SPAN("text/plain"));
		ex->answer = span_cstr(text);
		return;
	}
	add(ex, SPAN("Content-Type"), span_cstr(page->content_type));
	ex->answer = page->body != NULL
	    ? evaluate(ex, page->body, BODY_MAX) : page->file_bytes;
}

enum verdict
exchange_answer(struct exchange *ex, unsigned status)
{
	begin(ex, status);
	if (status >= 400)
		add(ex, SPAN("Cache-Control"), SPAN("private, no-store"));
	put_page(ex, status);
	grpc_dress(ex, status);
	return VERDICT_ANSWERED;
}

static bool
is_listed(const struct str *list, struct span method)
{
	struct span rest = str_view(list), item;

	while (span_next_item(&rest, &item)) {
		if (span_eq(item, method))
			return true;
	}
	return false;
}

struct span
exchange_answer_allow(struct exchange *ex, const struct route *const *routes,
    uint32_t count)
{
	char memory[VALUE_MAX];
	struct str out;

	str_init(&out, memory, sizeof(memory));
	for (uint32_t i = 0; i < count; i++) {
		const struct conf_strings *methods = &routes[i]->methods;

		for (size_t j = 0; j < methods->count; j++) {
			struct span method = span_cstr(methods->items[j]);

			if (is_listed(&out, method))
				continue;
			if (out.len > 0)
				str_lit(&out, ", ");
			str_span(&out, method);
		}
	}
	return span_of(arena_dup(&ex->arena, str_view(&out)), out.len);
}

/* RFC 9110, section 10.2.1. */
static void
add_allow(struct exchange *ex)
{
	add(ex, SPAN("Allow"), ex->allow.len > 0 ? ex->allow
	    : SPAN("GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH"));
}

/* RFC 9110, section 10.2.3. */
static void
add_retry_after(struct exchange *ex)
{
	uint32_t seconds = ex->retry_after_s != 0 ? ex->retry_after_s : 1;

	add(ex, SPAN("Retry-After"),
	    span_cstr(arena_printf(&ex->arena, "%u", seconds)));
}

/* RFC 9110, section 11.6.1. */
static void
add_challenge(struct exchange *ex)
{
	if (ex->challenge.len > 0)
		add(ex, SPAN("WWW-Authenticate"), ex->challenge);
}

/* RFC 9209: who failed, and in its words why. */
static void
add_proxy_status(struct exchange *ex, const struct reason_info *info)
{
	add(ex, SPAN("Proxy-Status"), span_cstr(arena_printf(&ex->arena,
	    "weir; error=%s; details=\"%s\"", info->proxy_status,
	    info->name)));
}

void
exchange_answer_error(struct exchange *ex)
{
	const struct reason_info *info = reason_info(ex->reason);
	unsigned status = ex->fail_status != 0 ? ex->fail_status
					       : info->status;

	begin(ex, status);
	add(ex, SPAN("Cache-Control"), SPAN("private, no-store"));
	if (status == 401)
		add_challenge(ex);
	if (status == 405)
		add_allow(ex);
	if (status == 503 || ex->retry_after_s != 0)
		add_retry_after(ex);
	if (ex->core->proxy_status && info->proxy_status[0] != '\0')
		add_proxy_status(ex, info);
	put_page(ex, status);
	grpc_dress(ex, status);
	if (info->blame == BLAME_BACKEND || info->blame == BLAME_PROXY)
		log_warn(&ex->log, "answering %u: %s%s%s after %llu ms",
		    status, info->cause, ex->detail != NULL ? ": " : "",
		    ex->detail != NULL ? ex->detail : "",
		    (unsigned long long)((now_us() - ex->started_us) / 1000));
	else
		log_info(&ex->log, "answering %u: %s%s%s", status,
		    info->cause, ex->detail != NULL ? ": " : "",
		    ex->detail != NULL ? ex->detail : "");
}

static enum verdict
respond(struct exchange *ex, const struct route_respond *r)
{
	begin(ex, r->status);
	if (r->body != NULL)
		ex->answer = evaluate(ex, r->body, BODY_MAX);
	else
		ex->answer = r->file_bytes;
	if (ex->answer.len > 0)
		add(ex, SPAN("Content-Type"), span_cstr(r->content_type));
	for (size_t i = 0; i < r->headers.count; i++) {
		struct span value = evaluate(ex, r->headers.items[i].value,
		    VALUE_MAX);

		if (http_is_field_value(value))
			http_fields_set(&ex->res.fields, &ex->arena,
			    span_cstr(r->headers.items[i].name), value);
	}
	/* Unless whoever wrote it thought of gRPC. */
	if (http_fields_find(&ex->res.fields, SPAN("grpc-status")) == NULL)
		grpc_dress(ex, r->status);
	return VERDICT_ANSWERED;
}

static enum verdict
redirect(struct exchange *ex, const struct route_redirect *r)
{
	struct span location = evaluate(ex, r->location, VALUE_MAX);

	if (!http_is_field_value(location))
		return exchange_fail(ex, REASON_BAD_REQUEST,
		    "the redirect's location would have control characters");
	(void)exchange_answer(ex, r->status);
	add(ex, SPAN("Location"), location);
	return VERDICT_ANSWERED;
}

enum verdict
exchange_answer_route(struct exchange *ex)
{
	switch (ex->route->action) {
	case ROUTE_RESPOND:
		return respond(ex, &ex->route->respond);
	case ROUTE_REDIRECT:
		return redirect(ex, &ex->route->redirect);
	case ROUTE_INTERNAL:
		return ex->route->internal(ex);
	case ROUTE_UPSTREAM:
		return VERDICT_NEXT;
	case ROUTE_NONE:
	default:
		return exchange_fail(ex, REASON_NO_ROUTE, NULL);
	}
}

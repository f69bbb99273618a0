/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * grpcweb - calls of browsers, which see no trailers, to gRPC servers.
 *
 * The request becomes one of gRPC before anything else looks at it, so that
 * deadlines and weir's own errors are those of gRPC; what the client sees is
 * made gRPC-Web again last: the trailers are a frame behind the body.  The
 * text form is base64 on top of it.  Never suspends an exchange.
 */
#include "module.h"

#include "base64.h"

/* Before what refuses: a refusal is an answer to a call, too. */
enum { GRPCWEB_ORDER = -50, OUT_BYTES = 8192, FRAME_HEAD = 5,
	FRAME_IS_TRAILERS = 0x80 };

struct grpcweb_conf {
	bool enabled;
	bool is_given;
};

enum call_kind { NO_CALL, CALL_BINARY, CALL_TEXT };

struct grpcweb_ctx {
	enum call_kind kind;
	struct span suffix; /* "+proto" of the request */
	struct base64_decoder decoder;
	struct base64_encoder encoder;
	char *decoded, *encoded; /* OUT_BYTES each, of the text form */
};

enum { COUNT_BINARY, COUNT_TEXT, COUNT_BROKEN, COUNTS };

static const struct metric rows[COUNTS] = {
	[COUNT_BINARY] = { .name = "calls_total",
		.help = "Calls of gRPC-Web that were bridged.",
		.label = "form=\"binary\"" },
	[COUNT_TEXT] = { .name = "calls_total", .label = "form=\"text\"" },
	[COUNT_BROKEN] = { .name = "broken_total",
		.help = "Calls whose body was not base64." },
};

static const struct metric_set metrics =
    METRIC_SET("grpcweb", METRIC_SCOPE_PROCESS, rows);

/* ---- configuration ---- */

static const struct conf_item group_items[] = {
	CONF_BOOL("enabled", struct grpcweb_conf, enabled, "true", 0,
	    "false: not here, though it is inherited"),
	CONF_END,
};

static const struct conf_table grpcweb_table = {
	.name = "grpcweb",
	.items = group_items,
	.struct_bytes = sizeof(struct grpcweb_conf),
};

static const struct conf_item items[] = {
	{ .name = "grpcweb", .type = CONF_TYPE_GROUP,
	  .table = &grpcweb_table,
	  .present = offsetof(struct grpcweb_conf, is_given),
	  .help = "bridge calls of gRPC-Web" },
	CONF_END,
};

static const struct conf_table table = {
	.name = "grpcweb",
	.items = items,
	.struct_bytes = sizeof(struct grpcweb_conf),
};

static bool
grpcweb_is_active(const void *conf_ptr)
{
	const struct grpcweb_conf *conf = conf_ptr;

	return conf->is_given && conf->enabled;
}

/* ---- media types ---- */

/* Is it that type, with "+something" behind it or nothing? */
static bool
is_type(struct span type, struct span wanted, struct span *suffix)
{
	if (type.len < wanted.len ||
	    !span_ieq(span_of(type.p, wanted.len), wanted))
		return false;
	*suffix = span_of(type.p + wanted.len, type.len - wanted.len);
	return suffix->len == 0 || suffix->p[0] == '+';
}

static void
set_type(struct exchange *ex, struct http_fields *fields, const char *type,
    struct span suffix)
{
	http_fields_remove_id(fields, FIELD_CONTENT_TYPE);
	http_fields_add_id(fields, &ex->arena, FIELD_CONTENT_TYPE,
	    span_cstr(arena_printf(&ex->arena, "%s%.*s", type,
	    SPAN_ARG(suffix))));
}

/* ---- the request ---- */

static enum verdict
grpcweb_on_request(struct exchange *ex, const void *conf)
{
	struct grpcweb_ctx *ctx = exchange_ctx(ex, sizeof(*ctx));
	struct span type = http_fields_media_type(&ex->req.fields);
	struct span suffix;

	(void)conf;
	if (ex->req.method_id != HTTP_METHOD_POST)
		return VERDICT_NEXT;
	if (is_type(type, SPAN("application/grpc-web-text"), &suffix))
		ctx->kind = CALL_TEXT;
	else if (is_type(type, SPAN("application/grpc-web"), &suffix))
		ctx->kind = CALL_BINARY;
	else
		return VERDICT_NEXT;
	ctx->suffix = suffix;
	if (ctx->kind == CALL_TEXT) {
		ctx->decoded = arena_alloc(&ex->arena, OUT_BYTES);
		ctx->encoded = arena_alloc(&ex->arena, OUT_BYTES);
	}
	set_type(ex, &ex->req.fields, "application/grpc", suffix);
	ex->req.te_trailers = true;
	counter_add(&exchange_counters(ex)[ctx->kind == CALL_TEXT
	    ? COUNT_TEXT : COUNT_BINARY], 1);
	return VERDICT_NEXT;
}

static void
give(struct body_piece *piece, struct span left, const struct str *out)
{
	piece->is_changed = true;
	piece->taken = piece->in.len - left.len;
	piece->out[0] = str_view(out);
	piece->out_count = out->len > 0 ? 1 : 0;
}

static enum verdict
grpcweb_on_request_body(struct exchange *ex, const void *conf,
    struct body_piece *piece)
{
	struct grpcweb_ctx *ctx = exchange_ctx(ex, sizeof(*ctx));
	struct span in = piece->in;
	struct str out;

	(void)conf;
	if (ctx->kind != CALL_TEXT)
		return VERDICT_NEXT;
	str_init(&out, ctx->decoded, OUT_BYTES);
	if (base64_decode(&ctx->decoder, &in, &out) != 0 ||
	    ((piece->flags & BODY_END) != 0 && in.len == 0 &&
	    !base64_is_complete(&ctx->decoder))) {
		counter_add(&exchange_counters(ex)[COUNT_BROKEN], 1);
		return exchange_fail(ex, REASON_BAD_REQUEST,
		    "grpc-web-text: the body is not base64");
	}
	give(piece, in, &out);
	return VERDICT_NEXT;
}

/* ---- the response ---- */

static enum verdict
grpcweb_on_response(struct exchange *ex, const void *conf)
{
	struct grpcweb_ctx *ctx = exchange_ctx(ex, sizeof(*ctx));
	struct http_fields *fields = &ex->res.fields;
	struct span suffix;

	(void)conf;
	if (ctx->kind == NO_CALL || !is_type(http_fields_media_type(fields),
	    SPAN("application/grpc"), &suffix)) {
		exchange_skip_body(ex);
		return VERDICT_NEXT;
	}
	set_type(ex, fields, ctx->kind == CALL_TEXT
	    ? "application/grpc-web-text" : "application/grpc-web",
	    suffix.len > 0 ? suffix : ctx->suffix);
	http_fields_remove_id(fields, FIELD_TRAILER);
	/* Trailers-only: the status is in the head, and stays there. */
	if (http_fields_find(fields, SPAN("grpc-status")) != NULL)
		exchange_skip_body(ex);
	return VERDICT_NEXT;
}

static enum verdict
grpcweb_on_response_body(struct exchange *ex, const void *conf,
    struct body_piece *piece)
{
	struct grpcweb_ctx *ctx = exchange_ctx(ex, sizeof(*ctx));
	struct span in = piece->in;
	struct str out;

	(void)conf;
	if (ctx->kind != CALL_TEXT)
		return VERDICT_NEXT;
	str_init(&out, ctx->encoded, OUT_BYTES);
	base64_encode(&ctx->encoder, &in, &out);
	/* A stream: padding amid it.  What is left at its end waits. */
	if ((piece->flags & BODY_FLUSH) != 0)
		base64_encode_end(&ctx->encoder, &out);
	give(piece, in, &out);
	return VERDICT_NEXT;
}

/* ---- the trailers ---- */

static bool
is_sent(const struct http_field *f)
{
	return (f->flags & HTTP_FIELD_DROPPED) == 0;
}

static size_t
block_bytes(const struct http_fields *trailers)
{
	size_t len = 0;

	for (uint32_t i = 0; i < trailers->count; i++) {
		const struct http_field *f = &trailers->items[i];

		if (is_sent(f))
			len += (size_t)f->name_len + 2 + f->value_len + 2;
	}
	return len;
}

/* The frame: a byte, four of length, and lines as of HTTP/1. */
static void
put_frame(const struct http_fields *trailers, size_t len, struct str *out)
{
	str_char(out, (char)FRAME_IS_TRAILERS);
	for (unsigned shift = 32; shift > 0; shift -= 8)
		str_char(out, (char)(len >> (shift - 8) & 0xff));
	for (uint32_t i = 0; i < trailers->count; i++) {
		const struct http_field *f = &trailers->items[i];
		struct span name = http_field_name(f);

		if (!is_sent(f))
			continue;
		for (size_t j = 0; j < name.len; j++)
			str_char(out,
			    (char)span_lower((unsigned char)name.p[j]));
		str_lit(out, ": ");
		str_span(out, http_field_value(f));
		str_lit(out, "\r\n");
	}
}

static enum verdict
grpcweb_on_trailers(struct exchange *ex, const void *conf,
    struct http_fields *trailers, struct span *body)
{
	struct grpcweb_ctx *ctx = exchange_ctx(ex, sizeof(*ctx));
	size_t len = block_bytes(trailers);
	size_t cap = FRAME_HEAD + len;
	struct str frame, text;
	struct span in;

	(void)conf;
	str_init(&frame, arena_alloc(&ex->arena, cap), cap);
	/* A backend that says nothing of the call: nor do we. */
	if (len > 0)
		put_frame(trailers, len, &frame);
	*trailers = (struct http_fields){ 0 };
	*body = str_view(&frame);
	if (ctx->kind != CALL_TEXT)
		return VERDICT_NEXT;
	cap = (frame.len + 2) / 3 * 4 + 12;
	str_init(&text, arena_alloc(&ex->arena, cap), cap);
	in = str_view(&frame);
	base64_encode(&ctx->encoder, &in, &text);
	base64_encode_end(&ctx->encoder, &text);
	*body = str_view(&text);
	return VERDICT_NEXT;
}

const struct module mod_grpcweb = {
	.name = "grpcweb",
	.help = "bridges calls of gRPC-Web to gRPC servers",
	.table = &table,
	.conf_size = sizeof(struct grpcweb_conf),
	.order = GRPCWEB_ORDER,
	.metrics = &metrics,
	.is_active = grpcweb_is_active,
	.hooks = {
		[PHASE_REQUEST] = grpcweb_on_request,
		[PHASE_RESPONSE] = grpcweb_on_response,
	},
	.body_hooks = {
		[PHASE_REQUEST_BODY] = grpcweb_on_request_body,
		[PHASE_RESPONSE_BODY] = grpcweb_on_response_body,
	},
	.trailers_hooks = { [PHASE_RESPONSE_TRAILERS] = grpcweb_on_trailers },
};

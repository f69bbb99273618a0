/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * compress - encode responses for clients that accept it, decode them for
 * those that do not.
 *
 * Runs on what the client sees, after a cache.  A coder lives from the
 * response's head to the log phase; how many a worker has is bounded, and a
 * response beyond that goes as it is.  What the coder holds back is flushed at
 * the end of each turn of the loop, so that a stream stays one.
 */
#include "module.h"

#include "coder.h"
#include "negotiate.h"

/* Before the headers module, whose rules have the last word. */
enum { COMPRESS_ORDER = 800 };

struct compress_conf {
	/* As configured. */
	struct conf_strings codings;
	struct conf_strings types;
	uint32_t gzip_level, brotli_level, zstd_level;
	uint64_t length_min;
	uint32_t streams_max;
	bool decompress;
	bool preserve_etag;

	/* Made of it by start. */
	enum coder_kind kinds[CODER_KIND_COUNT];
	size_t kind_count;
};

struct compress_ctx {
	struct coder *coder;
};

enum {
	COUNT_ENCODED,
	COUNT_DECODED,
	COUNT_REFUSED,
	COUNT_BROKEN,
	COUNT_IN,
	COUNT_OUT,
	COUNTS
};

static const struct metric rows[COUNTS] = {
	[COUNT_ENCODED] = { .name = "bodies_total",
		.help = "Bodies that were encoded or decoded.",
		.label = "way=\"encoded\"" },
	[COUNT_DECODED] = { .name = "bodies_total",
		.label = "way=\"decoded\"" },
	[COUNT_REFUSED] = { .name = "refused_total",
		.help = "Bodies that went as they were: streams_max." },
	[COUNT_BROKEN] = { .name = "broken_total",
		.help = "Bodies that could not be decoded." },
	[COUNT_IN] = { .name = "bytes_total",
		.help = "Bytes of bodies that coders took and gave.",
		.label = "direction=\"in\"" },
	[COUNT_OUT] = { .name = "bytes_total",
		.label = "direction=\"out\"" },
};

static const struct metric_set metrics =
    METRIC_SET("compress", METRIC_SCOPE_PROCESS, rows);

/* ---- configuration ---- */

static const struct conf_item compress_items[] = {
	CONF_VALUE("codings", STRINGS, struct compress_conf, codings, NULL, 0,
	    "\"gzip\", \"br\", \"zstd\": what to encode with, the best liked "
	    "of equals first"),
	CONF_VALUE("types", STRINGS, struct compress_conf, types, NULL, 0,
	    "media types worth encoding (default: text and its like)"),
	CONF_SIZE("length_min", struct compress_conf, length_min, 0,
	    UINT64_C(1073741824), "20", 0,
	    "shorter bodies, where the length is known, go as they are"),
	CONF_UINT("gzip_level", struct compress_conf, gzip_level, 1, 9, "5",
	    NULL, 0, "effort of gzip"),
	CONF_UINT("brotli_level", struct compress_conf, brotli_level, 1, 11,
	    "4", NULL, 0, "effort of brotli"),
	CONF_UINT("zstd_level", struct compress_conf, zstd_level, 1, 9, "3",
	    NULL, 0, "effort of zstd"),
	CONF_BOOL("decompress", struct compress_conf, decompress, "false", 0,
	    "decode for clients that do not accept a response's coding"),
	CONF_BOOL("preserve_etag", struct compress_conf, preserve_etag,
	    "false", 0, "leave ETag strong"),
	CONF_UINT("streams_max", struct compress_conf, streams_max, 1, 65536,
	    "256", NULL, 0, "bodies that a worker codes at a time"),
	CONF_END,
};

static int
check_codings(struct conf_ctx *ctx, const struct conf_node *node,
    void *conf_ptr)
{
	const struct compress_conf *conf = conf_ptr;
	int result = 0;

	for (size_t i = 0; i < conf->codings.count; i++) {
		const char *name = conf->codings.items[i];
		enum coder_kind kind;

		if (!coder_find(span_cstr(name), &kind)) {
			conf_report_error(ctx->report, &node->place,
			    "`codings`: there is no \"%s\"; known are "
			    "\"gzip\", \"br\" and \"zstd\"", name);
			result = -1;
		} else if (!coder_is_built(kind)) {
			conf_report_error(ctx->report, &node->place,
			    "`codings`: this weir was built without \"%s\" "
			    "(weir -V lists what it has)", name);
			result = -1;
		}
	}
	return result;
}

static const struct conf_table compress_group = {
	.name = "compress",
	.items = compress_items,
	.struct_bytes = sizeof(struct compress_conf),
	.check = check_codings,
};

static const struct conf_item items[] = {
	{ .name = "compress", .type = CONF_TYPE_GROUP, .table = &compress_group,
	    .help = "encode responses, or decode them" },
	CONF_END,
};

static const struct conf_table table = {
	.name = "compress",
	.items = items,
	.struct_bytes = sizeof(struct compress_conf),
};

static bool
compress_is_active(const void *conf_ptr)
{
	const struct compress_conf *conf = conf_ptr;

	return conf->codings.count > 0 || conf->decompress;
}

static int
compress_start(const struct module_env *env, void *conf_ptr,
    struct error *err)
{
	struct compress_conf *conf = conf_ptr;

	(void)env;
	(void)err;
	conf->kind_count = 0;
	for (size_t i = 0; i < conf->codings.count; i++) {
		enum coder_kind kind = CODER_KIND_COUNT;
		bool is_new = coder_find(span_cstr(conf->codings.items[i]),
		    &kind);

		for (size_t j = 0; j < conf->kind_count; j++)
			is_new = is_new && conf->kinds[j] != kind;
		if (is_new)
			conf->kinds[conf->kind_count++] = kind;
	}
	return 0;
}

static unsigned
level_of(const struct compress_conf *conf, enum coder_kind kind)
{
	switch (kind) {
	case CODER_BROTLI:
		return conf->brotli_level;
	case CODER_ZSTD:
		return conf->zstd_level;
	case CODER_GZIP:
	case CODER_KIND_COUNT:
	default:
		return conf->gzip_level;
	}
}

/* ---- is it worth it, may it be done? ---- */

static const char *const default_types[] = {
	"text/*", "application/json", "application/*+json",
	"application/javascript", "application/xml", "application/*+xml",
	"application/wasm", "font/ttf", "font/otf", "image/svg+xml",
	"image/x-icon", "image/vnd.microsoft.icon",
};

/* "text/" + "*", or "application/" + "*" + "+json"; no star: the whole. */
static bool
type_matches(struct span type, const char *pattern)
{
	struct span p = span_cstr(pattern);
	const char *star = memchr(p.p, '*', p.len);
	size_t before, behind;

	if (star == NULL)
		return span_ieq(type, p);
	before = (size_t)(star - p.p);
	behind = p.len - before - 1;
	return type.len >= before + behind &&
	    span_ieq(span_of(type.p, before), span_of(p.p, before)) &&
	    span_ends_i(type, span_of(star + 1, behind));
}

static bool
is_listed(const struct compress_conf *conf, struct span type)
{
	const char *const *types = default_types;
	size_t count = sizeof(default_types) / sizeof(*default_types);

	if (conf->types.count > 0) {
		types = conf->types.items;
		count = conf->types.count;
	}
	for (size_t i = 0; i < count; i++) {
		if (type_matches(type, types[i]))
			return true;
	}
	return false;
}

static bool
is_worth_it(const struct compress_conf *conf, const struct exchange *ex)
{
	const struct http_response *res = &ex->res;
	struct span type = http_fields_media_type(&res->fields);

	if (ex->is_answered && ex->answer.len < conf->length_min)
		return false;
	if (!ex->is_answered && res->framing == HTTP_FRAMING_LENGTH &&
	    res->content_length < conf->length_min)
		return false;
	/* gRPC codes its messages itself, and no client of it expects this. */
	if (type.len >= 16 &&
	    span_ieq(span_of(type.p, 16), SPAN("application/grpc")))
		return false;
	/* "text/html+zip" and the like are coded already. */
	for (size_t i = 0; i + 3 <= type.len; i++) {
		if (span_ieq(span_of(type.p + i, 3), SPAN("zip")))
			return false;
	}
	return type.len > 0 && is_listed(conf, type);
}

/* RFC 9111, section 5.2.2.6; RFC 9110, section 14.4. */
static bool
may_change(const struct exchange *ex)
{
	const struct http_fields *fields = &ex->res.fields;
	unsigned status = ex->res.status;

	if (ex->is_tunnel || status < 200 || status == 204 || status == 205 ||
	    status == 206 || status == 304 ||
	    http_fields_get(fields, FIELD_CONTENT_RANGE) != NULL)
		return false;
	for (const struct http_field *f =
	    http_fields_get(fields, FIELD_CACHE_CONTROL); f != NULL;
	    f = http_fields_next(fields, f)) {
		struct span rest = http_field_value(f), item;

		while (span_next_item(&rest, &item)) {
			if (span_ieq(item, SPAN("no-transform")))
				return false;
		}
	}
	return true;
}

/* ---- the response's fields ---- */

static void
add_vary(struct exchange *ex)
{
	struct http_fields *fields = &ex->res.fields;

	for (const struct http_field *f = http_fields_get(fields, FIELD_VARY);
	    f != NULL; f = http_fields_next(fields, f)) {
		struct span rest = http_field_value(f), item;

		while (span_next_item(&rest, &item)) {
			if (span_eq(item, SPAN("*")) ||
			    span_ieq(item, SPAN("Accept-Encoding")))
				return;
		}
	}
	http_fields_add_id(fields, &ex->arena, FIELD_VARY,
	    SPAN("Accept-Encoding"));
}

/* Another body is no longer byte for byte the same (RFC 9110, 8.8.3.3). */
static void
weaken_etag(struct exchange *ex)
{
	struct http_fields *fields = &ex->res.fields;
	const struct http_field *f = http_fields_get(fields, FIELD_ETAG);
	struct span value;

	if (f == NULL)
		return;
	value = http_field_value(f);
	if (value.len >= 2 && memcmp(value.p, "W/", 2) == 0)
		return;
	http_fields_remove_id(fields, FIELD_ETAG);
	if (value.len >= 2 && value.p[0] == '"')
		http_fields_add_id(fields, &ex->arena, FIELD_ETAG,
		    span_cstr(arena_printf(&ex->arena, "W/%.*s",
		    SPAN_ARG(value))));
}

static void
change_fields(struct exchange *ex, const struct compress_conf *conf,
    const char *coding)
{
	struct http_fields *fields = &ex->res.fields;

	http_fields_remove_id(fields, FIELD_CONTENT_ENCODING);
	http_fields_remove_id(fields, FIELD_ACCEPT_RANGES);
	if (coding != NULL)
		http_fields_add_id(fields, &ex->arena, FIELD_CONTENT_ENCODING,
		    span_cstr(coding));
	if (!conf->preserve_etag)
		weaken_etag(ex);
}

/* ---- handlers ---- */

static bool
begin(struct exchange *ex, const struct compress_conf *conf,
    enum coder_kind kind, bool is_decoder)
{
	struct compress_ctx *ctx = exchange_ctx(ex, sizeof(*ctx));

	ctx->coder = coder_new(kind, is_decoder, level_of(conf, kind),
	    conf->streams_max);
	if (ctx->coder == NULL) {
		counter_add(&exchange_counters(ex)[COUNT_REFUSED], 1);
		log_warn(&ex->log, "compress: streams_max (%u) reached, the "
		    "body goes as it is", conf->streams_max);
		return false;
	}
	counter_add(&exchange_counters(ex)[is_decoder ? COUNT_DECODED
						      : COUNT_ENCODED], 1);
	change_fields(ex, conf, is_decoder ? NULL : coder_name(kind));
	return true;
}

/* Is there a coding to take off for this client? */
static bool
begin_decoding(struct exchange *ex, const struct compress_conf *conf,
    const struct http_field *encoding, bool has_body)
{
	struct span coding = http_field_value(encoding);
	enum coder_kind kind;

	/* More than one coding, or one that is unknown, stays. */
	if (!conf->decompress || !coder_find(coding, &kind) ||
	    !coder_is_built(kind) ||
	    http_fields_next(&ex->res.fields, encoding) != NULL)
		return false;
	add_vary(ex);
	return has_body && !negotiate_accepts(&ex->req.fields, coding) &&
	    begin(ex, conf, kind, true);
}

static enum verdict
compress_on_response(struct exchange *ex, const void *conf_ptr)
{
	const struct compress_conf *conf = conf_ptr;
	const struct http_field *encoding =
	    http_fields_get(&ex->res.fields, FIELD_CONTENT_ENCODING);
	bool has_body = ex->req.method_id != HTTP_METHOD_HEAD;
	enum coder_kind kind;
	bool changes = false;

	if (encoding != NULL &&
	    span_ieq(http_field_value(encoding), SPAN("identity")))
		encoding = NULL;
	if (may_change(ex)) {
		if (encoding != NULL) {
			changes = begin_decoding(ex, conf, encoding, has_body);
		} else if (conf->kind_count > 0 && is_worth_it(conf, ex)) {
			add_vary(ex);
			changes = has_body && negotiate_choose(
			    &ex->req.fields, conf->kinds, conf->kind_count,
			    &kind) && begin(ex, conf, kind, false);
		}
	}
	if (!changes)
		exchange_skip_body(ex);
	return VERDICT_NEXT;
}

static enum verdict
compress_on_body(struct exchange *ex, const void *conf,
    struct body_piece *piece)
{
	struct compress_ctx *ctx = exchange_ctx(ex, sizeof(*ctx));
	_Atomic uint64_t *counts = exchange_counters(ex);
	enum coder_op op = CODER_RUN;
	struct span in = piece->in;

	(void)conf;
	if ((piece->flags & BODY_END) != 0)
		op = CODER_FINISH;
	else if ((piece->flags & BODY_FLUSH) != 0)
		op = CODER_FLUSH;
	piece->is_changed = true;
	if (coder_step(ctx->coder, &in, op, &piece->out[0],
	    &piece->has_more) != 0) {
		counter_add(&counts[COUNT_BROKEN], 1);
		return exchange_fail(ex, REASON_BACKEND_BAD_RESPONSE,
		    "its body is not coded as Content-Encoding says");
	}
	piece->taken = piece->in.len - in.len;
	piece->out_count = piece->out[0].len > 0 ? 1 : 0;
	counter_add(&counts[COUNT_IN], piece->taken);
	counter_add(&counts[COUNT_OUT], piece->out[0].len);
	return VERDICT_NEXT;
}

/* A backend may as well code what weir can decode. */
static enum verdict
compress_on_upstream_request(struct exchange *ex, const void *conf_ptr)
{
	const struct compress_conf *conf = conf_ptr;
	struct http_fields *fields = &ex->up_req.fields;

	if (conf->decompress &&
	    http_fields_get(fields, FIELD_ACCEPT_ENCODING) == NULL)
		http_fields_add_id(fields, &ex->arena, FIELD_ACCEPT_ENCODING,
		    SPAN("gzip"));
	return VERDICT_NEXT;
}

static enum verdict
compress_on_log(struct exchange *ex, const void *conf)
{
	struct compress_ctx *ctx = exchange_ctx(ex, sizeof(*ctx));

	(void)conf;
	coder_free(ctx->coder);
	ctx->coder = NULL;
	return VERDICT_NEXT;
}

const struct module mod_compress = {
	.name = "compress",
	.help = "encodes and decodes bodies of responses",
	.table = &table,
	.conf_size = sizeof(struct compress_conf),
	.order = COMPRESS_ORDER,
	.is_active = compress_is_active,
	.metrics = &metrics,
	.start = compress_start,
	.hooks = {
		[PHASE_UPSTREAM_REQUEST] = compress_on_upstream_request,
		[PHASE_RESPONSE] = compress_on_response,
		[PHASE_LOG] = compress_on_log,
	},
	.body_hooks = { [PHASE_RESPONSE_BODY] = compress_on_body },
};

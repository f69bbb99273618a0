/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * requestid - a name for each request, and its place in a trace.
 *
 * Made as soon as there is a request, so that every line of the logs has it,
 * also of requests that fail before they are routed; or taken from a peer that
 * is trusted.  What backends see is written with each attempt, since clients
 * may name any field in Connection.  Never suspends an exchange.
 */
#include "module.h"

#include "trace.h"

/* Before all others, so that what they log has it. */
enum { REQUESTID_ORDER = -100, UUID_LEN = 36, HEX_LEN = 32, ID_MAX = 128 };

enum id_format { FORMAT_UUID7, FORMAT_HEX };

enum trust { TRUST_NEVER, TRUST_PROXIES, TRUST_ALL };

enum trace_mode { TRACE_OFF, TRACE_START, TRACE_PROXIES, TRACE_ALL };

struct requestid_conf {
	const char *field;
	uint32_t format;  /* enum id_format */
	uint32_t accept;  /* enum trust */
	uint32_t trace;   /* enum trace_mode */
	uint32_t sampled; /* percent of the traces that begin here */
	bool response;
	bool enabled;
	bool is_given;
};

struct requestid_ctx {
	const struct requestid_conf *made_by; /* NULL = there is no id yet */
	bool is_continued;  /* the trace: tracestate may go on */
	char trace[TRACE_LEN];
};

enum {
	COUNT_MADE,
	COUNT_TAKEN,
	COUNT_REFUSED,
	COUNT_TRACES_STARTED,
	COUNT_TRACES_CONTINUED,
	COUNTS,
};

static const struct metric rows[COUNTS] = {
	[COUNT_MADE] = { "made_total", "Request ids that weir made.",
	    METRIC_COUNTER, NULL, false },
	[COUNT_TAKEN] = { "taken_total",
	    "Request ids that were taken from a peer.", METRIC_COUNTER, NULL,
	    false },
	[COUNT_REFUSED] = { "refused_total",
	    "Ids of trusted peers that were no ids, and were replaced.",
	    METRIC_COUNTER, NULL, false },
	[COUNT_TRACES_STARTED] = { "traces_total", "Traces, by what they are.",
	    METRIC_COUNTER, "trace=\"started\"", false },
	[COUNT_TRACES_CONTINUED] = { "traces_total", NULL, METRIC_COUNTER,
	    "trace=\"continued\"", false },
};

static const struct metric_set metrics =
    METRIC_SET("requestid", METRIC_SCOPE_PROCESS, rows);

/* ---- configuration ---- */

static int
check_requestid(struct conf_ctx *ctx, const struct conf_node *node,
    void *conf_ptr)
{
	const struct requestid_conf *conf = conf_ptr;
	const struct conf_node *field = conf_node_get(node, "field");
	struct span name = span_cstr(conf->field);

	if (field == NULL || (http_is_token(name) &&
	    http_field_lookup(name) == FIELD_OTHER))
		return 0;
	conf_report_error(ctx->report, &field->value_place,
	    "`%.*s` is no field for an id: it has a meaning of its own",
	    SPAN_ARG(name));
	return -1;
}

static const struct conf_enum formats[] = {
	{ "uuid7", FORMAT_UUID7 },
	{ "hex", FORMAT_HEX },
	{ NULL, 0 },
};

static const struct conf_enum trusts[] = {
	{ "never", TRUST_NEVER },
	{ "trusted", TRUST_PROXIES },
	{ "always", TRUST_ALL },
	{ NULL, 0 },
};

static const struct conf_enum traces[] = {
	{ "off", TRACE_OFF },
	{ "start", TRACE_START },
	{ "trusted", TRACE_PROXIES },
	{ "always", TRACE_ALL },
	{ NULL, 0 },
};

static const struct conf_item group_items[] = {
	CONF_BOOL("enabled", struct requestid_conf, enabled, "true", 0,
	    "false: not here, though it is inherited"),
	CONF_VALUE("field", STRING, struct requestid_conf, field,
	    "X-Request-Id", CONF_FIELD_NAME, "the field that carries the id"),
	CONF_ENUM("format", struct requestid_conf, format, formats, "uuid7",
	    0, "of ids that weir makes"),
	CONF_ENUM("accept", struct requestid_conf, accept, trusts, "trusted",
	    0, "whose ids are taken: those of trusted_proxies"),
	CONF_BOOL("response", struct requestid_conf, response, "true", 0,
	    "tell the client too"),
	CONF_ENUM("traceparent", struct requestid_conf, trace, traces,
	    "trusted", 0, "start traces, and continue whose"),
	CONF_UINT("sampled", struct requestid_conf, sampled, 0, 100, "100",
	    "percent", 0, "of the traces that begin here, to be recorded"),
	CONF_END,
};

static const struct conf_table requestid_table = {
	.name = "requestid",
	.items = group_items,
	.struct_bytes = sizeof(struct requestid_conf),
	.check = check_requestid,
};

static const struct conf_item items[] = {
	{ .name = "requestid", .type = CONF_TYPE_GROUP,
	  .table = &requestid_table,
	  .present = offsetof(struct requestid_conf, is_given),
	  .help = "a name for each request" },
	CONF_END,
};

static const struct conf_table table = {
	.name = "requestid",
	.items = items,
	.struct_bytes = sizeof(struct requestid_conf),
};

static bool
requestid_is_active(const void *conf_ptr)
{
	const struct requestid_conf *conf = conf_ptr;

	return conf->is_given && conf->enabled;
}

static bool
requestid_runs_in(const void *conf_ptr, enum phase phase)
{
	const struct requestid_conf *conf = conf_ptr;

	return phase != PHASE_RESPONSE || conf->response;
}

/* ---- ids ---- */

/* RFC 9562, section 5.7: milliseconds, then random bits. */
static void
make_uuid(char out[UUID_LEN], const uint64_t random[2])
{
	uint64_t ms = now_wall_ms();
	unsigned char bytes[16];

	memcpy(bytes, random, sizeof(bytes));
	for (unsigned i = 0; i < 6; i++)
		bytes[i] = (unsigned char)(ms >> (40 - 8 * i));
	bytes[6] = (unsigned char)(0x70 | (bytes[6] & 0x0f));
	bytes[8] = (unsigned char)(0x80 | (bytes[8] & 0x3f));
	trace_hex(out, bytes, 4);
	trace_hex(out + 9, bytes + 4, 2);
	trace_hex(out + 14, bytes + 6, 2);
	trace_hex(out + 19, bytes + 8, 2);
	trace_hex(out + 24, bytes + 10, 6);
	out[8] = out[13] = out[18] = out[23] = '-';
}

static struct span
make_id(struct exchange *ex, uint32_t format)
{
	char *out = arena_alloc(&ex->arena, UUID_LEN);
	uint64_t random[2];

	entropy_draw(random, sizeof(random));
	if (format == FORMAT_UUID7) {
		make_uuid(out, random);
		return span_of(out, UUID_LEN);
	}
	trace_hex(out, random, sizeof(random));
	return span_of(out, HEX_LEN);
}

/* Fit for logs, fields and file names: no blanks, quotes or controls. */
static bool
is_id(struct span id)
{
	for (size_t i = 0; i < id.len; i++) {
		char c = id.p[i];

		if ((c < '0' || c > '9') && (c < 'a' || c > 'z') &&
		    (c < 'A' || c > 'Z') && memchr("-_.:/+=@~", c, 9) == NULL)
			return false;
	}
	return id.len > 0 && id.len <= ID_MAX;
}

/* The one field of that name; empty if there is none, or several. */
static struct span
only_field(const struct exchange *ex, struct span name)
{
	const struct http_field *f = http_fields_find(&ex->req.fields, name);

	if (f == NULL || http_fields_next(&ex->req.fields, f) != NULL)
		return span_of(NULL, 0);
	return http_field_value(f);
}

static void
find_id(struct exchange *ex, const struct requestid_conf *conf,
    _Atomic uint64_t *counts)
{
	bool is_trusted = conf->accept == TRUST_ALL ||
	    (conf->accept == TRUST_PROXIES && ex->peer_trusted);

	if (is_trusted) {
		struct span id = only_field(ex, span_cstr(conf->field));

		if (is_id(id)) {
			counter_add(&counts[COUNT_TAKEN], 1);
			ex->request_id = id;
			return;
		}
		if (id.len > 0)
			counter_add(&counts[COUNT_REFUSED], 1);
	}
	counter_add(&counts[COUNT_MADE], 1);
	ex->request_id = make_id(ex, conf->format);
}

static void
find_trace(struct exchange *ex, const struct requestid_conf *conf,
    struct requestid_ctx *ctx, _Atomic uint64_t *counts)
{
	struct span from = { NULL, 0 };
	uint64_t random[3];
	bool is_sampled;

	if (conf->trace == TRACE_ALL ||
	    (conf->trace == TRACE_PROXIES && ex->peer_trusted))
		from = only_field(ex, SPAN("traceparent"));
	ctx->is_continued = trace_is_valid(from);
	if (!ctx->is_continued)
		from.len = 0;
	is_sampled = entropy_fast() % 100 < conf->sampled;
	entropy_draw(random, sizeof(random));
	trace_compose(ctx->trace, from, is_sampled, random);
	ex->trace_id = span_of(ctx->trace + TRACE_ID_AT, TRACE_ID_LEN);
	counter_add(&counts[ctx->is_continued ? COUNT_TRACES_CONTINUED
	    : COUNT_TRACES_STARTED], 1);
}

/* ---- exchanges ---- */

/*
 * In the first phase that the exchange meets; later ones find it made.  But a
 * route that has options of its own makes another one.
 */
static enum verdict
requestid_on_begin(struct exchange *ex, const void *conf_ptr)
{
	const struct requestid_conf *conf = conf_ptr;
	struct requestid_ctx *ctx = exchange_ctx(ex, sizeof(*ctx));
	_Atomic uint64_t *counts = exchange_counters(ex);

	if (ctx->made_by == conf ||
	    (ctx->made_by != NULL && ex->phase != PHASE_ROUTE))
		return VERDICT_NEXT;
	ctx->made_by = conf;
	find_id(ex, conf, counts);
	if (conf->trace != TRACE_OFF)
		find_trace(ex, conf, ctx, counts);
	return VERDICT_NEXT;
}

static enum verdict
requestid_on_upstream_request(struct exchange *ex, const void *conf_ptr)
{
	const struct requestid_conf *conf = conf_ptr;
	const struct requestid_ctx *ctx = exchange_ctx(ex, sizeof(*ctx));
	struct http_fields *fields = &ex->up_req.fields;

	http_fields_set(fields, &ex->arena, span_cstr(conf->field),
	    ex->request_id);
	if (conf->trace == TRACE_OFF || ex->trace_id.len == 0)
		return VERDICT_NEXT;
	http_fields_set(fields, &ex->arena, SPAN("traceparent"),
	    span_of(ctx->trace, TRACE_LEN));
	/* Section 3.3: it belongs to the traceparent that it came with. */
	if (!ctx->is_continued)
		http_fields_remove(fields, SPAN("tracestate"));
	return VERDICT_NEXT;
}

static enum verdict
requestid_on_response(struct exchange *ex, const void *conf_ptr)
{
	const struct requestid_conf *conf = conf_ptr;

	http_fields_set(&ex->res.fields, &ex->arena, span_cstr(conf->field),
	    ex->request_id);
	return VERDICT_NEXT;
}

const struct module mod_requestid = {
	.name = "requestid",
	.help = "a name for each request",
	.table = &table,
	.conf_size = sizeof(struct requestid_conf),
	.order = REQUESTID_ORDER,
	.metrics = &metrics,
	.is_active = requestid_is_active,
	.runs_in = requestid_runs_in,
	.hooks = {
		[PHASE_EARLY_REQUEST] = requestid_on_begin,
		[PHASE_ROUTE] = requestid_on_begin,
		[PHASE_UPSTREAM_REQUEST] = requestid_on_upstream_request,
		[PHASE_RESPONSE] = requestid_on_response,
		[PHASE_FAIL] = requestid_on_begin,
		[PHASE_LOG] = requestid_on_begin,
	},
};

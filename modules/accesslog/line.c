/* SPDX-License-Identifier: BSD-2-Clause */
/* line - composing lines of access logs in bounded memory. */
#include "line.h"

#include <time.h>

/* Of a value as escaped; for each format they add up to less than a line. */
enum {
	METHOD_MAX = 64,
	HOST_MAX = 300,
	NAME_MAX_BYTES = 200, /* from the configuration */
	TARGET_MAX = 2600,
	FIELD_MAX = 1500,
	IDENTITY_MAX = 1000,
	VALUE_MAX = 2000, /* of a template */
	VALUE_SCRATCH = 65536,
};

#define ELLIPSIS SPAN("...")

typedef void escape_fn(struct str *out, struct span value);

/* The current second as text, made once a second. */
static struct {
	uint64_t second;
	char common[32]; /* 21/Nov/2026:08:15:00 +0000 */
	char iso8601[32]; /* 2026-11-21T08:15:00 */
} clock_text;

static void
update_clock(void)
{
	uint64_t second = now_wall_ms() / 1000;
	time_t t = (time_t)second;
	struct tm tm;

	if (second == clock_text.second || gmtime_r(&t, &tm) == NULL)
		return;
	clock_text.second = second;
	strftime(clock_text.common, sizeof(clock_text.common),
	    "%d/%b/%Y:%H:%M:%S +0000", &tm);
	strftime(clock_text.iso8601, sizeof(clock_text.iso8601),
	    "%Y-%m-%dT%H:%M:%S", &tm);
}

/*
 * At most max bytes of the value as escaped.  An escape is up to six bytes
 * long and never split: less of the value is tried until it fits.
 */
static void
put_value(struct str *out, struct span value, size_t max, escape_fn *escape)
{
	size_t room = out->cap - out->len;
	size_t len = value.len;
	struct str part;

	room = room < max ? room : max;
	len = len < room ? len : room;
	for (;;) {
		str_init(&part, out->p + out->len, room);
		escape(&part, span_of(value.p, len));
		if (!part.overflow)
			break;
		len -= len / 4 + 1;
	}
	out->len += part.len;
	if (len < value.len)
		str_span(out, ELLIPSIS);
}

/* Composition stops short of the end, so that a line can always be ended. */
static void
begin_line(struct str *out)
{
	out->cap -= ELLIPSIS.len + 1;
}

static void
end_line(struct str *out)
{
	out->cap += ELLIPSIS.len + 1;
	if (out->overflow) {
		out->overflow = false;
		str_span(out, ELLIPSIS);
	}
	str_char(out, '\n');
}

static struct span
field(const struct http_fields *fields, enum http_field_id id)
{
	const struct http_field *f = http_fields_get(fields, id);

	return f != NULL ? http_field_value(f) : span_of(NULL, 0);
}

static uint64_t
body_bytes(const struct exchange *ex)
{
	return ex->req.method_id == HTTP_METHOD_HEAD ? 0
						     : ex->response_body.sent;
}

static struct span
version(const struct exchange *ex)
{
	if (ex->req.is_h2)
		return SPAN("HTTP/2.0");
	return ex->req.minor >= 1 ? SPAN("HTTP/1.1") : SPAN("HTTP/1.0");
}

/* ---- combined ---- */

static void
put_quoted(struct str *out, struct span value)
{
	str_lit(out, " \"");
	if (value.len > 0)
		put_value(out, value, FIELD_MAX, str_escaped);
	else
		str_char(out, '-');
	str_char(out, '"');
}

/* A word of the line: blanks would make two of it. */
static void
escape_word(struct str *out, struct span value)
{
	for (size_t i = 0; i < value.len; i++) {
		if (value.p[i] == ' ')
			str_lit(out, "\\x20");
		else
			str_escaped(out, span_of(value.p + i, 1));
	}
}

void
line_combined(struct str *out, const struct exchange *ex)
{
	update_clock();
	begin_line(out);
	addr_ip_put(out, &ex->client_ip);
	str_lit(out, " - ");
	if (ex->identity.len > 0)
		put_value(out, ex->identity, IDENTITY_MAX, escape_word);
	else
		str_char(out, '-');
	str_lit(out, " [");
	str_cstr(out, clock_text.common);
	str_lit(out, "] \"");
	if (ex->req.method.len > 0) {
		put_value(out, ex->req.method, METHOD_MAX, str_escaped);
		str_char(out, ' ');
		put_value(out, ex->req.target, TARGET_MAX, str_escaped);
		str_char(out, ' ');
		str_span(out, version(ex));
	} else {
		str_char(out, '-');
	}
	str_lit(out, "\" ");
	str_u64(out, ex->head_sent ? ex->res.status : 499);
	str_char(out, ' ');
	str_u64(out, body_bytes(ex));
	put_quoted(out, field(&ex->req.fields, FIELD_REFERER));
	put_quoted(out, field(&ex->req.fields, FIELD_USER_AGENT));
	end_line(out);
}

/* ---- json ---- */

static void
put_key(struct str *out, const char *key)
{
	str_lit(out, ",\"");
	str_cstr(out, key);
	str_lit(out, "\":");
}

static void
put_string(struct str *out, const char *key, struct span value, size_t max)
{
	if (value.len == 0)
		return;
	put_key(out, key);
	str_char(out, '"');
	put_value(out, value, max, str_json);
	str_char(out, '"');
}

static void
put_name(struct str *out, const char *key, const char *value)
{
	put_string(out, key, span_cstr(value), NAME_MAX_BYTES);
}

static void
put_number(struct str *out, const char *key, uint64_t n)
{
	put_key(out, key);
	str_u64(out, n);
}

/* Seconds between two points, if both have come. */
static void
put_time(struct str *out, const char *key, uint64_t from_us, uint64_t to_us)
{
	if (from_us == 0 || to_us < from_us)
		return;
	put_key(out, key);
	str_seconds(out, (to_us - from_us) / 1000);
}

static void
put_start(struct str *out, const struct exchange *ex)
{
	uint64_t ms = now_wall_ms() % 1000;
	char fraction[4] = { '.', (char)('0' + ms / 100),
		(char)('0' + ms / 10 % 10), (char)('0' + ms % 10) };

	str_lit(out, "{\"time\":\"");
	str_cstr(out, clock_text.iso8601);
	str_put(out, fraction, sizeof(fraction));
	str_lit(out, "Z\",\"client_ip\":\"");
	addr_ip_put(out, &ex->client_ip);
	str_char(out, '"');
}

static void
put_request(struct str *out, const struct exchange *ex)
{
	const struct http_request *req = &ex->req;

	put_string(out, "request_id", ex->request_id, FIELD_MAX);
	put_string(out, "trace_id", ex->trace_id, FIELD_MAX);
	put_string(out, "identity", ex->identity, IDENTITY_MAX);
	put_string(out, "request_method", req->method, METHOD_MAX);
	put_string(out, "request_host", req->host, HOST_MAX);
	put_string(out, "request_target", req->target, TARGET_MAX);
	if (req->method.len > 0)
		put_string(out, "request_version", version(ex), METHOD_MAX);
	put_number(out, "request_bytes", ex->client_bytes_in);
	put_string(out, "referer", field(&req->fields, FIELD_REFERER),
	    FIELD_MAX);
	put_string(out, "user_agent", field(&req->fields, FIELD_USER_AGENT),
	    FIELD_MAX);
}

static void
put_upstream(struct str *out, const struct exchange *ex)
{
	char memory[BACKEND_NAME_MAX];
	struct str address;

	if (ex->group == NULL)
		return;
	put_string(out, "upstream_name", ex->group->name, NAME_MAX_BYTES);
	put_number(out, "upstream_tries", ex->attempts);
	if (ex->backend == NULL)
		return;
	str_init(&address, memory, sizeof(memory));
	backend_put_address(ex->backend, &address);
	put_string(out, "upstream_address", str_view(&address),
	    NAME_MAX_BYTES);
	if (ex->up_status != 0)
		put_number(out, "upstream_status", ex->up_status);
	put_key(out, "upstream_reused");
	str_cstr(out, ex->reused ? "true" : "false");
	put_time(out, "upstream_connect_time", ex->selected_us,
	    ex->connected_us);
	put_time(out, "upstream_first_byte_time", ex->sent_us, ex->head_us);
	put_time(out, "upstream_time", ex->selected_us, ex->ended_us);
}

void
line_json(struct str *out, const struct exchange *ex)
{
	update_clock();
	begin_line(out);
	put_start(out, ex);
	put_request(out, ex);
	if (ex->head_sent)
		put_number(out, "response_status", ex->res.status);
	put_number(out, "response_bytes", ex->client_bytes_out);
	put_number(out, "response_body_bytes", body_bytes(ex));
	put_time(out, "duration", ex->started_us, ex->ended_us);
	put_name(out, "service_name", ex->service->name);
	put_name(out, "route_name", ex->route->name);
	put_upstream(out, ex);
	if (ex->reason != REASON_NONE) {
		put_name(out, "error_reason", reason_name(ex->reason));
		put_name(out, "error_phase", exchange_failed_in(ex));
		put_name(out, "error_detail",
		    ex->detail != NULL ? ex->detail : "");
	}
	str_char(out, '}');
	end_line(out);
}

/* ---- templates ---- */

struct pieces {
	struct str *out;
	bool is_json;
};

static void
put_piece(void *arg, const struct template_piece *piece)
{
	const struct pieces *p = arg;
	struct str *out = p->out;

	if (out->overflow)
		return;
	if (!piece->is_value)
		str_span(out, piece->bytes);
	else if (piece->bytes.len > 0)
		put_value(out, piece->bytes, VALUE_MAX,
		    p->is_json ? str_json : str_escaped);
	else if (piece->is_cut)
		str_span(out, ELLIPSIS);
	else if (!p->is_json)
		str_char(out, '-');
}

void
line_template(struct str *out, const struct exchange *ex,
    const struct template *t)
{
	char memory[VALUE_SCRATCH];
	struct span text = template_text(t);
	struct pieces pieces = { out, text.len > 0 && text.p[0] == '{' };
	struct str scratch;

	str_init(&scratch, memory, sizeof(memory));
	begin_line(out);
	template_each_piece(t, ex, &scratch, put_piece, &pieces);
	end_line(out);
}

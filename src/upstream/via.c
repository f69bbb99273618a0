/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * via - asking a next hop for a connection, and reading its answer.
 *
 * Nothing may follow the head of that answer: a server that speaks before it
 * is asked is none of HTTP's, and its bytes could be a body that the hop's
 * head says nothing of.
 */
#include "upstream/via.h"

#include <errno.h>
#include <string.h>

#include "base/heap_alloc.h"
#include "base/str.h"
#include "conf/template.h"
#include "net/conn.h"
#include "os/addr.h"

enum { INTERIMS_MAX = 16, FIELDS_MAX = 100 };

static const struct conf_item items[] = {
	CONF_VALUE("address", ADDRESS, struct via_conf, address, NULL,
	    CONF_REQUIRED, "the hop: 192.0.2.1:3128, [v6]:port or unix:/path"),
	CONF_VALUE("headers", MAP, struct via_conf, headers, NULL,
	    CONF_FIELD_NAME | CONF_SECRET, "further fields for the hop"),
	CONF_END,
};

/* Names that frame the request, or that it has anyway. */
static bool
is_ours(const char *name)
{
	static const enum http_field_id ours[] = { FIELD_HOST,
		FIELD_CONNECTION, FIELD_CONTENT_LENGTH,
		FIELD_TRANSFER_ENCODING, FIELD_UPGRADE,
		FIELD_EXPECT };
	enum http_field_id id = http_field_lookup(span_cstr(name));

	for (size_t i = 0; i < sizeof(ours) / sizeof(*ours); i++)
		if (ours[i] == id)
			return true;
	return false;
}

static int
check_headers(struct conf_ctx *ctx, const struct via_conf *conf)
{
	size_t len = 0;
	int status = 0;

	for (size_t i = 0; i < conf->headers.count; i++) {
		const struct conf_map_entry *e = &conf->headers.items[i];
		struct span value = { NULL, 0 };
		const char *what = NULL;

		if (is_ours(e->name))
			what = "this field is weir's own";
		else if (!template_is_constant(e->value, &value) ||
		    !http_is_field_value(value))
			what = "a plain value is expected: a connection "
			    "serves many requests";
		len += strlen(e->name) + value.len + 4;
		if (what == NULL && len > VIA_REQUEST_MAX / 2)
			what = "the fields are too long";
		if (what == NULL)
			continue;
		conf_report_error(ctx->report, &e->place,
		    "header %s of via: %s", e->name, what);
		status = -1;
	}
	return status;
}

static int
check(struct conf_ctx *ctx, const struct conf_node *node, void *conf_ptr)
{
	const struct via_conf *conf = conf_ptr;

	if (conf->address != NULL &&
	    (conf->address->is_name || conf->address->is_any)) {
		conf_report_error(ctx->report, &node->place,
		    "via: an address is expected, as \"192.0.2.1:3128\" or "
		    "\"unix:/run/hop.sock\": names of hops are not resolved");
		return -1;
	}
	return check_headers(ctx, conf);
}

const struct conf_table via_conf_table = {
	.name = "via",
	.items = items,
	.struct_bytes = sizeof(struct via_conf),
	.check = check,
};

void
via_put_request(const struct via_conf *conf, const struct addr *to,
    struct str *out)
{
	str_lit(out, "CONNECT ");
	addr_put(out, to);
	str_lit(out, " HTTP/1.1\r\nHost: ");
	addr_put(out, to);
	str_lit(out, "\r\n");
	for (size_t i = 0; i < conf->headers.count; i++) {
		struct span value = { NULL, 0 };

		(void)template_is_constant(conf->headers.items[i].value,
		    &value);
		str_printf(out, "%s: %.*s\r\n", conf->headers.items[i].name,
		    SPAN_ARG(value));
	}
	str_lit(out, "\r\n");
}

struct via_answer *
via_answer_new(void)
{
	struct via_answer *a = heap_alloc(sizeof(*a));

	a->h1 = (struct h1_state){ .checked = 0 };
	a->interims = 0;
	a->len = 0;
	return a;
}

/* RFC 9110, section 9.3.6: a 2xx has neither; one that has was misled. */
static bool
has_body(const struct http_response *res)
{
	const struct http_field *length = http_fields_get(&res->fields,
	    FIELD_CONTENT_LENGTH);
	uint64_t bytes;

	return http_fields_may_have(&res->fields,
	    FIELD_TRANSFER_ENCODING) || (length != NULL &&
	    (span_u64(http_field_value(length), &bytes) != 0 || bytes != 0));
}

/* A final head of `used` bytes. */
static enum via_result
judge(const struct via_answer *a, const struct http_response *res,
    size_t used, struct str *why)
{
	if (res->status >= 300) {
		str_printf(why, "it answered %u %.*s", (unsigned)res->status,
		    SPAN_ARG(http_status_phrase(res->status)));
	} else if (has_body(res)) {
		str_printf(why, "it answered %u with a body",
		    (unsigned)res->status);
	} else if (used < a->len) {
		str_printf(why, "%zu bytes follow its answer", a->len - used);
	} else {
		return VIA_OPEN;
	}
	return VIA_REFUSED;
}

enum via_result
via_answer_parse(struct via_answer *a, struct str *why)
{
	static const struct h1_limits limits = { .head_max = VIA_HEAD_MAX,
		.line_max = VIA_HEAD_MAX, .fields_max = FIELDS_MAX };
	static const struct h1_expected expected = {
		.method = HTTP_METHOD_CONNECT };

	while (a->len > 0) {
		struct http_response res;
		size_t used;

		switch (h1_parse_response(&a->h1, a->bytes, a->len, &limits,
		    &expected, &res, &used)) {
		case H1_MORE:
			return VIA_MORE;
		case H1_DONE:
			break;
		case H1_REFUSED:
		default:
			str_printf(why, "its answer is no HTTP: %s",
			    h1_refusal_text(a->h1.refusal));
			return VIA_REFUSED;
		}
		if (res.status >= 200)
			return judge(a, &res, used, why);
		if (++a->interims > INTERIMS_MAX) {
			str_lit(why, "too many interim answers");
			return VIA_REFUSED;
		}
		a->len -= used;
		memmove(a->bytes, a->bytes + used, a->len);
		a->h1 = (struct h1_state){ .checked = 0 };
	}
	return VIA_MORE;
}

enum via_result
via_answer_receive(struct via_answer *a, struct conn *c, struct str *why)
{
	enum via_result result = VIA_MORE;

	while (result == VIA_MORE && c->readable) {
		ssize_t n = conn_receive(c, a->bytes + a->len,
		    sizeof(a->bytes) - a->len);

		if (n == CONN_AGAIN)
			return VIA_MORE;
		if (n == CONN_EOF) {
			str_lit(why, "it closed the connection");
			return VIA_REFUSED;
		}
		if (n < 0) {
			str_cstr(why, strerror(errno));
			return VIA_REFUSED;
		}
		a->len += (size_t)n;
		result = via_answer_parse(a, why);
	}
	/* Its end is behind what came: no event would tell again. */
	if (result == VIA_OPEN && (c->peer_closed || c->readable)) {
		str_lit(why, "it closed the connection after its answer, or "
		    "went on");
		return VIA_REFUSED;
	}
	return result;
}

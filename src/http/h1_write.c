/* SPDX-License-Identifier: BSD-2-Clause */
/* h1_write - heads, with the one framing that the caller chose. */
#include "http/h1_write.h"

#include <assert.h>

/* Behind the value of a field as it was received: CR and LF. */
enum { LINE_END = 2 };

static const char *
verbatim_end(const struct http_field *f)
{
	return f->value + f->value_len + LINE_END;
}

/* The fields but those of that id, which the caller writes itself. */
static void
write_fields(struct str *out, const struct http_fields *fields,
    enum http_field_id except)
{
	const struct http_field *f = fields->items;
	const struct http_field *end = f + fields->count;
	const char *run = NULL;
	const char *run_end = NULL;

	for (; f < end; f++) {
		if ((f->flags & HTTP_FIELD_DROPPED) != 0 ||
		    (f->id == except && except != FIELD_OTHER))
			continue;
		if ((f->flags & HTTP_FIELD_VERBATIM) != 0) {
			if (f->name != run_end) {
				str_put(out, run, (size_t)(run_end - run));
				run = f->name;
			}
			run_end = verbatim_end(f);
			continue;
		}
		str_put(out, run, (size_t)(run_end - run));
		run = run_end = NULL;
		str_put(out, f->name, f->name_len);
		str_lit(out, ": ");
		str_put(out, f->value, f->value_len);
		str_lit(out, "\r\n");
	}
	str_put(out, run, (size_t)(run_end - run));
}

void
h1_write_fields(struct str *out, const struct http_fields *fields)
{
	write_fields(out, fields, FIELD_OTHER);
}

static void
write_framing(struct str *out, const struct h1_framing *framing)
{
	switch (framing->framing) {
	case HTTP_FRAMING_LENGTH:
		str_lit(out, "Content-Length: ");
		str_u64(out, framing->content_length);
		str_lit(out, "\r\n");
		break;
	case HTTP_FRAMING_CHUNKED:
		str_lit(out, "Transfer-Encoding: chunked\r\n");
		break;
	case HTTP_FRAMING_NONE:
	case HTTP_FRAMING_CLOSE:
		break;
	}
}

/* The next of the options of one Connection field. */
static void
write_option(struct str *out, bool *is_first, struct span option)
{
	if (*is_first)
		str_lit(out, "Connection: ");
	else
		str_lit(out, ", ");
	str_span(out, option);
	*is_first = false;
}

/* Connection, and the fields that belong to the connection. */
static void
write_connection(struct str *out, const struct h1_framing *framing)
{
	bool is_first = true;

	if (framing->upgrade_websocket)
		str_lit(out, "Upgrade: websocket\r\n");
	if (framing->te_trailers)
		str_lit(out, "TE: trailers\r\n");
	if (framing->close)
		write_option(out, &is_first, SPAN("close"));
	if (framing->keep_alive)
		write_option(out, &is_first, SPAN("keep-alive"));
	if (framing->upgrade_websocket)
		write_option(out, &is_first, SPAN("Upgrade"));
	if (framing->te_trailers)
		write_option(out, &is_first, SPAN("TE"));
	if (!is_first)
		str_lit(out, "\r\n");
}

static void
write_end(struct str *out, const struct h1_framing *framing)
{
	write_framing(out, framing);
	if (framing->close || framing->keep_alive ||
	    framing->upgrade_websocket || framing->te_trailers)
		write_connection(out, framing);
	str_lit(out, "\r\n");
}

void
h1_write_request(struct str *out, const struct http_request *req,
    struct span target, struct span host, const struct h1_framing *framing)
{
	assert(framing->framing != HTTP_FRAMING_CLOSE);
	str_span(out, req->method);
	str_lit(out, " ");
	str_span(out, target);
	str_lit(out, " HTTP/1.1\r\nHost: ");
	str_span(out, host);
	str_lit(out, "\r\n");
	write_fields(out, &req->fields, FIELD_HOST);
	write_end(out, framing);
}

void
h1_write_response(struct str *out, const struct http_response *res,
    const struct h1_framing *framing)
{
	char digits[3] = { (char)('0' + res->status / 100),
		(char)('0' + res->status / 10 % 10),
		(char)('0' + res->status % 10) };

	assert(res->status >= 100 && res->status <= 999);
	str_lit(out, "HTTP/1.1 ");
	str_put(out, digits, sizeof(digits));
	str_lit(out, " ");
	str_span(out, res->reason);
	str_lit(out, "\r\n");
	write_fields(out, &res->fields, FIELD_OTHER);
	write_end(out, framing);
}

void
h1_write_chunk(struct str *out, uint64_t len)
{
	assert(len > 0);
	str_hex(out, len);
	str_lit(out, "\r\n");
}

void
h1_write_last_chunk(struct str *out, const struct http_fields *trailers)
{
	str_lit(out, "0\r\n");
	if (trailers != NULL)
		h1_write_fields(out, trailers);
	str_lit(out, "\r\n");
}

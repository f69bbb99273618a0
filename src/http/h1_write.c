/* SPDX-License-Identifier: BSD-2-Clause */
/* h1_write - heads, with the one framing that the caller chose. */
#include "http/h1_write.h"

#include <assert.h>

/* Behind the value of a field as it was received: CR and LF. */
enum { LINE_END = 2 };

/* Where len more bytes may be written; NULL if they do not fit. */
static inline char *
claim(struct str *out, size_t len)
{
	if (len > out->cap - out->len || out->overflow) {
		out->overflow = true;
		return NULL;
	}
	return out->p + out->len;
}

/* Up to there was written. */
static inline void
release(struct str *out, const char *end)
{
	out->len = (size_t)(end - out->p);
}

/* Append a few bytes, mostly, without a call; the end of the copy. */
static inline char *
put(char *to, const char *from, size_t len)
{
	if (len > 32) {
		memcpy(to, from, len);
	} else if (len >= 16) {
		memcpy(to, from, 16);
		memcpy(to + len - 16, from + len - 16, 16);
	} else if (len >= 8) {
		memcpy(to, from, 8);
		memcpy(to + len - 8, from + len - 8, 8);
	} else {
		for (size_t i = 0; i < len; i++)
			to[i] = from[i];
	}
	return to + len;
}

#define PUT(to, literal) \
	((char *)memcpy((to), (literal), sizeof(literal) - 1) + \
	    sizeof(literal) - 1)

/* -- fields ------------------------------------------------------------ */

static void
write_run(struct str *out, const char *run, const char *end)
{
	size_t len = (size_t)(end - run);
	char *p = claim(out, len);

	if (p != NULL)
		release(out, put(p, run, len));
}

static void
write_field(struct str *out, const struct http_field *f)
{
	char *p = claim(out, f->name_len + f->value_len + sizeof(": \r\n") - 1);

	if (p == NULL)
		return;
	p = put(p, f->name, f->name_len);
	p = PUT(p, ": ");
	p = put(p, f->value, f->value_len);
	release(out, PUT(p, "\r\n"));
}

/* The fields but those of that id, which the caller writes itself. */
static void
write_fields(struct str *out, const struct http_fields *fields,
    unsigned except)
{
	const char *run = NULL;
	const char *run_end = NULL;

	for (uint32_t i = 0; i < fields->count; i++) {
		const struct http_field *f = &fields->items[i];
		unsigned flags = f->flags;

		if ((flags & HTTP_FIELD_DROPPED) != 0 || f->id == except)
			continue;
		if ((flags & HTTP_FIELD_VERBATIM) != 0) {
			if (f->name != run_end) {
				if (run != NULL)
					write_run(out, run, run_end);
				run = f->name;
			}
			run_end = f->value + f->value_len + LINE_END;
			continue;
		}
		if (run != NULL)
			write_run(out, run, run_end);
		run = run_end = NULL;
		write_field(out, f);
	}
	if (run != NULL)
		write_run(out, run, run_end);
}

void
h1_write_fields(struct str *out, const struct http_fields *fields)
{
	write_fields(out, fields, FIELD_ID_COUNT);
}

/* -- what the writer adds ---------------------------------------------- */

/* Decimal digits; there is room for 20. */
static char *
put_u64(char *to, uint64_t n)
{
	char digits[20];
	char *end = digits + sizeof(digits);
	char *p = end;

	do {
		*--p = (char)('0' + n % 10);
		n /= 10;
	} while (n > 0);
	return put(to, p, (size_t)(end - p));
}

/* The next of the options of one Connection field. */
static char *
put_option(char *to, bool *is_first, struct span option)
{
	to = *is_first ? PUT(to, "Connection: ") : PUT(to, ", ");
	*is_first = false;
	return put(to, option.p, option.len);
}

/* Connection, and the fields that belong to the connection. */
static char *
put_connection(char *p, const struct h1_framing *framing)
{
	bool is_first = true;

	if (framing->upgrade_websocket)
		p = PUT(p, "Upgrade: websocket\r\n");
	if (framing->te_trailers)
		p = PUT(p, "TE: trailers\r\n");
	if (framing->close)
		p = put_option(p, &is_first, SPAN("close"));
	if (framing->keep_alive)
		p = put_option(p, &is_first, SPAN("keep-alive"));
	if (framing->upgrade_websocket)
		p = put_option(p, &is_first, SPAN("Upgrade"));
	if (framing->te_trailers)
		p = put_option(p, &is_first, SPAN("TE"));
	return PUT(p, "\r\n");
}

/* Framing, Connection, and the empty line; composed first: it is short. */
static void
write_end(struct str *out, const struct h1_framing *framing)
{
	char text[192];
	char *p = text;

	if (framing->framing == HTTP_FRAMING_LENGTH) {
		p = PUT(p, "Content-Length: ");
		p = put_u64(p, framing->content_length);
		p = PUT(p, "\r\n");
	} else if (framing->framing == HTTP_FRAMING_CHUNKED) {
		p = PUT(p, "Transfer-Encoding: chunked\r\n");
	}
	if (framing->close || framing->keep_alive ||
	    framing->upgrade_websocket || framing->te_trailers)
		p = put_connection(p, framing);
	p = PUT(p, "\r\n");
	write_run(out, text, p);
}

/* -- heads ------------------------------------------------------------- */

void
h1_write_request(struct str *out, const struct http_request *req,
    struct span target, struct span host, const struct h1_framing *framing)
{
	char *p = claim(out, req->method.len + target.len + host.len +
	    sizeof("  HTTP/1.1\r\nHost: \r\n") - 1);

	assert(framing->framing != HTTP_FRAMING_CLOSE);
	if (p == NULL)
		return;
	p = put(p, req->method.p, req->method.len);
	*p++ = ' ';
	p = put(p, target.p, target.len);
	p = PUT(p, " HTTP/1.1\r\nHost: ");
	p = put(p, host.p, host.len);
	release(out, PUT(p, "\r\n"));
	write_fields(out, &req->fields, FIELD_HOST);
	write_end(out, framing);
}

void
h1_write_response(struct str *out, const struct http_response *res,
    const struct h1_framing *framing)
{
	char *p = claim(out, res->reason.len + sizeof("HTTP/1.1 200 \r\n") - 1);

	assert(res->status >= 100 && res->status <= 999);
	if (p == NULL)
		return;
	p = PUT(p, "HTTP/1.1 ");
	*p++ = (char)('0' + res->status / 100);
	*p++ = (char)('0' + res->status / 10 % 10);
	*p++ = (char)('0' + res->status % 10);
	*p++ = ' ';
	p = put(p, res->reason.p, res->reason.len);
	release(out, PUT(p, "\r\n"));
	write_fields(out, &res->fields, FIELD_ID_COUNT);
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

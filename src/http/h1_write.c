/* SPDX-License-Identifier: BSD-2-Clause */
/* h1_write - heads, with the one framing that the caller chose. */
#include "http/h1_write.h"

#include <assert.h>

/*
 * All writers of pieces return the end of what they wrote; `end` is that of
 * the memory, and NULL means that it did not fit.
 */

enum {
	LINE_END = 2, /* CR and LF */
	/* No more than framing, connection and the empty line take. */
	TAIL_MAX = 192,
};

/* A few bytes, mostly, without a call; there is room. */
static inline char *
put(char *to, const char *from, size_t len)
{
	if (len > 32) {
		memcpy(to, from, len);
	} else if (len > 16) {
		memcpy(to, from, 16);
		memcpy(to + len - 16, from + len - 16, 16);
	} else if (len >= 8) {
		memcpy(to, from, 8);
		memcpy(to + len - 8, from + len - 8, 8);
	} else if (len >= 4) {
		memcpy(to, from, 4);
		memcpy(to + len - 4, from + len - 4, 4);
	} else if (len > 0) {
		to[0] = from[0];
		to[len / 2] = from[len / 2];
		to[len - 1] = from[len - 1];
	}
	return to + len;
}

#define PUT(to, literal) \
	((char *)memcpy((to), (literal), sizeof(literal) - 1) + \
	    sizeof(literal) - 1)

static inline char *
start(const struct str *out)
{
	return out->overflow ? NULL : out->p + out->len;
}

static inline void
finish(struct str *out, const char *p)
{
	if (p == NULL)
		out->overflow = true;
	else
		out->len = (size_t)(p - out->p);
}

static inline bool
has_room(const char *p, const char *end, size_t len)
{
	return p != NULL && (size_t)(end - p) >= len;
}

/* -- fields ------------------------------------------------------------ */

static inline char *
put_field(char *p, const char *end, const struct http_field *f)
{
	if (!has_room(p, end, (size_t)f->name_len + f->value_len +
	    sizeof(": \r\n") - 1))
		return NULL;
	p = put(p, f->name, f->name_len);
	p = PUT(p, ": ");
	p = put(p, f->value, f->value_len);
	return PUT(p, "\r\n");
}

static inline char *
put_run(char *p, const char *end, const char *run, const char *run_end)
{
	size_t len = (size_t)(run_end - run);

	return has_room(p, end, len) ? put(p, run, len) : NULL;
}

static inline bool
is_verbatim(const struct http_field *f)
{
	return (f->flags & (HTTP_FIELD_VERBATIM | HTTP_FIELD_DROPPED)) ==
	    HTTP_FIELD_VERBATIM;
}

/*
 * The fields but those of that id, which the caller writes itself.  Verbatim
 * lines that lie together are copied together.
 */
static char *
put_fields(char *p, const char *end, const struct http_fields *fields,
    unsigned except)
{
	const struct http_field *f = fields->items;
	const struct http_field *f_end;

	if (fields->count == 0)
		return p;
	for (f_end = f + fields->count; f < f_end; ) {
		const char *run = f->name;
		const char *run_end;

		if ((f->flags & HTTP_FIELD_DROPPED) != 0 || f->id == except) {
			f++;
		} else if (!is_verbatim(f)) {
			p = put_field(p, end, f++);
		} else {
			do {
				run_end = f->value + f->value_len + LINE_END;
				f++;
			} while (f < f_end && is_verbatim(f) &&
			    f->name == run_end && f->id != except);
			p = put_run(p, end, run, run_end);
		}
	}
	return p;
}

void
h1_write_fields(struct str *out, const struct http_fields *fields)
{
	finish(out, put_fields(start(out), out->p + out->cap, fields,
	    FIELD_ID_COUNT));
}

/* -- what the writer adds ---------------------------------------------- */

/* Decimal digits; there is room for 20. */
static char *
put_u64(char *to, uint64_t n)
{
	char *end = to + 1;
	char *p;

	for (uint64_t rest = n; rest >= 10; rest /= 10)
		end++;
	for (p = end - 1; p > to; n /= 10)
		*p-- = (char)('0' + n % 10);
	*p = (char)('0' + n);
	return end;
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

/* Framing, Connection, and the empty line; there is room for TAIL_MAX. */
static inline char *
put_tail(char *p, const struct h1_framing *framing)
{
	if (framing->framing == HTTP_FRAMING_LENGTH) {
		p = PUT(p, "Content-Length: ");
		p = put_u64(p, framing->content_length);
		p = PUT(p, "\r\n");
	} else if (framing->framing == HTTP_FRAMING_CHUNKED) {
		p = PUT(p, "Transfer-Encoding: chunked\r\n");
	}
	if (framing->close || framing->upgrade_websocket ||
	    framing->te_trailers)
		p = put_connection(p, framing);
	else if (framing->keep_alive)
		p = PUT(p, "Connection: keep-alive\r\n");
	return PUT(p, "\r\n");
}

static __attribute__((noinline)) char *
put_tail_tightly(char *p, const char *end, const struct h1_framing *framing)
{
	char text[TAIL_MAX];

	return put_run(p, end, text, put_tail(text, framing));
}

/* The end of a head: its fields, and what follows them. */
static inline char *
put_end(char *p, const char *end, const struct http_fields *fields,
    unsigned except, const struct h1_framing *framing)
{
	p = put_fields(p, end, fields, except);
	return has_room(p, end, TAIL_MAX) ? put_tail(p, framing) :
					    put_tail_tightly(p, end, framing);
}

/* -- heads ------------------------------------------------------------- */

void
h1_write_request(struct str *out, const struct http_request *req,
    struct span target, struct span host, const struct h1_framing *framing)
{
	const char *end = out->p + out->cap;
	char *p = start(out);

	assert(framing->framing != HTTP_FRAMING_CLOSE);
	if (has_room(p, end, req->method.len + target.len + host.len +
	    sizeof("  HTTP/1.1\r\nHost: \r\n") - 1)) {
		p = put(p, req->method.p, req->method.len);
		*p++ = ' ';
		p = put(p, target.p, target.len);
		p = PUT(p, " HTTP/1.1\r\nHost: ");
		p = put(p, host.p, host.len);
		p = PUT(p, "\r\n");
		p = put_end(p, end, &req->fields, FIELD_HOST, framing);
	} else {
		p = NULL;
	}
	finish(out, p);
}

void
h1_write_response(struct str *out, const struct http_response *res,
    const struct h1_framing *framing)
{
	const char *end = out->p + out->cap;
	char *p = start(out);

	assert(res->status >= 100 && res->status <= 999);
	if (has_room(p, end, res->reason.len +
	    sizeof("HTTP/1.1 200 \r\n") - 1)) {
		p = PUT(p, "HTTP/1.1 ");
		*p++ = (char)('0' + res->status / 100);
		*p++ = (char)('0' + res->status / 10 % 10);
		*p++ = (char)('0' + res->status % 10);
		*p++ = ' ';
		p = put(p, res->reason.p, res->reason.len);
		p = PUT(p, "\r\n");
		p = put_end(p, end, &res->fields, FIELD_ID_COUNT, framing);
	} else {
		p = NULL;
	}
	finish(out, p);
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

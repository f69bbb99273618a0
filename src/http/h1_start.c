/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * h1_start - request lines and status lines.
 *
 * What is usual is read sixteen bytes at a time where the machine can; all
 * else, right and wrong, byte by byte.
 */
#include "http/h1_start.h"

#include <string.h>

#include "http/scan.h"
#include "http/uri.h"

/* Look at no more of the head than a start-line may have; the old end. */
static const char *
bound_line(struct h1_pass *s, size_t line_max)
{
	const char *end = s->end;

	if ((size_t)(end - s->at) > line_max + 2)
		s->end = s->at + line_max + 2;
	return end;
}

/* Undo that, and tell a line that is too long from one that may yet end. */
static enum h1_line
unbound_line(struct h1_pass *s, size_t line_max, const char *end,
    enum h1_line line)
{
	if (line == H1_LINE_MORE && (size_t)(s->end - s->at) == line_max + 2)
		line = h1_pass_refuse(s, s->end - 1, H1_REFUSAL_LINE_TOO_LONG);
	s->end = end;
	return line;
}

/*
 * "HTTP/" DIGIT "." DIGIT at p; *after is what follows.  Minor versions above 1
 * are read as 1 (RFC 9110, section 2.5).
 */
static enum h1_line
read_version(struct h1_pass *s, const char *p, enum h1_refusal lacks,
    const char **after)
{
	static const char form[] = "HTTP/0.0";

	for (size_t i = 0; i < sizeof(form) - 1; i++) {
		bool is_digit = form[i] == '0';

		if (p + i >= s->end)
			return H1_LINE_MORE;
		if (is_digit ? !chars_is_digit(p[i]) : p[i] != form[i])
			return h1_pass_refuse_byte(s, p + i, lacks);
	}
	s->head.minor = p[7] != '0';
	*after = p + sizeof(form) - 1;
	return H1_LINE_DONE;
}

static enum h1_line
read_method(struct h1_pass *s, struct http_request *req, const char **after)
{
	const char *p = scan_class(s->at, s->end, CHARS_TOKEN);

	if (p >= s->end || *p != ' ' || p == s->at)
		return h1_pass_refuse_byte(s, p, H1_REFUSAL_METHOD);
	req->method = span_of(s->at, (size_t)(p - s->at));
	req->method_id = (uint8_t)http_method_lookup(req->method);
	*after = p + 1;
	return H1_LINE_DONE;
}

static enum h1_line
read_target(struct h1_pass *s, const char *p, struct http_request *req,
    const char **after)
{
	const char *stop = scan_target(p, s->end, s->base);

	while (stop < s->end && *stop == '?')
		stop = scan_target(stop + 1, s->end, s->base);
	if (stop >= s->end || *stop != ' ' || stop == p)
		return h1_pass_refuse_byte(s, stop, H1_REFUSAL_TARGET);
	req->target = span_of(p, (size_t)(stop - p));
	*after = stop + 1;
	return H1_LINE_DONE;
}

#if SCAN_SSE2

/* Whether uri_path_check() has nothing to see; SCAN_WIDTH bytes are there. */
static inline bool
is_free_of_marks(struct span path)
{
	if (path.len < SCAN_WIDTH)
		return (scan_mark_stops(path.p) &
		    ((UINT64_C(1) << path.len) - 1)) == 0;
	return scan_until(path.p, path.p + path.len, scan_mark_stops) ==
	    path.p + path.len;
}

/*
 * The usual line: GET or POST, a path and maybe a query, HTTP/1.0 or 1.1.  All
 * others, right and wrong, are left as they are: false.
 */
static bool
read_plain_request_line(struct h1_pass *s, struct http_request *req,
    size_t line_max)
{
	const char *p = s->at;
	const char *stop;

	if (s->end - p < 2 * SCAN_WIDTH)
		return false;
	if (memcmp(p, "GET ", 4) == 0) {
		req->method_id = HTTP_METHOD_GET;
		req->method = span_of(p, 3);
		p += 4;
	} else if (memcmp(p, "POST ", 5) == 0) {
		req->method_id = HTTP_METHOD_POST;
		req->method = span_of(p, 4);
		p += 5;
	} else {
		return false;
	}
	if (*p != '/')
		return false;
	stop = scan_until(p, s->end, scan_target_stops);
	req->path = span_of(p, (size_t)(stop - p));
	req->path_is_plain = is_free_of_marks(req->path);
	req->query = span_of(stop, 0);
	req->has_query = stop < s->end && *stop == '?';
	if (req->has_query) {
		const char *query = stop + 1;

		do
			stop = scan_until(stop + 1, s->end, scan_target_stops);
		while (stop < s->end && *stop == '?');
		req->query = span_of(query, (size_t)(stop - query));
	}
	if (s->end - stop < 11 || memcmp(stop, " HTTP/1.", 8) != 0 ||
	    (stop[8] != '1' && stop[8] != '0') ||
	    memcmp(stop + 9, "\r\n", 2) != 0 ||
	    (size_t)(stop + 9 - s->at) > line_max)
		return false;
	req->target = span_of(p, (size_t)(stop - p));
	req->scheme = span_of(p, 0);
	req->authority = span_of(p, 0);
	s->head.minor = stop[8] == '1';
	s->at = stop + 11;
	return true;
}

#endif

static enum h1_line
read_any_request_line(struct h1_pass *s, struct http_request *req)
{
	const char *p = s->at;
	enum h1_line line;

	line = read_method(s, req, &p);
	if (line == H1_LINE_DONE)
		line = read_target(s, p, req, &p);
	if (line == H1_LINE_DONE)
		line = read_version(s, p, H1_REFUSAL_VERSION, &p);
	if (line != H1_LINE_DONE)
		return line;
	if (p >= s->end || *p != '\r')
		return h1_pass_refuse_byte(s, p, H1_REFUSAL_VERSION);
	line = h1_pass_line_end(s, p, H1_LINE_DONE);
	if (line != H1_LINE_DONE)
		return line;
	if (p[-3] != '1')
		return h1_pass_refuse(s, p - 3, H1_REFUSAL_VERSION_UNSUPPORTED);
	if (!uri_split_target(req))
		return h1_pass_refuse(s, req->target.p, H1_REFUSAL_TARGET);
	return H1_LINE_DONE;
}

static H1_COLD enum h1_line
read_bounded_request_line(struct h1_pass *s, struct http_request *req,
    size_t line_max)
{
	const char *end = bound_line(s, line_max);
	enum h1_line line = read_any_request_line(s, req);

	return unbound_line(s, line_max, end, line);
}

/* RFC 9112, section 2.2: empty lines before a request are passed over. */
static H1_COLD enum h1_line
skip_empty_lines(struct h1_pass *s)
{
	enum h1_line line = H1_LINE_DONE;

	for (unsigned n = 0; line == H1_LINE_DONE; n++) {
		if (s->at >= s->end)
			return H1_LINE_MORE;
		if (*s->at != '\r')
			return H1_LINE_DONE;
		if (n == H1_EMPTY_LINES_MAX)
			return h1_pass_refuse(s, s->at, H1_REFUSAL_METHOD);
		line = h1_pass_line_end(s, s->at, H1_LINE_DONE);
	}
	return line;
}

#if SCAN_SSE2

/* HTTP/1.0 or 1.1, a status and a phrase; all else is left: false. */
static bool
read_plain_status_line(struct h1_pass *s, struct http_response *res,
    size_t line_max)
{
	const char *p = s->at;
	const char *stop;
	unsigned a, b, c;

	if (s->end - p < 2 * SCAN_WIDTH || memcmp(p, "HTTP/1.", 7) != 0 ||
	    (p[7] != '1' && p[7] != '0') || p[8] != ' ' || p[12] != ' ')
		return false;
	a = (unsigned)p[9] - '1';
	b = (unsigned)p[10] - '0';
	c = (unsigned)p[11] - '0';
	if (a > 4 || b > 9 || c > 9)
		return false;
	stop = scan_until(p + 13, s->end, scan_value_stops);
	if (s->end - stop < 2 || memcmp(stop, "\r\n", 2) != 0 ||
	    (size_t)(stop - p) > line_max)
		return false;
	s->head.minor = p[7] == '1';
	res->status = (uint16_t)((a + 1) * 100 + b * 10 + c);
	res->reason = span_of(p + 13, (size_t)(stop - p) - 13);
	s->at = stop + 2;
	return true;
}

#endif

static enum h1_line
read_any_status_line(struct h1_pass *s, struct http_response *res)
{
	const char *p = s->at;
	enum h1_line line;

	line = read_version(s, p, H1_REFUSAL_STATUS_LINE, &p);
	if (line != H1_LINE_DONE)
		return line;
	if (p[-3] != '1')
		return h1_pass_refuse(s, p - 3, H1_REFUSAL_STATUS_LINE);
	if (p >= s->end || *p != ' ')
		return h1_pass_refuse_byte(s, p, H1_REFUSAL_STATUS_LINE);
	p++;
	res->status = 0;
	for (unsigned i = 0; i < 3; i++, p++) {
		char first = i == 0 ? '1' : '0';
		char last = i == 0 ? '5' : '9';

		if (p >= s->end || *p < first || *p > last)
			return h1_pass_refuse_byte(s, p,
			    H1_REFUSAL_STATUS_LINE);
		res->status = (uint16_t)(res->status * 10 + (*p - '0'));
	}
	/* The space is due even before an empty phrase, and often missing. */
	if (p < s->end && *p == ' ')
		p++;
	else if (p >= s->end || *p != '\r')
		return h1_pass_refuse_byte(s, p, H1_REFUSAL_STATUS_LINE);
	res->reason = span_of(p, 0);
	p = scan_value(p, s->end, s->base);
	if (p >= s->end || *p != '\r')
		return h1_pass_refuse_byte(s, p, H1_REFUSAL_CONTROL);
	res->reason.len = (size_t)(p - res->reason.p);
	return h1_pass_line_end(s, p, H1_LINE_DONE);
}

static H1_COLD enum h1_line
read_bounded_status_line(struct h1_pass *s, struct http_response *res,
    size_t line_max)
{
	const char *end = bound_line(s, line_max);
	enum h1_line line = read_any_status_line(s, res);

	return unbound_line(s, line_max, end, line);
}

enum h1_line
h1_start_response(struct h1_pass *s, struct http_response *res, size_t line_max)
{
#if SCAN_SSE2
	if (read_plain_status_line(s, res, line_max))
		return H1_LINE_DONE;
#endif
	return read_bounded_status_line(s, res, line_max);
}

enum h1_line
h1_start_request(struct h1_pass *s, struct http_request *req, size_t line_max)
{
	enum h1_line line;

#if SCAN_SSE2
	if (read_plain_request_line(s, req, line_max))
		return H1_LINE_DONE;
#endif
	line = skip_empty_lines(s);
	if (line == H1_LINE_DONE)
		line = read_bounded_request_line(s, req, line_max);
	return line;
}

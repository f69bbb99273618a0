/* SPDX-License-Identifier: BSD-2-Clause */
/* uri - cuts request targets into parts and looks at paths. */
#include "http/uri.h"

#include <arpa/inet.h>

#include "http/chars.h"
#include "http/message.h"
#include "http/scan.h"

enum {
	HOST_MAX = 255,    /* RFC 3986, section 3.2.2 */
	ADDRESS6_MAX = 45, /* the longest IPv6 address as text */
};

/* -- targets ----------------------------------------------------------- */

/* s begins at the path; what follows '?' is the query. */
static bool
split_path(struct http_request *req, struct span s)
{
	const char *end = s.p + s.len;
	const char *stop = scan_target(s.p, end, s.p);

	req->path = span_of(s.p, (size_t)(stop - s.p));
	req->has_query = stop < end && *stop == '?';
	req->query = span_of(stop, 0);
	if (!req->has_query)
		return stop == end;
	req->query = span_of(stop + 1, (size_t)(end - stop) - 1);
	for (stop++; stop < end; stop++) {
		if (!chars_is(*stop, CHARS_TARGET))
			return false;
	}
	return true;
}

/* "http://" or "https://" and what follows. */
static bool
split_absolute(struct http_request *req)
{
	struct span s = req->target;
	size_t scheme = 4;
	size_t i;

	if (s.len < 7 || !span_ieq(span_of(s.p, 4), SPAN("http")))
		return false;
	if (s.p[scheme] == 's' || s.p[scheme] == 'S')
		scheme++;
	if (!span_starts(span_of(s.p + scheme, s.len - scheme), SPAN("://")))
		return false;
	req->scheme = scheme == 4 ? SPAN("http") : SPAN("https");
	s = span_of(s.p + scheme + 3, s.len - scheme - 3);
	for (i = 0; i < s.len && s.p[i] != '/' && s.p[i] != '?'; i++)
		;
	req->authority = span_of(s.p, i);
	if (!uri_is_authority(req->authority) ||
	    !split_path(req, span_of(s.p + i, s.len - i)))
		return false;
	/* RFC 9112, section 3.2.4: OPTIONS without a path is OPTIONS *. */
	if (req->path.len == 0)
		req->path = req->method_id == HTTP_METHOD_OPTIONS &&
		    !req->has_query ? SPAN("*") : SPAN("/");
	return true;
}

bool
uri_split_target(struct http_request *req)
{
	struct span target = req->target;

	req->scheme = span_of(target.p, 0);
	req->authority = span_of(target.p, 0);
	req->path = span_of(target.p, 0);
	req->query = span_of(target.p, 0);
	req->has_query = false;
	req->path_is_plain = false;
	if (target.len == 0)
		return false;
	/* CONNECT names a port, always (RFC 9110, section 9.3.6). */
	if (req->method_id == HTTP_METHOD_CONNECT) {
		req->authority = target;
		return uri_is_authority(target) && uri_port_of(target, 0) != 0;
	}
	if (target.p[0] == '/')
		return split_path(req, target);
	if (span_eq(target, SPAN("*"))) {
		req->path = target;
		return req->method_id == HTTP_METHOD_OPTIONS;
	}
	return split_absolute(req);
}

/* -- authorities ------------------------------------------------------- */

/* The length of the host at the start of a valid authority. */
static size_t
host_len(struct span authority)
{
	const char *end;

	if (authority.len == 0)
		return 0;
	if (authority.p[0] == '[') {
		end = memchr(authority.p, ']', authority.len);
		return end != NULL ? (size_t)(end - authority.p) + 1 :
				     authority.len;
	}
	end = memchr(authority.p, ':', authority.len);
	return end != NULL ? (size_t)(end - authority.p) : authority.len;
}

static bool
is_address6(struct span s)
{
	char text[ADDRESS6_MAX + 1];
	struct in6_addr address;

	if (s.len < 4 || s.len - 2 > ADDRESS6_MAX || s.p[s.len - 1] != ']' ||
	    memchr(s.p, '\0', s.len) != NULL)
		return false;
	memcpy(text, s.p + 1, s.len - 2);
	text[s.len - 2] = '\0';
	return inet_pton(AF_INET6, text, &address) == 1;
}

/*
 * A name or an IPv4 address.  Escapes and delimiters, which RFC 3986 allows,
 * have no use in a name of the DNS and are read in several ways.
 */
static bool
is_name(struct span s)
{
	char before = '.';

	if (s.len == 0 || s.len > HOST_MAX)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		if (!chars_is(s.p[i], CHARS_UNRESERVED) ||
		    (s.p[i] == '.' && before == '.'))
			return false;
		before = s.p[i];
	}
	return true;
}

/* ":" and a port, or nothing. */
static bool
is_port(struct span s)
{
	unsigned port = 0;

	if (s.len <= 1)
		return s.len == 0 || s.p[0] == ':';
	if (s.p[0] != ':' || s.len > 6)
		return false;
	for (size_t i = 1; i < s.len; i++) {
		if (!chars_is_digit(s.p[i]))
			return false;
		port = port * 10 + (unsigned)(s.p[i] - '0');
	}
	return port >= 1 && port <= UINT16_MAX;
}

bool
uri_is_authority(struct span s)
{
	size_t len = host_len(s);
	struct span host = span_of(s.p, len);

	if (len == 0)
		return false;
	return is_port(span_of(s.p + len, s.len - len)) &&
	    (s.p[0] == '[' ? is_address6(host) : is_name(host));
}

struct span
uri_host_of(struct span authority, char *memory)
{
	size_t len = host_len(authority);

	for (size_t i = 0; i < len; i++)
		memory[i] = (char)span_lower((unsigned char)authority.p[i]);
	if (len > 0 && memory[len - 1] == '.')
		len--;
	return span_of(memory, len);
}

uint16_t
uri_port_of(struct span authority, uint16_t fallback)
{
	size_t i = host_len(authority) + 1;
	unsigned port = 0;

	if (i >= authority.len)
		return fallback;
	for (; i < authority.len; i++)
		port = port * 10 + (unsigned)(authority.p[i] - '0');
	return (uint16_t)port;
}

static struct span
bare_host(struct span authority)
{
	size_t len = host_len(authority);

	if (len > 0 && authority.p[len - 1] == '.')
		len--;
	return span_of(authority.p, len);
}

bool
uri_same_authority(struct span a, struct span b, uint16_t fallback)
{
	return span_ieq(bare_host(a), bare_host(b)) &&
	    uri_port_of(a, fallback) == uri_port_of(b, fallback);
}

/* -- paths ------------------------------------------------------------- */

/* The byte that "%XX" at s.p[i] stands for; -1 if it is no escape. */
static int
escape_at(struct span s, size_t i)
{
	if (i + 2 >= s.len || !chars_is(s.p[i + 1], CHARS_HEX) ||
	    !chars_is(s.p[i + 2], CHARS_HEX))
		return -1;
	return (int)(chars_hex(s.p[i + 1]) << 4 | chars_hex(s.p[i + 2]));
}

/* The length of a dot at the start of s: 1, 3 as an escape, 0 for none. */
static size_t
dot_len(struct span s)
{
	if (s.len > 0 && s.p[0] == '.')
		return 1;
	if (s.len > 0 && s.p[0] == '%' && escape_at(s, 0) == '.')
		return 3;
	return 0;
}

/* 1 for ".", 2 for "..", each also escaped; 0 for any other segment. */
static unsigned
dots_of(struct span segment)
{
	unsigned n = 0;
	size_t len;

	while (n < 3 && (len = dot_len(segment)) > 0) {
		segment.p += len;
		segment.len -= len;
		n++;
	}
	return segment.len == 0 && n < 3 ? n : 0;
}

/* The segment that begins at s.p[i], up to the next '/' or the end. */
static struct span
segment_at(struct span s, size_t i)
{
	const char *p = s.p + i;
	const char *end = memchr(p, '/', s.len - i);

	return span_of(p, end != NULL ? (size_t)(end - p) : s.len - i);
}

enum uri_path_state
uri_path_check(struct span path)
{
	enum uri_path_state state = URI_PATH_PLAIN;
	const char *end = path.p + path.len;
	const char *p = path.p;

	while ((p = scan_mark(p, end, path.p)) < end) {
		size_t i = (size_t)(p - path.p);
		size_t len = 1;

		if (path.p[i] == '%') {
			int c = escape_at(path, i);

			if (c < 0)
				return URI_PATH_INVALID;
			if (state == URI_PATH_PLAIN &&
			    chars_is((char)c, CHARS_UNRESERVED))
				state = URI_PATH_ENCODED;
			len = 3;
		}
		if (i > 0 && path.p[i - 1] == '/' &&
		    dots_of(segment_at(path, i)) > 0)
			state = URI_PATH_DOTS;
		p += len;
	}
	return state;
}

void
uri_path_decode(struct span path, struct str *out)
{
	size_t start = 0;

	for (size_t i = 0; i < path.len; i++) {
		int c = path.p[i] == '%' ? escape_at(path, i) : -1;

		if (c < 0 || !chars_is((char)c, CHARS_UNRESERVED))
			continue;
		str_put(out, path.p + start, i - start);
		str_char(out, (char)c);
		start = i + 3;
		i += 2;
	}
	str_put(out, path.p + start, path.len - start);
}

/* A segment with its escaped dots decoded. */
static void
put_segment(struct str *out, struct span segment)
{
	for (size_t i = 0; i < segment.len; i++) {
		if (segment.p[i] == '%' && escape_at(segment, i) == '.') {
			str_char(out, '.');
			i += 2;
		} else {
			str_char(out, segment.p[i]);
		}
	}
}

/* Cut the last segment and its '/' off what was written since start. */
static void
cut_segment(struct str *out, size_t start)
{
	while (out->len > start) {
		out->len--;
		if (out->p[out->len] == '/')
			return;
	}
}

void
uri_path_resolve(struct span path, struct str *out)
{
	size_t start = out->len;
	size_t i = 0;

	if (path.len == 0 || path.p[0] != '/') {
		str_span(out, path);
		return;
	}
	while (i < path.len) {
		struct span segment = segment_at(path, i + 1);
		unsigned dots = dots_of(segment);

		i += segment.len + 1;
		if (dots == 2)
			cut_segment(out, start);
		if (dots == 0) {
			str_char(out, '/');
			put_segment(out, segment);
		} else if (i >= path.len) {
			str_char(out, '/');
		}
	}
}

bool
uri_query_get(struct span query, struct span name, struct span *value)
{
	size_t i = 0;

	while (i < query.len) {
		const char *p = query.p + i;
		const char *end = memchr(p, '&', query.len - i);
		size_t len = end != NULL ? (size_t)(end - p) : query.len - i;
		const char *equals = memchr(p, '=', len);
		size_t name_len = equals != NULL ? (size_t)(equals - p) : len;

		if (len > 0 && span_eq(span_of(p, name_len), name)) {
			*value = equals != NULL ?
			    span_of(equals + 1, len - name_len - 1) :
			    span_of(p + len, 0);
			return true;
		}
		i += len + 1;
	}
	return false;
}

char
uri_query_byte(struct span s, size_t *at)
{
	const char *p = s.p + (*at)++;

	if (*p == '+')
		return ' ';
	if (*p != '%' || *at + 1 >= s.len || !chars_is(p[1], CHARS_HEX) ||
	    !chars_is(p[2], CHARS_HEX))
		return *p;
	*at += 2;
	return (char)(chars_hex(p[1]) << 4 | chars_hex(p[2]));
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * h1_parse - the lines of a head, and the bytes they are made of.
 *
 * Lines are checked one by one.  A head that came whole is done in one pass.
 * Where it did not, the whole lines so far are counted in the state and not
 * looked at again until the last one is there; then one more pass fills the
 * table.  Both passes are the same code, so they cannot disagree.
 */
#include "http/h1_parse.h"

#include "http/h1_head.h"
#include "http/h1_plain.h"
#include "http/scan.h"
#include "http/uri.h"

enum line {
	LINE_DONE,
	LINE_LAST, /* the empty line at the end */
	LINE_MORE,
	LINE_REFUSED,
};

struct pass {
	const char *base;
	const char *end;  /* of what may be looked at: the limits count */
	const char *at;   /* the next line */
	const char *good; /* bytes of its value before this were checked */
	struct h1_state *state;
	uint32_t fields_max;
	uint32_t count;   /* of fields in the table */
	struct h1_head head;
};

static struct http_field table[H1_FIELDS_MAX];

/* Kept out of line, so that what is usual saves no registers for it. */
#define COLD __attribute__((noinline))

/* -- refusing ---------------------------------------------------------- */

static COLD enum line
refuse(struct pass *s, const char *at, enum h1_refusal refusal)
{
	s->state->refusal = refusal;
	s->state->offset = (size_t)(at - s->base);
	return LINE_REFUSED;
}

/*
 * A byte that does not belong there.  CR is judged by what follows it: as the
 * end of a line it is refused for what the line lacks.
 */
static enum line
refuse_byte(struct pass *s, const char *at, enum h1_refusal lacks)
{
	if (at >= s->end)
		return LINE_MORE;
	if (*at == '\n')
		return refuse(s, at, H1_REFUSAL_BARE_LF);
	if (*at == '\r') {
		if (at + 1 >= s->end)
			return LINE_MORE;
		return refuse(s, at, at[1] == '\n' ? lacks :
						     H1_REFUSAL_BARE_CR);
	}
	if (!chars_is(*at, CHARS_VALUE))
		return refuse(s, at, H1_REFUSAL_CONTROL);
	return refuse(s, at, lacks);
}

/* CR was seen at `at`; LF has to follow. */
static enum line
line_end(struct pass *s, const char *at, enum line whole)
{
	if (at + 1 >= s->end)
		return LINE_MORE;
	if (at[1] != '\n')
		return refuse(s, at, H1_REFUSAL_BARE_CR);
	s->at = at + 2;
	return whole;
}

/* -- fields, byte by byte ---------------------------------------------- */

struct name {
	size_t len;
	uint8_t id;
	uint8_t flags;
};

/* What follows the name is not looked at. */
static void
read_name(const struct pass *s, struct name *name)
{
	const char *end = scan_class(s->at, s->end, CHARS_TOKEN);

	name->len = (size_t)(end - s->at);
	name->id = (uint8_t)http_field_lookup(span_of(s->at, name->len));
	name->flags = name->len > 0 && memchr(s->at, '_', name->len) != NULL ?
	    HTTP_FIELD_UNDERSCORE : 0;
}

/* What stands where a colon should. */
static enum line
refuse_name(struct pass *s, const char *at)
{
	if (at < s->end && chars_is_blank(*at))
		return refuse(s, at, at == s->at ? H1_REFUSAL_OBS_FOLD :
						   H1_REFUSAL_FIELD_NAME_SPACE);
	if (at < s->end && *at == '\r' && at > s->at)
		return refuse_byte(s, at, H1_REFUSAL_FIELD_COLON);
	return refuse_byte(s, at, H1_REFUSAL_FIELD_NAME);
}

/* The value is [p, stop), maybe with blanks behind it, and well-formed. */
static enum line
add_field(struct pass *s, const struct name *name, const char *p,
    const char *stop, uint8_t flags)
{
	struct http_field *f = &table[s->count];
	const char *end = stop;

	/* Of the bytes of a value only blanks are not above the space. */
	while (end > p && (unsigned char)end[-1] <= ' ') {
		end--;
		flags = 0;
	}
	f->name = s->at;
	f->value = p;
	f->value_len = (uint32_t)(end - p);
	f->name_len = (uint16_t)name->len;
	f->id = name->id;
	f->flags = flags | name->flags;
	if ((H1_HEAD_NOTED >> name->id & 1) != 0) {
		enum h1_refusal refusal = h1_head_note(&s->head, f);

		if (refusal != H1_REFUSAL_NONE)
			return refuse(s, p, refusal);
	}
	s->head.present |= UINT64_C(1) << name->id;
	if ((name->flags & HTTP_FIELD_UNDERSCORE) != 0)
		s->head.present |= HTTP_FIELDS_UNDERSCORE;
	s->count++;
	s->at = stop + 2;
	return LINE_DONE;
}

static COLD enum line
read_field(struct pass *s)
{
	uint8_t flags = 0;
	struct name name;
	const char *p, *stop;

	if (s->at >= s->end)
		return LINE_MORE;
	if (*s->at == '\r')
		return line_end(s, s->at, LINE_LAST);
	if (s->count >= s->fields_max)
		return refuse(s, s->at, H1_REFUSAL_FIELDS_TOO_MANY);
	read_name(s, &name);
	p = s->at + name.len;
	if (name.len == 0 || p >= s->end || *p != ':')
		return refuse_name(s, p);
	if (name.len > UINT16_MAX)
		return refuse(s, s->at, H1_REFUSAL_HEAD_TOO_LARGE);
	p++;
	if (p < s->end && *p == ' ') {
		p++;
		flags = HTTP_FIELD_VERBATIM;
	}
	for (; p < s->end && chars_is_blank(*p); p++)
		flags = 0;
	stop = scan_value(s->good > p ? s->good : p, s->end, s->base);
	if (stop >= s->end || *stop != '\r') {
		s->state->value_checked = (size_t)(stop - s->base);
		return refuse_byte(s, stop, H1_REFUSAL_CONTROL);
	}
	if (stop + 1 >= s->end)
		return LINE_MORE;
	if (stop[1] != '\n')
		return refuse(s, stop, H1_REFUSAL_BARE_CR);
	return add_field(s, &name, p, stop, flags);
}

/* -- plain fields ------------------------------------------------------ */

#if SCAN_SSE2

static inline __attribute__((always_inline)) enum line
note_field(struct pass *s, const struct http_field *f)
{
	enum h1_refusal refusal;

	if (f->id == FIELD_HOST &&
	    h1_head_note_plain_host(&s->head, f->value, f->value_len))
		return LINE_DONE;
	refusal = h1_head_note(&s->head, f);
	if (refusal != H1_REFUSAL_NONE)
		return refuse(s, f->value, refusal);
	return LINE_DONE;
}

/* Plain lines up to one that is not; that one is left to read_field(). */
static inline __attribute__((always_inline)) enum line
read_plain_fields(struct pass *s)
{
	struct h1_plain_line line;
	const char *at = s->at;
	const char *end = s->end;
	struct http_field *f = table + s->count;
	const struct http_field *f_end = table + s->fields_max;
	uint64_t present = s->head.present;

	while (f < f_end) {
		if (end - at >= H1_PLAIN_FAR ?
		    !h1_plain_far_line(&line, at, end) :
		    !h1_plain_near_line(&line, at, end))
			break;
		f->name = at;
		f->value = line.value;
		f->value_len = (uint32_t)(line.stop - line.value);
		f->name_len = (uint16_t)line.name_len;
		f->id = (uint8_t)line.id;
		f->flags = HTTP_FIELD_VERBATIM;
		if ((H1_HEAD_NOTED >> line.id & 1) != 0) {
			s->head.present = present;
			if (note_field(s, f) == LINE_REFUSED)
				return LINE_REFUSED;
		}
		present |= UINT64_C(1) << line.id;
		at = line.stop + 2;
		f++;
	}
	s->at = at;
	s->head.present = present;
	s->count = (uint32_t)(f - table);
	if (end - at < 2 || memcmp(at, "\r\n", 2) != 0)
		return LINE_DONE;
	s->at += 2;
	return LINE_LAST;
}

#endif

/* Up to the empty line; LINE_LAST, LINE_MORE or LINE_REFUSED. */
static COLD enum line
read_all_fields(struct pass *s)
{
	enum line line = LINE_DONE;

	while (line == LINE_DONE) {
		line = read_field(s);
#if SCAN_SSE2
		if (line == LINE_DONE && scan_is_wide(s->base, s->end))
			line = read_plain_fields(s);
#endif
	}
	return line;
}

static inline __attribute__((always_inline)) enum line
read_fields(struct pass *s)
{
#if SCAN_SSE2
	if (scan_is_wide(s->base, s->end)) {
		enum line line = read_plain_fields(s);

		if (line != LINE_DONE)
			return line;
	}
#endif
	return read_all_fields(s);
}

/* -- passes ------------------------------------------------------------ */

static void
pass_init(struct pass *s, struct h1_state *state, enum h1_head_kind kind,
    const char *p, size_t len, const struct h1_limits *limits)
{
	memset(&s->head, 0, sizeof(s->head));
	s->head.kind = (uint8_t)kind;
	s->state = state;
	s->base = s->at = s->good = p;
	s->end = p + (len < limits->head_max ? len : limits->head_max);
	s->fields_max = limits->fields_max < H1_FIELDS_MAX ?
	    limits->fields_max : H1_FIELDS_MAX;
	s->count = 0;
}

/* The table as it is at the end of a head. */
static void
pass_fields(const struct pass *s, struct http_fields *fields)
{
	fields->items = table;
	fields->present = s->head.present;
	fields->count = s->count;
	fields->size = H1_FIELDS_MAX;
}

/* How a pass that found no end of the head ends. */
static COLD enum h1_result
pass_result(struct pass *s, enum line line, const struct h1_limits *limits)
{
	if (line == LINE_REFUSED)
		return H1_REFUSED;
	if ((size_t)(s->end - s->base) < limits->head_max)
		return H1_MORE;
	refuse(s, s->end, H1_REFUSAL_HEAD_TOO_LARGE);
	return H1_REFUSED;
}

/* Remember the lines that were whole. */
static void
pass_save(const struct pass *s)
{
	s->state->checked = (size_t)(s->at - s->base);
	s->state->minor = s->head.minor;
	s->state->present = s->head.present;
	s->state->fields = s->count;
}

/*
 * Go on after the lines that were whole before.  With LINE_LAST everything is
 * valid and there, and a pass from the start follows.
 */
static COLD enum line
pass_resume(struct pass *s)
{
	const struct h1_state *state = s->state;
	enum line line;

	s->at = s->base + state->checked;
	s->good = s->base + state->value_checked;
	s->head.minor = state->minor;
	s->head.present = state->present;
	s->count = state->fields;
	line = read_all_fields(s);
	if (line == LINE_MORE)
		pass_save(s);
	return line;
}

/* -- start-lines ------------------------------------------------------- */

/* Look at no more of the head than a start-line may have; the old end. */
static const char *
bound_line(struct pass *s, size_t line_max)
{
	const char *end = s->end;

	if ((size_t)(end - s->at) > line_max + 2)
		s->end = s->at + line_max + 2;
	return end;
}

/* Undo that, and tell a line that is too long from one that may yet end. */
static enum line
unbound_line(struct pass *s, size_t line_max, const char *end, enum line line)
{
	if (line == LINE_MORE && (size_t)(s->end - s->at) == line_max + 2)
		line = refuse(s, s->end - 1, H1_REFUSAL_LINE_TOO_LONG);
	s->end = end;
	return line;
}

/*
 * "HTTP/" DIGIT "." DIGIT at p; *after is what follows.  Minor versions above 1
 * are read as 1 (RFC 9110, section 2.5).
 */
static enum line
read_version(struct pass *s, const char *p, enum h1_refusal lacks,
    const char **after)
{
	static const char form[] = "HTTP/0.0";

	for (size_t i = 0; i < sizeof(form) - 1; i++) {
		bool is_digit = form[i] == '0';

		if (p + i >= s->end)
			return LINE_MORE;
		if (is_digit ? !chars_is_digit(p[i]) : p[i] != form[i])
			return refuse_byte(s, p + i, lacks);
	}
	s->head.minor = p[7] != '0';
	*after = p + sizeof(form) - 1;
	return LINE_DONE;
}

static enum line
read_method(struct pass *s, struct http_request *req, const char **after)
{
	const char *p = scan_class(s->at, s->end, CHARS_TOKEN);

	if (p >= s->end || *p != ' ' || p == s->at)
		return refuse_byte(s, p, H1_REFUSAL_METHOD);
	req->method = span_of(s->at, (size_t)(p - s->at));
	req->method_id = (uint8_t)http_method_lookup(req->method);
	*after = p + 1;
	return LINE_DONE;
}

static enum line
read_target(struct pass *s, const char *p, struct http_request *req,
    const char **after)
{
	const char *stop = scan_target(p, s->end, s->base);

	while (stop < s->end && *stop == '?')
		stop = scan_target(stop + 1, s->end, s->base);
	if (stop >= s->end || *stop != ' ' || stop == p)
		return refuse_byte(s, stop, H1_REFUSAL_TARGET);
	req->target = span_of(p, (size_t)(stop - p));
	*after = stop + 1;
	return LINE_DONE;
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
read_plain_request_line(struct pass *s, struct http_request *req,
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

static enum line
read_any_request_line(struct pass *s, struct http_request *req)
{
	const char *p = s->at;
	enum line line;

	line = read_method(s, req, &p);
	if (line == LINE_DONE)
		line = read_target(s, p, req, &p);
	if (line == LINE_DONE)
		line = read_version(s, p, H1_REFUSAL_VERSION, &p);
	if (line != LINE_DONE)
		return line;
	if (p >= s->end || *p != '\r')
		return refuse_byte(s, p, H1_REFUSAL_VERSION);
	line = line_end(s, p, LINE_DONE);
	if (line != LINE_DONE)
		return line;
	if (p[-3] != '1')
		return refuse(s, p - 3, H1_REFUSAL_VERSION_UNSUPPORTED);
	if (!uri_split_target(req))
		return refuse(s, req->target.p, H1_REFUSAL_TARGET);
	return LINE_DONE;
}

static COLD enum line
read_bounded_request_line(struct pass *s, struct http_request *req,
    size_t line_max)
{
	const char *end = bound_line(s, line_max);
	enum line line = read_any_request_line(s, req);

	return unbound_line(s, line_max, end, line);
}

/* RFC 9112, section 2.2: empty lines before a request are passed over. */
static COLD enum line
skip_empty_lines(struct pass *s)
{
	enum line line = LINE_DONE;

	for (unsigned n = 0; line == LINE_DONE; n++) {
		if (s->at >= s->end)
			return LINE_MORE;
		if (*s->at != '\r')
			return LINE_DONE;
		if (n == H1_EMPTY_LINES_MAX)
			return refuse(s, s->at, H1_REFUSAL_METHOD);
		line = line_end(s, s->at, LINE_DONE);
	}
	return line;
}

#if SCAN_SSE2

/* HTTP/1.0 or 1.1, a status and a phrase; all else is left: false. */
static bool
read_plain_status_line(struct pass *s, struct http_response *res,
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

static enum line
read_any_status_line(struct pass *s, struct http_response *res)
{
	const char *p = s->at;
	enum line line;

	line = read_version(s, p, H1_REFUSAL_STATUS_LINE, &p);
	if (line != LINE_DONE)
		return line;
	if (p[-3] != '1')
		return refuse(s, p - 3, H1_REFUSAL_STATUS_LINE);
	if (p >= s->end || *p != ' ')
		return refuse_byte(s, p, H1_REFUSAL_STATUS_LINE);
	p++;
	res->status = 0;
	for (unsigned i = 0; i < 3; i++, p++) {
		char first = i == 0 ? '1' : '0';
		char last = i == 0 ? '5' : '9';

		if (p >= s->end || *p < first || *p > last)
			return refuse_byte(s, p, H1_REFUSAL_STATUS_LINE);
		res->status = (uint16_t)(res->status * 10 + (*p - '0'));
	}
	/* The space is due even before an empty phrase, and often missing. */
	if (p < s->end && *p == ' ')
		p++;
	else if (p >= s->end || *p != '\r')
		return refuse_byte(s, p, H1_REFUSAL_STATUS_LINE);
	res->reason = span_of(p, 0);
	p = scan_value(p, s->end, s->base);
	if (p >= s->end || *p != '\r')
		return refuse_byte(s, p, H1_REFUSAL_CONTROL);
	res->reason.len = (size_t)(p - res->reason.p);
	return line_end(s, p, LINE_DONE);
}

static COLD enum line
read_bounded_status_line(struct pass *s, struct http_response *res,
    size_t line_max)
{
	const char *end = bound_line(s, line_max);
	enum line line = read_any_status_line(s, res);

	return unbound_line(s, line_max, end, line);
}

static inline enum line
read_status_line(struct pass *s, struct http_response *res, size_t line_max)
{
#if SCAN_SSE2
	if (read_plain_status_line(s, res, line_max))
		return LINE_DONE;
#endif
	return read_bounded_status_line(s, res, line_max);
}

static inline enum line
read_request_line(struct pass *s, struct http_request *req, size_t line_max)
{
	enum line line;

#if SCAN_SSE2
	if (read_plain_request_line(s, req, line_max))
		return LINE_DONE;
#endif
	line = skip_empty_lines(s);
	if (line == LINE_DONE)
		line = read_bounded_request_line(s, req, line_max);
	return line;
}

/* -- heads ------------------------------------------------------------- */

/* The head is whole and refused: for which field, as far as it is one. */
static COLD enum h1_result
refuse_head(struct pass *s, const struct http_fields *fields,
    enum h1_refusal refusal)
{
	const struct http_field *coding;
	const char *at = s->at;

	if (refusal == H1_REFUSAL_HOST_CONTRADICTS)
		at = s->head.host.p;
	coding = http_fields_get(fields, FIELD_TRANSFER_ENCODING);
	if (coding != NULL && (refusal == H1_REFUSAL_CODING_INVALID ||
	    refusal == H1_REFUSAL_CODING_UNKNOWN))
		at = coding->value;
	refuse(s, at, refusal);
	return H1_REFUSED;
}

enum h1_result
h1_parse_request(struct h1_state *state, const char *p, size_t len,
    const struct h1_limits *limits, struct http_request *req, size_t *used)
{
	struct pass s;
	enum h1_refusal refusal;
	enum line line;

	pass_init(&s, state, H1_HEAD_REQUEST, p, len, limits);
	if (state->checked > 0) {
		line = pass_resume(&s);
		if (line != LINE_LAST)
			return pass_result(&s, line, limits);
		pass_init(&s, state, H1_HEAD_REQUEST, p, len, limits);
	}
	line = read_request_line(&s, req, limits->line_max);
	if (line == LINE_DONE) {
		line = read_fields(&s);
		if (line == LINE_MORE)
			pass_save(&s);
	}
	if (line != LINE_LAST)
		return pass_result(&s, line, limits);
	pass_fields(&s, &req->fields);
	refusal = h1_head_end_request(&s.head, req);
	if (refusal != H1_REFUSAL_NONE)
		return refuse_head(&s, &req->fields, refusal);
	*used = (size_t)(s.at - p);
	return H1_DONE;
}

enum h1_result
h1_parse_response(struct h1_state *state, const char *p, size_t len,
    const struct h1_limits *limits, const struct h1_expected *expected,
    struct http_response *res, size_t *used)
{
	struct pass s;
	enum h1_refusal refusal;
	enum line line;

	pass_init(&s, state, H1_HEAD_RESPONSE, p, len, limits);
	if (state->checked > 0) {
		line = pass_resume(&s);
		if (line != LINE_LAST)
			return pass_result(&s, line, limits);
		pass_init(&s, state, H1_HEAD_RESPONSE, p, len, limits);
	}
	line = read_status_line(&s, res, limits->line_max);
	if (line == LINE_DONE) {
		line = read_fields(&s);
		if (line == LINE_MORE)
			pass_save(&s);
	}
	if (line != LINE_LAST)
		return pass_result(&s, line, limits);
	pass_fields(&s, &res->fields);
	refusal = h1_head_end_response(&s.head, expected, res);
	if (refusal != H1_REFUSAL_NONE)
		return refuse_head(&s, &res->fields, refusal);
	*used = (size_t)(s.at - p);
	return H1_DONE;
}

enum h1_result
h1_parse_trailers(struct h1_state *state, const char *p, size_t len,
    const struct h1_limits *limits, struct http_fields *fields, size_t *used)
{
	struct pass s;
	enum line line;

	pass_init(&s, state, H1_HEAD_TRAILERS, p, len, limits);
	if (state->checked > 0) {
		line = pass_resume(&s);
		if (line != LINE_LAST)
			return pass_result(&s, line, limits);
		pass_init(&s, state, H1_HEAD_TRAILERS, p, len, limits);
	}
	line = read_all_fields(&s);
	if (line == LINE_MORE)
		pass_save(&s);
	if (line != LINE_LAST)
		return pass_result(&s, line, limits);
	pass_fields(&s, fields);
	*used = (size_t)(s.at - p);
	return H1_DONE;
}

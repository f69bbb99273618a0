/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * h1_parse - heads: their fields, and the passes over their lines.
 *
 * Lines are checked one by one.  A head that came whole is done in one pass.
 * Where it did not, the whole lines so far are counted in the state and not
 * looked at again until the last one is there; then one more pass fills the
 * table.  Both passes are the same code, so they cannot disagree.
 */
#include "http/h1_parse.h"

#include <string.h>

#include "http/h1_pass.h"
#include "http/h1_plain.h"
#include "http/h1_start.h"
#include "http/scan.h"

static struct http_field table[H1_FIELDS_MAX];

/* -- fields, byte by byte ---------------------------------------------- */

struct name {
	size_t len;
	uint8_t id;
	uint8_t flags;
};

/* What follows the name is not looked at. */
static void
read_name(const struct h1_pass *s, struct name *name)
{
	const char *end = scan_class(s->at, s->end, CHARS_TOKEN);

	name->len = (size_t)(end - s->at);
	name->id = (uint8_t)http_field_lookup(span_of(s->at, name->len));
	name->flags = name->len > 0 && memchr(s->at, '_', name->len) != NULL ?
	    HTTP_FIELD_UNDERSCORE : 0;
}

/* What stands where a colon should. */
static enum h1_line
refuse_name(struct h1_pass *s, const char *at)
{
	if (at < s->end && chars_is_blank(*at))
		return h1_pass_refuse(s, at, at == s->at ?
		    H1_REFUSAL_OBS_FOLD : H1_REFUSAL_FIELD_NAME_SPACE);
	if (at < s->end && *at == '\r' && at > s->at)
		return h1_pass_refuse_byte(s, at, H1_REFUSAL_FIELD_COLON);
	return h1_pass_refuse_byte(s, at, H1_REFUSAL_FIELD_NAME);
}

/* The value is [p, stop), maybe with blanks behind it, and well-formed. */
static enum h1_line
add_field(struct h1_pass *s, const struct name *name, const char *p,
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
			return h1_pass_refuse(s, p, refusal);
	}
	s->head.present |= UINT64_C(1) << name->id;
	if ((name->flags & HTTP_FIELD_UNDERSCORE) != 0)
		s->head.present |= HTTP_FIELDS_UNDERSCORE;
	s->count++;
	s->at = stop + 2;
	return H1_LINE_DONE;
}

static H1_COLD enum h1_line
read_field(struct h1_pass *s)
{
	uint8_t flags = 0;
	struct name name;
	const char *p, *stop;

	if (s->at >= s->end)
		return H1_LINE_MORE;
	if (*s->at == '\r')
		return h1_pass_line_end(s, s->at, H1_LINE_LAST);
	if (s->count >= s->fields_max)
		return h1_pass_refuse(s, s->at, H1_REFUSAL_FIELDS_TOO_MANY);
	read_name(s, &name);
	p = s->at + name.len;
	if (name.len == 0 || p >= s->end || *p != ':')
		return refuse_name(s, p);
	if (name.len > UINT16_MAX)
		return h1_pass_refuse(s, s->at, H1_REFUSAL_HEAD_TOO_LARGE);
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
		return h1_pass_refuse_byte(s, stop, H1_REFUSAL_CONTROL);
	}
	if (stop + 1 >= s->end)
		return H1_LINE_MORE;
	if (stop[1] != '\n')
		return h1_pass_refuse(s, stop, H1_REFUSAL_BARE_CR);
	return add_field(s, &name, p, stop, flags);
}

/* -- plain fields ------------------------------------------------------ */

#if SCAN_SSE2

static inline __attribute__((always_inline)) enum h1_line
note_field(struct h1_pass *s, const struct http_field *f)
{
	enum h1_refusal refusal;

	if (f->id == FIELD_HOST &&
	    h1_head_note_plain_host(&s->head, f->value, f->value_len))
		return H1_LINE_DONE;
	refusal = h1_head_note(&s->head, f);
	if (refusal != H1_REFUSAL_NONE)
		return h1_pass_refuse(s, f->value, refusal);
	return H1_LINE_DONE;
}

/* Plain lines up to one that is not; that one is left to read_field(). */
static inline __attribute__((always_inline)) enum h1_line
read_plain_fields(struct h1_pass *s)
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
			if (note_field(s, f) == H1_LINE_REFUSED)
				return H1_LINE_REFUSED;
		}
		present |= UINT64_C(1) << line.id;
		at = line.stop + 2;
		f++;
	}
	s->at = at;
	s->head.present = present;
	s->count = (uint32_t)(f - table);
	if (end - at < 2 || memcmp(at, "\r\n", 2) != 0)
		return H1_LINE_DONE;
	s->at += 2;
	return H1_LINE_LAST;
}

#endif

/* Up to the empty line; H1_LINE_LAST, H1_LINE_MORE or H1_LINE_REFUSED. */
static H1_COLD enum h1_line
read_all_fields(struct h1_pass *s)
{
	enum h1_line line = H1_LINE_DONE;

	while (line == H1_LINE_DONE) {
		line = read_field(s);
#if SCAN_SSE2
		if (line == H1_LINE_DONE && scan_is_wide(s->base, s->end))
			line = read_plain_fields(s);
#endif
	}
	return line;
}

static inline __attribute__((always_inline)) enum h1_line
read_fields(struct h1_pass *s)
{
#if SCAN_SSE2
	if (scan_is_wide(s->base, s->end)) {
		enum h1_line line = read_plain_fields(s);

		if (line != H1_LINE_DONE)
			return line;
	}
#endif
	return read_all_fields(s);
}

/* -- passes ------------------------------------------------------------ */

static void
pass_init(struct h1_pass *s, struct h1_state *state, enum h1_head_kind kind,
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
pass_fields(const struct h1_pass *s, struct http_fields *fields)
{
	fields->items = table;
	fields->present = s->head.present;
	fields->count = s->count;
	fields->size = H1_FIELDS_MAX;
}

/* How a pass that found no end of the head ends. */
static H1_COLD enum h1_result
pass_result(struct h1_pass *s, enum h1_line line,
    const struct h1_limits *limits)
{
	if (line == H1_LINE_REFUSED)
		return H1_REFUSED;
	if ((size_t)(s->end - s->base) < limits->head_max)
		return H1_MORE;
	h1_pass_refuse(s, s->end, H1_REFUSAL_HEAD_TOO_LARGE);
	return H1_REFUSED;
}

/* Remember the lines that were whole. */
static void
pass_save(const struct h1_pass *s)
{
	s->state->checked = (size_t)(s->at - s->base);
	s->state->minor = s->head.minor;
	s->state->present = s->head.present;
	s->state->fields = s->count;
}

/*
 * Go on after the lines that were whole before.  With H1_LINE_LAST everything
 * is valid and there, and a pass from the start follows.
 */
static H1_COLD enum h1_line
pass_resume(struct h1_pass *s)
{
	const struct h1_state *state = s->state;
	enum h1_line line;

	s->at = s->base + state->checked;
	s->good = s->base + state->value_checked;
	s->head.minor = state->minor;
	s->head.present = state->present;
	s->count = state->fields;
	line = read_all_fields(s);
	if (line == H1_LINE_MORE)
		pass_save(s);
	return line;
}

/*
 * LINE_LAST: the head is to be read from its start.  Else how a pass over what
 * had been incomplete ended.
 */
static inline __attribute__((always_inline)) enum h1_line
pass_begin(struct h1_pass *s, struct h1_state *state, enum h1_head_kind kind,
    const char *p, size_t len, const struct h1_limits *limits)
{
	enum h1_line line = H1_LINE_LAST;

	pass_init(s, state, kind, p, len, limits);
	if (state->checked > 0) {
		line = pass_resume(s);
		if (line == H1_LINE_LAST)
			pass_init(s, state, kind, p, len, limits);
	}
	return line;
}

/* -- heads ------------------------------------------------------------- */

/* The head is whole and refused: for which field, as far as it is one. */
static H1_COLD enum h1_result
refuse_head(struct h1_pass *s, const struct http_fields *fields,
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
	h1_pass_refuse(s, at, refusal);
	return H1_REFUSED;
}

enum h1_result
h1_parse_request(struct h1_state *state, const char *p, size_t len,
    const struct h1_limits *limits, struct http_request *req, size_t *used)
{
	struct h1_pass s;
	enum h1_refusal refusal;
	enum h1_line line;

	line = pass_begin(&s, state, H1_HEAD_REQUEST, p, len, limits);
	if (line == H1_LINE_LAST)
		line = h1_start_request(&s, req, limits->line_max);
	if (line == H1_LINE_DONE) {
		line = read_fields(&s);
		if (line == H1_LINE_MORE)
			pass_save(&s);
	}
	if (line != H1_LINE_LAST)
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
	struct h1_pass s;
	enum h1_refusal refusal;
	enum h1_line line;

	line = pass_begin(&s, state, H1_HEAD_RESPONSE, p, len, limits);
	if (line == H1_LINE_LAST)
		line = h1_start_response(&s, res, limits->line_max);
	if (line == H1_LINE_DONE) {
		line = read_fields(&s);
		if (line == H1_LINE_MORE)
			pass_save(&s);
	}
	if (line != H1_LINE_LAST)
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
	struct h1_pass s;
	enum h1_line line;

	line = pass_begin(&s, state, H1_HEAD_TRAILERS, p, len, limits);
	if (line == H1_LINE_LAST)
		line = read_all_fields(&s);
	if (line == H1_LINE_MORE)
		pass_save(&s);
	if (line != H1_LINE_LAST)
		return pass_result(&s, line, limits);
	pass_fields(&s, fields);
	*used = (size_t)(s.at - p);
	return H1_DONE;
}

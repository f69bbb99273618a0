/* SPDX-License-Identifier: BSD-2-Clause */
/* credentials - fields, cookies and arguments, byte by byte. */
#include "credentials.h"

#include "htpasswd.h"
#include "password.h"

#define BASIC SPAN("Basic")

enum credentials
credentials_join(enum credentials a, enum credentials b)
{
	if (a == CREDENTIALS_NONE)
		return b;
	return b == CREDENTIALS_NONE ? a : CREDENTIALS_MANY;
}

/* ---- Authorization ---- */

enum credentials
credentials_scheme(struct span value, struct span scheme, struct span *rest)
{
	*rest = value;
	if (scheme.len > 0) {
		if (value.len < scheme.len ||
		    !span_ieq(span_of(value.p, scheme.len), scheme) ||
		    (value.len > scheme.len && value.p[scheme.len] != ' '))
			return CREDENTIALS_NONE;
		*rest = span_of(value.p + scheme.len,
		    value.len - scheme.len);
		/* RFC 9110, section 11.4: one or more spaces. */
		while (rest->len > 0 && *rest->p == ' ')
			*rest = span_of(rest->p + 1, rest->len - 1);
	}
	return rest->len > 0 ? CREDENTIALS_FOUND : CREDENTIALS_BAD;
}

static int
value64(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/*
 * RFC 4648, section 4, with its padding and with zeros where bits are left
 * over: each text has one reading, and each reading one text.
 */
static bool
decode64(struct span text, char *out, size_t room, size_t *len)
{
	size_t padding = 0;

	*len = 0;
	if (text.len == 0 || text.len % 4 != 0 || text.len / 4 * 3 > room + 2)
		return false;
	while (padding < 2 && text.p[text.len - 1 - padding] == '=')
		padding++;
	for (size_t i = 0; i < text.len; i += 4) {
		size_t digits = i + 4 < text.len ? 4 : 4 - padding;
		uint32_t bits = 0;

		for (size_t j = 0; j < 4; j++) {
			int v = j < digits ? value64(text.p[i + j]) : 0;

			if (v < 0)
				return false;
			bits = bits << 6 | (uint32_t)v;
		}
		if ((bits & (digits == 4 ? 0 : digits == 3 ? 0xff : 0xffff)) !=
		    0 || *len + digits - 1 > room)
			return false;
		for (size_t j = 0; j + 1 < digits; j++)
			out[(*len)++] = (char)(bits >> (16 - 8 * j));
	}
	return true;
}

static bool
has_controls(struct span s)
{
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c < ' ' || c == 0x7f)
			return true;
	}
	return false;
}

enum credentials
credentials_basic(struct span value, char memory[CREDENTIALS_PAIR_MAX + 1],
    struct span *user, struct span *password)
{
	struct span text;
	const char *colon;
	size_t len;

	switch (credentials_scheme(value, BASIC, &text)) {
	case CREDENTIALS_NONE:
		return CREDENTIALS_NONE;
	case CREDENTIALS_FOUND:
		break;
	case CREDENTIALS_BAD:
	case CREDENTIALS_MANY:
		return CREDENTIALS_BAD;
	}
	if (!decode64(text, memory, CREDENTIALS_PAIR_MAX, &len))
		return CREDENTIALS_BAD;
	/* The first colon: a user's name has none, a password may. */
	colon = len > 0 ? memchr(memory, ':', len) : NULL;
	if (colon == NULL)
		return CREDENTIALS_BAD;
	*user = span_of(memory, (size_t)(colon - memory));
	*password = span_of(colon + 1, len - user->len - 1);
	memory[len] = '\0';
	/* RFC 7617, section 2: no control characters; so no NUL, either. */
	return htpasswd_is_name(*user) && !has_controls(*password) &&
	    password->len <= PASSWORD_BYTES_MAX ? CREDENTIALS_FOUND
	    : CREDENTIALS_BAD;
}

/* ---- Cookie ---- */

/* The next pair between semicolons, without blanks; false at the end. */
static bool
next_pair(struct span *rest, struct span *pair)
{
	const char *end;
	size_t len;

	if (rest->p == NULL)
		return false;
	end = rest->len > 0 ? memchr(rest->p, ';', rest->len) : NULL;
	len = end != NULL ? (size_t)(end - rest->p) : rest->len;
	*pair = span_trim(span_of(rest->p, len));
	*rest = end != NULL ? span_of(end + 1, rest->len - len - 1)
	    : span_of(NULL, 0);
	return true;
}

static bool
is_cookie(struct span pair, struct span name)
{
	const char *equals = pair.len > 0 ? memchr(pair.p, '=', pair.len)
	    : NULL;

	return equals != NULL && span_eq(span_trim(span_of(pair.p,
	    (size_t)(equals - pair.p))), name);
}

enum credentials
credentials_cookie(struct span field, struct span name, struct span *value)
{
	enum credentials found = CREDENTIALS_NONE;
	struct span pair;

	while (next_pair(&field, &pair)) {
		const char *at;
		struct span v;

		if (!is_cookie(pair, name))
			continue;
		at = (const char *)memchr(pair.p, '=', pair.len) + 1;
		v = span_trim(span_of(at, (size_t)(pair.p + pair.len - at)));
		if (v.len >= 2 && v.p[0] == '"' && v.p[v.len - 1] == '"')
			v = span_of(v.p + 1, v.len - 2);
		*value = v;
		found = credentials_join(found, v.len > 0 ? CREDENTIALS_FOUND
		    : CREDENTIALS_BAD);
	}
	return found;
}

void
credentials_drop_cookie(struct str *out, struct span field, struct span name)
{
	struct span pair;

	while (next_pair(&field, &pair)) {
		if (pair.len == 0 || is_cookie(pair, name))
			continue;
		if (out->len > 0)
			str_lit(out, "; ");
		str_span(out, pair);
	}
}

/* ---- the query ---- */

/* The next argument between ampersands; false at the end. */
static bool
next_arg(struct span *rest, struct span *arg)
{
	const char *end;
	size_t len;

	if (rest->p == NULL)
		return false;
	end = rest->len > 0 ? memchr(rest->p, '&', rest->len) : NULL;
	len = end != NULL ? (size_t)(end - rest->p) : rest->len;
	*arg = span_of(rest->p, len);
	*rest = end != NULL ? span_of(end + 1, rest->len - len - 1)
	    : span_of(NULL, 0);
	return true;
}

/* Whether it is called so; *behind is where its value begins, or its end. */
static bool
is_arg(struct span arg, struct span name, size_t *behind)
{
	const char *equals = arg.len > 0 ? memchr(arg.p, '=', arg.len) : NULL;
	struct span raw = equals != NULL
	    ? span_of(arg.p, (size_t)(equals - arg.p)) : arg;
	size_t at = 0, i = 0;

	while (at < raw.len && i < name.len) {
		if (uri_query_byte(raw, &at) != name.p[i++])
			return false;
	}
	*behind = equals != NULL ? raw.len + 1 : raw.len;
	return at == raw.len && i == name.len;
}

static bool
decode_value(struct span raw, char memory[CREDENTIALS_KEY_MAX],
    struct span *value)
{
	size_t at = 0, len = 0;

	while (at < raw.len) {
		if (len == CREDENTIALS_KEY_MAX)
			return false;
		memory[len++] = uri_query_byte(raw, &at);
	}
	*value = span_of(memory, len);
	return len > 0;
}

enum credentials
credentials_arg(struct span query, struct span name,
    char memory[CREDENTIALS_KEY_MAX], struct span *value)
{
	enum credentials found = CREDENTIALS_NONE;
	struct span arg;

	while (next_arg(&query, &arg)) {
		size_t behind;

		if (!is_arg(arg, name, &behind))
			continue;
		found = credentials_join(found, decode_value(span_of(
		    arg.p + behind, arg.len - behind), memory, value)
		    ? CREDENTIALS_FOUND : CREDENTIALS_BAD);
	}
	return found;
}

void
credentials_drop_arg(struct str *out, struct span query, struct span name)
{
	struct span arg;
	bool is_first = true;
	size_t behind;

	while (next_arg(&query, &arg)) {
		if (is_arg(arg, name, &behind))
			continue;
		if (!is_first)
			str_char(out, '&');
		is_first = false;
		str_span(out, arg);
	}
}

bool
credentials_hide_arg(struct str *out, struct span query, struct span name)
{
	struct span arg;
	bool is_first = true, has_it = false;
	size_t behind;

	while (next_arg(&query, &arg)) {
		if (!is_first)
			str_char(out, '&');
		is_first = false;
		if (!is_arg(arg, name, &behind) || behind == arg.len) {
			str_span(out, arg);
			continue;
		}
		str_put(out, arg.p, behind);
		str_lit(out, "***");
		has_it = true;
	}
	return has_it;
}

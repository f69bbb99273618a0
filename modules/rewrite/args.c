/* SPDX-License-Identifier: BSD-2-Clause */
/* args - the arguments of a query (as of HTML forms). */
#include "args.h"

static struct span
name_of(struct span arg)
{
	const char *equals = arg.len > 0 ? memchr(arg.p, '=', arg.len) : NULL;

	return equals == NULL ? arg
	    : span_of(arg.p, (size_t)(equals - arg.p));
}

/* How many bytes of `want` the name begins with, undone; *at = behind them. */
static size_t
match(struct span name, struct span want, size_t *at)
{
	size_t len = 0;

	*at = 0;
	while (len < want.len && *at < name.len) {
		size_t next = *at;

		if (uri_query_byte(name, &next) != want.p[len])
			break;
		*at = next;
		len++;
	}
	return len;
}

bool
args_is_called(struct span arg, struct span name)
{
	struct span raw = name_of(arg);
	size_t at;

	return match(raw, name, &at) == name.len && at == raw.len;
}

bool
args_next(struct span *rest, struct span *arg)
{
	const char *end;

	if (rest->p == NULL)
		return false;
	end = rest->len > 0 ? memchr(rest->p, '&', rest->len) : NULL;
	if (end == NULL) {
		*arg = *rest;
		*rest = span_of(NULL, 0);
		return true;
	}
	*arg = span_of(rest->p, (size_t)(end - rest->p));
	*rest = span_of(end + 1, rest->len - arg->len - 1);
	return true;
}

static bool
is_dropped(struct span arg, const struct conf_strings *names)
{
	for (size_t i = 0; i < names->count; i++) {
		struct span name = span_cstr(names->items[i]);
		size_t at;

		if (name.len > 0 && name.p[name.len - 1] == '*') {
			name.len--;
			if (match(name_of(arg), name, &at) == name.len)
				return true;
		} else if (args_is_called(arg, name)) {
			return true;
		}
	}
	return false;
}

void
args_drop(struct str *out, struct span query,
    const struct conf_strings *names)
{
	struct span arg;
	bool is_first = true;

	while (args_next(&query, &arg)) {
		if (is_dropped(arg, names))
			continue;
		if (!is_first)
			str_char(out, '&');
		is_first = false;
		str_span(out, arg);
	}
}

static void
put_escaped(struct str *out, struct span s)
{
	static const char hex[] = "0123456789ABCDEF";

	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
		    (c >= 'A' && c <= 'Z') || (c != 0 &&
		    strchr("-._~", c) != NULL)) {
			str_char(out, (char)c);
			continue;
		}
		str_char(out, '%');
		str_char(out, hex[c >> 4]);
		str_char(out, hex[c & 15]);
	}
}

void
args_add(struct str *out, struct span name, struct span value)
{
	if (out->len > 0)
		str_char(out, '&');
	put_escaped(out, name);
	str_char(out, '=');
	put_escaped(out, value);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* negotiate - reads Accept-Encoding. */
#include "negotiate.h"

/* "0.5" as 500: at most three decimals, and no more than 1. */
static int
read_weight(struct span s)
{
	int weight, place = 100;

	if (s.len == 0 || s.len > 5 || (s.p[0] != '0' && s.p[0] != '1') ||
	    (s.len > 1 && s.p[1] != '.'))
		return NEGOTIATE_Q_NONE;
	weight = (s.p[0] - '0') * NEGOTIATE_Q_MAX;
	for (size_t i = 2; i < s.len; i++, place /= 10) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return NEGOTIATE_Q_NONE;
		weight += (s.p[i] - '0') * place;
	}
	return weight <= NEGOTIATE_Q_MAX ? weight : NEGOTIATE_Q_NONE;
}

/* "gzip", "gzip;q=0.5", with blanks: the name, and its weight. */
static int
read_element(struct span element, struct span *name)
{
	const char *semicolon = memchr(element.p, ';', element.len);
	struct span q;

	if (semicolon == NULL) {
		*name = span_trim(element);
		return NEGOTIATE_Q_MAX;
	}
	*name = span_trim(span_of(element.p,
	    (size_t)(semicolon - element.p)));
	q = span_trim(span_of(semicolon + 1,
	    element.len - (size_t)(semicolon + 1 - element.p)));
	if (q.len < 2 || (q.p[0] != 'q' && q.p[0] != 'Q') || q.p[1] != '=')
		return NEGOTIATE_Q_NONE;
	return read_weight(span_of(q.p + 2, q.len - 2));
}

/* x-gzip is gzip (RFC 9110, section 8.4.1.3). */
static bool
is_same(struct span a, struct span b)
{
	enum coder_kind kind_a, kind_b;

	if (span_ieq(a, b))
		return true;
	return coder_find(a, &kind_a) && coder_find(b, &kind_b) &&
	    kind_a == kind_b;
}

int
negotiate_weight(const struct http_fields *request, struct span coding)
{
	int weight = NEGOTIATE_Q_NONE, any = NEGOTIATE_Q_NONE;

	for (const struct http_field *f =
	    http_fields_get(request, FIELD_ACCEPT_ENCODING); f != NULL;
	    f = http_fields_next(request, f)) {
		struct span rest = http_field_value(f), element, name;

		while (span_next_item(&rest, &element)) {
			int q = read_element(element, &name);

			if (q == NEGOTIATE_Q_NONE)
				continue;
			if (is_same(name, coding))
				weight = q > weight ? q : weight;
			else if (span_eq(name, SPAN("*")))
				any = q > any ? q : any;
		}
	}
	return weight != NEGOTIATE_Q_NONE ? weight : any;
}

bool
negotiate_accepts(const struct http_fields *request, struct span coding)
{
	return negotiate_weight(request, coding) > 0;
}

bool
negotiate_choose(const struct http_fields *request,
    const enum coder_kind *kinds, size_t count, enum coder_kind *chosen)
{
	/* What "*" says of the plain body forbids it, but makes it no rival. */
	int plain = negotiate_weight(request, SPAN("identity"));
	int any = negotiate_weight(request, SPAN("*"));
	int best = 0;

	for (size_t i = 0; i < count; i++) {
		int q = negotiate_weight(request,
		    span_cstr(coder_name(kinds[i])));

		if (q > best) {
			best = q;
			*chosen = kinds[i];
		}
	}
	return best > 0 && (plain == any || plain <= best);
}

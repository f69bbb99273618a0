/* SPDX-License-Identifier: BSD-2-Clause */
/* keyfile - words of a line, each strict: a key that is misread lets in. */
#include "conf/keyfile.h"

#include <time.h>

#include "base/error.h"
#include "base/str.h"

#define PREFIX SPAN("sha256:")
#define SCOPES SPAN("scopes=")
#define EXPIRES SPAN("expires=")

bool
keyfile_next_line(struct span *text, struct span *line)
{
	const char *end;
	size_t len;

	if (text->len == 0)
		return false;
	end = memchr(text->p, '\n', text->len);
	len = end != NULL ? (size_t)(end - text->p) : text->len;
	*line = span_of(text->p, len);
	len += end != NULL;
	*text = span_of(text->p + len, text->len - len);
	if (line->len > 0 && line->p[line->len - 1] == '\r')
		line->len--;
	return true;
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* The next word; false at the end of the line or where a comment begins. */
static bool
next_word(struct span *rest, struct span *word)
{
	size_t len = 0;

	while (rest->len > 0 && is_blank(*rest->p))
		*rest = span_of(rest->p + 1, rest->len - 1);
	if (rest->len == 0 || *rest->p == '#')
		return false;
	while (len < rest->len && !is_blank(rest->p[len]))
		len++;
	*word = span_of(rest->p, len);
	*rest = span_of(rest->p + len, rest->len - len);
	return true;
}

/* ---- what words may be ---- */

bool
keyfile_is_identity(struct span s)
{
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c <= ' ' || c == 0x7f)
			return false;
	}
	return s.len > 0 && s.len <= KEYFILE_NAME_MAX && s.p[0] != '#';
}

static bool
is_scope(struct span s)
{
	for (size_t i = 0; i < s.len; i++) {
		char c = s.p[i];

		if (c <= ' ' || c > '~' || c == '"' || c == '\\' || c == ',')
			return false;
	}
	return s.len > 0 && s.len <= KEYFILE_NAME_MAX;
}

bool
keyfile_next_scope(struct span *scopes, struct span *scope)
{
	const char *comma;
	size_t len;

	if (scopes->p == NULL)
		return false;
	comma = scopes->len > 0 ? memchr(scopes->p, ',', scopes->len) : NULL;
	len = comma != NULL ? (size_t)(comma - scopes->p) : scopes->len;
	*scope = span_of(scopes->p, len);
	*scopes = comma != NULL
	    ? span_of(comma + 1, scopes->len - len - 1) : span_of(NULL, 0);
	return true;
}

bool
keyfile_is_scopes(struct span s)
{
	struct span scope;

	if (s.len == 0 || s.len > KEYFILE_SCOPES_MAX)
		return false;
	while (keyfile_next_scope(&s, &scope)) {
		if (!is_scope(scope))
			return false;
	}
	return true;
}

/* Reads exactly the digits of a number, and what must follow them. */
static bool
take_number(struct span *s, size_t digits, char after, int *number)
{
	*number = 0;
	if (s->len < digits + (after != '\0'))
		return false;
	for (size_t i = 0; i < digits; i++) {
		if (s->p[i] < '0' || s->p[i] > '9')
			return false;
		*number = *number * 10 + (s->p[i] - '0');
	}
	if (after != '\0' && s->p[digits++] != after)
		return false;
	*s = span_of(s->p + digits, s->len - digits);
	return true;
}

int
keyfile_parse_time(struct span s, uint64_t *seconds)
{
	struct tm tm = { .tm_isdst = 0 }, same;
	time_t t;

	if (!take_number(&s, 4, '-', &tm.tm_year) ||
	    !take_number(&s, 2, '-', &tm.tm_mon) ||
	    !take_number(&s, 2, '\0', &tm.tm_mday))
		return -1;
	if (s.len > 0) {
		if (*s.p != 'T')
			return -1;
		s = span_of(s.p + 1, s.len - 1);
		if (!take_number(&s, 2, ':', &tm.tm_hour) ||
		    !take_number(&s, 2, ':', &tm.tm_min) ||
		    !take_number(&s, 2, 'Z', &tm.tm_sec) || s.len > 0)
			return -1;
	}
	if (tm.tm_year < 1971)
		return -1;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	same = tm;
	t = timegm(&tm);
	/* No 31st of February: it would be a day in March. */
	if (t < 0 || tm.tm_year != same.tm_year || tm.tm_mon != same.tm_mon ||
	    tm.tm_mday != same.tm_mday || tm.tm_hour != same.tm_hour ||
	    tm.tm_min != same.tm_min || tm.tm_sec != same.tm_sec)
		return -1;
	*seconds = (uint64_t)t;
	return 0;
}

void
keyfile_put_time(struct str *out, uint64_t seconds)
{
	time_t t = (time_t)seconds;
	struct tm tm;

	if (gmtime_r(&t, &tm) == NULL)
		return;
	str_printf(out, "%04d-%02d-%02dT%02d:%02d:%02dZ", tm.tm_year + 1900,
	    tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

/* ---- lines ---- */

static int
digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool
parse_hash(struct span word, uint8_t hash[DIGEST_SHA256_BYTES])
{
	if (word.len != PREFIX.len + 2 * DIGEST_SHA256_BYTES ||
	    !span_starts(word, PREFIX))
		return false;
	for (size_t i = 0; i < DIGEST_SHA256_BYTES; i++) {
		int high = digit(word.p[PREFIX.len + 2 * i]);
		int low = digit(word.p[PREFIX.len + 2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		hash[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

static struct span
behind(struct span word, struct span prefix)
{
	return span_of(word.p + prefix.len, word.len - prefix.len);
}

/* NULL, or what is wrong with a word behind the hash. */
static const char *
parse_attribute(struct span word, struct keyfile_entry *e)
{
	if (span_starts(word, SCOPES)) {
		if (e->scopes.len > 0)
			return "scopes= is there already";
		e->scopes = behind(word, SCOPES);
		return keyfile_is_scopes(e->scopes) ? NULL
		    : "scopes= is followed by names between commas, of "
		    "visible ASCII characters without \" and \\";
	}
	if (span_starts(word, EXPIRES)) {
		if (e->expires_s != 0)
			return "expires= is there already";
		return keyfile_parse_time(behind(word, EXPIRES),
		    &e->expires_s) == 0 ? NULL
		    : "expires= is followed by a time such as "
		    "2027-01-31T00:00:00Z or 2027-01-31";
	}
	return "behind the hash may stand scopes=, expires= and a comment "
	    "(#)";
}

int
keyfile_parse(struct span line, struct keyfile_entry *e, unsigned *column,
    struct error *err)
{
	struct span rest = line, word;
	const char *wrong = NULL;

	*e = (struct keyfile_entry){ .expires_s = 0 };
	if (!next_word(&rest, &e->identity))
		return 0;
	word = e->identity;
	if (!keyfile_is_identity(word))
		wrong = "an identity is made of up to 128 visible characters";
	else if (!next_word(&rest, &word))
		wrong = "behind the identity the key's hash is expected: "
		    "sha256: and 64 hexadecimal digits";
	else if (!parse_hash(word, e->hash))
		wrong = "a key's hash is sha256: and 64 hexadecimal digits "
		    "in lower case";
	while (wrong == NULL && next_word(&rest, &word))
		wrong = parse_attribute(word, e);
	if (wrong == NULL)
		return 1;
	*column = (unsigned)(word.p - line.p) + 1;
	return error_set(err, "%s", wrong);
}

void
keyfile_put(struct str *out, const struct keyfile_entry *e)
{
	static const char digits[] = "0123456789abcdef";

	str_span(out, e->identity);
	str_char(out, ' ');
	str_span(out, PREFIX);
	for (size_t i = 0; i < DIGEST_SHA256_BYTES; i++) {
		str_char(out, digits[e->hash[i] >> 4]);
		str_char(out, digits[e->hash[i] & 15]);
	}
	if (e->scopes.len > 0) {
		str_char(out, ' ');
		str_span(out, SCOPES);
		str_span(out, e->scopes);
	}
	if (e->expires_s != 0) {
		str_char(out, ' ');
		str_span(out, EXPIRES);
		keyfile_put_time(out, e->expires_s);
	}
	str_char(out, '\n');
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* base64 - decoding and encoding in pieces. */
#include "base64.h"

enum { GROUP = 4, BYTES = 3, NO_DIGIT = 64 };

static const char alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static unsigned
digit_of(char c)
{
	if (c >= 'A' && c <= 'Z')
		return (unsigned)(c - 'A');
	if (c >= 'a' && c <= 'z')
		return (unsigned)(c - 'a') + 26;
	if (c >= '0' && c <= '9')
		return (unsigned)(c - '0') + 52;
	return c == '+' ? 62 : c == '/' ? 63 : NO_DIGIT;
}

static size_t
room(const struct str *s)
{
	return s->cap - s->len;
}

/* A whole group: what its padding stands for must be zero. */
static int
end_group(struct base64_decoder *d, struct str *out)
{
	unsigned count = (unsigned)(BYTES - d->padding);
	unsigned left = d->bits & ((1U << (8 * (unsigned)d->padding)) - 1);

	if (left != 0)
		return -1;
	for (unsigned i = 0; i < count; i++)
		str_char(out, (char)(d->bits >> (16 - 8 * i) & 0xff));
	*d = (struct base64_decoder){ 0 };
	return 0;
}

int
base64_decode(struct base64_decoder *d, struct span *in, struct str *out)
{
	size_t i = 0;

	while (i < in->len && room(out) >= BYTES) {
		char c = in->p[i++];
		unsigned digit = digit_of(c);

		if (c == '=' && d->digits >= 2) {
			d->padding++;
			digit = 0;
		} else if (digit == NO_DIGIT || d->padding > 0) {
			return -1;
		}
		d->bits = d->bits << 6 | digit;
		d->digits++;
		if (d->digits == GROUP && end_group(d, out) != 0)
			return -1;
	}
	*in = span_of(in->p + i, in->len - i);
	return 0;
}

bool
base64_is_complete(const struct base64_decoder *d)
{
	return d->digits == 0;
}

static void
put_group(const unsigned char *p, size_t count, struct str *out)
{
	unsigned bits = (unsigned)p[0] << 16;

	if (count > 1)
		bits |= (unsigned)p[1] << 8;
	if (count > 2)
		bits |= p[2];
	str_char(out, alphabet[bits >> 18]);
	str_char(out, alphabet[bits >> 12 & 63]);
	str_char(out, count > 1 ? alphabet[bits >> 6 & 63] : '=');
	str_char(out, count > 2 ? alphabet[bits & 63] : '=');
}

void
base64_encode(struct base64_encoder *e, struct span *in, struct str *out)
{
	size_t i = 0;

	while (i < in->len && room(out) >= 2 * GROUP) {
		e->kept[e->count++] = (unsigned char)in->p[i++];
		if (e->count < BYTES)
			continue;
		put_group(e->kept, BYTES, out);
		e->count = 0;
	}
	*in = span_of(in->p + i, in->len - i);
}

void
base64_encode_end(struct base64_encoder *e, struct str *out)
{
	if (e->count > 0)
		put_group(e->kept, e->count, out);
	e->count = 0;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * apr1 - MD5 a thousand times, of password and salt in changing order.
 *
 * The construction of FreeBSD's crypt(3) with another magic.  What of it is
 * odd (bytes chosen by the bits of a length, a base64 of its own) has to be so.
 */
#include "apr1.h"

#include <openssl/evp.h>

enum { MD5_BYTES = 16, ROUNDS = 1000 };

struct md5 {
	EVP_MD_CTX *ctx;
	EVP_MD *md;
	bool has_failed;
};

static void
begin(struct md5 *m)
{
	m->has_failed |= EVP_DigestInit_ex2(m->ctx, m->md, NULL) != 1;
}

static void
add(struct md5 *m, const void *p, size_t len)
{
	if (len > 0)
		m->has_failed |= EVP_DigestUpdate(m->ctx, p, len) != 1;
}

static void
add_span(struct md5 *m, struct span s)
{
	add(m, s.p, s.len);
}

static void
end(struct md5 *m, uint8_t out[MD5_BYTES])
{
	m->has_failed |= EVP_DigestFinal_ex(m->ctx, out, NULL) != 1;
}

static void
first_round(struct md5 *m, struct span salt, struct span password,
    uint8_t out[MD5_BYTES])
{
	size_t left = password.len;

	begin(m);
	add_span(m, password);
	add_span(m, salt);
	add_span(m, password);
	end(m, out);
	begin(m);
	add_span(m, password);
	add_span(m, SPAN("$apr1$"));
	add_span(m, salt);
	for (; left > MD5_BYTES; left -= MD5_BYTES)
		add(m, out, MD5_BYTES);
	add(m, out, left);
	for (size_t bits = password.len; bits > 0; bits >>= 1)
		add(m, (bits & 1) != 0 ? "" : password.p, 1);
	end(m, out);
}

static void
next_round(struct md5 *m, unsigned round, struct span salt,
    struct span password, uint8_t out[MD5_BYTES])
{
	bool is_odd = (round & 1) != 0;

	begin(m);
	if (is_odd)
		add_span(m, password);
	else
		add(m, out, MD5_BYTES);
	if (round % 3 != 0)
		add_span(m, salt);
	if (round % 7 != 0)
		add_span(m, password);
	if (is_odd)
		add(m, out, MD5_BYTES);
	else
		add_span(m, password);
	end(m, out);
}

/* Least significant bits first. */
static char *
put64(char *to, uint32_t bits, unsigned count)
{
	static const char digits[] = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	    "abcdefghijklmnopqrstuvwxyz";

	for (; count > 0; count--, bits >>= 6)
		*to++ = digits[bits & 63];
	return to;
}

static void
put_text(const uint8_t out[MD5_BYTES], char text[APR1_TEXT_BYTES])
{
	static const uint8_t order[5][3] = { { 0, 6, 12 }, { 1, 7, 13 },
		{ 2, 8, 14 }, { 3, 9, 15 }, { 4, 10, 5 } };
	char *to = text;

	for (unsigned i = 0; i < 5; i++)
		to = put64(to, (uint32_t)out[order[i][0]] << 16 |
		    (uint32_t)out[order[i][1]] << 8 | out[order[i][2]], 4);
	(void)put64(to, out[11], 2);
}

int
apr1_hash(struct span salt, struct span password, char text[APR1_TEXT_BYTES])
{
	struct md5 m = { .md = EVP_MD_fetch(NULL, "MD5", NULL) };
	uint8_t out[MD5_BYTES];

	m.ctx = EVP_MD_CTX_new();
	m.has_failed = m.md == NULL || m.ctx == NULL;
	if (!m.has_failed) {
		first_round(&m, salt, password, out);
		for (unsigned i = 0; i < ROUNDS; i++)
			next_round(&m, i, salt, password, out);
		put_text(out, text);
	}
	EVP_MD_CTX_free(m.ctx);
	EVP_MD_free(m.md);
	digest_wipe(out, sizeof(out));
	return m.has_failed ? -1 : 0;
}

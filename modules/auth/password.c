/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * password - bcrypt, SHA-crypt, yescrypt, scrypt, apr1, told by their prefix.
 *
 * The form is checked when a file is read: libcrypt would take a hash that was
 * cut off for the hash of no password, and nobody would know why.
 */
#include "password.h"

#include "apr1.h"
#include "unixcrypt.h"

#define APR1 SPAN("$apr1$")

static const struct kind {
	struct span prefix;
	size_t text_bytes; /* of what stands behind the last '$' */
	unsigned parts;    /* between '$' and '$', at least and at most */
	unsigned parts_max;
} kinds[] = {
	/* $2y$10$ and then salt and hash without a '$' between them. */
	{ { "$2y$", 4 }, 53, 3, 3 },
	{ { "$2b$", 4 }, 53, 3, 3 },
	{ { "$2a$", 4 }, 53, 3, 3 },
	{ { "$5$", 3 }, 43, 3, 4 },
	{ { "$6$", 3 }, 86, 3, 4 },
	{ { "$y$", 3 }, 43, 4, 4 },
	{ { "$gy$", 4 }, 43, 4, 4 },
	{ { "$7$", 3 }, 43, 3, 3 },
	{ { "$apr1$", 6 }, APR1_TEXT_BYTES, 3, 3 },
};

static bool
is_text(struct span s)
{
	for (size_t i = 0; i < s.len; i++) {
		char c = s.p[i];

		if ((c < '0' || c > '9') && (c < 'A' || c > 'Z') &&
		    (c < 'a' || c > 'z') && c != '.' && c != '/')
			return false;
	}
	return true;
}

static bool
is_whole(const struct kind *k, struct span hash)
{
	const char *last = memrchr(hash.p, '$', hash.len);
	struct span text = span_of(last + 1,
	    (size_t)(hash.p + hash.len - last - 1));
	unsigned parts = 0;

	for (size_t i = 0; i < hash.len; i++) {
		unsigned char c = (unsigned char)hash.p[i];

		if (c <= ' ' || c >= 0x7f)
			return false;
		parts += c == '$';
	}
	if (parts < k->parts || parts > k->parts_max ||
	    text.len != k->text_bytes || !is_text(text))
		return false;
	if (span_eq(k->prefix, APR1))
		return hash.len <= APR1.len + APR1_SALT_MAX + 1 +
		    APR1_TEXT_BYTES;
	return true;
}

const char *
password_fault(struct span hash)
{
	if (hash.len > PASSWORD_HASH_MAX)
		return "no hash is so long";
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		const struct kind *k = &kinds[i];

		if (!span_starts(hash, k->prefix))
			continue;
		if (!is_whole(k, hash))
			return "the hash is not whole, or has bytes that no "
			    "hash has";
		if (!span_eq(k->prefix, APR1) && !unixcrypt_is_there())
			return "such a hash is checked by libcrypt, which "
			    "this build left out (Debian: libcrypt-dev)";
		return NULL;
	}
	if (span_starts(hash, SPAN("{SHA}")))
		return "SHA-1 without salt is no protection: make it anew, "
		    "with htpasswd -B";
	return "this is none of the hashes that are known ($2y$, $5$, $6$, "
	    "$y$, $apr1$): make it anew, with htpasswd -B";
}

static bool
check_apr1(const char *hash, const char *password)
{
	const char *salt = hash + APR1.len;
	const char *end = strchr(salt, '$');
	char text[APR1_TEXT_BYTES];
	bool is_right;

	if (apr1_hash(span_of(salt, (size_t)(end - salt)),
	    span_cstr(password), text) != 0)
		return false;
	is_right = digest_is_equal(text, end + 1, sizeof(text));
	digest_wipe(text, sizeof(text));
	return is_right;
}

bool
password_check(const char *hash, const char *password)
{
	return span_starts(span_cstr(hash), APR1)
	    ? check_apr1(hash, password) : unixcrypt_check(hash, password);
}

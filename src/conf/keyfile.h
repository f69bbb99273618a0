/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * keyfile - lines of files with API keys: read by auth, written by weirctl.
 *
 *	IDENTITY sha256:HEX [scopes=A,B] [expires=TIME]  # comment
 *
 * A key is 256 random bits, so its plain SHA-256 is all that need be kept: no
 * salt and no slow hash would make guessing it any harder, and who has the
 * hash can look it up in one step.
 */
#ifndef CONF_KEYFILE_H
#define CONF_KEYFILE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/digest.h"
#include "base/span.h"

struct error;
struct str;

enum {
	KEYFILE_NAME_MAX = 128,   /* bytes of an identity, and of a scope */
	KEYFILE_SCOPES_MAX = 1024, /* of all scopes */
};

/* The end of the year 9999: later ones could not be read again. */
#define KEYFILE_TIME_MAX UINT64_C(253402300799)

struct keyfile_entry {
	struct span identity;
	struct span scopes;  /* "a,b"; may be empty */
	uint64_t expires_s;  /* since 1970; 0 = never */
	uint8_t hash[DIGEST_SHA256_BYTES];
};

/* The next line of *text, without its end; false when there is none. */
bool keyfile_next_line(struct span *text, struct span *line);
/*
 * 1: an entry, whose spans lie in line; 0: a blank line or a comment; -1: err,
 * and the column where it is, from 1.
 */
int keyfile_parse(struct span line, struct keyfile_entry *entry,
    unsigned *column, struct error *err);
/* The line of an entry, with its newline. */
void keyfile_put(struct str *out, const struct keyfile_entry *entry);

/* Visible characters, or bytes of UTF-8; does not begin with '#'. */
bool keyfile_is_identity(struct span s);
/* Names between commas, of the bytes of RFC 6750, section 3. */
bool keyfile_is_scopes(struct span s);
/* The next of "a,b"; false when there is none. */
bool keyfile_next_scope(struct span *scopes, struct span *scope);
/* "2027-01-31" or "2027-01-31T12:00:00Z", both UTC; -1 if it is none. */
int keyfile_parse_time(struct span s, uint64_t *seconds)
    __attribute__((warn_unused_result));
/* The longer of these. */
void keyfile_put_time(struct str *out, uint64_t seconds);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * credentials - finding them in what a client sent, and taking them out.
 *
 * What could be read two ways is no credential: two fields, two cookies or two
 * arguments of one name, escapes that are none, base64 that is not canonical.
 */
#ifndef MODULES_AUTH_CREDENTIALS_H
#define MODULES_AUTH_CREDENTIALS_H

#include "module.h"

enum {
	CREDENTIALS_KEY_MAX = 512,  /* bytes of an API key */
	CREDENTIALS_PAIR_MAX = 768, /* of user, colon and password */
};

enum credentials {
	CREDENTIALS_NONE,
	CREDENTIALS_FOUND,
	CREDENTIALS_BAD,  /* there is something that is none */
	CREDENTIALS_MANY, /* more than one */
};

/* Two results become that of both. */
enum credentials credentials_join(enum credentials a, enum credentials b);

/*
 * "Basic dXNlcjpwYXNz" (RFC 7617): user and password, in memory, without
 * controls; the password with a NUL behind it.  NONE if the scheme is another.
 */
enum credentials credentials_basic(struct span value,
    char memory[CREDENTIALS_PAIR_MAX + 1], struct span *user,
    struct span *password);
/*
 * What stands behind the scheme ("Bearer"), any case, in a field's value; with
 * an empty scheme the value itself.  NONE if the scheme is another.
 */
enum credentials credentials_scheme(struct span value, struct span scheme,
    struct span *rest);
/* The cookie of that name in one Cookie field; quotes around it are cut. */
enum credentials credentials_cookie(struct span field, struct span name,
    struct span *value);
/* The argument of that name, escapes undone; value lies in memory or query. */
enum credentials credentials_arg(struct span query, struct span name,
    char memory[CREDENTIALS_KEY_MAX], struct span *value);

/* The field without that cookie, to out. */
void credentials_drop_cookie(struct str *out, struct span field,
    struct span name);
/* The query without that argument, to out. */
void credentials_drop_arg(struct str *out, struct span query,
    struct span name);
/* The query with "***" as the value of that argument; false: has none. */
bool credentials_hide_arg(struct str *out, struct span query,
    struct span name);

#endif

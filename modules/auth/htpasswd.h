/* SPDX-License-Identifier: BSD-2-Clause */
/* htpasswd - a file of users and hashes in memory, found by name. */
#ifndef MODULES_AUTH_HTPASSWD_H
#define MODULES_AUTH_HTPASSWD_H

#include "module.h"

enum { HTPASSWD_USER_MAX = 255 }; /* bytes of a name, as of Apache's */

struct htpasswd_user {
	struct span name;
	const char *hash;
};

struct htpasswd {
	struct arena own;   /* of all below; unused if another was given */
	struct htpasswd_user *users;
	uint32_t *places;   /* number of a user + 1; 0 = free */
	uint32_t mask;      /* of places, a power of two less 1 */
	uint32_t count;
};

/*
 * From a file's text, of which nothing is kept, in arena; NULL: in memory of
 * its own, for htpasswd_free().  NULL and err: its first fault, with its place
 * and without the hash.
 */
struct htpasswd *htpasswd_parse(struct span text, struct arena *arena,
    struct error *err);
void htpasswd_free(struct htpasswd *h);
/*
 * The user of that name.  is_known false: there is none, and this is another,
 * always the same for a name, whose hash is to be computed all the same, so
 * that nobody learns which names there are.  NULL: the file has no users.
 */
const struct htpasswd_user *htpasswd_find(const struct htpasswd *h,
    struct span name, bool *is_known);
/* A name that a file may have: no controls, no colon, not too long. */
bool htpasswd_is_name(struct span name);

#endif

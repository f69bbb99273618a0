/* SPDX-License-Identifier: BSD-2-Clause */
/* acl - one rule of an access list as configured, and whether it holds. */
#ifndef MODULES_ACCESS_ACL_H
#define MODULES_ACCESS_ACL_H

#include "module.h"

#include "packed.h"

enum acl_action { ACL_DENY, ACL_ALLOW };

enum acl_mode { ACL_ENFORCE, ACL_SHADOW };

struct acl {
	/* As configured; all conditions that are given must hold. */
	const char *name;
	uint32_t action;           /* enum acl_action */
	struct conf_ranges from;
	const char *file;
	bool unix_clients;
	struct conf_strings methods;
	const char *path;
	struct conf_regex *path_regex;
	uint32_t status;
	bool drop;
	bool connection;
	uint32_t mode;             /* enum acl_mode */

	/* Made of it. */
	struct cidr ranges;        /* of from and file */
	bool has_ranges;
	struct files_stamp stamp;  /* of file, when it was read */
	void *memory;              /* heap: of ranges, once file changed */
};

/* The groups of the list `access`. */
extern const struct conf_table acl_table;

/*
 * To be called with the rule as arg, see conf/files.h: its file as a packed
 * set, together with `from`; and using that.
 */
int acl_prepare(void *arg, struct span content, char **bytes, size_t *len,
    struct error *err);
int acl_receive(void *arg, struct span content, struct error *err);

enum { ACL_FILE_MAX = 64 << 20 }; /* bytes */

/* Whether the rule's addresses hold; true if it has none. */
bool acl_has_client(const struct acl *a, const struct addr_ip *ip);
/* Whether all of its conditions hold for the request. */
bool acl_has_request(const struct acl *a, const struct exchange *ex);

#endif

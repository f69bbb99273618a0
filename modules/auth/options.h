/* SPDX-License-Identifier: BSD-2-Clause */
/* options - the option `auth` and what is made of it. */
#ifndef MODULES_AUTH_OPTIONS_H
#define MODULES_AUTH_OPTIONS_H

#include "module.h"

#include "secrets.h"

enum options_satisfy { OPTIONS_ANY, OPTIONS_ALL };
enum options_mode { OPTIONS_ENFORCE, OPTIONS_SHADOW, OPTIONS_OFF };

struct options_api_key {
	const char *header, *query, *cookie; /* where it is; NULL = not there */
	const char *scheme; /* in front of it in the header, or NULL */
	const char *file;
	bool forward;
};

struct options_basic {
	const char *file;
	uint64_t cache_ms;
	bool forward;
};

struct options_require {
	struct conf_strings identities, scopes;
};

struct auth_conf {
	/* As configured. */
	struct options_api_key api_key;
	struct options_basic basic;
	struct options_require require;
	const char *realm;
	uint32_t satisfy; /* enum options_satisfy */
	uint32_t mode;    /* enum options_mode */
	bool has_api_key, has_basic, has_require;
	bool is_given; /* the group as a whole */

	/* Made of it by options_start(). */
	const struct secrets *keys, *users; /* NULL: not asked for */
	struct span challenge; /* WWW-Authenticate */
};

/* The group `auth`. */
extern const struct conf_table options_table;

int options_start(const struct module_env *env, struct auth_conf *conf,
    struct error *err);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * secrets - the files of keys and users, each once for a configuration, and
 * the newest content of each.
 */
#ifndef MODULES_AUTH_SECRETS_H
#define MODULES_AUTH_SECRETS_H

#include "module.h"

#include "htpasswd.h"
#include "keys.h"

enum secrets_kind { SECRETS_KEYS, SECRETS_USERS };

struct secrets {
	struct secrets *next;
	const char *path;
	enum secrets_kind kind;
	struct arena *arena; /* while the configuration is loaded */
	/* One of them; replaced between handlers.  NULL: -t could not read. */
	struct keys *keys;
	struct htpasswd *users;
	bool is_owned;       /* not in the configuration's memory */
};

/* From a module's start.  NULL and err if the file cannot be used. */
const struct secrets *secrets_open(const struct module_env *env,
    const char *path, enum secrets_kind kind, struct error *err);

#endif

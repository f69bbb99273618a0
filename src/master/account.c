/* SPDX-License-Identifier: BSD-2-Clause */
/* account - the configured user and group, or nobody. */
#include "master/account.h"

#include <grp.h>
#include <pwd.h>
#include <stdbool.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "os/proc.h"
#include "site/settings.h"

static const char fallback_user[] = "nobody";

static bool
is_default(const char *name, const char *built_in)
{
	return name == NULL || strcmp(name, built_in) == 0;
}

int
account_choose(struct proc_account *a, const struct settings *settings,
    struct error *err)
{
	const char *user = settings->user;
	const char *group = settings->group;

	if (is_default(group, WEIR_GROUP) && getgrnam(WEIR_GROUP) == NULL)
		group = NULL; /* the user's own */
	if (is_default(user, WEIR_USER)) {
		user = WEIR_USER;
		if (getpwnam(user) == NULL) {
			log_warn(NULL, "there is no user \"%s\": workers run "
			    "as \"%s\"", user, fallback_user);
			user = fallback_user;
		}
	} else if (is_default(group, WEIR_GROUP)) {
		group = NULL; /* of the user that was named */
	}
	return proc_account_find(a, user, group, err);
}

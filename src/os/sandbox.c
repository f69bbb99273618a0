/* SPDX-License-Identifier: BSD-2-Clause */
/* sandbox - dropping rights, and making sure that they are gone. */
#include "os/sandbox.h"

#include <errno.h>
#include <grp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/error.h"
#include "os/proc.h"

#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define HAS_LEAK_CHECK 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define HAS_LEAK_CHECK 1
#endif

static int
become(const struct proc_account *a, struct error *err)
{
	if (setgroups((size_t)a->group_count, a->groups) != 0 ||
	    setresgid(a->gid, a->gid, a->gid) != 0 ||
	    setresuid(a->uid, a->uid, a->uid) != 0)
		return error_set_errno(err, errno, "becoming user \"%s\"",
		    a->user);
	if (setuid(0) == 0 || setgid(0) == 0)
		return error_set(err, "becoming user \"%s\": root's rights "
		    "could be had again", a->user);
	return 0;
}

int
sandbox_enter(const struct proc_account *account, struct error *err)
{
	struct rlimit none = { 0, 0 };

	if (account != NULL && become(account, err) != 0)
		return -1;
	if (geteuid() == 0 || getuid() == 0)
		return error_set(err, "serving clients as root is refused");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return error_set_errno(err, errno, "setting no_new_privs");
	if (setrlimit(RLIMIT_CORE, &none) != 0)
		return error_set_errno(err, errno, "forbidding core dumps");
#ifdef HAS_LEAK_CHECK
	/* The leak check attaches to its own process. */
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
#endif
	return 0;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* sandbox - dropping rights, and making sure that they are gone. */
#include "os/sandbox.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/str.h"
#include "os/proc.h"
#include "os/sandbox_private.h"

enum { CAPABILITY_MAX = 63 };

/* Valgrind's tools run inside of us, with system calls of their own. */
static bool
is_instrumented(void)
{
	const char *preload = getenv("LD_PRELOAD");

	return SANDBOX_IS_SANITIZED ||
	    (preload != NULL && strstr(preload, "/vgpreload_") != NULL);
}

enum sandbox_level
sandbox_level_of(enum sandbox_level level)
{
	if (level != SANDBOX_AUTO)
		return level;
	if (is_instrumented())
		return SANDBOX_OFF;
	return sandbox_seccomp_is_usable() || sandbox_landlock_version() > 0
	    ? SANDBOX_STRICT : SANDBOX_OFF;
}

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

/* Before the account, with which the right to do it goes. */
static void
drop_bounding_set(void)
{
	for (unsigned long n = 0; n <= CAPABILITY_MAX; n++)
		prctl(PR_CAPBSET_DROP, n, 0, 0, 0);
}

/* Root's are gone with the account; others may have been given to us. */
static int
drop_capabilities(struct error *err)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[2] = { { .effective = 0 } };

	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (syscall(SYS_capset, &head, none) != 0)
		return error_set_errno(err, errno, "dropping capabilities");
	return 0;
}

/* Only root may, and only before it is nobody. */
static int
change_root(const struct sandbox *s, struct error *err)
{
	if (s->root == NULL || s->account == NULL)
		return 0;
	if (chroot(s->root) != 0 || chdir("/") != 0)
		return error_set_errno(err, errno, "chroot %s", s->root);
	return 0;
}

static int
filter(const struct sandbox *s, struct error *err)
{
	enum sandbox_level level = sandbox_level_of(s->level);
	bool has_landlock = level == SANDBOX_STRICT &&
	    sandbox_landlock_version() > 0;

	if (level == SANDBOX_OFF)
		return 0;
	if (has_landlock && sandbox_landlock_enter(s, err) != 0)
		return -1;
	if (!sandbox_seccomp_is_usable())
		return s->level == SANDBOX_AUTO ? 0 : error_set(err,
		    "sandbox: %s", sandbox_seccomp_lack());
	return sandbox_seccomp_enter(s, level, has_landlock ||
	    s->resolves_names || s->path_count > 0, err);
}

void
sandbox_forbid_dumps(void)
{
	struct rlimit limit;

	/* The hard limit stays for a successor that may. */
	if (getrlimit(RLIMIT_CORE, &limit) == 0) {
		limit.rlim_cur = 0;
		setrlimit(RLIMIT_CORE, &limit);
	}
	/*
	 * A program that takes dumps by a pipe asks no limit.  Whoever is not
	 * root may look into what is his own.
	 */
	if (geteuid() == 0 && !SANDBOX_IS_SANITIZED)
		prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

int
sandbox_enter(const struct sandbox *s, struct error *err)
{
	/* The zone's file may be out of reach soon. */
	tzset();
	if (sandbox_limits_set(s, err) != 0 || change_root(s, err) != 0)
		return -1;
	drop_bounding_set();
	if (s->account != NULL && become(s->account, err) != 0)
		return -1;
	if (geteuid() == 0 || getuid() == 0)
		return error_set(err, "serving clients as root is refused");
	if (drop_capabilities(err) != 0)
		return -1;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return error_set_errno(err, errno, "setting no_new_privs");
	/* The leak check attaches to its own process. */
	prctl(PR_SET_DUMPABLE, s->may_dump || SANDBOX_IS_SANITIZED ? 1 : 0, 0, 0, 0);
	return filter(s, err);
}

void
sandbox_describe(const struct sandbox *s, struct str *out)
{
	static const char *const names[] = { "auto", "off", "basic",
		"strict" };
	enum sandbox_level level = sandbox_level_of(s->level);
	int landlock = sandbox_landlock_version();

	str_printf(out, "%s: ", names[level]);
	if (s->account != NULL)
		str_printf(out, "user %s", s->account->user);
	else
		str_printf(out, "not started by root, so no change of user%s",
		    s->root != NULL ? ", no chroot" : "");
	if (s->account != NULL && s->root != NULL)
		str_printf(out, ", chroot %s", s->root);
	str_lit(out, ", no capabilities");
	if (s->may_dump)
		str_lit(out, ", core dumps allowed");
	if (s->memory_max > 0)
		str_printf(out, ", at most %llu MB", (unsigned long long)
		    (s->memory_max >> 20));
	if (level == SANDBOX_OFF) {
		str_lit(out, ", system calls not filtered");
		return;
	}
	if (sandbox_seccomp_is_usable())
		str_lit(out, ", system calls filtered");
	else
		str_printf(out, ", system calls not filtered (%s)",
		    sandbox_seccomp_lack());
	if (level == SANDBOX_STRICT && landlock > 0)
		str_printf(out, ", files by Landlock %d", landlock);
	else if (level == SANDBOX_STRICT)
		str_lit(out, ", files by permissions alone (the kernel has "
		    "no Landlock)");
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* proc - titles, limits, accounts, detaching. */
#include "os/proc.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/error.h"
#include "base/heap_alloc.h"

static char *title;
static size_t title_size;
/* Kept here too, read or not, so that a leak check finds them at the end. */
static char **argv_copy __attribute__((used));
static char **environ_copy __attribute__((used));
static char **environ_list __attribute__((used));

/* The end of the strings of list that lie one behind the other from at. */
static char *
end_of(char **list, char *at)
{
	for (size_t i = 0; list[i] != NULL; i++) {
		if (list[i] == at)
			at += strlen(at) + 1;
	}
	return at;
}

static char **
copy_list(char **list, size_t count)
{
	char **copy = heap_alloc_zeroed(count + 1, sizeof(*copy));

	for (size_t i = 0; i < count; i++)
		copy[i] = heap_alloc_strdup(list[i]);
	return copy;
}

/* The kernel shows what lies where argv and, behind it, environ were. */
void
proc_title_init(int argc, char ***argv)
{
	size_t count = 0;

	if (argc < 1 || (*argv)[0] == NULL)
		return;
	title = (*argv)[0];
	title_size = (size_t)(end_of(environ, end_of(*argv, title)) - title);
	*argv = argv_copy = copy_list(*argv, (size_t)argc);
	while (environ[count] != NULL)
		count++;
	environ_copy = copy_list(environ, count);
	/* unsetenv() changes a list of its own: no string is forgotten. */
	environ = environ_list =
	    heap_alloc((count + 1) * sizeof(*environ_list));
	memcpy(environ_list, environ_copy,
	    (count + 1) * sizeof(*environ_list));
}

void
proc_title_set(const char *name, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (name != NULL)
		prctl(PR_SET_NAME, name, 0, 0, 0);
	if (title_size == 0)
		return;
	memset(title, 0, title_size);
	snprintf(title, title_size, "%s", text);
}

uint64_t
proc_raise_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return 1024;
	if (limit.rlim_cur < limit.rlim_max) {
		struct rlimit raised = { limit.rlim_max, limit.rlim_max };

		if (setrlimit(RLIMIT_NOFILE, &raised) == 0)
			limit = raised;
	}
	return limit.rlim_cur;
}

int
proc_account_find(struct proc_account *a, const char *user,
    const char *group, struct error *err)
{
	struct passwd *pw;
	struct group *gr;

	memset(a, 0, sizeof(*a));
	errno = 0;
	pw = getpwnam(user);
	if (pw == NULL)
		return errno != 0 && errno != ENOENT
		    ? error_set_errno(err, errno, "looking for user \"%s\"",
		      user)
		    : error_set(err, "there is no user \"%s\"", user);
	if (pw->pw_uid == 0)
		return error_set(err, "user \"%s\" is root, which must not "
		    "serve clients", user);
	snprintf(a->user, sizeof(a->user), "%s", user);
	a->uid = pw->pw_uid;
	a->gid = pw->pw_gid;
	if (group != NULL) {
		gr = getgrnam(group);
		if (gr == NULL)
			return error_set(err, "there is no group \"%s\"",
			    group);
		a->gid = gr->gr_gid;
	}
	a->group_count = PROC_GROUPS_MAX;
	if (getgrouplist(user, a->gid, a->groups, &a->group_count) < 0)
		return error_set(err, "user \"%s\" is in more than %d groups",
		    user, PROC_GROUPS_MAX);
	return 0;
}

/* True if text is nothing but a number. */
static bool
is_number(const char *text, unsigned *number)
{
	unsigned long n;
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	n = strtoul(text, &end, 10);
	*number = (unsigned)n;
	return *end == '\0' && n < UINT32_MAX;
}

int
proc_owner_find(uid_t *uid, gid_t *gid, const char *user, const char *group,
    struct error *err)
{
	const struct passwd *pw;
	const struct group *gr;

	*uid = (uid_t)-1;
	*gid = (gid_t)-1;
	if (user != NULL && !is_number(user, uid)) {
		pw = getpwnam(user);
		if (pw == NULL)
			return error_set(err, "there is no user \"%s\"", user);
		*uid = pw->pw_uid;
	}
	if (group != NULL && !is_number(group, gid)) {
		gr = getgrnam(group);
		if (gr == NULL)
			return error_set(err, "there is no group \"%s\"",
			    group);
		*gid = gr->gr_gid;
	}
	return 0;
}

pid_t
proc_detach(void)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	/* A session of its own, and not its leader: no terminal, ever. */
	if (setsid() < 0)
		_exit(1);
	pid = fork();
	if (pid != 0)
		_exit(pid < 0 ? 1 : 0);
	return 0;
}

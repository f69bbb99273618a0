/* SPDX-License-Identifier: BSD-2-Clause */
/* reexec - fork, then execve(2). */
#include "master/reexec.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/error.h"
#include "base/heap_alloc.h"
#include "base/span.h"
#include "master/handover.h"
#include "os/signals.h"

static const char variable[] = "WEIR_HANDOVER_FD";

enum { PATH_BYTES = 4096 };

/* "folder/name"; caller frees. */
static char *
join(const char *folder, size_t folder_len, const char *name)
{
	char *path = heap_alloc(folder_len + strlen(name) + 2);

	sprintf(path, "%.*s/%s", (int)folder_len, folder, name);
	return path;
}

/* As a shell finds a command. */
static char *
search(const char *name)
{
	const char *at = getenv("PATH");

	while (at != NULL && *at != '\0') {
		size_t len = strcspn(at, ":");
		char *path = join(at, len, name);

		if (len > 0 && at[0] == '/' && access(path, X_OK) == 0)
			return path;
		free(path);
		at += len;
		at += *at == ':';
	}
	return NULL;
}

static char *
own_program(void)
{
	char path[PATH_BYTES];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

	if (n < 0)
		return NULL;
	path[n] = '\0';
	return heap_alloc_strdup(path);
}

void
reexec_init(struct reexec *r, char **argv)
{
	char directory[PATH_BYTES];
	const char *name = argv[0] != NULL ? argv[0] : "weir";

	*r = (struct reexec){ .argv = argv };
	if (getcwd(directory, sizeof(directory)) != NULL)
		r->directory = heap_alloc_strdup(directory);
	if (name[0] == '/')
		r->path = heap_alloc_strdup(name);
	else if (strchr(name, '/') != NULL && r->directory != NULL)
		r->path = join(r->directory, strlen(r->directory), name);
	else
		r->path = search(name);
	/* Who started us may have written anything there. */
	if (r->path == NULL || access(r->path, F_OK) != 0) {
		free(r->path);
		r->path = own_program();
	}
}

void
reexec_fini(struct reexec *r)
{
	free(r->path);
	free(r->directory);
	*r = (struct reexec){ .path = NULL };
}

static void __attribute__((noreturn))
become(const struct reexec *r, int fd)
{
	char number[16];
	struct error err;

	signals_reset();
	snprintf(number, sizeof(number), "%d", fd);
	if (fcntl(fd, F_SETFD, 0) != 0 ||
	    setenv(variable, number, 1) != 0) {
		error_set_errno(&err, errno, "preparing %s", r->path);
	} else if (r->directory != NULL && chdir(r->directory) != 0) {
		error_set_errno(&err, errno, "going to %s", r->directory);
	} else {
		execv(r->path, r->argv);
		error_set_errno(&err, errno, "executing %s", r->path);
	}
	handover_say_fd(fd, HANDOVER_FAILED, span_cstr(err.text));
	_exit(127);
}

/* As fork(); it executes at once, so the library need not know. */
static pid_t
fork_sibling(int *exit_fd)
{
	*exit_fd = -1;
#if defined(CLONE_PIDFD) && !defined(__s390__)
	{
		long pid = syscall(SYS_clone, (unsigned long)CLONE_PARENT |
		    CLONE_PIDFD | SIGCHLD, NULL, exit_fd, NULL, 0UL);

		if (pid >= 0)
			return (pid_t)pid;
		*exit_fd = -1;
	}
#endif
	return fork();
}

pid_t
reexec_start(const struct reexec *r, int fd, int *exit_fd, struct error *err)
{
	pid_t pid;

	if (r->path == NULL)
		return error_set(err, "the program's file is not known");
	fflush(NULL);
	pid = exit_fd != NULL ? fork_sibling(exit_fd) : fork();
	if (pid < 0)
		return error_set_errno(err, errno, "forking");
	if (pid == 0)
		become(r, fd);
	return pid;
}

int
reexec_inherited(void)
{
	char *text = getenv(variable);
	int type = 0;
	socklen_t len = sizeof(type);
	uint64_t fd;

	if (text == NULL || text[0] == '\0')
		return -1;
	if (span_u64(span_cstr(text), &fd) != 0 || fd > 1 << 20 ||
	    getsockopt((int)fd, SOL_SOCKET, SO_TYPE, &type, &len) != 0 ||
	    type != SOCK_SEQPACKET)
		fd = UINT64_MAX;
	text[0] = '\0'; /* not for our own children */
	if (fd == UINT64_MAX)
		return -1;
	fcntl((int)fd, F_SETFD, FD_CLOEXEC);
	return (int)fd;
}

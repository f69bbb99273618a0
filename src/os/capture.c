/* SPDX-License-Identifier: BSD-2-Clause */
/* capture - a shell in a session of its own, read through a pipe. */
#include "os/capture.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/now.h"
#include "os/signals.h"

enum { LOOK_MS = 5, PIECE_BYTES = 512, NOT_FOUND = 127 };

struct run {
	pid_t pid;
	int fd;
	uint64_t until_us;
};

/* ---- in the new process ---- */

static void
close_others(void)
{
	struct rlimit limit;

#ifdef SYS_close_range
	if (syscall(SYS_close_range, STDERR_FILENO + 1, ~0U, 0) == 0)
		return;
#endif
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	for (rlim_t fd = STDERR_FILENO + 1; fd < limit.rlim_cur; fd++)
		(void)close((int)fd);
}

static void __attribute__((noreturn))
become(const char *command, int fd)
{
	int none = open("/dev/null", O_RDONLY);

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)setsid();
	signals_reset();
	if (none < 0 || dup2(none, STDIN_FILENO) < 0 ||
	    dup2(fd, STDOUT_FILENO) < 0)
		_exit(NOT_FOUND);
	/* They may have had these numbers already. */
	(void)fcntl(STDIN_FILENO, F_SETFD, 0);
	(void)fcntl(STDOUT_FILENO, F_SETFD, 0);
	close_others();
	(void)execl("/bin/sh", "sh", "-c", command, (char *)NULL);
	_exit(NOT_FOUND);
}

/* ---- in ours ---- */

static int
start(struct run *r, const char *command, struct error *err)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) != 0)
		return error_set_errno(err, errno, "making a pipe");
	fflush(NULL);
	r->pid = fork();
	if (r->pid == 0)
		become(command, fds[1]);
	if (r->pid < 0)
		error_set_errno(err, errno, "forking");
	close(fds[1]);
	r->fd = fds[0];
	if (r->pid > 0)
		return 0;
	close(fds[0]);
	return -1;
}

/* Milliseconds that are left; 0: none. */
static int
left_ms(const struct run *r)
{
	uint64_t now_us = now_exact_us();

	return now_us >= r->until_us ? 0
	    : (int)((r->until_us - now_us) / 1000 + 1);
}

/* To the end of its output; false: it takes too long. */
static bool
read_all(const struct run *r, char *out, size_t size)
{
	struct pollfd wait = { .fd = r->fd, .events = POLLIN };
	char piece[PIECE_BYTES];
	size_t len = 0;
	bool is_whole = false;

	while (!is_whole) {
		int left = left_ms(r), ready = poll(&wait, 1, left);
		ssize_t n;
		size_t room = size - 1 - len;

		/* However much it prints. */
		if (left == 0 || ready == 0 || (ready < 0 && errno != EINTR))
			break;
		if (ready < 0)
			continue;
		n = read(r->fd, piece, sizeof(piece));
		if (n > 0) {
			room = (size_t)n < room ? (size_t)n : room;
			memcpy(out + len, piece, room);
			len += room;
		}
		is_whole = n == 0 || (n < 0 && errno != EINTR);
	}
	explicit_bzero(piece, sizeof(piece));
	out[len] = '\0';
	return is_whole;
}

/* It may have closed its output and stay: then too long, and killed. */
static int
wait_end(const struct run *r, bool is_late, int *status)
{
	for (;;) {
		pid_t pid = waitpid(r->pid, status, is_late ? 0 : WNOHANG);

		if (pid == r->pid)
			return is_late ? -1 : 0;
		if (pid < 0 && errno != EINTR) {
			*status = 0; /* somebody ignores SIGCHLD */
			return is_late ? -1 : 0;
		}
		if (pid < 0 || is_late)
			continue;
		if (left_ms(r) == 0) {
			kill(-r->pid, SIGKILL);
			kill(r->pid, SIGKILL);
			is_late = true;
		} else {
			(void)poll(NULL, 0, LOOK_MS);
		}
	}
}

int
capture_run(const char *command, uint64_t timeout_ms, char *out, size_t size,
    struct error *err)
{
	struct run r = { .until_us = now_exact_us() + timeout_ms * 1000 };
	int status = 0, result;
	bool is_late;

	if (start(&r, command, err) != 0)
		return -1;
	is_late = !read_all(&r, out, size);
	if (is_late) {
		kill(-r.pid, SIGKILL);
		kill(r.pid, SIGKILL); /* it had no time for its session */
	}
	close(r.fd);
	result = wait_end(&r, is_late, &status);
	if (result != 0)
		error_set(err, "%s: it was killed: it took more than %llu ms",
		    command, (unsigned long long)timeout_ms);
	else if (WIFSIGNALED(status))
		result = error_set(err, "%s: it was ended by %s", command,
		    signals_name(WTERMSIG(status)));
	else if (WEXITSTATUS(status) != 0)
		result = error_set(err, "%s: it ended with status %d%s",
		    command, WEXITSTATUS(status),
		    WEXITSTATUS(status) == NOT_FOUND ? " (not found)" : "");
	if (result != 0)
		explicit_bzero(out, size);
	return result;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* daemonize - a double fork and a pipe. */
#include "master/daemonize.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/now.h"
#include "os/proc.h"

/* First the daemon's pid and status -1, then the status of the start. */
struct report {
	int32_t pid;
	int32_t status;
};

void
daemonize_init(struct daemonize *d)
{
	*d = (struct daemonize){ .status_fd = -1, .stderr_fd = -1 };
}

void
daemonize_forget(struct daemonize *d)
{
	if (d->status_fd >= 0)
		close(d->status_fd);
	if (d->stderr_fd >= 0)
		close(d->stderr_fd);
	daemonize_init(d);
}

static void
send_report(const struct daemonize *d, int status)
{
	struct report r = { .pid = getpid(), .status = status };
	ssize_t ignored = write(d->status_fd, &r, sizeof(r));

	(void)ignored; /* a parent that was killed waits for nothing */
}

/* What outlives the terminal: a file, or the journal of systemd. */
static bool
is_lasting(int fd)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return false;
	return S_ISREG(st.st_mode) ||
	    (S_ISSOCK(st.st_mode) && getenv("JOURNAL_STREAM") != NULL);
}

static int
leave_terminal(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0 || dup2(null, STDIN_FILENO) < 0)
		return -1;
	if (!is_lasting(STDOUT_FILENO) && dup2(null, STDOUT_FILENO) < 0)
		return -1;
	if (!is_lasting(STDERR_FILENO) && dup2(null, STDERR_FILENO) < 0)
		return -1;
	if (null > STDERR_FILENO)
		close(null);
	return 0;
}

/* 0 = a report came, 1 = the end, 2 = too late. */
static int
next_report(int fd, uint64_t until_us, struct report *r)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	for (;;) {
		uint64_t now_us = now_exact_us();
		uint64_t left_ms = now_us < until_us
		    ? (until_us - now_us) / 1000 + 1 : 0;
		int n = poll(&p, 1, left_ms < 60000 ? (int)left_ms : 60000);

		if (n < 0 && errno != EINTR)
			return 1;
		if (n > 0)
			return read(fd, r, sizeof(*r)) == sizeof(*r) ? 0 : 1;
		if (left_ms == 0)
			return 2;
	}
}

static int
wait_for_daemon(int fd, uint64_t timeout_ms)
{
	uint64_t until_us = now_exact_us() + timeout_ms * 1000;
	struct report r = { .pid = 0, .status = -1 };
	int what;

	do {
		what = next_report(fd, until_us, &r);
	} while (what == 0 && r.status < 0);
	if (what == 0)
		return r.status;
	if (what == 1) {
		fputs("weir: the daemon ended before it was ready\n", stderr);
		return 1;
	}
	fputs("weir: the daemon was not ready in time, and is ended\n",
	    stderr);
	if (r.pid > 0)
		kill(r.pid, SIGTERM);
	return 1;
}

int
daemonize_start(struct daemonize *d, uint64_t timeout_ms, int *exit_status,
    struct error *err)
{
	int ends[2];
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) != 0)
		return error_set_errno(err, errno, "making a pipe");
	fflush(NULL);
	pid = proc_detach();
	if (pid < 0) {
		error_set_errno(err, errno, "forking the daemon");
		close(ends[0]);
		close(ends[1]);
		return -1;
	}
	if (pid > 0) {
		close(ends[1]);
		waitpid(pid, NULL, 0);
		*exit_status = wait_for_daemon(ends[0], timeout_ms);
		close(ends[0]);
		return 1;
	}
	close(ends[0]);
	d->status_fd = ends[1];
	d->stderr_fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	send_report(d, -1);
	d->is_mute = !is_lasting(STDERR_FILENO);
	if (leave_terminal() != 0)
		return error_set_errno(err, errno, "opening /dev/null");
	return 0;
}

void
daemonize_print(const struct daemonize *d, const char *text)
{
	dprintf(d->stderr_fd >= 0 ? d->stderr_fd : STDERR_FILENO,
	    "weir: %s\n", text);
}

void
daemonize_tell(struct daemonize *d, int exit_status)
{
	if (d->status_fd >= 0)
		send_report(d, exit_status);
	daemonize_forget(d);
}

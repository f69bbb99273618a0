/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reload_check - a process that loads and reports through a pipe.
 *
 * Its end is what counts; all that it wrote is in the pipe by then.
 */
#include "master/reload_check.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/heap_alloc.h"
#include "base/list.h"
#include "base/log.h"
#include "base/now.h"
#include "conf/report.h"
#include "os/proc.h"
#include "os/signals.h"
#include "site/generation.h"

enum { PIECE_BYTES = 16384, TEXT_MAX = 1048576, NICE = 5 };

static void on_readable(struct loop_watch *w, unsigned events);
static void on_deadline(struct deadline *d);

void
reload_check_init(struct reload_check *c, struct loop *loop,
    reload_check_fn *on_done, void *arg)
{
	*c = (struct reload_check){ .loop = loop, .on_done = on_done,
		.arg = arg, .pipe = { on_readable, -1, 0 } };
	deadline_init(&c->deadline, on_deadline);
}

/* ---- in the process that loads ---- */

static void __attribute__((noreturn))
load(const struct generation_source *source, int fd)
{
	struct conf_report *report = conf_report_new();
	FILE *out = fdopen(fd, "w");
	const struct generation *g;

	log_set_sink(NULL, NULL);
	proc_title_set(NULL, "weir: checks a configuration");
	/* Those who serve come first; but it is waited for, too. */
	(void)setpriority(PRIO_PROCESS, 0, NICE);
	g = generation_load(source, report);
	if (out != NULL) {
		conf_report_print_lines(report, out);
		fflush(out);
	}
	_exit(g != NULL ? 0 : 1);
}

/* ---- in the master ---- */

static void
end(struct reload_check *c)
{
	deadline_stop(c->loop, &c->deadline);
	if (c->pipe.fd >= 0) {
		int fd = c->pipe.fd;

		loop_remove(c->loop, &c->pipe);
		close(fd);
	}
	free(c->text);
	c->text = NULL;
	c->len = 0;
	c->pid = 0;
}

/* What there is; more than TEXT_MAX is passed over. */
static void
receive(struct reload_check *c)
{
	char piece[PIECE_BYTES];
	ssize_t n;

	while ((n = read(c->pipe.fd, piece, sizeof(piece))) > 0) {
		if (c->len + (size_t)n > TEXT_MAX)
			continue;
		c->text = heap_alloc_grow(c->text, c->len + (size_t)n, 1);
		memcpy(c->text + c->len, piece, (size_t)n);
		c->len += (size_t)n;
	}
	/* Its end is told by waitpid(). */
	if (n == 0 && c->pipe.fd >= 0)
		loop_remove(c->loop, &c->pipe);
}

static void
on_readable(struct loop_watch *w, unsigned events)
{
	struct reload_check *c = LIST_OF(w, struct reload_check, pipe);
	int fd = w->fd;

	(void)events;
	receive(c);
	if (w->fd < 0)
		close(fd);
}

static void
on_deadline(struct deadline *d)
{
	struct reload_check *c = LIST_OF(d, struct reload_check, deadline);

	c->is_late = true;
	kill(c->pid, SIGKILL);
}

int
reload_check_start(struct reload_check *c,
    const struct generation_source *source, uint64_t timeout_ms,
    void (*in_child)(void *arg), struct error *err)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) != 0)
		return error_set_errno(err, errno, "making a pipe");
	fflush(NULL);
	c->pid = fork();
	if (c->pid == 0) {
		/* Whatever becomes of the master, it does not stay. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		in_child(c->arg);
		close(fds[0]);
		/* Its reader is patient. */
		fcntl(fds[1], F_SETFL, 0);
		load(source, fds[1]);
	}
	close(fds[1]);
	if (c->pid < 0) {
		c->pid = 0;
		close(fds[0]);
		return error_set_errno(err, errno, "forking");
	}
	c->is_late = false;
	c->timeout_ms = timeout_ms;
	now_update();
	deadline_set(c->loop, &c->deadline, now_ms() + timeout_ms);
	if (loop_add_reader(c->loop, &c->pipe, fds[0], false) != 0) {
		error_set_errno(err, errno, "watching a pipe");
		close(fds[0]);
		kill(c->pid, SIGKILL);
		end(c);
		return -1;
	}
	return 0;
}

static void
describe(const struct reload_check *c, int status, struct error *why)
{
	if (c->is_late)
		error_set(why, "loading it took longer than %llu ms",
		    (unsigned long long)c->timeout_ms);
	else if (WIFSIGNALED(status))
		error_set(why, "loading it was ended by %s",
		    signals_name(WTERMSIG(status)));
	else if (WEXITSTATUS(status) == 1 && c->len > 0)
		error_set(why, "it has errors");
	else
		error_set(why, "loading it ended with status %d",
		    WEXITSTATUS(status));
}

bool
reload_check_on_exit(struct reload_check *c, pid_t pid, int status)
{
	bool is_good = WIFEXITED(status) && WEXITSTATUS(status) == 0;
	struct error why;
	char *text;
	size_t len;

	if (c->pid == 0 || pid != c->pid)
		return false;
	if (c->pipe.fd >= 0)
		on_readable(&c->pipe, LOOP_READABLE);
	describe(c, status, &why);
	text = c->text;
	len = c->len;
	c->text = NULL;
	end(c);
	c->on_done(c->arg, span_of(text, len), is_good ? NULL : why.text);
	free(text);
	return true;
}

void
reload_check_stop(struct reload_check *c)
{
	if (c->pid == 0)
		return;
	kill(c->pid, SIGKILL);
	end(c);
}

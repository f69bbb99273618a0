/* SPDX-License-Identifier: BSD-2-Clause */
/* signals - signalfd(2), and the set-up around it. */
#include "os/signals.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/error.h"
#include "base/list.h"

static sigset_t
set_of(const int *numbers, size_t count)
{
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < count; i++)
		sigaddset(&set, numbers[i]);
	return set;
}

void
signals_block(const int *numbers, size_t count)
{
	sigset_t set = set_of(numbers, count);

	sigprocmask(SIG_BLOCK, &set, NULL);
}

static void
set_action(int number, void (*action)(int))
{
	struct sigaction sa = { .sa_handler = action };

	sigemptyset(&sa.sa_mask);
	sigaction(number, &sa, NULL);
}

void
signals_ignore(const int *numbers, size_t count)
{
	for (size_t i = 0; i < count; i++)
		set_action(numbers[i], SIG_IGN);
}

static void
on_readable(struct loop_watch *w, unsigned events)
{
	struct signals *s = LIST_OF(w, struct signals, watch);
	struct signalfd_siginfo info;

	(void)events;
	/* The callback may stop watching. */
	while (w->fd >= 0 &&
	    read(w->fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		pid_t sender = info.ssi_code == SI_USER ||
		    info.ssi_code == SI_QUEUE ? (pid_t)info.ssi_pid : 0;

		s->on_signal(s->arg, (int)info.ssi_signo, sender);
	}
}

int
signals_start(struct signals *s, struct loop *loop, const int *numbers,
    size_t count, signals_fn *on_signal, void *arg, struct error *err)
{
	sigset_t set = set_of(numbers, count);
	int fd;

	*s = (struct signals){ .watch = { on_readable, -1, 0 }, .loop = loop,
		.on_signal = on_signal, .arg = arg };
	signals_block(numbers, count);
	/* An ignored signal would never be delivered. */
	for (size_t i = 0; i < count; i++)
		set_action(numbers[i], SIG_DFL);
	fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (fd < 0)
		return error_set_errno(err, errno, "opening a signalfd");
	if (loop_add_reader(loop, &s->watch, fd, false) != 0) {
		error_set_errno(err, errno, "watching a signalfd");
		close(fd);
		return -1;
	}
	return 0;
}

void
signals_stop(struct signals *s)
{
	int fd = s->watch.fd;

	if (fd < 0)
		return;
	loop_remove(s->loop, &s->watch);
	close(fd);
}

void
signals_reset(void)
{
	sigset_t none;

	for (int number = 1; number < NSIG; number++)
		set_action(number, SIG_DFL); /* KILL and STOP refuse */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

const char *
signals_name(int number)
{
	static char text[32];
	const char *name = sigabbrev_np(number);

	if (name != NULL)
		snprintf(text, sizeof(text), "SIG%s", name);
	else
		snprintf(text, sizeof(text), "signal %d", number);
	return text;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* master_signals - what a signal means in each state, and who has died. */
#include "master/master_signals.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "master/master_logs.h"
#include "master/master_private.h"
#include "master/upgrade_leave.h"

static const int handled[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1,
	SIGUSR2, SIGCHLD };
enum { HANDLED_COUNT = sizeof(handled) / sizeof(*handled) };

static void
reap(struct master *m)
{
	int status;
	pid_t pid;

	/* As process 1 we also get those that nobody else waits for. */
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (!upgrade_leave_on_exit(m, pid, status) &&
		    !generations_on_exit(&m->generations, pid, status))
			(void)reload_on_exit(&m->reload, pid, status);
	}
}

/*
 * As process 1 we get what is meant for the one who serves.  True if it is for
 * that one alone.
 */
static bool
forward(struct master *m, int number)
{
	pid_t successor = upgrade_leave_successor(m);

	if (kill(successor, number) != 0)
		log_error(NULL, "passing %s on to process %ld: %s",
		    signals_name(number), (long)successor, strerror(errno));
	/* What still drains here is to end now as well, or has logs. */
	return m->state == MASTER_FORWARDING ||
	    (number != SIGINT && number != SIGUSR1);
}

static void
on_signal(void *arg, int number, pid_t sender)
{
	struct master *m = arg;

	if (number == SIGCHLD) {
		reap(m);
		return;
	}
	log_info(NULL, "%s from process %ld", signals_name(number),
	    (long)sender);
	if (getpid() == 1 && upgrade_leave_successor(m) != 0 &&
	    forward(m, number))
		return;
	switch (number) {
	case SIGINT:
	case SIGTERM:
		master_stop(m, number == SIGINT);
		break;
	case SIGUSR1:
		if (m->state != MASTER_WAITING)
			master_logs_reopen(m);
		break;
	case SIGHUP:
		if (m->state != MASTER_WAITING)
			reload_request(&m->reload, NULL, NULL);
		break;
	case SIGQUIT:
		upgrade_leave_on_quit(m);
		break;
	case SIGUSR2:
		upgrade_leave_on_usr2(m);
		break;
	default:
		break;
	}
}

int
master_signals_start(struct master *m, struct error *err)
{
	return signals_start(&m->signals, m->loop, handled, HANDLED_COUNT,
	    on_signal, m, err);
}

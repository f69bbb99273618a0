/* SPDX-License-Identifier: BSD-2-Clause */
/* upgrade_leave - from a signal to a successor, or back to serving. */
#include "master/upgrade_leave.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/heap_alloc.h"
#include "base/log.h"
#include "master/control.h"
#include "master/control_cmds.h"
#include "master/master_private.h"
#include "site/shared.h"

/* The one we took over from may still drain, or be a process 1 that stays. */
static void
tell_of_successor(const struct master *m)
{
	const struct upgrade_take *take = &m->upgrade.take;
	int predecessor = take->state == TAKE_TAKEN ? take->talk.watch.fd : -1;
	int init = upgrade_init_fd(m);
	char text[24];

	snprintf(text, sizeof(text), "%ld",
	    (long)upgrade_leave_successor(m));
	if (init >= 0)
		handover_say_fd(init, HANDOVER_SUCCESSOR, span_cstr(text));
	if (predecessor >= 0 && predecessor != init)
		handover_say_fd(predecessor, HANDOVER_SUCCESSOR,
		    span_cstr(text));
}

/* Who asked for a reload meanwhile means the one who serves. */
static void
pass_on_reload(struct master *m)
{
	pid_t successor = upgrade_leave_successor(m);

	if (!reload_is_waiting(&m->reload))
		return;
	reload_stop(&m->reload, "an upgrade was first; the successor reloads");
	if (kill(successor, SIGHUP) != 0)
		log_error(NULL, "passing a reload on to process %ld: %s",
		    (long)successor, strerror(errno));
}

static void
on_done(struct master *m)
{
	size_t count = m->generations.serving->listeners.count;
	uint8_t *gone;

	log_notice(NULL, "upgrade: process %ld has taken over",
	    (long)m->upgrade.give.successor);
	tell_of_successor(m);
	pass_on_reload(m);
	m->shared->is_given = true;
	orphans_unwatch(&m->upgrade.orphans);
	pidfile_forget(&m->pidfile);
	if (m->control != NULL)
		control_release(m->control);
	gone = heap_alloc_zeroed(count + 1, 1);
	for (size_t i = 0; i < count; i++)
		gone[i] = !upgrade_give_keeps(&m->upgrade.give, i);
	master_leave(m, gone);
	free(gone);
}

/* It may have been so near that it had the pid file already. */
static void
on_failed(struct master *m, const char *why)
{
	struct error err;

	log_error(NULL, "upgrade failed: %s; this instance serves on", why);
	shared_reclaim(m->shared);
	if (m->pidfile.fd >= 0 && !pidfile_is_ours(&m->pidfile) &&
	    pidfile_write(&m->pidfile, &err) != 0)
		log_error(NULL, "%s", err.text);
	if (m->state == MASTER_SERVING)
		master_tell_service(m, true);
	reload_continue(&m->reload);
}

static void
on_nobody(struct master *m, const char *why)
{
	switch (m->settings->quit_alone) {
	case SETTINGS_QUIT_UPGRADE:
		log_notice(NULL, "upgrade: no successor waits: starting one");
		upgrade_give_execute(&m->upgrade.give);
		break;
	case SETTINGS_QUIT_STOP:
		log_notice(NULL, "upgrade: no successor waits: stopping");
		master_stop(m, false);
		break;
	default:
		log_error(NULL, "upgrade failed: no successor waits (%s); "
		    "this instance serves on", why);
		master_tell_service(m, true);
		reload_continue(&m->reload);
		break;
	}
}

void
upgrade_leave_on_result(void *arg, enum upgrade_give_result result,
    const char *why)
{
	struct master *m = arg;

	switch (result) {
	case UPGRADE_GIVE_DONE:
		on_done(m);
		control_cmds_on_upgrade(m, NULL);
		break;
	case UPGRADE_GIVE_FAILED:
		on_failed(m, why);
		control_cmds_on_upgrade(m, why);
		break;
	case UPGRADE_GIVE_NOBODY:
		on_nobody(m, why);
		break;
	case UPGRADE_GIVE_FOLLOWED:
		log_notice(NULL, "upgrade: process %ld has taken over there",
		    (long)upgrade_leave_successor(m));
		break;
	case UPGRADE_GIVE_GONE:
		/* Who started process 1 sees how its last successor ended. */
		if (getpid() == 1)
			m->exit_status = m->upgrade.give.exit_status;
		if (m->state == MASTER_FORWARDING)
			loop_stop(m->loop);
		break;
	}
}

/* True if it may begin now; *later: it does so by upgrade_leave_continue(). */
static bool
may_leave(struct master *m, const char *signal, bool *later)
{
	unsigned draining = generations_draining(&m->generations);

	*later = false;
	if (upgrade_leave_is_running(m)) {
		log_notice(NULL, "%s: an upgrade is running already", signal);
		return false;
	}
	if (m->state != MASTER_SERVING && m->state != MASTER_STARTING) {
		log_notice(NULL, "%s: no upgrade while weir waits or stops",
		    signal);
		return false;
	}
	if (m->state == MASTER_STARTING) {
		log_notice(NULL, "%s: upgrading once all processes serve",
		    signal);
		*later = true;
	} else if (m->reload.state != RELOAD_IDLE &&
	    m->reload.state != RELOAD_WAITING) {
		log_notice(NULL, "%s: upgrading once the reload is over",
		    signal);
		*later = true;
	} else if (draining >= m->settings->max_draining_generations) {
		log_notice(NULL, "%s: upgrading once one of %u generations "
		    "that drain has ended", signal, draining);
		*later = true;
	} else {
		m->upgrade.give.config.sock_path = m->settings->upgrade_sock;
		m->upgrade.give.config.timeout_ms =
		    m->settings->upgrade_timeout_ms;
		service_changing(&m->service, "upgrading");
	}
	return !*later;
}

void
upgrade_leave_on_quit(struct master *m)
{
	bool later;

	if (may_leave(m, "SIGQUIT", &later))
		upgrade_give_connect(&m->upgrade.give);
	m->upgrade.wants_quit |= later;
}

void
upgrade_leave_on_usr2(struct master *m)
{
	bool later;

	if (may_leave(m, "SIGUSR2", &later))
		upgrade_give_execute(&m->upgrade.give);
	m->upgrade.wants_usr2 |= later;
}

void
upgrade_leave_continue(struct master *m)
{
	bool wants_quit = m->upgrade.wants_quit;

	if ((!wants_quit && !m->upgrade.wants_usr2) ||
	    m->state != MASTER_SERVING ||
	    generations_draining(&m->generations) >=
	    m->settings->max_draining_generations ||
	    (m->reload.state != RELOAD_IDLE &&
	    m->reload.state != RELOAD_WAITING))
		return;
	m->upgrade.wants_quit = m->upgrade.wants_usr2 = false;
	if (wants_quit)
		upgrade_leave_on_quit(m);
	else
		upgrade_leave_on_usr2(m);
}

bool
upgrade_leave_is_running(const struct master *m)
{
	return upgrade_give_is_running(&m->upgrade.give) ||
	    m->upgrade.wants_quit || m->upgrade.wants_usr2;
}

bool
upgrade_leave_on_exit(struct master *m, pid_t pid, int status)
{
	return upgrade_give_on_exit(&m->upgrade.give, pid, status);
}

void
upgrade_leave_cancel(struct master *m)
{
	m->upgrade.wants_quit = m->upgrade.wants_usr2 = false;
	if (upgrade_give_is_running(&m->upgrade.give))
		upgrade_give_stop(&m->upgrade.give);
}

pid_t
upgrade_leave_successor(const struct master *m)
{
	return upgrade_give_successor(&m->upgrade.give);
}

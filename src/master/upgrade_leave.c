/* SPDX-License-Identifier: BSD-2-Clause */
/* upgrade_leave - from a signal to a successor, or back to serving. */
#include "master/upgrade_leave.h"

#include <signal.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/heap_alloc.h"
#include "base/log.h"
#include "master/control.h"
#include "master/control_cmds.h"
#include "master/master_private.h"
#include "site/shared.h"

static void
on_done(struct master *m)
{
	size_t count = m->generations.serving->listeners.count;
	uint8_t *gone;

	log_notice(NULL, "upgrade: process %ld has taken over",
	    (long)m->upgrade.give.successor);
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
upgrade_leave_on_result(void *arg, enum upgrade_give_result result, const char *why)
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
	case UPGRADE_GIVE_GONE:
		if (m->state == MASTER_FORWARDING)
			loop_stop(m->loop);
		break;
	}
}

static bool
may_leave(struct master *m, const char *signal)
{
	if (upgrade_give_is_running(&m->upgrade.give)) {
		log_notice(NULL, "%s: an upgrade is running already", signal);
		return false;
	}
	if (m->reload.state != RELOAD_IDLE &&
	    m->reload.state != RELOAD_WAITING) {
		log_notice(NULL, "%s: no upgrade while a reload is under way",
		    signal);
		return false;
	}
	if (m->state == MASTER_SERVING) {
		m->upgrade.give.config.sock_path = m->settings->upgrade_sock;
		m->upgrade.give.config.timeout_ms =
		    m->settings->upgrade_timeout_ms;
		service_changing(&m->service, "upgrading");
		return true;
	}
	if (m->state != MASTER_STARTING) {
		log_notice(NULL, "%s: no upgrade while weir waits or stops",
		    signal);
		return false;
	}
	log_notice(NULL, "%s: upgrading once all processes serve", signal);
	return false;
}

void
upgrade_leave_on_quit(struct master *m)
{
	if (may_leave(m, "SIGQUIT"))
		upgrade_give_connect(&m->upgrade.give);
	m->upgrade.wants_quit = m->state == MASTER_STARTING;
}

void
upgrade_leave_on_usr2(struct master *m)
{
	if (may_leave(m, "SIGUSR2"))
		upgrade_give_execute(&m->upgrade.give);
	m->upgrade.wants_usr2 = m->state == MASTER_STARTING;
}

void
upgrade_leave_on_serving(struct master *m)
{
	bool wants_quit = m->upgrade.wants_quit;
	bool wants_usr2 = m->upgrade.wants_usr2;

	m->upgrade.wants_quit = m->upgrade.wants_usr2 = false;
	if (wants_quit)
		upgrade_leave_on_quit(m);
	else if (wants_usr2)
		upgrade_leave_on_usr2(m);
}

bool
upgrade_leave_is_running(const struct master *m)
{
	return upgrade_give_is_running(&m->upgrade.give);
}

bool
upgrade_leave_on_exit(struct master *m, pid_t pid, int status)
{
	return upgrade_give_on_exit(&m->upgrade.give, pid, status);
}

void
upgrade_leave_cancel(struct master *m)
{
	if (upgrade_give_is_running(&m->upgrade.give))
		upgrade_give_stop(&m->upgrade.give);
}

pid_t
upgrade_leave_successor(const struct master *m)
{
	return m->upgrade.give.state == GIVE_GIVEN
	    ? m->upgrade.give.successor : 0;
}

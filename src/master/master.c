/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * master - states, and the end.
 *
 *	WAITING -> STARTING -> SERVING -> DRAINING -> STOPPING -> ENDING
 *
 * WAITING is a successor's only (upgrade_come.h).  DRAINING may be left out
 * (INT, or a start that failed).  In ENDING only the background process is
 * left, which writes what the log rings still hold.
 */
#include "master/master.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "base/error.h"
#include "base/list.h"
#include "base/log.h"
#include "base/now.h"
#include "master/control.h"
#include "master/control_cmds.h"
#include "master/master_logs.h"
#include "master/master_private.h"
#include "master/master_signals.h"
#include "master/master_start.h"
#include "master/startdir.h"
#include "master/upgrade_come.h"
#include "master/upgrade_leave.h"
#include "master/upgrade_left.h"
#include "os/reply.h"
#include "site/generation.h"
#include "site/shared.h"

enum {
	KILL_AFTER_MS = 2000, /* what was told to end at once */
	LOGS_AFTER_MS = 5000, /* what writes the last lines */
	PARENT_AFTER_MS = 5000, /* the daemon's parent waits so much longer */
};

void
master_set_deadline(struct master *m, uint64_t after_ms)
{
	deadline_set(m->loop, &m->deadline, now_ms() + after_ms);
}

void
master_tell_service(struct master *m, bool is_end)
{
	const struct generations *gs = &m->generations;
	unsigned workers = m->settings->workers;
	unsigned draining = generations_draining(gs);
	char text[128];

	snprintf(text, sizeof(text), "serving with %u worker%s, generation %u"
	    "%s", workers, workers == 1 ? "" : "s", gs->serving->number,
	    draining == 0 ? "" : draining == 1 ? "; an older one drains"
	    : "; older ones drain");
	if (is_end)
		service_serving(&m->service, text);
	else
		service_status(&m->service, text);
}

static bool
check_file(void *arg, uint32_t number, uint32_t version, int fd)
{
	struct master *m = arg;

	return generations_check_file(&m->generations, number, version, fd);
}

static bool
spread_files(void *arg)
{
	struct master *m = arg;

	return generations_spread_files(&m->generations);
}

static void
tell_signer(void *arg)
{
	struct master *m = arg;

	generations_tell_signer(&m->generations);
}

static void
on_tend(struct deadline *d)
{
	struct master *m = LIST_OF(d, struct master, tend);
	const struct generation_send send = { check_file, spread_files,
		tell_signer, m };
	int here = startdir_enter(m->settings->working_directory != NULL
	    ? m->directory_fd : -1);
	uint64_t pause_ms = generation_tend(
	    generations_serving(&m->generations), &send);

	startdir_leave(here);
	deadline_set(m->loop, &m->tend, now_ms() + pause_ms);
}

void
master_serve(struct master *m)
{
	unsigned workers = generations_settings(&m->generations)->workers;
	struct error err;

	m->state = MASTER_SERVING;
	deadline_clear(&m->deadline);
	on_tend(&m->tend);
	log_notice(NULL, "weir %s serves with %u worker%s (%s)",
	    m->boot->version, workers, workers == 1 ? "" : "s",
	    loop_backend_name(m->loop));
	/* What a predecessor had until now. */
	if (upgrade_left_listeners(m) != NULL && master_start_control(m, &err) != 0)
		log_error(NULL, "%s", err.text);
	master_tell_service(m, true);
	daemonize_tell(&m->daemonize, 0);
	upgrade_leave_continue(m);
	reload_continue(&m->reload);
}

static void
enter_ending(struct master *m)
{
	m->state = MASTER_ENDING;
	master_set_deadline(m, LOGS_AFTER_MS);
	generations_end_background(&m->generations);
}

/* Process 1 stays: with it the successor would end. */
static void
enter_over(struct master *m)
{
	pid_t successor = upgrade_leave_successor(m);

	deadline_clear(&m->deadline);
	if (!upgrade_come_has_predecessor(m))
		upgrade_give_say_ended(&m->upgrade.give);
	if (getpid() != 1 || successor == 0) {
		loop_stop(m->loop);
		return;
	}
	m->state = MASTER_FORWARDING;
	log_notice(NULL, "all has ended; as process 1 this one stays, and "
	    "forwards signals to process %ld", (long)successor);
}

/*
 * Who has a successor ends after its own predecessor: the successor takes our
 * end for that of all before it, and gives their slots to processes of its own.
 */
static bool
must_wait(const struct master *m)
{
	return m->state == MASTER_DRAINING &&
	    upgrade_leave_successor(m) != 0 && upgrade_come_is_waiting(m);
}

void
master_check_ended(struct master *m)
{
	bool is_over = (m->state == MASTER_DRAINING && !must_wait(m)) ||
	    m->state == MASTER_STOPPING;

	if (is_over && generations_count_workers(&m->generations) == 0)
		enter_ending(m);
	if (m->state != MASTER_ENDING)
		return;
	if (generations_have_background(&m->generations))
		generations_end_background(&m->generations);
	else
		enter_over(m);
}

/* gone: a successor serves; NULL: nobody does. */
static void
enter_draining(struct master *m, const uint8_t *gone)
{
	uint64_t timeout_ms =
	    generations_settings(&m->generations)->shutdown_timeout_ms;

	m->state = MASTER_DRAINING;
	log_notice(NULL, "%s: draining for at most %llu ms",
	    gone == NULL ? "stopping" : "leaving",
	    (unsigned long long)timeout_ms);
	if (gone == NULL)
		service_ending(&m->service, timeout_ms, "draining");
	else
		service_stop(&m->service);
	upgrade_leave_cancel(m);
	reload_stop(&m->reload, "weir is stopping");
	now_update();
	if (gone == NULL)
		generations_drain(&m->generations, now_ms() + timeout_ms);
	else
		generations_leave(&m->generations, now_ms() + timeout_ms,
		    gone);
	/* Workers cut at the deadline; those that cannot are killed. */
	master_set_deadline(m, timeout_ms + KILL_AFTER_MS);
	master_check_ended(m);
}

/* A balancer in front is to see that we go before we do. */
static void
enter_leaving(struct master *m)
{
	uint64_t delay_ms = m->settings->shutdown_delay_ms;

	m->state = MASTER_LEAVING;
	log_notice(NULL, "stopping: serving on for %llu ms while /healthz "
	    "says so", (unsigned long long)delay_ms);
	service_ending(&m->service, delay_ms, "leaving");
	upgrade_leave_cancel(m);
	reload_stop(&m->reload, "weir is stopping");
	generations_announce_drain(&m->generations);
	master_set_deadline(m, delay_ms);
}

static void
enter_stopping(struct master *m)
{
	m->state = MASTER_STOPPING;
	service_ending(&m->service, 0, "stopping");
	upgrade_leave_cancel(m);
	if (generations_serving(&m->generations) == NULL) {
		loop_stop(m->loop); /* nothing was started */
		return;
	}
	master_set_deadline(m, KILL_AFTER_MS);
	reload_stop(&m->reload, "weir is stopping");
	generations_stop(&m->generations);
	master_check_ended(m);
}

void
master_leave(struct master *m, const uint8_t *gone)
{
	enter_draining(m, gone);
}

static void
kill_workers(struct master *m)
{
	unsigned killed = generations_kill_workers(&m->generations);

	if (killed > 0)
		log_error(NULL, "%u worker%s did not end in time and %s "
		    "killed", killed, killed == 1 ? "" : "s",
		    killed == 1 ? "was" : "were");
	master_set_deadline(m, KILL_AFTER_MS);
}

void
master_fail(struct master *m, const char *why)
{
	m->exit_status = 1;
	master_logs_say_failure(m, why);
	upgrade_come_on_failed(m, why);
	enter_stopping(m);
}

static void
on_deadline(struct deadline *d)
{
	struct master *m = LIST_OF(d, struct master, deadline);
	struct error why;

	switch (m->state) {
	case MASTER_STARTING:
		generations_describe_late(&m->generations,
		    m->settings->daemon_ready_timeout_ms, &why);
		master_fail(m, why.text);
		break;
	case MASTER_WAITING:
	case MASTER_SERVING:
	case MASTER_FORWARDING:
		break;
	case MASTER_LEAVING:
		enter_draining(m, NULL);
		break;
	case MASTER_DRAINING:
	case MASTER_STOPPING:
		kill_workers(m);
		break;
	case MASTER_ENDING:
		log_error(NULL, "the background process did not end in time "
		    "and is killed");
		generations_kill_background(&m->generations);
		master_set_deadline(m, KILL_AFTER_MS);
		break;
	}
}

void
master_stop(struct master *m, bool now)
{
	bool again = m->state == MASTER_LEAVING ||
	    m->state == MASTER_DRAINING || m->state == MASTER_STOPPING;

	if (m->state == MASTER_ENDING || m->state == MASTER_STOPPING)
		return;
	/* While others still start, those that serve already have clients. */
	if (!now && m->state == MASTER_SERVING &&
	    m->settings->shutdown_delay_ms > 0) {
		enter_leaving(m);
		return;
	}
	if (!now && (m->state == MASTER_SERVING ||
	    (m->state == MASTER_STARTING && m->daemonize.status_fd < 0 &&
	    !upgrade_come_is_provisional(m)))) {
		enter_draining(m, NULL);
		return;
	}
	log_notice(NULL, "stopping at once%s", again
	    ? ": told to stop a second time" : "");
	if (m->daemonize.status_fd >= 0)
		m->exit_status = 1; /* somebody waits for a daemon */
	upgrade_come_on_failed(m, "it was told to stop");
	enter_stopping(m);
}

static int
open_loop(struct master *m, struct error *err)
{
	/* A log that is larger than a limit is a write that fails. */
	static const int ignored[] = { SIGPIPE, SIGXFSZ };

	signals_ignore(ignored, sizeof(ignored) / sizeof(*ignored));
	m->loop = loop_new((enum loop_backend)m->settings->event_loop, err);
	if (m->loop == NULL)
		return -1;
	deadline_init(&m->deadline, on_deadline);
	deadline_init(&m->tend, on_tend);
	service_start(&m->service, m->loop);
	return master_signals_start(m, err);
}

static void
close_all(struct master *m)
{
	control_cmds_on_upgrade(m, "the instance was told to stop");
	if (m->stop_waiter != NULL)
		reply_answer(m->stop_waiter, NULL,
		    SPAN("\"state\":\"stopped\""));
	control_close(m->control);
	service_stop(&m->service);
	given_fini(&m->given);
	log_set_sink(NULL, NULL);
	generations_fini(&m->generations);
	if (m->loop != NULL)
		upgrade_fini(m);
	pidfile_remove(&m->pidfile);
	for (unsigned i = 0; i < 2; i++) {
		if (m->lifeline[i] >= 0)
			close(m->lifeline[i]);
	}
	if (m->directory_fd >= 0)
		close(m->directory_fd);
	if (m->loop != NULL) {
		deadline_stop(m->loop, &m->deadline);
		deadline_stop(m->loop, &m->tend);
		signals_stop(&m->signals);
	}
	loop_free(m->loop);
	shared_free(m->shared);
	generation_free(m->waiting);
}

static int
run(struct master *m)
{
	struct error err;

	if (open_loop(m, &err) != 0) {
		daemonize_print(&m->daemonize, err.text);
		return 1;
	}
	/* Who is asked first is found by a path, too. */
	m->is_in_directory = m->settings->working_directory != NULL &&
	    chdir(m->settings->working_directory) == 0;
	upgrade_init(m);
	if (!upgrade_come_is_successor(m))
		master_start(m);
	else if (upgrade_come_wait(m, &err) != 0)
		master_fail(m, err.text);
	/* What has failed already may have nothing to wait for. */
	if (m->state != MASTER_STOPPING ||
	    generations_serving(&m->generations) != NULL)
		loop_run(m->loop);
	if (m->exit_status == 0)
		log_notice(NULL, "weir has stopped");
	return m->exit_status;
}

int
master_run(const struct master_boot *boot)
{
	struct master m = {
		.boot = boot,
		.source = *boot->source,
		.waiting = boot->generation,
		.settings = generation_settings(boot->generation),
		.directory_fd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC),
		.signals.watch.fd = -1,
		.pidfile.fd = -1,
		.lifeline = { -1, -1 },
	};
	struct error err;
	int status = 1;

	now_update();
	exe_note(&m.exe);
	service_init(&m.service);
	given_init(&m.given);
	m.started_ms = now_ms();
	m.started_wall_ms = now_wall_ms();
	daemonize_init(&m.daemonize);
	log_set_process("master");
	/* A successor that its predecessor has started is one already. */
	if (m.settings->daemon && boot->handover_fd < 0) {
		int who = daemonize_start(&m.daemonize,
		    m.settings->daemon_ready_timeout_ms + PARENT_AFTER_MS,
		    &status, &err);

		if (who < 0) {
			daemonize_print(&m.daemonize, err.text);
			status = 1;
		}
		if (who != 0) {
			given_fini(&m.given);
			generation_free(m.waiting);
			return status;
		}
	}
	proc_title_set(NULL, "weir: master %s", boot->conf_name);
	status = run(&m);
	close_all(&m);
	daemonize_tell(&m.daemonize, status);
	return status;
}

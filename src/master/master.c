/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * master - start, signals, end.
 *
 *	WAITING -> STARTING -> SERVING -> DRAINING -> STOPPING -> ENDING
 *
 * WAITING is a successor's only (upgrade.h).  DRAINING may be left out (INT, or a start that failed).  In ENDING only the
 * background process is left, which writes what the log rings still hold.
 */
#include "master/master.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/heap_alloc.h"
#include "base/list.h"
#include "base/log.h"
#include "base/now.h"
#include "master/account.h"
#include "master/children.h"
#include "master/control.h"
#include "master/control_cmds.h"
#include "master/master_private.h"
#include "os/reply.h"
#include "os/sandbox.h"
#include "site/generation.h"
#include "site/shared.h"

enum {
	KILL_AFTER_MS = 2000, /* what was told to end at once */
	LOGS_AFTER_MS = 5000, /* what writes the last lines */
	PARENT_AFTER_MS = 5000, /* the daemon's parent waits so much longer */
	METRIC_SETS_MAX = 16, /* of the processes' own */
};

static const int handled[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1,
	SIGUSR2, SIGCHLD };
enum { HANDLED_COUNT = sizeof(handled) / sizeof(*handled) };

static int open_control(struct master *m, struct error *err);

/* ---- states ---- */

static void
set_deadline(struct master *m, uint64_t after_ms)
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

static void
send_cert(void *arg, uint32_t listener, uint32_t pair, int fd)
{
	struct master *m = arg;

	generations_send_cert(&m->generations, listener, pair, fd);
}

static void
on_tend(struct deadline *d)
{
	struct master *m = LIST_OF(d, struct master, tend);

	deadline_set(m->loop, &m->tend, now_ms() + generation_tend(
	    generations_serving(&m->generations), send_cert, m));
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
	if (upgrade_listeners(m) != NULL && open_control(m, &err) != 0)
		log_error(NULL, "%s", err.text);
	master_tell_service(m, true);
	daemonize_tell(&m->daemonize, 0);
	upgrade_on_serving(m);
	reload_continue(&m->reload);
}

static void
enter_ending(struct master *m)
{
	m->state = MASTER_ENDING;
	set_deadline(m, LOGS_AFTER_MS);
	generations_end_background(&m->generations);
}

/* Process 1 stays: with it the successor would end. */
static void
enter_over(struct master *m)
{
	pid_t successor = upgrade_successor(m);

	deadline_clear(&m->deadline);
	if (getpid() != 1 || successor == 0) {
		loop_stop(m->loop);
		return;
	}
	m->state = MASTER_FORWARDING;
	log_notice(NULL, "all has ended; as process 1 this one stays, and "
	    "forwards signals to process %ld", (long)successor);
}

/* The next state once nobody is left whom this one waits for. */
static void
check_ended(struct master *m)
{
	bool is_over = m->state == MASTER_DRAINING ||
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
	upgrade_cancel(m);
	reload_stop(&m->reload);
	now_update();
	if (gone == NULL)
		generations_drain(&m->generations, now_ms() + timeout_ms);
	else
		generations_leave(&m->generations, now_ms() + timeout_ms,
		    gone);
	/* Workers cut at the deadline; those that cannot are killed. */
	set_deadline(m, timeout_ms + KILL_AFTER_MS);
	check_ended(m);
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
	upgrade_cancel(m);
	reload_stop(&m->reload);
	generations_announce_drain(&m->generations);
	set_deadline(m, delay_ms);
}

static void
enter_stopping(struct master *m)
{
	m->state = MASTER_STOPPING;
	service_ending(&m->service, 0, "stopping");
	upgrade_cancel(m);
	if (generations_serving(&m->generations) == NULL) {
		loop_stop(m->loop); /* nothing was started */
		return;
	}
	set_deadline(m, KILL_AFTER_MS);
	reload_stop(&m->reload);
	generations_stop(&m->generations);
	check_ended(m);
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
	set_deadline(m, KILL_AFTER_MS);
}

/* Said in the log, and to whoever waits and does not see the log. */
static void
say_failure(const struct master *m, const char *why)
{
	const struct logtarget_output *out = m->log_output.targets != NULL
	    ? &m->log_output : &m->upgrade.early_output;

	if (out->targets != NULL)
		log_error(NULL, "%s", why);
	if (out->targets == NULL || m->daemonize.stderr_fd >= 0 ||
	    out->targets->items[out->target].kind != LOGTARGET_STDERR)
		daemonize_print(&m->daemonize, why);
}

void
master_fail(struct master *m, const char *why)
{
	m->exit_status = 1;
	say_failure(m, why);
	upgrade_on_failed(m, why);
	enter_stopping(m);
}

static void
on_deadline(struct deadline *d)
{
	struct master *m = LIST_OF(d, struct master, deadline);

	switch (m->state) {
	case MASTER_STARTING:
		master_fail(m, "not all processes were ready in time");
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
		set_deadline(m, KILL_AFTER_MS);
		break;
	}
}

/* ---- children ---- */

/* The log goes where the configuration that serves says. */
static void
use_log(struct master *m)
{
	const struct generation *g = generations_serving(&m->generations);

	m->log_output.targets = &m->shared->targets;
	m->log_output.target = generation_shared(g)->error_log;
	log_set_sink(logtarget_sink, &m->log_output);
	log_set_level(
	    (enum log_level)generation_settings(g)->error_log.level);
}

static void
on_ready(void *arg)
{
	struct master *m = arg;

	if (m->state == MASTER_STARTING) {
		deadline_clear(&m->deadline);
		if (upgrade_on_ready(m))
			master_serve(m);
	} else if (m->state == MASTER_SERVING) {
		m->settings = generations_settings(&m->generations);
		use_log(m);
		reload_on_ready(&m->reload);
	}
}

static void
on_failed(void *arg, const char *why)
{
	struct master *m = arg;

	if (m->state == MASTER_STARTING)
		master_fail(m, why);
	else
		reload_on_failed(&m->reload, why);
}

static void
on_ended(void *arg)
{
	struct master *m = arg;

	check_ended(m);
	reload_continue(&m->reload);
	if (m->state == MASTER_SERVING && m->reload.state == RELOAD_IDLE)
		master_tell_service(m, false);
}

static void
on_reload_state(void *arg, enum reload_state state)
{
	struct master *m = arg;

	if (m->state != MASTER_SERVING)
		return;
	if (state == RELOAD_IDLE)
		master_tell_service(m, true);
	else
		service_changing(&m->service, "reloading");
}

/* In a new process: what is the master's alone is closed. */
static void
close_own(struct master *m)
{
	if (m->signals.watch.fd >= 0)
		close(m->signals.watch.fd);
	pidfile_forget(&m->pidfile);
	upgrade_forget(m);
	control_forget(m->control);
	m->control = NULL;
	given_fini(&m->given);
	service_forget(&m->service);
	daemonize_forget(&m->daemonize);
	if (m->directory_fd >= 0)
		close(m->directory_fd);
	loop_free(m->loop);
}

static void
in_child(void *arg, struct process_boot *boot, struct listener_set *own)
{
	struct master *m = arg;

	upgrade_prepare_orphan(m, boot, own);
	close_own(m);
}

static void
in_check(void *arg)
{
	struct master *m = arg;

	/* It loads where the configuration was first loaded. */
	m->directory_fd = -1;
	close_own(m);
}

static void
reap(struct master *m)
{
	int status;
	pid_t pid;

	/* As process 1 we also get those that nobody else waits for. */
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (!upgrade_on_exit(m, pid, status) &&
		    !generations_on_exit(&m->generations, pid, status))
			(void)reload_on_exit(&m->reload, pid, status);
	}
}

/* ---- signals ---- */

void
master_reopen_logs(struct master *m)
{
	struct logtargets *targets = &m->shared->targets;
	uint32_t *ids = heap_alloc_zeroed(targets->count, sizeof(*ids));
	int *fds = heap_alloc_zeroed(targets->count, sizeof(*fds));
	size_t count = 0;

	log_notice(NULL, "reopening the logs");
	for (unsigned id = 0; id < targets->count; id++) {
		struct error err;

		if (targets->items[id].uses == 0 ||
		    targets->items[id].kind != LOGTARGET_FILE)
			continue;
		if (logtarget_reopen(targets, id, &err) != 0) {
			log_error(NULL, "%s; the old file stays in use",
			    err.text);
			continue;
		}
		ids[count] = id;
		fds[count++] = targets->items[id].fd;
	}
	generations_replace_logs(&m->generations, ids, fds, count);
	free(ids);
	free(fds);
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
	    !upgrade_is_provisional(m)))) {
		enter_draining(m, NULL);
		return;
	}
	log_notice(NULL, "stopping at once%s", again
	    ? ": told to stop a second time" : "");
	if (m->daemonize.status_fd >= 0)
		m->exit_status = 1; /* somebody waits for a daemon */
	upgrade_on_failed(m, "it was told to stop");
	enter_stopping(m);
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
	if (m->state == MASTER_FORWARDING) {
		kill(upgrade_successor(m), number);
		return;
	}
	switch (number) {
	case SIGINT:
	case SIGTERM:
		master_stop(m, number == SIGINT);
		break;
	case SIGUSR1:
		if (m->state != MASTER_WAITING)
			master_reopen_logs(m);
		break;
	case SIGHUP:
		if (m->state != MASTER_WAITING)
			reload_request(&m->reload, NULL, NULL);
		break;
	case SIGQUIT:
		upgrade_on_quit(m);
		break;
	case SIGUSR2:
		upgrade_on_usr2(m);
		break;
	default:
		break;
	}
}

/* ---- start ---- */

static int
open_loop(struct master *m, struct error *err)
{
	static const int ignored[] = { SIGPIPE };

	signals_ignore(ignored, 1);
	m->loop = loop_new((enum loop_backend)m->settings->event_loop, err);
	if (m->loop == NULL)
		return -1;
	deadline_init(&m->deadline, on_deadline);
	deadline_init(&m->tend, on_tend);
	service_start(&m->service, m->loop);
	return signals_start(&m->signals, m->loop, handled, HANDLED_COUNT,
	    on_signal, m, err);
}

static int
open_shared(struct master *m, struct error *err)
{
	const struct metric_set *sets[METRIC_SETS_MAX] = { &children_metrics };
	struct shared_config config = {
		.settings = m->settings,
		.workers = m->settings->workers,
		.metric_sets = sets,
		.metric_set_count = 1,
	};

	for (size_t i = 0; m->boot->metric_sets[i] != NULL; i++) {
		assert(config.metric_set_count < METRIC_SETS_MAX);
		sets[config.metric_set_count++] = m->boot->metric_sets[i];
	}
	return upgrade_open_shared(m, &config, err);
}

/* Default paths may be an other instance's: one goes without then. */
static int
open_control(struct master *m, struct error *err)
{
	const struct settings_control *s = &m->settings->control;
	struct control_config config = {
		.loop = m->loop,
		.path = s->path,
		.mode = s->mode,
		.owner = s->owner,
		.group = s->group,
		.rows = control_cmds,
		.arg = m,
		.pass_on = control_cmds_pass_on,
	};

	if (s->path == NULL || s->path[0] == '\0')
		return 0;
	config.adopt_fd = upgrade_control(m, s->path);
	m->control = control_open(&config, err);
	if (m->control != NULL)
		return 0;
	if (!s->is_default)
		return -1;
	log_warn(NULL, "%s; there is none for this instance", err->text);
	return 0;
}

/* Everything outside of this process that serving needs. */
static int
open_resources(struct master *m, struct error *err)
{
	if (m->settings->working_directory != NULL &&
	    chdir(m->settings->working_directory) != 0)
		return error_set_errno(err, errno, "working_directory %s",
		    m->settings->working_directory);
	if (!m->settings->core_dumps)
		sandbox_forbid_dumps();
	if (geteuid() == 0 &&
	    account_choose(&m->account, m->settings, err) != 0)
		return -1;
	if (upgrade_open_pidfile(m, err) != 0 || open_shared(m, err) != 0)
		return -1;
	/* What a predecessor still uses is opened when it has let go. */
	if (!upgrade_is_provisional(m) && open_control(m, err) != 0)
		return -1;
	upgrade_open_orphans(m);
	if (pipe2(m->lifeline, O_CLOEXEC) != 0)
		return error_set_errno(err, errno, "making a pipe");
	return 0;
}

static bool
may_reload(void *arg)
{
	const struct master *m = arg;

	return !upgrade_is_running(m);
}

/* The first generation, up to the point where the log is its own. */
static int
open_generation(struct master *m, struct error *err)
{
	const struct generations_config config = {
		.loop = m->loop,
		.shared = m->shared,
		.account = geteuid() == 0 ? &m->account : NULL,
		.lifeline = { m->lifeline[0], m->lifeline[1] },
		.given = &m->given,
		.left = upgrade_listeners(m),
		.worker_main = m->boot->worker_main,
		.background_main = m->boot->background_main,
		.in_child = in_child,
		.on_ready = on_ready,
		.on_failed = on_failed,
		.on_ended = on_ended,
		.arg = m,
	};
	const struct reload_config reload = {
		.loop = m->loop,
		.generations = &m->generations,
		.source = &m->source,
		.directory_fd = m->directory_fd,
		.in_child = in_check,
		.on_state = on_reload_state,
		.may_begin = may_reload,
		.arg = m,
	};

	generations_init(&m->generations, &config);
	reload_init(&m->reload, &reload);
	m->waiting = NULL;
	if (generations_prepare(&m->generations, m->boot->generation,
	    err) != 0)
		return -1;
	upgrade_check_zones(m);
	return 0;
}

/* From here on the log goes where the configuration says. */
static void
open_log(struct master *m)
{
	use_log(m);
	if (m->daemonize.is_mute && m->log_output.targets->
	    items[m->log_output.target].kind == LOGTARGET_STDERR)
		daemonize_print(&m->daemonize, "warning: a daemon without "
		    "error_log: its messages are lost");
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

void
master_start(struct master *m)
{
	struct error err;

	m->state = MASTER_STARTING;
	if (open_resources(m, &err) != 0 || open_generation(m, &err) != 0) {
		master_fail(m, err.text);
		return;
	}
	open_log(m);
	set_deadline(m, m->settings->daemon_ready_timeout_ms);
	if (generations_fork(&m->generations, &err) != 0)
		master_fail(m, err.text);
}

static int
run(struct master *m)
{
	struct error err;

	if (open_loop(m, &err) != 0) {
		daemonize_print(&m->daemonize, err.text);
		return 1;
	}
	upgrade_init(m);
	if (!upgrade_is_successor(m))
		master_start(m);
	else if (upgrade_wait(m, &err) != 0)
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

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * master_start - everything that serving needs, up to the first fork.
 */
#include "master/master_start.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "base/now.h"
#include "master/account.h"
#include "master/children.h"
#include "master/control.h"
#include "master/control_cmds.h"
#include "master/master_logs.h"
#include "master/master_private.h"
#include "master/upgrade_come.h"
#include "master/upgrade_leave.h"
#include "master/upgrade_left.h"
#include "os/sandbox.h"
#include "site/generation.h"
#include "site/shared.h"

enum { METRIC_SETS_MAX = 16 }; /* of the processes' own */

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
	return upgrade_left_open_shared(m, &config, err);
}

int
master_start_control(struct master *m, struct error *err)
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
	config.adopt_fd = upgrade_left_control(m, s->path);
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
	/* If it could not be entered, here is why. */
	if (m->settings->working_directory != NULL && !m->is_in_directory &&
	    chdir(m->settings->working_directory) != 0)
		return error_set_errno(err, errno, "working_directory %s",
		    m->settings->working_directory);
	if (!m->settings->core_dumps)
		sandbox_forbid_dumps();
	if (geteuid() == 0 &&
	    account_choose(&m->account, m->settings, err) != 0)
		return -1;
	if (upgrade_left_open_pidfile(m, err) != 0 || open_shared(m, err) != 0)
		return -1;
	/* What a predecessor still uses is opened when it has let go. */
	if (!upgrade_come_is_provisional(m) && master_start_control(m, err) != 0)
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

	return !upgrade_leave_is_running(m);
}

static void
on_ready(void *arg)
{
	struct master *m = arg;

	if (m->state == MASTER_STARTING) {
		deadline_clear(&m->deadline);
		if (upgrade_come_on_ready(m))
			master_serve(m);
	} else if (m->state == MASTER_SERVING) {
		m->settings = generations_settings(&m->generations);
		master_logs_use(m);
		deadline_set(m->loop, &m->tend, now_ms());
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

	master_check_ended(m);
	upgrade_leave_continue(m);
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
	if (state != RELOAD_IDLE) {
		service_changing(&m->service, "reloading");
		return;
	}
	master_tell_service(m, true);
	upgrade_leave_continue(m);
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
		.directory_fd = m->directory_fd,
		.given = &m->given,
		.left = upgrade_left_listeners(m),
		.worker_main = m->boot->worker_main,
		.background_main = m->boot->background_main,
		.signer_main = m->boot->signer_main,
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
	upgrade_left_check_zones(m);
	return 0;
}

/* From here on the log goes where the configuration says. */
static void
open_log(struct master *m)
{
	master_logs_use(m);
	if (m->daemonize.is_mute && m->log_output.targets->
	    items[m->log_output.target].kind == LOGTARGET_STDERR)
		daemonize_print(&m->daemonize, "warning: a daemon without "
		    "error_log: its messages are lost");
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
	master_set_deadline(m, m->settings->daemon_ready_timeout_ms);
	if (generations_fork(&m->generations, &err) != 0)
		master_fail(m, err.text);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* upgrade_come - waiting, starting with what was left, taking over. */
#include "master/upgrade_come.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/error.h"
#include "base/heap_alloc.h"
#include "base/list.h"
#include "base/log.h"
#include "base/now.h"
#include "master/master_private.h"
#include "master/master_start.h"
#include "master/startdir.h"
#include "master/upgrade_leave.h"
#include "site/generation.h"
#include "site/shared.h"

enum {
	ORPHANS_MS = 3000, /* to answer a plain start */
	SYNC_MS = 1000,
	/* Their own shutdown_timeout may have been longer. */
	ORPHANS_DRAIN = 2, /* times ours */
	AGAIN_MS = 50,     /* to ask orphans who are busy, */
	BUSY_MS = 10000,   /* and how long */
};

bool
upgrade_come_is_successor(struct master *m)
{
	struct upgrade *u = &m->upgrade;

	if (m->boot->is_upgrade || m->boot->handover_fd >= 0)
		return true;
	u->orphans_fd = orphans_connect(m->settings->upgrade_sock);
	return u->orphans_fd >= 0;
}

static void
sync_counters(struct master *m)
{
	if (shared_sync_inherited(m->shared))
		deadline_set(m->loop, &m->upgrade.sync, now_ms() + SYNC_MS);
}

void
upgrade_come_on_sync(struct deadline *d)
{
	struct upgrade *u = LIST_OF(d, struct upgrade, sync);

	sync_counters(LIST_OF(u, struct master, upgrade));
}

/* Nothing may fail any more that the predecessor would have to know. */
static void
on_taken(struct master *m)
{
	struct error err;

	if (generations_take_over(&m->generations, m->upgrade.orphans_fd < 0,
	    &err) != 0) {
		master_fail(m, err.text);
		return;
	}
	m->upgrade.has_taken = true;
	if (pidfile_write(&m->pidfile, &err) != 0)
		log_error(NULL, "%s", err.text);
	generations_set_predecessors(&m->generations,
	    1 + m->upgrade.take.estate.draining);
	m->upgrade.init_fd = m->upgrade.take.estate.init_fd;
	m->upgrade.take.estate.init_fd = -1;
	/* One of them that never ends is not waited for. */
	if (m->upgrade.orphans_fd >= 0)
		deadline_set(m->loop, &m->upgrade.orphans_end,
		    now_ms() + ORPHANS_DRAIN * m->settings->shutdown_timeout_ms);
	sync_counters(m);
	master_serve(m);
	estate_fini(&m->upgrade.take.estate, true);
}

static void
forget_predecessor(struct master *m)
{
	shared_give_inherited(m->shared, m->upgrade.used,
	    m->upgrade.used_count);
	m->upgrade.used_count = 0;
	deadline_clear(&m->upgrade.orphans_end);
	generations_set_predecessors(&m->generations, 0);
	upgrade_leave_continue(m);
	reload_continue(&m->reload);
	/* We may have waited for its end with ours. */
	master_check_ended(m);
}

/* Its slots stay its own, for it may count there. */
void
upgrade_come_on_orphans_end(struct deadline *d)
{
	struct upgrade *u = LIST_OF(d, struct upgrade, orphans_end);
	struct master *m = LIST_OF(u, struct master, upgrade);

	log_warn(NULL, "a process whose master has died does not end: it is "
	    "no longer waited for");
	u->are_orphans_late = true;
	/* Who talked to us may not have told the others. */
	if (u->page.data != NULL)
		orphans_say_taken(&u->page);
	generations_set_predecessors(&m->generations, 0);
	upgrade_leave_continue(m);
	reload_continue(&m->reload);
	master_check_ended(m);
}

void
upgrade_come_on_forget(struct deadline *d)
{
	struct upgrade *u = LIST_OF(d, struct upgrade, forget);

	forget_predecessor(LIST_OF(u, struct master, upgrade));
}

/*
 * Of orphans one has ended, or the predecessor's master was killed: the others
 * have as long to drain, and count in their slots until then.
 */
static void
on_gone(struct master *m)
{
	if (m->upgrade.take.has_ended) {
		log_notice(NULL, "upgrade: the predecessor has ended");
		forget_predecessor(m);
		return;
	}
	deadline_clear(&m->upgrade.orphans_end);
	if (m->upgrade.page.data != NULL)
		orphans_say_taken(&m->upgrade.page);
	if (m->upgrade.orphans_fd < 0)
		log_warn(NULL, "upgrade: the predecessor's master has died; "
		    "its processes drain by themselves");
	deadline_set(m->loop, &m->upgrade.forget,
	    now_ms() + m->settings->shutdown_timeout_ms);
}

/*
 * Orphans hand over to one at a time.  Once that one has all it needs it
 * answers in their place, and our start fails at its pid file.
 */
static void
ask_again(struct master *m)
{
	struct upgrade *u = &m->upgrade;

	if (!u->take.was_refused) {
		/* Who had nothing to give is nobody to wait for. */
		master_start(m);
	} else if (now_ms() >= u->again_until_ms) {
		master_fail(m, "another instance is taking over the processes "
		    "of one that has died");
	} else {
		deadline_set(m->loop, &u->again, now_ms() + AGAIN_MS);
	}
}

void
upgrade_come_on_again(struct deadline *d)
{
	struct upgrade *u = LIST_OF(d, struct upgrade, again);
	struct master *m = LIST_OF(u, struct master, upgrade);
	struct error err;

	u->orphans_fd = orphans_connect(m->settings->upgrade_sock);
	if (u->orphans_fd < 0)
		master_start(m);
	else if (upgrade_take_start(&u->take, u->orphans_fd, &err) != 0)
		master_fail(m, err.text);
}

/*
 * Workers have none of these: whoever sends them makes them up.  The lock on
 * the pid file above all: while a master lives it is that one's alone, and who
 * answers in its place convinces nobody.
 */
static void
drop_made_up(struct estate *e)
{
	int *fds[] = { &e->control_fd, &e->init_fd, &e->pid_fd };

	for (size_t i = 0; i < sizeof(fds) / sizeof(*fds); i++) {
		if (*fds[i] >= 0)
			close(*fds[i]);
		*fds[i] = -1;
	}
	e->draining = 0;
}

/* Who made the door of those whose master has died may be long gone. */
static void
on_estate(struct master *m)
{
	struct upgrade_take *take = &m->upgrade.take;

	m->upgrade.has_estate = true;
	if (m->upgrade.orphans_fd >= 0) {
		log_notice(NULL, "upgrade: taking over from processes whose "
		    "master has died (weir %s)", take->estate.weir_version);
		drop_made_up(&take->estate);
	} else {
		log_notice(NULL, "upgrade: taking over from process %ld "
		    "(weir %s)", (long)take->talk.peer_pid,
		    take->estate.weir_version);
	}
	master_start(m);
}

void
upgrade_come_on_event(void *arg, enum upgrade_take_event event, const char *why)
{
	struct master *m = arg;

	switch (event) {
	case UPGRADE_TAKE_ESTATE:
		on_estate(m);
		break;
	case UPGRADE_TAKE_TAKEN:
		on_taken(m);
		break;
	case UPGRADE_TAKE_FAILED:
		if (m->upgrade.orphans_fd >= 0 && m->state == MASTER_WAITING)
			ask_again(m);
		else
			master_fail(m, why);
		break;
	case UPGRADE_TAKE_GONE:
		on_gone(m);
		break;
	}
}

/* Lines of the time before the log is known to all processes. */
static void
open_early_log(struct master *m)
{
	struct upgrade *u = &m->upgrade;
	struct error err;
	int here = startdir_enter(m->is_in_directory ? m->directory_fd : -1);
	int id = logtarget_add(&u->early, m->settings->error_log.path, &err);

	startdir_leave(here);
	if (id < 0 || logtarget_open_all(&u->early, &err) != 0)
		return; /* the start will say so */
	u->early_output.targets = &u->early;
	u->early_output.target = (unsigned)id;
	log_set_sink(logtarget_sink, &u->early_output);
}

/* With daemon_wait_for_ready it is we who ask for the hand-over. */
static int
ask_for_it(struct master *m, struct error *err)
{
	const char *path = m->settings->pid_file;
	struct error why;
	pid_t pid;

	if (path == NULL)
		return error_set(err, "daemon_wait_for_ready needs a "
		    "pid_file");
	if (pidfile_owner(path, &pid, &why) != 0)
		return error_set(err, "daemon_wait_for_ready: %s", why.text);
	if (kill(pid, SIGQUIT) != 0)
		return error_set(err, "daemon_wait_for_ready: process %ld of "
		    "pid file %s cannot be asked", (long)pid, path);
	return 0;
}

int
upgrade_come_wait(struct master *m, struct error *err)
{
	bool asks = m->settings->daemon && m->settings->daemon_wait_for_ready;

	open_early_log(m);
	m->state = MASTER_WAITING;
	if (m->upgrade.orphans_fd >= 0) {
		m->upgrade.take.config.timeout_ms = ORPHANS_MS;
		m->upgrade.again_until_ms = now_ms() + BUSY_MS;
		if (upgrade_take_start(&m->upgrade.take,
		    m->upgrade.orphans_fd, err) != 0)
			log_warn(NULL, "orphans: %s", err->text);
		else
			return 0;
		upgrade_take_stop(&m->upgrade.take);
		master_start(m);
		return 0;
	}
	if (upgrade_take_start(&m->upgrade.take, m->boot->handover_fd,
	    err) != 0)
		return -1;
	if (m->boot->handover_fd >= 0)
		return 0;
	log_notice(NULL, "upgrade: waiting at %s", m->settings->upgrade_sock);
	if (asks)
		return ask_for_it(m, err);
	daemonize_tell(&m->daemonize, 0);
	return 0;
}

bool
upgrade_come_on_ready(struct master *m)
{
	struct upgrade *u = &m->upgrade;
	uint32_t *kept;
	size_t count;

	if (!u->has_estate)
		return true;
	kept = generations_kept(&m->generations, &count);
	for (size_t i = 0; i < count; i++)
		kept[i] = (uint32_t)u->left_numbers[kept[i]];
	if (u->page.data != NULL)
		orphans_note_kept(&u->page, kept, count);
	upgrade_take_ready(&u->take, kept, count);
	free(kept);
	return false;
}

void
upgrade_come_on_failed(struct master *m, const char *why)
{
	upgrade_take_fail(&m->upgrade.take, why);
}

bool
upgrade_come_has_predecessor(const struct master *m)
{
	return m->upgrade.has_taken && m->upgrade.used_count > 0;
}

bool
upgrade_come_is_waiting(const struct master *m)
{
	return upgrade_come_has_predecessor(m) && !m->upgrade.are_orphans_late;
}

bool
upgrade_come_is_provisional(const struct master *m)
{
	return m->upgrade.has_estate && !m->upgrade.has_taken;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * background - the life of the process and the tasks in it.
 *
 * It ends when the master says so, as the last one, or, once the master has
 * died, when the last worker has gone: until then there may be lines to write.
 *
 * Of several generations the one that serves writes the logs.  The master says
 * whose turn it is; a lock on the zone of the rings, which goes with its
 * process, makes sure that there are never two at it.
 */
#include "background/background.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "background/certs.h"
#include "background/commands.h"
#include "background/discovery.h"
#include "background/logwriter.h"
#include "background/ocsp.h"
#include "background/upstreams.h"
#include "base/error.h"
#include "base/list.h"
#include "base/log.h"
#include "base/now.h"
#include "metrics/metrics.h"
#include "net/listener.h"
#include "os/channel.h"
#include "os/logtarget.h"
#include "os/signals.h"
#include "proxy/stats.h"
#include "site/confine.h"
#include "site/generation.h"
#include "site/shared.h"
#include "upstream/lane.h"

enum {
	REAP_EVERY_MS = 1000,
	LAST_LINES_MS = 2000, /* for outputs that are busy at the end */
	LOCK_EVERY_MS = 10,   /* until the writer before us has let go */
};

struct background {
	const struct process_boot *boot;
	const struct generation_shared *shared;
	struct loop *loop;
	struct channel channel;
	struct signals signals;
	struct loop_watch lifeline; /* readable: all others have gone */
	struct logwriter *writer;
	struct discovery *discovery;
	struct commands *commands;
	struct upstreams *upstreams;
	struct certs certs;
	struct ocsp *ocsp; /* NULL: nothing is to be fetched */
	struct deadline reap;
	struct deadline lock;
	struct lane_counts lane_counts;
	bool is_turn; /* to write the logs */
	bool is_orphan;
};

/* ---- whose turn it is to write the logs ---- */

static int
set_lock(const struct background *b, short type)
{
	struct flock lock = { .l_type = type, .l_whence = SEEK_SET };

	return fcntl(b->shared->shared->log_zone.fd, F_SETLK, &lock);
}

static bool
is_busy(int why)
{
	return why == EACCES || why == EAGAIN;
}

/* Without locks (which no Linux lacks) the master's word must do. */
static void
start_writing(struct background *b)
{
	const struct generation_shared *shared = b->shared;
	struct logwriter_config config = {
		.loop = b->loop,
		.rings = shared->rings,
		.ring_count = shared->ring_count,
		.targets = shared->targets,
		.kick_fd = shared->kick_fd,
		.counters = metrics_block(shared->metrics,
		    &logwriter_metrics, b->boot->process, 0),
	};

	b->is_turn = true;
	if (b->writer != NULL)
		return;
	if (set_lock(b, F_WRLCK) == 0 || !is_busy(errno))
		b->writer = logwriter_start(&config);
	if (b->writer == NULL)
		deadline_set(b->loop, &b->lock, now_ms() + LOCK_EVERY_MS);
}

static void
on_lock(struct deadline *d)
{
	start_writing(LIST_OF(d, struct background, lock));
}

static void
stop_writing(struct background *b)
{
	b->is_turn = false;
	deadline_clear(&b->lock);
	if (b->writer == NULL)
		return;
	logwriter_stop(b->writer);
	b->writer = NULL;
	set_lock(b, F_UNLCK);
}

static void
on_lifeline(struct loop_watch *w, unsigned events)
{
	struct background *b = LIST_OF(w, struct background, lifeline);

	(void)events;
	log_notice(NULL, "no other process is left: ending");
	loop_stop(b->loop);
}

static void
on_signal(void *arg, int number, pid_t sender)
{
	struct background *b = arg;

	(void)number;
	(void)sender;
	/*
	 * The master says when: alone it is replaced, in a stop it goes last.
	 * Without one it stays for the workers, which end by the same signal.
	 */
	if (!b->is_orphan)
		channel_send(&b->channel, CHANNEL_LEAVING, NULL, 0, NULL, 0);
}

static void
replace_logs(struct background *b, const struct channel_message *m)
{
	for (size_t i = 0; i < m->fd_count; i++) {
		uint32_t target;

		if (m->body.len < (i + 1) * sizeof(target))
			return;
		memcpy(&target, m->body.p + i * sizeof(target),
		    sizeof(target));
		if (target >= b->shared->targets->count)
			continue;
		if (b->writer != NULL)
			logwriter_replace(b->writer, target, m->fds[i]);
		else
			logtarget_replace(b->shared->targets, target,
			    m->fds[i]);
		m->fds[i] = -1;
	}
}

static void
serve_command(struct background *b, const struct channel_message *m)
{
	if (m->fd_count != 1)
		return;
	commands_serve(b->commands, m->fds[0], m->body);
	m->fds[0] = -1;
}

static void
on_message(struct channel *channel, const struct channel_message *m)
{
	struct background *b = LIST_OF(channel, struct background, channel);
	uint32_t level;

	if (m == NULL) {
		b->is_orphan = true;
		log_error(NULL, "the master has gone");
		/* Whoever gets the lock first writes for all that are left. */
		start_writing(b);
		return;
	}
	switch (m->type) {
	case CHANNEL_SERVE:
		start_writing(b);
		upstreams_serve(b->upstreams, true);
		ocsp_serve(b->ocsp, true);
		break;
	case CHANNEL_DRAIN:
		stop_writing(b);
		upstreams_serve(b->upstreams, false);
		ocsp_serve(b->ocsp, false);
		discovery_retire(b->discovery);
		break;
	case CHANNEL_STOP:
		loop_stop(b->loop);
		break;
	case CHANNEL_LOGS:
		replace_logs(b, m);
		break;
	case CHANNEL_FILE:
		if (generation_files_take(b->boot->generation, channel, m))
			ocsp_cert_changed(b->ocsp);
		break;
	case CHANNEL_LOG_LEVEL:
		if (channel_body(m, &level, sizeof(level)))
			log_set_level((enum log_level)level);
		break;
	case CHANNEL_CONTROL:
		serve_command(b, m);
		break;
	default:
		break; /* not for this process, or of another version */
	}
}

/* ---- tasks ---- */

static void
on_reap(struct deadline *d)
{
	struct background *b = LIST_OF(d, struct background, reap);

	lane_reap(b->shared->lanes, b->shared->backends, now_ms(),
	    &b->lane_counts);
	deadline_set(b->loop, d, now_ms() + REAP_EVERY_MS);
}

static void
on_discovered(void *arg)
{
	struct background *b = arg;

	channel_send(&b->channel, CHANNEL_READY, NULL, 0, NULL, 0);
}

static void
on_come(void *arg, const struct backend *backend)
{
	struct background *b = arg;

	upstreams_on_come(b->upstreams, backend);
}

static void
on_change(void *arg, struct group *group)
{
	struct background *b = arg;

	upstreams_on_change(b->upstreams, group);
}

static int
start_ocsp(struct background *b, struct error *err)
{
	const struct ocsp_config config = {
		.loop = b->loop,
		.generation = b->boot->generation,
		.channel = &b->channel,
		.counters = metrics_block(b->shared->metrics, &stats_proxy,
		    b->boot->process, 0),
	};

	if (ocsp_start(&b->ocsp, &config, err) != 0)
		return -1;
	b->certs = (struct certs){ b->boot->generation, b->ocsp };
	certs_add_commands(&b->certs, b->commands);
	if (b->boot->is_serving)
		ocsp_serve(b->ocsp, true);
	return 0;
}

static int
start_tasks(struct background *b, struct error *err)
{
	const struct generation_shared *shared = b->shared;
	const struct discovery_events events = { .on_ready = on_discovered,
		.on_come = on_come, .on_change = on_change, .arg = b };
	struct resolver_options options;

	generation_files_catch_up(b->boot->generation, &b->channel);
	if (b->boot->is_serving)
		start_writing(b);
	b->commands = commands_new(b->loop);
	if (shared->lanes != NULL)
		deadline_set(b->loop, &b->reap, now_ms() + REAP_EVERY_MS);
	b->upstreams = upstreams_start(b->loop, shared, b->boot->process);
	upstreams_add_commands(b->upstreams, b->commands);
	if (start_ocsp(b, err) != 0)
		return -1;
	if (b->boot->is_serving)
		upstreams_serve(b->upstreams, true);
	settings_resolver(generation_settings(b->boot->generation),
	    &options);
	b->discovery = discovery_start(b->loop, shared->groups,
	    shared->group_count, &options, &events, err);
	return b->discovery == NULL ? -1 : 0;
}

/* ---- start and end ---- */

/* Takes the channel's descriptor, also on failure. */
static int
open_all(struct background *b, struct error *err)
{
	static const int numbers[] = { SIGTERM };
	const struct settings *settings =
	    generation_settings(b->boot->generation);

	b->loop = loop_new((enum loop_backend)settings->event_loop, err);
	if (b->loop == NULL) {
		close(b->boot->channel_fd);
		return -1;
	}
	deadline_init(&b->reap, on_reap);
	deadline_init(&b->lock, on_lock);
	if (channel_start(&b->channel, b->loop, b->boot->channel_fd,
	    on_message, err) != 0)
		return -1;
	if (signals_start(&b->signals, b->loop, numbers, 1, on_signal, b,
	    err) != 0)
		return -1;
	b->lifeline = (struct loop_watch){ on_lifeline, -1, 0 };
	if (loop_add_reader(b->loop, &b->lifeline, b->boot->lifeline_fd,
	    false) != 0)
		return error_set(err, "watching the lifeline");
	return start_tasks(b, err);
}

/* At the end, without the loop. */
static void
wait_for_lock(struct background *b)
{
	const struct timespec pause = { .tv_nsec = LOCK_EVERY_MS * 1000000L };

	for (int i = 0; i < LAST_LINES_MS / LOCK_EVERY_MS; i++) {
		start_writing(b);
		if (b->writer != NULL)
			return;
		nanosleep(&pause, NULL);
	}
}

static void
close_all(struct background *b)
{
	if (b->loop == NULL)
		return;
	commands_free(b->commands);
	upstreams_stop(b->upstreams);
	ocsp_stop(b->ocsp);
	if (b->discovery != NULL)
		discovery_stop(b->discovery);
	if (b->is_turn && b->writer == NULL)
		wait_for_lock(b);
	if (b->writer != NULL) {
		logwriter_flush(b->writer, LAST_LINES_MS);
		logwriter_stop(b->writer);
	}
	deadline_stop(b->loop, &b->reap);
	deadline_stop(b->loop, &b->lock);
	loop_remove(b->loop, &b->lifeline);
	signals_stop(&b->signals);
	channel_stop(&b->channel);
	loop_free(b->loop);
}

int
background_main(const struct process_boot *boot)
{
	struct background b = {
		.boot = boot,
		.shared = generation_shared(boot->generation),
		.channel.watch.fd = -1,
		.signals.watch.fd = -1,
		.lifeline.fd = -1,
	};
	struct error err;
	int status = 1;

	listener_set_close(boot->listeners);
	if (confine_enter(boot, true, &err) != 0) {
		channel_send_fd(boot->channel_fd, CHANNEL_FAILED, err.text,
		    strlen(err.text), NULL, 0);
		close(boot->channel_fd);
		return 1;
	}
	if (open_all(&b, &err) != 0) {
		channel_send(&b.channel, CHANNEL_FAILED, err.text,
		    strlen(err.text), NULL, 0);
	} else {
		loop_run(b.loop);
		status = 0;
	}
	close_all(&b);
	return status;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * worker - the life of a process that serves clients.
 *
 *	WAITING -> SERVING -> DRAINING -> ended
 *
 * One of a generation that is to follow another waits until all of them are
 * ready and the master says so.
 *
 * A drain has a deadline, at which what is left is cut.  When the master has
 * died the worker goes on until the orphan's timeout, and then drains.
 */
#include "worker/worker.h"

#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/heap_alloc.h"
#include "base/list.h"
#include "base/log.h"
#include "base/now.h"
#include "net/listener.h"
#include "os/channel.h"
#include "os/signals.h"
#include "proxy/proxy.h"
#include "proxy/serving.h"
#include "site/confine.h"
#include "site/generation.h"
#include "site/shared.h"
#include "worker/accept.h"

enum {
	SURPLUS_MS = 5000, /* until surplus sockets are empty */
	ADMIN_MS = 5000,   /* for the last questions of the admin's */
};

struct worker {
	const struct process_boot *boot;
	const struct settings *settings;
	struct loop *loop;
	struct channel channel;
	struct signals signals;
	struct accept accept;
	struct proxy *proxy;
	struct deadline drain;  /* what is left is cut */
	struct deadline orphan; /* without a master long enough */
	struct deadline admin;  /* the admin's are waited for no longer */
	struct loop_task check; /* is the drain over? */
	bool is_serving;
	bool is_draining;
	bool is_orphan;
	bool is_admin_late;
};

/* ---- the end ---- */

static void
check_drained(struct worker *w)
{
	if (w->is_draining)
		loop_defer(w->loop, &w->check);
}

static void
on_drained(void *arg)
{
	check_drained(arg);
}

static void
on_admin_deadline(struct deadline *d)
{
	struct worker *w = LIST_OF(d, struct worker, admin);

	w->is_admin_late = true;
	check_drained(w);
}

/* All else is over: who asks how we are is answered, too. */
static bool
must_answer_admin(struct worker *w)
{
	if (w->is_admin_late || !proxy_serves_admin(w->proxy))
		return false;
	if (w->admin.at_ms == DEADLINE_NEVER)
		deadline_set(w->loop, &w->admin, now_ms() + ADMIN_MS);
	return true;
}

/* At the end of a turn, when connections and queues are what they are. */
static void
on_check(struct loop_task *t)
{
	struct worker *w = LIST_OF(t, struct worker, check);

	if (!proxy_is_drained(w->proxy))
		proxy_on_drained(w->proxy, on_drained, w);
	else if (accept_is_emptying(&w->accept))
		return;
	else if (must_answer_admin(w))
		proxy_on_drained(w->proxy, on_drained, w);
	else
		loop_stop(w->loop);
}

static void
cut(struct worker *w)
{
	struct proxy_cut c;

	proxy_cut(w->proxy, &c);
	if (c.requests + c.tunnels + c.idle > 0)
		log_warn(NULL, "cut at the end: %u request%s, %u tunnel%s and "
		    "%u idle connection%s", c.requests,
		    c.requests == 1 ? "" : "s", c.tunnels,
		    c.tunnels == 1 ? "" : "s", c.idle,
		    c.idle == 1 ? "" : "s");
	loop_stop(w->loop);
}

static void
on_drain_deadline(struct deadline *d)
{
	cut(LIST_OF(d, struct worker, drain));
}

/* May be called again, with an earlier deadline or because it is a stop. */
static void
start_drain(struct worker *w, uint64_t deadline_ms, bool is_stop)
{
	if (!w->is_draining)
		log_info(NULL, "draining %zu connections",
		    proxy_connections(w->proxy));
	if (!w->is_draining || deadline_ms < w->drain.at_ms)
		deadline_set(w->loop, &w->drain, deadline_ms);
	/* What is accepted from now on is answered with a close. */
	proxy_drain(w->proxy, is_stop);
	w->is_draining = true;
	check_drained(w);
}

static void
drain_by_itself(struct worker *w)
{
	start_drain(w, now_ms() + w->settings->shutdown_timeout_ms,
	    w->is_orphan);
	/* Sockets that are about to go are nothing to hand over. */
	if (w->is_orphan && w->boot->orphan_drain != NULL)
		w->boot->orphan_drain(w->boot->orphan_arg);
}

static void
on_orphan_deadline(struct deadline *d)
{
	struct worker *w = LIST_OF(d, struct worker, orphan);

	log_notice(NULL, "no master has come: draining");
	drain_by_itself(w);
	accept_drain(&w->accept, true);
}

/* As a retirement: another master's workers serve what is not gone. */
static void
on_orphans_taken(void *arg, const uint8_t *gone, size_t count)
{
	struct worker *w = arg;
	size_t len = (count + 7) / 8;
	uint8_t *bits = heap_alloc_zeroed(len + 1, 1);

	for (size_t i = 0; i < count; i++) {
		if (gone[i] != 0)
			bits[i / 8] |= (uint8_t)(1U << i % 8);
	}
	deadline_clear(&w->orphan);
	start_drain(w, now_ms() + w->settings->shutdown_timeout_ms, false);
	accept_retire(&w->accept, bits, count);
	free(bits);
}

static void
on_master_gone(struct worker *w)
{
	w->is_orphan = true;
	if (!w->is_serving) {
		/* Those before us serve on; we were not asked to. */
		loop_stop(w->loop);
		return;
	}
	log_error(NULL, "the master has gone: serving on for at most %llu ms, "
	    "or until weir is started again",
	    (unsigned long long)w->settings->orphan_timeout_ms);
	accept_adopt_all(&w->accept);
	if (w->is_draining) {
		accept_leave(&w->accept);
		if (w->boot->orphan_start != NULL)
			w->boot->orphan_start(w->boot->orphan_arg, w->loop,
			    NULL);
	} else {
		const struct process_orphan back = { on_orphans_taken, w };

		deadline_set(w->loop, &w->orphan,
		    now_ms() + w->settings->orphan_timeout_ms);
		if (w->boot->orphan_start != NULL)
			w->boot->orphan_start(w->boot->orphan_arg, w->loop,
			    &back);
	}
	check_drained(w);
}

/* ---- what it is told ---- */

static void on_acceptable(void *arg, const struct listener_spec *spec,
    int fd);

static void
serve(struct worker *w, bool surplus_stays)
{
	if (w->is_serving)
		return;
	w->is_serving = true;
	accept_start(&w->accept, w->loop, on_acceptable, on_drained, w);
	if (!surplus_stays)
		accept_close_surplus(&w->accept, SURPLUS_MS);
}

static void
on_serve(struct worker *w, const struct channel_message *m)
{
	struct channel_serve body;

	if (channel_body(m, &body, sizeof(body)))
		serve(w, body.surplus_stays != 0);
}

static void
on_drain(struct worker *w, const struct channel_message *m)
{
	struct channel_drain body;
	const uint8_t *gone;

	if (!channel_body(m, &body, sizeof(body)))
		return;
	if (!w->is_serving) {
		loop_stop(w->loop);
		return;
	}
	start_drain(w, body.deadline_ms, body.is_stop != 0);
	gone = (const uint8_t *)m->body.p + sizeof(body);
	if (body.is_stop != 0)
		accept_drain(&w->accept, true);
	else if (body.gone_count <= (m->body.len - sizeof(body)) * 8)
		accept_retire(&w->accept, gone, body.gone_count);
}

static void
on_message(struct channel *channel, const struct channel_message *m)
{
	struct worker *w = LIST_OF(channel, struct worker, channel);
	struct channel_slot slot;
	uint32_t level;

	if (m == NULL) {
		on_master_gone(w);
		return;
	}
	switch (m->type) {
	case CHANNEL_SERVE:
		on_serve(w, m);
		break;
	case CHANNEL_DRAIN:
		on_drain(w, m);
		break;
	case CHANNEL_LEAVE:
		proxy_announce_drain(w->proxy);
		break;
	case CHANNEL_STOP:
		cut(w);
		break;
	case CHANNEL_ADOPT:
	case CHANNEL_RELEASE:
		if (!channel_body(m, &slot, sizeof(slot)))
			break;
		log_debug(NULL, "%s the sockets of worker %u",
		    m->type == CHANNEL_ADOPT ? "adopting" : "releasing",
		    slot.slot);
		accept_adopt(&w->accept, slot.slot,
		    m->type == CHANNEL_ADOPT);
		break;
	case CHANNEL_FILE:
		(void)generation_files_take(w->boot->generation, channel, m);
		break;
	case CHANNEL_LOG_LEVEL:
		if (channel_body(m, &level, sizeof(level)))
			log_set_level((enum log_level)level);
		break;
	default:
		break; /* a word of another version */
	}
}

static void
on_signal(void *arg, int number, pid_t sender)
{
	struct worker *w = arg;

	(void)number;
	(void)sender;
	if (w->is_draining)
		return;
	if (!w->is_serving) {
		loop_stop(w->loop);
		return;
	}
	/* Another one takes this slot while we finish what we have. */
	channel_send(&w->channel, CHANNEL_LEAVING, NULL, 0, NULL, 0);
	drain_by_itself(w);
	if (w->is_orphan)
		accept_leave(&w->accept);
	else
		accept_drain(&w->accept, false);
}

/* ---- start ---- */

static void
on_acceptable(void *arg, const struct listener_spec *spec, int fd)
{
	struct worker *w = arg;

	proxy_accept(w->proxy, spec, fd);
	check_drained(w);
}

static void
set_accepting(void *arg, bool accepting)
{
	struct worker *w = arg;

	accept_set_paused(&w->accept, !accepting);
	check_drained(w);
}

static int
open_proxy(struct worker *w, struct error *err)
{
	struct proxy_boot boot = { .loop = NULL };

	generation_boot_proxy(w->boot->generation, w->boot->slot, &boot);
	boot.loop = w->loop;
	boot.slot = w->boot->slot;
	boot.workers = w->boot->workers;
	boot.metrics_slot = w->boot->process;
	boot.serving = &generation_shared(w->boot->generation)->shared->
	    serving[w->boot->process];
	boot.log_ring =
	    generation_shared(w->boot->generation)->rings[w->boot->process];
	boot.set_accepting = set_accepting;
	boot.arg = w;
	generation_process_begun(w->boot->generation, w->boot->process);
	generation_files_catch_up(w->boot->generation, &w->channel);
	w->proxy = proxy_new(&boot, err);
	return w->proxy == NULL ? -1 : 0;
}

/* Takes the channel's descriptor, also on failure. */
static int
open_all(struct worker *w, struct error *err)
{
	static const int numbers[] = { SIGTERM };

	w->loop = loop_new((enum loop_backend)w->settings->event_loop, err);
	if (w->loop == NULL) {
		close(w->boot->channel_fd);
		return -1;
	}
	deadline_init(&w->drain, on_drain_deadline);
	deadline_init(&w->orphan, on_orphan_deadline);
	deadline_init(&w->admin, on_admin_deadline);
	loop_task_init(&w->check, on_check);
	if (channel_start(&w->channel, w->loop, w->boot->channel_fd,
	    on_message, err) != 0)
		return -1;
	if (signals_start(&w->signals, w->loop, numbers, 1, on_signal, w,
	    err) != 0)
		return -1;
	return open_proxy(w, err);
}

static void
close_all(struct worker *w)
{
	accept_fini(&w->accept);
	proxy_free(w->proxy);
	if (w->loop != NULL) {
		if (w->boot->orphan_stop != NULL)
			w->boot->orphan_stop(w->boot->orphan_arg, w->loop);
		deadline_stop(w->loop, &w->drain);
		deadline_stop(w->loop, &w->orphan);
		deadline_stop(w->loop, &w->admin);
		signals_stop(&w->signals);
		channel_stop(&w->channel);
	}
	loop_free(w->loop);
}

int
worker_main(const struct process_boot *boot)
{
	struct worker w = {
		.boot = boot,
		.settings = generation_settings(boot->generation),
		.channel.watch.fd = -1,
		.signals.watch.fd = -1,
	};
	struct error err;
	int status = 1;

	accept_init(&w.accept, boot->listeners, boot->slot, boot->workers);
	/* Nothing is opened, no byte read, before the rights are gone. */
	if (confine_enter(boot, false, &err) != 0) {
		channel_send_fd(boot->channel_fd, CHANNEL_FAILED, err.text,
		    strlen(err.text), NULL, 0);
		close(boot->channel_fd);
	} else if (open_all(&w, &err) != 0) {
		channel_send(&w.channel, CHANNEL_FAILED, err.text,
		    strlen(err.text), NULL, 0);
	} else {
		if (boot->is_serving)
			serve(&w, boot->surplus_stays);
		channel_send(&w.channel, CHANNEL_READY, NULL, 0, NULL, 0);
		loop_run(w.loop);
		status = 0;
	}
	close_all(&w);
	return status;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* children - a table of slots and the processes in them. */
#include "master/children.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/heap_alloc.h"
#include "base/log.h"
#include "base/now.h"
#include "base/str.h"
#include "master/children_private.h"
#include "metrics/metrics.h"
#include "os/signals.h"
#include "site/generation.h"

enum {
	QUICK_MS = 10000,    /* who lives shorter than this dies quickly */
	QUICK_FREE = 5,      /* so many in a row are replaced at once */
	PAUSE_MIN_MS = 50,   /* after the next one, then doubled */
	PAUSE_MAX_MS = 5000,
};

static const struct metric metric_rows[CHILDREN_STAT_COUNT] = {
	[CHILDREN_STAT_STARTS] = { .name = "starts_total",
		.help = "Processes forked by the master." },
	[CHILDREN_STAT_DEATHS] = { .name = "deaths_total",
		.help = "Processes that ended without being told to." },
	[CHILDREN_STAT_KILLED] = { .name = "killed_total",
		.help = "Processes killed because they did not end in time." },
	[CHILDREN_STAT_FILES_OLD] = { .name = "files_old",
		.help = "Files and certificates that have changed, and of "
		    "which a process still uses the old one, each counted.",
		.type = METRIC_GAUGE },
	[CHILDREN_STAT_FILES_AGAIN] = { .name = "files_again_total",
		.help = "Times that changed files had to be sent to a "
		    "process again." },
};

const struct metric_set children_metrics =
    METRIC_SET("process", METRIC_SCOPE_PROCESS, metric_rows);

static void on_message(struct channel *channel,
    const struct channel_message *m);
static void on_restart(struct deadline *d);

static bool
is_worker(const struct child_slot *slot)
{
	return !slot->is_background && !slot->is_signer;
}

struct children *
children_new(const struct children_config *config)
{
	struct children *c = heap_alloc_zeroed(1, sizeof(*c));

	c->config = *config;
	c->shared = generation_shared(config->generation)->shared;
	c->is_serving = config->is_serving;
	c->log_level =
	    generation_settings(config->generation)->error_log.level;
	list_init(&c->all);
	children_files_init(c);
	c->stats = metrics_block(&c->shared->metrics, &children_metrics,
	    SHARED_MASTER, 0);
	c->slot_count = config->workers + 1 +
	    generation_has_signer(config->generation);
	c->slots = heap_alloc_zeroed(c->slot_count, sizeof(*c->slots));
	for (size_t i = 0; i < c->slot_count; i++) {
		struct child_slot *s = &c->slots[i];

		s->children = c;
		s->is_background = i == 0;
		s->is_signer = i == config->workers + 1;
		s->number = i == 0 ? 0 : (unsigned)i - 1;
		if (s->is_background)
			strcpy(s->name, "background");
		else if (s->is_signer)
			strcpy(s->name, "signer");
		else
			snprintf(s->name, sizeof(s->name), "worker %u",
			    s->number);
		deadline_init(&s->restart, on_restart);
	}
	return c;
}

void
children_free(struct children *c)
{
	if (c == NULL)
		return;
	assert(list_is_empty(&c->all));
	for (size_t i = 0; i < c->slot_count; i++)
		deadline_stop(c->config.loop, &c->slots[i].restart);
	children_files_fini(c);
	free(c->slots);
	free(c);
}

void
children_forget(struct children *c)
{
	children_files_forget(c);
	LIST_EACH(&c->all, node, after) {
		struct child *child = LIST_OF(node, struct child, node);

		/* The loop is the master's: no word to it. */
		if (child->channel.watch.fd >= 0)
			close(child->channel.watch.fd);
	}
}

void
children_count(struct children *c, unsigned row)
{
	counter_add(&c->stats[row], 1);
}

/* ---- forking ---- */

static void
fork_or_pause(struct child_slot *slot)
{
	struct error err;

	if (children_fork(slot, on_message, &err) == 0)
		return;
	log_error(NULL, "%s: starting it: %s", slot->name, err.text);
	deadline_set(slot->children->config.loop, &slot->restart,
	    now_ms() + 1000);
}

static void
on_restart(struct deadline *d)
{
	struct child_slot *slot = LIST_OF(d, struct child_slot, restart);

	if (slot->current == NULL)
		fork_or_pause(slot);
}

int
children_start(struct children *c, struct error *err)
{
	for (size_t i = 0; i < c->slot_count; i++) {
		if (children_fork(&c->slots[i], on_message, err) != 0)
			return error_set(err, "%s: starting it: %s",
			    c->slots[i].name, err->text);
	}
	return 0;
}

/* ---- what they say ---- */

static void
check_ready(struct children *c)
{
	if (c->was_ready || c->is_stopping || children_late(c) != NULL)
		return;
	c->was_ready = true;
	c->config.on_ready(c->config.arg);
}

const char *
children_late(const struct children *c)
{
	for (size_t i = 0; i < c->slot_count; i++) {
		if (!child_is_serving(c->slots[i].current))
			return c->slots[i].name;
	}
	return NULL;
}

/* The start has failed; told once, with the first reason. */
static void
fail(struct children *c, const char *why)
{
	if (c->was_ready || c->has_failed || c->is_stopping)
		return;
	c->has_failed = true;
	c->config.on_failed(c->config.arg, why);
}

static void
on_failed(struct child *child, const struct channel_message *m)
{
	struct children *c = child->children;
	struct error err;

	error_set(&err, "%s: %.*s", child->slot->name, SPAN_ARG(m->body));
	if (c->was_ready)
		log_error(NULL, "%s", err.text);
	else
		fail(c, err.text);
}

/* It was told by a signal to go: another one takes its place now. */
static void
on_leaving(struct child *child)
{
	struct children *c = child->children;
	struct child_slot *slot = child->slot;

	if (slot->current != child || c->is_stopping)
		return;
	log_notice(NULL, "%s (pid %ld) was told to go", slot->name,
	    (long)child->pid);
	child->state = CHILD_LEAVING;
	slot->quick_deaths = 0;
	children_adopt_forget(c, child);
	if (!is_worker(slot)) {
		/* There must not be two: the next one starts at its exit. */
		channel_send(&child->channel, CHANNEL_STOP, NULL, 0, NULL, 0);
		return;
	}
	slot->current = NULL;
	children_adopt(c);
	fork_or_pause(slot);
}

static void
on_message(struct channel *channel, const struct channel_message *m)
{
	struct child *child = LIST_OF(channel, struct child, channel);

	if (m == NULL)
		return; /* its exit comes next */
	switch (m->type) {
	case CHANNEL_READY:
		if (child->state != CHILD_STARTING)
			return;
		child->state = CHILD_SERVING;
		/* What the one before it was told. */
		if (child->children->is_announced)
			channel_send(channel, CHANNEL_LEAVE, NULL, 0, NULL,
			    0);
		log_debug(NULL, "%s serves (pid %ld)", child->slot->name,
		    (long)child->pid);
		children_adopt(child->children);
		check_ready(child->children);
		return;
	case CHANNEL_FAILED:
		on_failed(child, m);
		return;
	case CHANNEL_LEAVING:
		on_leaving(child);
		return;
	case CHANNEL_FILE_ANSWER:
	case CHANNEL_FILE_FED:
		children_files_hear(child, m);
		return;
	default:
		return; /* a word of another version */
	}
}

/* ---- what becomes of them ---- */

/* "killed by signal 11 (SIGSEGV)", "ended with status 1" */
static void
put_cause(struct str *s, int status)
{
	if (WIFSIGNALED(status))
		str_printf(s, "was killed by signal %d (%s)%s",
		    WTERMSIG(status), signals_name(WTERMSIG(status)),
		    WCOREDUMP(status) ? " (core dumped)" : "");
	else if (WEXITSTATUS(status) != 0)
		str_printf(s, "ended with status %d", WEXITSTATUS(status));
	else
		str_lit(s, "ended");
}

/* Milliseconds until the slot's next process may start. */
static uint64_t
pause_ms(struct child_slot *slot, const struct child *dead)
{
	uint64_t lived_ms = now_exact_us() / 1000 - dead->started_ms;
	uint64_t pause = PAUSE_MIN_MS;

	if (lived_ms >= QUICK_MS)
		slot->quick_deaths = 0;
	if (++slot->quick_deaths <= QUICK_FREE)
		return 0;
	for (unsigned i = QUICK_FREE + 1;
	     i < slot->quick_deaths && pause < PAUSE_MAX_MS; i++)
		pause *= 2;
	return pause < PAUSE_MAX_MS ? pause : PAUSE_MAX_MS;
}

static void
replace(struct child_slot *slot, const struct child *dead)
{
	struct children *c = slot->children;
	uint64_t pause;

	/* The signer stays as long as there is anybody to sign for. */
	if (is_worker(slot) ? c->is_stopping : c->is_ending ||
	    (slot->is_background && c->is_retired))
		return;
	if (dead->state == CHILD_LEAVING) {
		fork_or_pause(slot);
		return;
	}
	pause = pause_ms(slot, dead);
	if (pause == 0) {
		fork_or_pause(slot);
		return;
	}
	log_warn(NULL, "%s: the next one starts in %llu ms", slot->name,
	    (unsigned long long)pause);
	now_update();
	deadline_set(c->config.loop, &slot->restart, now_ms() + pause);
}

/* True if it was told to end, by whatever way. */
static bool
was_told(const struct child *child)
{
	const struct children *c = child->children;

	return child->state == CHILD_LEAVING ||
	    (is_worker(child->slot) ? c->is_stopping : c->is_ending);
}

static void
report_exit(struct child *child, int status)
{
	struct children *c = child->children;
	char memory[1024];
	char serving[512];
	struct str s, was_serving;

	str_init(&was_serving, serving, sizeof(serving));
	generation_process_ended(c->config.generation, child->process,
	    &was_serving);
	str_init(&s, memory, sizeof(memory));
	str_printf(&s, "%s (pid %ld) ", child->slot->name, (long)child->pid);
	put_cause(&s, status);
	if (was_told(child) && WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		log_debug(NULL, "%s", str_terminate(&s));
		return;
	}
	if (!was_told(child))
		children_count(c, CHILDREN_STAT_DEATHS);
	if (was_serving.len > 0)
		str_printf(&s, "%.*s", SPAN_ARG(str_view(&was_serving)));
	/* At a plain start one that crashes is tried again. */
	if (!c->was_ready && (WIFEXITED(status) || !c->is_serving ||
	    c->is_stopping)) {
		struct error err;

		/* Whoever hears of the failure logs it, and that once. */
		log_debug(NULL, "%s", str_terminate(&s));
		error_set(&err, "%s before it served", str_terminate(&s));
		fail(c, err.text);
		return;
	}
	log_error(NULL, "%s", str_terminate(&s));
}

bool
children_on_exit(struct children *c, pid_t pid, int status)
{
	struct child *child = NULL;
	struct child_slot *slot;
	bool has_slot;

	LIST_EACH(&c->all, node, after) {
		if (LIST_OF(node, struct child, node)->pid == pid)
			child = LIST_OF(node, struct child, node);
	}
	if (child == NULL)
		return false;
	/* Its last words may still be there. */
	if (child->channel.watch.fd >= 0)
		child->channel.watch.on_event(&child->channel.watch,
		    LOOP_READABLE);
	channel_stop(&child->channel);
	list_remove(&child->node);
	children_adopt_forget(c, child);
	slot = child->slot;
	has_slot = slot->current == child;
	if (has_slot)
		slot->current = NULL;
	report_exit(child, status);
	shared_give_process(c->shared, child->process);
	children_adopt(c);
	if (has_slot && !c->has_failed)
		replace(slot, child);
	children_files_end(child);
	free(child);
	c->config.on_ended(c->config.arg);
	return true;
}

/* ---- what they are told ---- */

void
children_replace_logs(struct children *c, const uint32_t *targets,
    const int *fds, size_t target_count)
{
	struct child *background = c->slots[0].current;
	size_t at = 0;

	if (background == NULL)
		return; /* the next one inherits them */
	while (at < target_count) {
		size_t n = target_count - at;

		if (n > CHANNEL_FDS_MAX)
			n = CHANNEL_FDS_MAX;
		if (channel_send(&background->channel, CHANNEL_LOGS,
		    targets + at, n * sizeof(*targets), fds + at, n) != 0)
			log_error(NULL, "telling the log writer about new "
			    "files: %s", strerror(errno));
		at += n;
	}
}

void
children_set_log_level(struct children *c, uint32_t level)
{
	c->log_level = level;
	LIST_EACH(&c->all, node, after)
		channel_send(&LIST_OF(node, struct child, node)->channel,
		    CHANNEL_LOG_LEVEL, &level, sizeof(level), NULL, 0);
}

int
children_pass_command(struct children *c, int fd, struct span line,
    struct error *err)
{
	const struct child *background = c->slots[0].current;

	if (!child_is_serving(background))
		return error_set(err, "the background process does not run "
		    "yet; try again");
	if (channel_send(&background->channel, CHANNEL_CONTROL, line.p,
	    line.len, &fd, 1) != 0)
		return error_set_errno(err, errno,
		    "asking the background process");
	return 0;
}

static void
stop_restarts(struct children *c, bool workers_only)
{
	for (size_t i = 0; i < c->slot_count; i++) {
		if (!workers_only || is_worker(&c->slots[i]))
			deadline_stop(c->config.loop, &c->slots[i].restart);
	}
}

static void
tell_workers(struct children *c, enum channel_type type, const void *body,
    size_t len)
{
	c->is_stopping = true;
	stop_restarts(c, true);
	LIST_EACH(&c->all, node, after) {
		struct child *child = LIST_OF(node, struct child, node);

		if (is_worker(child->slot))
			channel_send(&child->channel, type, body, len, NULL,
			    0);
	}
}

void
children_serve(struct children *c, bool surplus_stays)
{
	struct channel_serve body = { .surplus_stays = surplus_stays };

	c->is_serving = true;
	c->surplus_stays = surplus_stays;
	LIST_EACH(&c->all, node, after)
		channel_send(&LIST_OF(node, struct child, node)->channel,
		    CHANNEL_SERVE, &body, sizeof(body), NULL, 0);
}

union drain_body {
	struct channel_drain head;
	uint8_t bytes[CHANNEL_BODY_MAX];
};

/* Returns its length. */
static size_t
fill_gone(union drain_body *body, uint64_t deadline_ms, const uint8_t *gone,
    size_t gone_count)
{
	size_t count = gone_count < CHANNEL_GONE_MAX ? gone_count
						     : CHANNEL_GONE_MAX;

	*body = (union drain_body){ .head = { .deadline_ms = deadline_ms,
		.gone_count = (uint32_t)count } };
	for (size_t i = 0; i < count; i++) {
		if (gone[i])
			body->bytes[sizeof(body->head) + i / 8] |=
			    (uint8_t)(1U << i % 8);
	}
	return sizeof(body->head) + (count + 7) / 8;
}

void
children_retire(struct children *c, uint64_t deadline_ms,
    const uint8_t *gone, size_t gone_count)
{
	union drain_body body;
	size_t len = fill_gone(&body, deadline_ms, gone, gone_count);

	c->is_retired = true;
	/* One that is about to be replaced has nothing to do any more. */
	deadline_clear(&c->slots[0].restart);
	tell_workers(c, CHANNEL_DRAIN, &body, len);
	if (c->slots[0].current != NULL)
		channel_send(&c->slots[0].current->channel, CHANNEL_DRAIN,
		    &body, len, NULL, 0);
}

void
children_leave(struct children *c, uint64_t deadline_ms,
    const uint8_t *gone, size_t gone_count)
{
	union drain_body body;
	size_t len = fill_gone(&body, deadline_ms, gone, gone_count);

	tell_workers(c, CHANNEL_DRAIN, &body, len);
}

void
children_announce_drain(struct children *c)
{
	c->is_announced = true;
	LIST_EACH(&c->all, node, after)
		channel_send(&LIST_OF(node, struct child, node)->channel,
		    CHANNEL_LEAVE, NULL, 0, NULL, 0);
}

void
children_drain(struct children *c, uint64_t deadline_ms)
{
	struct channel_drain body = { .deadline_ms = deadline_ms,
		.is_stop = 1 };

	tell_workers(c, CHANNEL_DRAIN, &body, sizeof(body));
}

void
children_stop(struct children *c)
{
	tell_workers(c, CHANNEL_STOP, NULL, 0);
}

static unsigned
kill_all(struct children *c, bool workers)
{
	unsigned killed = 0;

	LIST_EACH(&c->all, node, after) {
		struct child *child = LIST_OF(node, struct child, node);

		if (is_worker(child->slot) != workers)
			continue;
		kill(child->pid, SIGKILL);
		children_count(c, CHILDREN_STAT_KILLED);
		killed++;
	}
	return killed;
}

unsigned
children_kill_workers(struct children *c)
{
	c->is_stopping = true;
	stop_restarts(c, true);
	return kill_all(c, true);
}

/* Lines of the workers may wait in the rings: one is started for them. */
void
children_end_background(struct children *c)
{
	struct child_slot *slot = &c->slots[0];
	struct error err;

	c->is_ending = true;
	stop_restarts(c, false);
	if (slot->current == NULL && c->is_serving && !c->is_retired &&
	    children_fork(slot, on_message, &err) != 0)
		log_error(NULL, "%s: starting it: %s", slot->name, err.text);
	for (size_t i = 0; i < c->slot_count; i++) {
		const struct child *child = c->slots[i].current;

		if (child != NULL && !is_worker(&c->slots[i]))
			channel_send(&child->channel, CHANNEL_STOP, NULL, 0,
			    NULL, 0);
	}
}

void
children_kill_background(struct children *c)
{
	c->is_ending = true;
	stop_restarts(c, false);
	kill_all(c, false);
}

static const char *
state_name(enum child_state state)
{
	static const char *const names[] = {
		[CHILD_STARTING] = "starting",
		[CHILD_SERVING] = "serving",
		[CHILD_LEAVING] = "leaving",
	};

	return names[state];
}

void
children_each(const struct children *c, children_each_fn *fn, void *arg)
{
	LIST_EACH(&c->all, node, after) {
		const struct child *child = LIST_OF(node, struct child, node);
		struct children_info info = {
			.name = child->slot->name,
			.state = state_name(child->state),
			.pid = child->pid,
			.process = child->process,
			.started_ms = child->started_ms,
		};

		if (c->is_stopping && is_worker(child->slot))
			info.state = "leaving";
		fn(arg, &info);
	}
}

unsigned
children_count_workers(const struct children *c)
{
	unsigned n = 0;

	LIST_EACH(&c->all, node, after)
		n += is_worker(LIST_OF(node, struct child, node)->slot);
	return n;
}

bool
children_has_background(const struct children *c)
{
	LIST_EACH(&c->all, node, after) {
		if (!is_worker(LIST_OF(node, struct child, node)->slot))
			return true;
	}
	return false;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * generations - their states.
 *
 * What is freed is freed from a deadline, never while one of its processes is
 * reported on.
 */
#include "master/generations.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/heap_alloc.h"
#include "base/log.h"
#include "base/now.h"
#include "base/str.h"
#include "master/children.h"
#include "master/given.h"
#include "master/listeners.h"
#include "master/startdir.h"
#include "os/loop.h"
#include "site/confine.h"
#include "site/generation.h"

enum {
	KILL_AFTER_MS = 2000, /* what does not end in time */
	LOGS_AFTER_MS = 5000, /* a background process */
	/* Until the log writer has what was written last. */
	LINGER_MS = 500,
	/* The workers close them first. */
	SURPLUS_MS = LISTENERS_SURPLUS_MS + 1000,
};

static const char *const names[] = {
	[GENERATIONS_STARTING] = "starting",
	[GENERATIONS_SERVING] = "serving",
	[GENERATIONS_DRAINING] = "draining",
	[GENERATIONS_ENDING] = "ending",
	[GENERATIONS_LINGERING] = "ending",
};

static void on_deadline(struct deadline *d);
static void on_surplus(struct deadline *d);

void
generations_init(struct generations *gs,
    const struct generations_config *config)
{
	*gs = (struct generations){ .config = *config };
	list_init(&gs->all);
	deadline_init(&gs->surplus, on_surplus);
}

const char *
generations_state_name(enum generations_state state)
{
	return names[state];
}

static void
enter(struct generations_live *l, enum generations_state state,
    uint64_t after_ms)
{
	now_update();
	l->state = state;
	l->since_ms = now_ms();
	if (after_ms == 0)
		deadline_clear(&l->deadline);
	else
		deadline_set(l->owner->config.loop, &l->deadline,
		    now_ms() + after_ms);
}

static void
free_live(struct generations_live *l)
{
	deadline_stop(l->owner->config.loop, &l->deadline);
	children_free(l->children);
	listener_set_close(&l->listeners);
	generation_free(l->generation);
	list_remove(&l->node);
	free(l);
}

void
generations_fini(struct generations *gs)
{
	if (gs->config.loop == NULL)
		return;
	deadline_stop(gs->config.loop, &gs->surplus);
	if (gs->serving != NULL)
		listener_set_remove_files(&gs->serving->listeners);
	while (!list_is_empty(&gs->all))
		free_live(LIST_OF(gs->all.next, struct generations_live,
		    node));
	gs->serving = gs->starting = NULL;
}

/* ---- the end of one ---- */

/* The next state once nobody is left whom this one waits for. */
static void
check(struct generations_live *l)
{
	if (l->state == GENERATIONS_DRAINING &&
	    children_count_workers(l->children) == 0) {
		enter(l, GENERATIONS_ENDING, LOGS_AFTER_MS);
		children_end_background(l->children);
	}
	if (l->state == GENERATIONS_ENDING &&
	    children_count_workers(l->children) == 0 &&
	    !children_has_background(l->children))
		enter(l, GENERATIONS_LINGERING, LINGER_MS);
}

static void
kill_workers(struct generations_live *l)
{
	unsigned killed = children_kill_workers(l->children);

	if (killed > 0)
		log_error(NULL, "generation %u: %u worker%s did not end in "
		    "time and %s killed", l->number, killed,
		    killed == 1 ? "" : "s", killed == 1 ? "was" : "were");
	enter(l, l->state, KILL_AFTER_MS);
}

static void
on_deadline(struct deadline *d)
{
	struct generations_live *l = LIST_OF(d, struct generations_live,
	    deadline);
	struct generations *gs = l->owner;

	switch (l->state) {
	case GENERATIONS_STARTING:
	case GENERATIONS_SERVING:
		break;
	case GENERATIONS_DRAINING:
		kill_workers(l);
		break;
	case GENERATIONS_ENDING:
		children_kill_workers(l->children);
		children_kill_background(l->children);
		enter(l, l->state, KILL_AFTER_MS);
		break;
	case GENERATIONS_LINGERING:
		log_debug(NULL, "generation %u has gone", l->number);
		free_live(l);
		/* The next processes are forks of this one. */
		heap_alloc_trim();
		gs->config.on_ended(gs->config.arg);
		break;
	}
}

/* The new workers have emptied what nobody needs: it is closed here too. */
static void
on_surplus(struct deadline *d)
{
	struct generations *gs = LIST_OF(d, struct generations, surplus);

	/* One that starts may want to have them back. */
	if (gs->starting != NULL)
		deadline_set(gs->config.loop, d, now_ms() + SURPLUS_MS);
	else if (gs->serving != NULL)
		listeners_close_surplus(&gs->serving->listeners);
}

/* ---- a new one ---- */

/* In the processes of l: what belongs to the others is closed. */
static void
in_child(void *arg, struct process_boot *boot)
{
	struct generations_live *l = arg;
	struct generations *gs = l->owner;

	LIST_EACH(&gs->all, node, after) {
		struct generations_live *other = LIST_OF(node,
		    struct generations_live, node);

		children_forget(other->children);
		if (other == l)
			continue;
		listeners_close_others(&other->listeners, &l->listeners);
		generation_forget_keys(other->generation);
	}
	if (gs->config.left != NULL)
		listeners_close_others(gs->config.left, &l->listeners);
	gs->config.in_child(gs->config.arg, boot, &l->listeners);
}

static void
fail(struct generations_live *l, const char *why)
{
	struct generations *gs = l->owner;

	if (l->state == GENERATIONS_STARTING)
		gs->config.on_failed(gs->config.arg, why);
}

static void
retire(struct generations_live *l, const uint8_t *gone, size_t gone_count)
{
	const struct settings *settings = generation_settings(l->generation);
	uint64_t timeout_ms = settings->shutdown_timeout_ms;

	log_notice(NULL, "generation %u drains for at most %llu ms",
	    l->number, (unsigned long long)timeout_ms);
	enter(l, GENERATIONS_DRAINING, timeout_ms + KILL_AFTER_MS);
	children_retire(l->children, now_ms() + timeout_ms, gone, gone_count);
	check(l);
}

/* All are ready: from here on there is no way back. */
static void
follow(struct generations_live *l)
{
	struct generations *gs = l->owner;
	struct generations_live *before = gs->serving;
	size_t gone_count = before->listeners.count;
	uint8_t *gone = NULL;
	bool stays = false;
	struct error err;

	if (listeners_take_over(&l->listeners, &before->listeners, false,
	    &gone, &stays, &err) != 0) {
		fail(l, err.text);
		return;
	}
	gs->serving = l;
	gs->starting = NULL;
	enter(l, GENERATIONS_SERVING, 0);
	children_serve(l->children, stays);
	retire(before, gone, gone_count);
	free(gone);
	if (!stays && listeners_have_surplus(&l->listeners))
		deadline_set(gs->config.loop, &gs->surplus,
		    now_ms() + SURPLUS_MS);
	gs->config.on_ready(gs->config.arg);
}

static void
on_children_ready(void *arg)
{
	struct generations_live *l = arg;
	struct generations *gs = l->owner;

	if (l->state != GENERATIONS_STARTING)
		return;
	if (l != gs->serving) {
		follow(l);
		return;
	}
	if (gs->config.left == NULL)
		enter(l, GENERATIONS_SERVING, 0);
	gs->config.on_ready(gs->config.arg);
}

uint32_t *
generations_kept(const struct generations *gs, size_t *count)
{
	const struct listener_set *left = gs->config.left;
	const struct listener_set *own = &gs->serving->listeners;
	uint32_t *kept = heap_alloc_zeroed(left->count + 1, sizeof(*kept));

	*count = 0;
	for (size_t i = 0; i < own->count; i++) {
		for (size_t j = 0; j < left->count; j++) {
			if (own->items[i].kept > 0 && own->items[i].fds[0] ==
			    left->items[j].fds[0])
				kept[(*count)++] = (uint32_t)j;
		}
	}
	return kept;
}

int
generations_take_over(struct generations *gs, bool is_lent,
    struct error *err)
{
	struct generations_live *l = gs->serving;
	uint8_t *gone = NULL;
	bool stays = false;

	if (listeners_take_over(&l->listeners, gs->config.left, is_lent,
	    &gone, &stays, err) != 0)
		return -1;
	free(gone);
	gs->config.left = NULL;
	enter(l, GENERATIONS_SERVING, 0);
	children_serve(l->children, stays);
	if (!stays && listeners_have_surplus(&l->listeners))
		deadline_set(gs->config.loop, &gs->surplus,
		    now_ms() + SURPLUS_MS);
	return 0;
}

static void
on_children_failed(void *arg, const char *why)
{
	fail(arg, why);
}

static void
on_child_ended(void *arg)
{
	struct generations_live *l = arg;
	struct generations *gs = l->owner;

	check(l);
	gs->config.on_ended(gs->config.arg);
}

static struct children *
make_children(struct generations_live *l)
{
	const struct generations_config *config = &l->owner->config;
	const struct children_config children = {
		.loop = config->loop,
		.generation = l->generation,
		.listeners = &l->listeners,
		.account = config->account,
		.workers = generation_settings(l->generation)->workers,
		.is_serving = l == l->owner->serving &&
		    config->left == NULL,
		.lifeline = { config->lifeline[0], config->lifeline[1] },
		.worker_main = config->worker_main,
		.background_main = config->background_main,
		.signer_main = config->signer_main,
		.in_child = in_child,
		.on_ready = on_children_ready,
		.on_failed = on_children_failed,
		.on_ended = on_child_ended,
		.arg = l,
	};

	return children_new(&children);
}

static int
open_sockets(struct generations *gs, struct generations_live *l,
    struct error *err)
{
	static const struct listener_set none;
	const struct listener_set *left =
	    gs->config.left != NULL ? gs->config.left : &none;
	size_t count;
	const struct listener_spec *specs =
	    generation_listeners(l->generation, &count);
	size_t workers = generation_settings(l->generation)->workers;
	struct given *given = gs->config.given;

	if (gs->serving == NULL && gs->config.left == NULL && given != NULL) {
		if (listeners_follow(&l->listeners, &given->set, specs, count,
		    workers, err) != 0)
			return -1;
		return given_settle(given, &l->listeners, err);
	}
	return listeners_follow(&l->listeners,
	    gs->serving != NULL ? &gs->serving->listeners : left, specs,
	    count, workers, err);
}

/* The address of g that l may still have open; NULL = none. */
static const char *
find_met(const struct generations *gs, const struct generation *g,
    const struct generations_live *l)
{
	size_t count, gone_count;
	const struct listener_spec *specs = generation_listeners(g, &count);
	const struct listener_spec *gone =
	    generation_listeners(l->generation, &gone_count);
	const struct listener_spec *met = listeners_meet(specs, count,
	    &gs->serving->listeners, gone, gone_count);

	return met != NULL ? met->text : NULL;
}

uint64_t
generations_emptying_ms(const struct generations *gs,
    const struct generation *g, const char **text)
{
	uint64_t most_ms = 0;

	now_update();
	LIST_EACH(&gs->all, node, after) {
		const struct generations_live *l = LIST_OF(node,
		    struct generations_live, node);
		uint64_t until_ms = l->since_ms + LISTENERS_EMPTY_MS;
		const char *met = "";

		if (l->state != GENERATIONS_DRAINING || until_ms <= now_ms())
			continue;
		if (g != NULL)
			met = find_met(gs, g, l);
		if (met != NULL && until_ms - now_ms() > most_ms) {
			most_ms = until_ms - now_ms();
			*text = met;
		}
	}
	return most_ms;
}

/* It names logs and files as they were named when it was loaded. */
static int
attach(struct generations *gs, struct generation *g, struct error *err)
{
	int here = startdir_enter(gs->config.directory_fd);
	int result = generation_attach(g, gs->config.shared, err);

	startdir_leave(here);
	return result;
}

int
generations_prepare(struct generations *gs, struct generation *g,
    struct error *err)
{
	struct generations_live *l;

	/* Its processes would be forks of one that has, or had, the keys. */
	if (generation_settings(g)->key_isolation && gs->has_held_keys) {
		generation_free(g);
		return error_set(err, "key_isolation: the keys are in the "
		    "master's memory already: an upgrade or a restart turns "
		    "it on");
	}
	if (attach(gs, g, err) != 0) {
		generation_free(g);
		return -1;
	}
	if (!generation_settings(g)->key_isolation)
		gs->has_held_keys = true;
	l = heap_alloc_zeroed(1, sizeof(*l));
	l->owner = gs;
	l->generation = g;
	deadline_init(&l->deadline, on_deadline);
	list_push_back(&gs->all, &l->node);
	if (open_sockets(gs, l, err) != 0) {
		free_live(l);
		return -1;
	}
	l->number = ++gs->last_number;
	enter(l, GENERATIONS_STARTING, 0);
	if (gs->serving == NULL) {
		gs->serving = l;
	} else {
		gs->starting = l;
		generation_files_inherit(g, gs->serving->generation);
	}
	l->children = make_children(l);
	return 0;
}

/* At the start, and when it has changed. */
static void
log_sandbox(const struct generations_live *l)
{
	struct generations *gs = l->owner;
	char memory[sizeof(gs->sandbox)];
	struct str s;

	str_init(&s, memory, sizeof(memory));
	confine_describe(generation_settings(l->generation),
	    gs->config.account, &s);
	if (strcmp(str_terminate(&s), gs->sandbox) == 0)
		return;
	strcpy(gs->sandbox, memory);
	log_notice(NULL, "sandbox %s", gs->sandbox);
}

int
generations_fork(struct generations *gs, struct error *err)
{
	struct generations_live *l =
	    gs->starting != NULL ? gs->starting : gs->serving;

	log_sandbox(l);
	return children_start(l->children, err);
}

void
generations_describe_late(const struct generations *gs, uint64_t timeout_ms,
    struct error *why)
{
	const struct generations_live *l =
	    gs->starting != NULL ? gs->starting : gs->serving;
	const char *name = children_late(l->children);

	error_set(why, "%s was not ready within %llu ms",
	    name != NULL ? name : "the new generation",
	    (unsigned long long)timeout_ms);
}

void
generations_abandon(struct generations *gs)
{
	struct generations_live *l = gs->starting;

	if (l == NULL)
		return;
	gs->starting = NULL;
	listeners_abandon(&l->listeners);
	enter(l, GENERATIONS_ENDING, KILL_AFTER_MS);
	children_stop(l->children);
	children_end_background(l->children);
	check(l);
}

/* ---- asked by the master ---- */

struct generation *
generations_serving(const struct generations *gs)
{
	return gs->serving != NULL ? gs->serving->generation : NULL;
}

const struct settings *
generations_settings(const struct generations *gs)
{
	return gs->serving == NULL ? NULL
				   : generation_settings(gs->serving->generation);
}

bool
generations_are_serving(const struct generations *gs)
{
	return gs->serving != NULL && !gs->is_stopping &&
	    gs->serving->state == GENERATIONS_SERVING;
}

void
generations_set_predecessors(struct generations *gs, unsigned count)
{
	gs->predecessors = count;
}

unsigned
generations_draining(const struct generations *gs)
{
	unsigned n = gs->predecessors;

	LIST_EACH(&gs->all, node, after) {
		enum generations_state state = LIST_OF(node,
		    struct generations_live, node)->state;

		n += state == GENERATIONS_DRAINING ||
		    state == GENERATIONS_ENDING;
	}
	return n;
}

bool
generations_on_exit(struct generations *gs, pid_t pid, int status)
{
	LIST_EACH(&gs->all, node, after) {
		if (children_on_exit(LIST_OF(node, struct generations_live,
		    node)->children, pid, status))
			return true;
	}
	return false;
}

void
generations_replace_logs(struct generations *gs, const uint32_t *targets,
    const int *fds, size_t count)
{
	LIST_EACH(&gs->all, node, after)
		children_replace_logs(LIST_OF(node, struct generations_live,
		    node)->children, targets, fds, count);
}

bool
generations_check_file(struct generations *gs, uint32_t number,
    uint32_t version, int fd)
{
	return gs->serving != NULL && children_files_check(
	    gs->serving->children, number, version, fd);
}

bool
generations_spread_files(struct generations *gs)
{
	return gs->serving == NULL ||
	    children_files_spread(gs->serving->children);
}

void
generations_tell_signer(struct generations *gs)
{
	if (gs->serving != NULL)
		children_files_keys(gs->serving->children);
}

void
generations_set_log_level(struct generations *gs, uint32_t level)
{
	LIST_EACH(&gs->all, node, after)
		children_set_log_level(LIST_OF(node, struct generations_live,
		    node)->children, level);
}

int
generations_pass_command(struct generations *gs, int fd, struct span line,
    struct error *err)
{
	if (gs->serving == NULL)
		return error_set(err, "nothing serves yet");
	return children_pass_command(gs->serving->children, fd, line, err);
}

void
generations_forget(struct generations *gs)
{
	LIST_EACH(&gs->all, node, after) {
		struct generations_live *l = LIST_OF(node,
		    struct generations_live, node);

		children_forget(l->children);
		listener_set_close(&l->listeners);
		generation_forget_keys(l->generation);
	}
}

/* ---- a stop ---- */

/*
 * Nobody new finds the addresses; workers empty and close their copies.  gone:
 * those of them that end; NULL = all.
 */
static void
stop_listening(struct generations *gs, const uint8_t *gone)
{
	gs->is_stopping = true;
	generations_abandon(gs);
	deadline_clear(&gs->surplus);
	if (gs->serving == NULL)
		return;
	if (gs->config.left != NULL) {
		/* A predecessor serves there. */
		listeners_abandon(&gs->serving->listeners);
		return;
	}
	listeners_shut(&gs->serving->listeners, gone);
	listener_set_remove_files(&gs->serving->listeners);
	listener_set_close(&gs->serving->listeners);
}

void
generations_leave(struct generations *gs, uint64_t deadline_ms,
    const uint8_t *gone)
{
	struct listener_set *set = &gs->serving->listeners;
	size_t count = set->count;

	/* What the successor goes on with is not ours to remove. */
	for (size_t i = 0; i < count; i++) {
		if (!gone[i])
			set->items[i].file_ino = 0;
	}
	stop_listening(gs, gone);
	children_leave(gs->serving->children, deadline_ms, gone, count);
}

void
generations_announce_drain(struct generations *gs)
{
	if (gs->serving != NULL)
		children_announce_drain(gs->serving->children);
}

void
generations_drain(struct generations *gs, uint64_t deadline_ms)
{
	stop_listening(gs, NULL);
	LIST_EACH(&gs->all, node, after)
		children_drain(LIST_OF(node, struct generations_live,
		    node)->children, deadline_ms);
}

void
generations_stop(struct generations *gs)
{
	stop_listening(gs, NULL);
	LIST_EACH(&gs->all, node, after)
		children_stop(LIST_OF(node, struct generations_live,
		    node)->children);
}

unsigned
generations_kill_workers(struct generations *gs)
{
	unsigned killed = 0;

	LIST_EACH(&gs->all, node, after)
		killed += children_kill_workers(LIST_OF(node,
		    struct generations_live, node)->children);
	return killed;
}

/* The others end by themselves, now that their workers have gone. */
void
generations_end_background(struct generations *gs)
{
	LIST_EACH(&gs->all, node, after) {
		const struct generations_live *l = LIST_OF(node,
		    struct generations_live, node);

		if (l != gs->serving && children_has_background(l->children))
			return;
	}
	if (gs->serving == NULL || gs->is_ending)
		return;
	gs->is_ending = true;
	children_end_background(gs->serving->children);
}

void
generations_kill_background(struct generations *gs)
{
	LIST_EACH(&gs->all, node, after)
		children_kill_background(LIST_OF(node,
		    struct generations_live, node)->children);
}

unsigned
generations_count_workers(const struct generations *gs)
{
	unsigned n = 0;

	LIST_EACH(&gs->all, node, after)
		n += children_count_workers(LIST_OF(node,
		    struct generations_live, node)->children);
	return n;
}

bool
generations_have_background(const struct generations *gs)
{
	LIST_EACH(&gs->all, node, after) {
		if (children_has_background(LIST_OF(node,
		    struct generations_live, node)->children))
			return true;
	}
	return false;
}

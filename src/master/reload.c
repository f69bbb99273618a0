/* SPDX-License-Identifier: BSD-2-Clause */
/* reload - the states of a reload, and who waits for it. */
#include "master/reload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/heap_alloc.h"
#include "base/list.h"
#include "base/log.h"
#include "base/now.h"
#include "base/str.h"
#include "conf/report.h"
#include "master/generations.h"
#include "master/startdir.h"
#include "site/generation.h"

struct reload_waiter {
	reload_done_fn *fn;
	void *arg;
};

static void on_deadline(struct deadline *d);
static void on_checked(void *arg, struct span text, const char *why);

/* ---- the outcome ---- */

static void
add_text(char ***lines, size_t *count, struct span text)
{
	char *copy = heap_alloc(text.len + 1);

	memcpy(copy, text.p, text.len);
	copy[text.len] = '\0';
	*lines = heap_alloc_grow(*lines, *count + 1, sizeof(char *));
	(*lines)[(*count)++] = copy;
}

static void
add_line(struct reload *r, struct span line)
{
	add_text(&r->outcome.lines, &r->outcome.line_count, line);
}

static void
free_lines(char **lines, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(lines[i]);
	free(lines);
}

static void
clear_outcome(struct reload *r)
{
	free_lines(r->outcome.lines, r->outcome.line_count);
	free_lines(r->outcome.changes, r->outcome.change_count);
	r->outcome = (struct reload_outcome){ .is_done = false };
}

/* What a report says, line by line: kept for who waits, and logged. */
static void
take_report(struct reload *r, struct span text)
{
	while (text.len > 0) {
		const char *end = memchr(text.p, '\n', text.len);
		size_t len = end != NULL ? (size_t)(end - text.p) : text.len;
		struct span line = span_of(text.p, len);

		if (memmem(line.p, line.len, ": warning: ", 11) != NULL)
			log_warn(NULL, "%.*s", SPAN_ARG(line));
		else
			log_error(NULL, "%.*s", SPAN_ARG(line));
		add_line(r, line);
		text.p += end != NULL ? len + 1 : len;
		text.len -= end != NULL ? len + 1 : len;
	}
}

/* ---- states ---- */

static void
enter(struct reload *r, enum reload_state state)
{
	bool was_idle = r->state == RELOAD_IDLE;

	r->state = state;
	if (r->config.on_state != NULL && was_idle != (state == RELOAD_IDLE))
		r->config.on_state(r->config.arg, state);
}

/* All who waited are told; those who came later begin anew. */
static void
finish(struct reload *r)
{
	struct reload_waiters told = r->now;

	deadline_clear(&r->deadline);
	r->now = (struct reload_waiters){ .items = NULL };
	enter(r, RELOAD_IDLE);
	/* Who came last undoes what it changed first. */
	for (size_t i = told.count; i > 0; i--)
		told.items[i - 1].fn(told.items[i - 1].arg, &r->outcome);
	free(told.items);
	clear_outcome(r);
	reload_continue(r);
}

static void
refuse(struct reload *r, const char *why)
{
	struct error err;

	error_set(&err, "reload: the new configuration is not used: %s; the "
	    "old one serves on", why);
	log_error(NULL, "%s", err.text);
	add_line(r, span_cstr(err.text));
	finish(r);
}

/* It is not done here, and the configuration is not to blame. */
static void
decline(struct reload *r, const char *why)
{
	log_notice(NULL, "reload: %s", why);
	add_line(r, span_cstr(why));
	r->outcome.is_declined = true;
	finish(r);
}

/* Paths in the configuration begin where weir was started. */
static struct generation *
load(struct reload *r, struct conf_report *report)
{
	int here = startdir_enter(r->config.directory_fd);
	struct generation *g = generation_load(r->config.source, report);

	startdir_leave(here);
	return g;
}

static void
add_warning(void *arg, const char *line)
{
	log_warn(NULL, "%s", line);
	add_line(arg, span_cstr(line));
}

static void
add_change(void *arg, const char *line)
{
	struct reload *r = arg;

	add_text(&r->outcome.changes, &r->outcome.change_count,
	    span_cstr(line));
}

/* While both are there. */
static void
compare(struct reload *r)
{
	const struct generations *gs = r->config.generations;

	generation_changes(gs->serving->generation, gs->starting->generation,
	    add_change, r);
}

/* It was good a moment ago, and its warnings are known. */
static struct generation *
load_again(struct reload *r)
{
	struct conf_report *report = conf_report_new();
	struct generation *g = load(r, report);
	char *text = NULL;
	size_t len = 0;
	FILE *out;

	if (g == NULL && (out = open_memstream(&text, &len)) != NULL) {
		conf_report_print_lines(report, out);
		fclose(out);
		take_report(r, span_of(text, len));
		free(text);
	}
	conf_report_free(report);
	return g;
}

/* True if it is to be tried again later, with g loaded anew. */
static bool
must_empty(struct reload *r, const struct generation *g)
{
	const char *text = "";
	uint64_t ms = generations_emptying_ms(r->config.generations, g,
	    &text);

	if (ms == 0)
		return false;
	log_notice(NULL, "reload: waiting until listener \"%s\" of before "
	    "is empty", text);
	enter(r, RELOAD_EMPTYING);
	deadline_set(r->config.loop, &r->deadline, now_ms() + ms);
	return true;
}

static void
start(struct reload *r)
{
	struct generations *gs = r->config.generations;
	struct generation *g = load_again(r);
	uint64_t timeout_ms =
	    generations_settings(gs)->daemon_ready_timeout_ms;
	struct error err;

	if (g == NULL) {
		refuse(r, "it has errors");
		return;
	}
	if (must_empty(r, g)) {
		generation_free(g);
		return;
	}
	generation_changes_keep(g, generations_serving(gs), add_warning, r);
	if (generations_prepare(gs, g, &err) != 0) {
		refuse(r, err.text);
		return;
	}
	compare(r);
	enter(r, RELOAD_STARTING);
	now_update();
	deadline_set(r->config.loop, &r->deadline, now_ms() + timeout_ms);
	if (generations_fork(gs, &err) != 0)
		reload_on_failed(r, err.text);
}

static void
on_checked(void *arg, struct span text, const char *why)
{
	struct reload *r = arg;

	take_report(r, text);
	if (why != NULL)
		refuse(r, why);
	else
		start(r);
}

static void
in_check(void *arg)
{
	struct reload *r = arg;

	generations_forget(r->config.generations);
	r->config.in_child(r->config.arg);
	if (r->config.directory_fd >= 0 && fchdir(r->config.directory_fd) != 0)
		_exit(2);
}

static void
check(struct reload *r)
{
	const struct settings *settings =
	    generations_settings(r->config.generations);
	struct error err;

	enter(r, RELOAD_CHECKING);
	if (reload_check_start(&r->check, r->config.source,
	    settings->daemon_ready_timeout_ms, in_check, &err) != 0)
		refuse(r, err.text);
}

static bool
has_place(const struct reload *r)
{
	const struct generations *gs = r->config.generations;

	if (r->config.may_begin != NULL && !r->config.may_begin(r->config.arg))
		return false;
	return generations_draining(gs) <
	    generations_settings(gs)->max_draining_generations;
}

static void
begin(struct reload *r)
{
	r->is_wanted = false;
	free(r->now.items);
	r->now = r->next;
	r->next = (struct reload_waiters){ .items = NULL };
	log_notice(NULL, "reloading the configuration");
	if (has_place(r)) {
		check(r);
		return;
	}
	enter(r, RELOAD_WAITING);
	if (r->config.may_begin != NULL &&
	    !r->config.may_begin(r->config.arg)) {
		log_notice(NULL, "reload: waiting until the upgrade is over");
		return;
	}
	log_notice(NULL, "reload: waiting until one of %u generations that "
	    "drain has ended",
	    generations_draining(r->config.generations));
}

void
reload_continue(struct reload *r)
{
	const char *text;

	if (r->is_stopped)
		return;
	/* They have ended before their time. */
	if (r->state == RELOAD_EMPTYING && generations_emptying_ms(
	    r->config.generations, NULL, &text) == 0)
		start(r);
	if (r->state == RELOAD_WAITING && has_place(r))
		check(r);
	else if (r->state == RELOAD_IDLE && r->is_wanted)
		begin(r);
}

/* ---- asked from outside ---- */

void
reload_init(struct reload *r, const struct reload_config *config)
{
	*r = (struct reload){ .config = *config };
	deadline_init(&r->deadline, on_deadline);
	reload_check_init(&r->check, config->loop, on_checked, r);
}

static void
add_waiter(struct reload_waiters *w, reload_done_fn *fn, void *arg)
{
	if (fn == NULL)
		return;
	w->items = heap_alloc_grow(w->items, w->count + 1, sizeof(*w->items));
	w->items[w->count++] = (struct reload_waiter){ fn, arg };
}

void
reload_request(struct reload *r, reload_done_fn *fn, void *arg)
{
	if (r->is_stopped) {
		char line[] = "weir is stopping";
		char *lines[] = { line };
		struct reload_outcome outcome = { .lines = lines,
			.line_count = 1, .is_declined = true };

		log_notice(NULL, "reload: %s", line);
		if (fn != NULL)
			fn(arg, &outcome);
		return;
	}
	/* Nothing of the configuration was read yet: one reload for both. */
	if (r->state == RELOAD_WAITING) {
		add_waiter(&r->now, fn, arg);
		return;
	}
	add_waiter(&r->next, fn, arg);
	r->is_wanted = true;
	if (generations_are_serving(r->config.generations))
		reload_continue(r);
}

/* One line, and in it what has changed, as far as there is room. */
static void
log_outcome(const struct reload *r)
{
	const struct settings *settings =
	    generations_settings(r->config.generations);
	const struct reload_outcome *o = &r->outcome;
	char memory[1024];
	struct str s;
	size_t i;

	str_init(&s, memory, sizeof(memory));
	for (i = 0; i < o->change_count && s.len < 768; i++)
		str_printf(&s, "%s%.200s", i > 0 ? ", " : "", o->changes[i]);
	if (i < o->change_count)
		str_printf(&s, " and %zu more", o->change_count - i);
	if (o->change_count == 0)
		str_lit(&s, "nothing has changed");
	log_notice(NULL, "reloaded: generation %u serves with %u worker%s: "
	    "%.*s", o->generation, settings->workers,
	    settings->workers == 1 ? "" : "s", SPAN_ARG(str_view(&s)));
}

void
reload_on_ready(struct reload *r)
{
	const struct generations *gs = r->config.generations;

	if (r->state != RELOAD_STARTING)
		return;
	r->outcome.is_done = true;
	r->outcome.generation = gs->serving->number;
	log_outcome(r);
	finish(r);
}

void
reload_on_failed(struct reload *r, const char *why)
{
	if (r->state != RELOAD_STARTING)
		return;
	generations_abandon(r->config.generations);
	refuse(r, why);
}

static void
on_deadline(struct deadline *d)
{
	struct reload *r = LIST_OF(d, struct reload, deadline);
	const struct generations *gs = r->config.generations;
	struct error why;

	if (r->state == RELOAD_EMPTYING) {
		start(r);
		return;
	}
	generations_describe_late(gs,
	    generations_settings(gs)->daemon_ready_timeout_ms, &why);
	reload_on_failed(r, why.text);
}

bool
reload_on_exit(struct reload *r, pid_t pid, int status)
{
	return reload_check_on_exit(&r->check, pid, status);
}

bool
reload_is_waiting(const struct reload *r)
{
	return !r->is_stopped && (r->state == RELOAD_WAITING || r->is_wanted);
}

void
reload_stop(struct reload *r, const char *why)
{
	if (r->is_stopped)
		return;
	r->is_stopped = true;
	reload_check_stop(&r->check);
	if (r->state == RELOAD_STARTING)
		generations_abandon(r->config.generations);
	if (r->state != RELOAD_IDLE)
		decline(r, why);
	if (r->is_wanted) {
		r->now = r->next;
		r->next = (struct reload_waiters){ .items = NULL };
		r->is_wanted = false;
		decline(r, why);
	}
	deadline_stop(r->config.loop, &r->deadline);
}

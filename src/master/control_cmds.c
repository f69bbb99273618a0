/* SPDX-License-Identifier: BSD-2-Clause */
/* control_cmds - status, stop, reload, workers, logs, configuration. */
#include "master/control_cmds.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/heap_alloc.h"
#include "base/log.h"
#include "base/now.h"
#include "base/str.h"
#include "master/children.h"
#include "master/master_logs.h"
#include "master/master_private.h"
#include "master/upgrade_leave.h"
#include "net/tls_ktls.h"
#include "os/loop.h"
#include "os/reply.h"
#include "site/confine.h"
#include "site/generation.h"

enum { RELOAD_ANSWER_MAX = 4 << 20 };

static const char *
state_name(enum master_state state)
{
	switch (state) {
	case MASTER_WAITING:
		return "waiting";
	case MASTER_FORWARDING:
		return "forwarding";
	case MASTER_STARTING:
		return "starting";
	case MASTER_SERVING:
		return "serving";
	case MASTER_LEAVING:
		return "leaving";
	case MASTER_DRAINING:
		return "draining";
	case MASTER_STOPPING:
		return "stopping";
	case MASTER_ENDING:
		return "ending";
	}
	return "";
}

/* ---- status ---- */

static void
put_time(struct json *j, const char *name, uint64_t wall_ms)
{
	time_t seconds = (time_t)(wall_ms / 1000);
	char text[40] = "";
	struct tm tm;

	if (gmtime_r(&seconds, &tm) != NULL)
		strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	json_cstr(j, name, text);
}

struct status {
	struct master *master;
	struct json *json;
	const struct generations_live *live;
	struct generation_load sum;
};

static void
put_process(void *arg, const struct children_info *info)
{
	struct status *s = arg;
	struct generation_load load = { .connections = 0 };
	struct json *j = s->json;

	generation_load_of(s->live->generation, info->process, &load);
	s->sum.connections += load.connections;
	s->sum.exchanges += load.exchanges;
	json_object(j, NULL);
	json_cstr(j, "process", info->name);
	json_u64(j, "generation", s->live->number);
	json_i64(j, "pid", info->pid);
	json_cstr(j, "state", info->state);
	json_u64(j, "uptime_s", (now_ms() - info->started_ms) / 1000);
	json_u64(j, "connections", load.connections);
	json_u64(j, "exchanges", load.exchanges);
	json_close(j);
}

static void
put_processes(struct status *s)
{
	struct json *j = s->json;

	json_array(j, "processes");
	json_object(j, NULL);
	json_cstr(j, "process", "master");
	json_i64(j, "pid", getpid());
	json_cstr(j, "state", state_name(s->master->state));
	json_u64(j, "uptime_s", (now_ms() - s->master->started_ms) / 1000);
	json_u64(j, "connections", 0);
	json_u64(j, "exchanges", 0);
	json_close(j);
	LIST_EACH(&s->master->generations.all, node, after) {
		s->live = LIST_OF(node, struct generations_live, node);
		children_each(s->live->children, put_process, s);
	}
	json_close(j);
}

static void
put_generations(struct status *s)
{
	struct json *j = s->json;

	json_array(j, "generations");
	LIST_EACH(&s->master->generations.all, node, after) {
		const struct generations_live *l =
		    LIST_OF(node, struct generations_live, node);

		json_object(j, NULL);
		json_u64(j, "generation", l->number);
		json_cstr(j, "state", generations_state_name(l->state));
		json_u64(j, "since_s", (now_ms() - l->since_ms) / 1000);
		json_u64(j, "workers",
		    generation_settings(l->generation)->workers);
		json_close(j);
	}
	json_close(j);
}

static void
put_sandbox(const struct master *m, struct json *j)
{
	const struct proc_account *account =
	    geteuid() == 0 ? &m->account : NULL;
	char memory[512];
	struct str s;

	str_init(&s, memory, sizeof(memory));
	confine_describe(m->settings, account, &s);
	json_span(j, "sandbox", str_view(&s));
}

static int
answer_status(struct command_call *call)
{
	struct master *m = call->arg;
	struct status s = { .master = m, .json = call->json };
	struct json *j = call->json;

	json_cstr(j, "version", m->boot->version);
	json_cstr(j, "state", state_name(m->state));
	json_i64(j, "pid", getpid());
	put_time(j, "started", m->started_wall_ms);
	json_u64(j, "uptime_s", (now_ms() - m->started_ms) / 1000);
	json_cstr(j, "configuration", m->boot->conf_name);
	json_cstr(j, "program", m->exe.path);
	json_bool(j, "program_changed", exe_has_changed(&m->exe));
	json_cstr(j, "upgrade", upgrade_leave_successor(m) != 0 ? "given"
	    : upgrade_leave_is_running(m) ? "running" : NULL);
	json_u64(j, "generation", m->generations.serving != NULL
	    ? m->generations.serving->number : 0);
	json_u64(j, "workers", m->settings->workers);
	json_cstr(j, "user", geteuid() == 0 ? m->account.user : NULL);
	put_sandbox(m, j);
	json_cstr(j, "ktls", tls_ktls_text());
	json_cstr(j, "event_loop", loop_backend_name(m->loop));
	json_cstr(j, "log_level", log_level_name(log_get_level()));
	put_generations(&s);
	put_processes(&s);
	json_u64(j, "connections", s.sum.connections);
	json_u64(j, "exchanges", s.sum.exchanges);
	return 0;
}

/* ---- stop ---- */

/* The answer comes when all have ended; a second one is told what goes on. */
static int
begin_stop(struct command_call *call, bool now)
{
	struct master *m = call->arg;

	master_stop(m, now);
	if (m->stop_waiter == NULL) {
		m->stop_waiter = call->request;
		return COMMAND_LATER;
	}
	json_cstr(call->json, "state", state_name(m->state));
	return 0;
}

static int
stop(struct command_call *call)
{
	bool now = call->arg_count > 0;

	if (now && strcmp(call->args[0], "--now") != 0)
		return error_set(call->err, "\"%s\" is not known; "
		    "--now is", call->args[0]);
	return begin_stop(call, now);
}

static int
drain(struct command_call *call)
{
	struct master *m = call->arg;

	/* A second TERM stops at once; a second drain changes nothing. */
	if (m->state == MASTER_STARTING || m->state == MASTER_SERVING)
		return begin_stop(call, false);
	json_cstr(call->json, "state", state_name(m->state));
	return 0;
}

/* ---- reload ---- */

/* Who waits for a reload, and what to undo when it fails. */
struct waiter {
	struct master *master;
	struct reply *reply;
	bool has_workers;
	uint32_t old_workers; /* of the source */
};

static void
put_lines(struct json *j, const char *name, char *const *lines, size_t count)
{
	json_array(j, name);
	for (size_t i = 0; i < count; i++)
		json_cstr(j, NULL, lines[i]);
	json_close(j);
}

static void
on_reloaded(void *arg, const struct reload_outcome *outcome)
{
	struct waiter *w = arg;
	struct json json;
	struct str s;

	if (!outcome->is_done && w->has_workers)
		w->master->source.workers = w->old_workers;
	str_init(&s, heap_alloc(RELOAD_ANSWER_MAX), RELOAD_ANSWER_MAX);
	json_init(&json, &s);
	json_object(&json, NULL);
	if (outcome->is_done) {
		json_u64(&json, "generation", outcome->generation);
		put_lines(&json, "changes", outcome->changes,
		    outcome->change_count);
	}
	put_lines(&json, "messages", outcome->lines, outcome->line_count);
	json_close(&json);
	if (s.overflow)
		s.len = 2; /* too much to say: nothing of it */
	reply_answer(w->reply, outcome->is_done ? NULL :
	    outcome->is_declined ? "not done" : "refused: what served before "
	    "serves on", span_of(s.p + 1, s.len - 2));
	free(s.p);
	free(w);
}

static int
check_serving(const struct command_call *call)
{
	const struct master *m = call->arg;

	if (m->state == MASTER_SERVING)
		return 0;
	return error_set(call->err, "the instance is %s",
	    state_name(m->state));
}

static int
begin_reload(struct command_call *call, const uint32_t *workers)
{
	struct master *m = call->arg;
	struct waiter *w;

	if (check_serving(call) != 0)
		return -1;
	w = heap_alloc_zeroed(1, sizeof(*w));
	w->master = m;
	w->reply = call->request;
	w->has_workers = workers != NULL;
	w->old_workers = m->source.workers;
	if (workers != NULL)
		m->source.workers = *workers;
	reload_request(&m->reload, on_reloaded, w);
	return COMMAND_LATER;
}

/* ---- upgrade ---- */

void
control_cmds_on_upgrade(struct master *m, const char *why)
{
	struct reply *reply = m->upgrade_waiter;
	char memory[64];
	struct str s;

	if (reply == NULL)
		return;
	m->upgrade_waiter = NULL;
	str_init(&s, memory, sizeof(memory));
	if (why == NULL)
		str_printf(&s, "\"upgraded\":true,\"pid\":%ld",
		    (long)upgrade_leave_successor(m));
	reply_answer(reply, why, str_view(&s));
}

/* The answer may have been sent when this returns. */
static int
upgrade(struct command_call *call)
{
	struct master *m = call->arg;

	if (check_serving(call) != 0)
		return -1;
	if (upgrade_leave_is_running(m))
		return error_set(call->err, "an upgrade is running already");
	if (m->reload.state != RELOAD_IDLE &&
	    m->reload.state != RELOAD_WAITING)
		return error_set(call->err, "a reload is under way");
	m->upgrade_waiter = call->request;
	upgrade_leave_on_usr2(m);
	if (m->upgrade_waiter == NULL || upgrade_leave_is_running(m))
		return COMMAND_LATER;
	m->upgrade_waiter = NULL;
	return error_set(call->err, "it could not begin: the log says why");
}

static int
reload(struct command_call *call)
{
	const struct master *m = call->arg;

	if (call->arg_count > 0 && strcmp(call->args[0], "--config-only") != 0)
		return error_set(call->err, "\"%s\" is not known; "
		    "--config-only is", call->args[0]);
	if (call->arg_count == 0 && exe_has_changed(&m->exe))
		return upgrade(call);
	return begin_reload(call, NULL);
}

/* Holds for later reloads too, until the instance ends. */
static int
set_workers(struct command_call *call)
{
	uint32_t workers = 0;
	uint64_t n;

	if (strcmp(call->args[0], "default") != 0) {
		if (span_u64(span_cstr(call->args[0]), &n) != 0 || n < 1 ||
		    n > SETTINGS_WORKERS_MAX)
			return error_set(call->err, "\"%s\": a number from 1 "
			    "to %d, or \"default\", is expected",
			    call->args[0], SETTINGS_WORKERS_MAX);
		workers = (uint32_t)n;
	}
	return begin_reload(call, &workers);
}

/* ---- logs and configuration ---- */

static int
reopen(struct command_call *call)
{
	master_logs_reopen(call->arg);
	return 0;
}

static int
set_log_level(struct command_call *call)
{
	struct master *m = call->arg;
	enum log_level level = log_get_level();

	if (call->arg_count > 0 &&
	    log_level_parse(call->args[0], &level) != 0)
		return error_set(call->err, "\"%s\": error, warn, "
		    "notice, info or debug is expected", call->args[0]);
	if (call->arg_count > 0) {
		log_set_level(level);
		generations_set_log_level(&m->generations, (uint32_t)level);
	}
	json_cstr(call->json, "log_level", log_level_name(log_get_level()));
	return 0;
}

static int
answer_config(struct command_call *call)
{
	struct master *m = call->arg;
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	if (out == NULL)
		return error_set(call->err, "no memory");
	generation_dump(generations_serving(&m->generations), out);
	if (fclose(out) != 0) {
		free(text);
		return error_set(call->err, "no memory");
	}
	json_span(call->json, "text", span_of(text, len));
	free(text);
	return 0;
}

static int
list_commands(struct command_call *call)
{
	json_array(call->json, "commands");
	command_list(control_cmds, call->json);
	json_close(call->json);
	return 0;
}

const struct command control_cmds[] = {
	{ "status", NULL, "processes, connections, versions", false,
	    answer_status },
	{ "stop", "[--now]", "drain and end; --now: end at once", true,
	    stop },
	{ "drain", NULL, "finish what is in flight, then end", true, drain },
	{ "reload", "[--config-only]", "load the configuration again, and say "
	    "what changed", true, reload },
	{ "upgrade", NULL, "hand everything to the program on disk", true,
	    upgrade },
	{ "workers", "N|default", "run so many workers, whatever the "
	    "configuration says", true, set_workers },
	{ "reopen", NULL, "open the log files anew", true, reopen },
	{ "config", NULL, "the effective configuration", false,
	    answer_config },
	{ "loglevel", "[LEVEL]", "show or set the level of the error log",
	    true, set_log_level },
	{ "commands", NULL, "commands that the master answers", false,
	    list_commands },
	{ .name = NULL },
};

int
control_cmds_pass_on(void *arg, int fd, struct span line, struct error *err)
{
	struct master *m = arg;

	return generations_pass_command(&m->generations, fd, line, err);
}

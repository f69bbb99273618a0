/* SPDX-License-Identifier: BSD-2-Clause */
/* control_cmds - status, stop, reopen, config, loglevel. */
#include "master/control_cmds.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "base/now.h"
#include "base/str.h"
#include "master/children.h"
#include "master/master_private.h"
#include "os/loop.h"
#include "os/sandbox.h"
#include "site/generation.h"

static const char *
state_name(enum master_state state)
{
	switch (state) {
	case MASTER_STARTING:
		return "starting";
	case MASTER_SERVING:
		return "serving";
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
	json_u64(j, "generation", m->generations.serving != NULL
	    ? m->generations.serving->number : 0);
	json_u64(j, "workers", m->settings->workers);
	json_cstr(j, "user", geteuid() == 0 ? m->account.user : NULL);
	json_cstr(j, "event_loop", loop_backend_name(m->loop));
	json_cstr(j, "log_level", log_level_name(log_get_level()));
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

/* ---- logs and configuration ---- */

static int
reopen(struct command_call *call)
{
	master_reopen_logs(call->arg);
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

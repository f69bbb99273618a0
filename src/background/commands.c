/* SPDX-License-Identifier: BSD-2-Clause */
/* commands - the registry, and the way from a line to its answer. */
#include "background/commands.h"

#include <assert.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/heap_alloc.h"
#include "base/log.h"
#include "base/str.h"
#include "os/reply.h"

enum {
	TABLES_MAX = 32,
	/* Memory that nobody writes to costs nothing. */
	ANSWER_MAX = 8 << 20,
};

struct table {
	const struct command *rows;
	void *arg;
};

struct commands {
	struct reply_set replies;
	struct table tables[TABLES_MAX];
	size_t table_count;
};

/* What the help of weirctl(8) asks for. */
static int
list_commands(struct command_call *call)
{
	const struct commands *c = call->arg;

	json_array(call->json, "commands");
	for (size_t i = 0; i < c->table_count; i++) {
		if (c->tables[i].arg != c)
			command_list(c->tables[i].rows, call->json);
	}
	json_close(call->json);
	return 0;
}

static const struct command own_rows[] = {
	{ .name = "background commands", .help = "commands that the "
	    "background process answers", .run = list_commands },
	{ .name = NULL },
};

struct commands *
commands_new(struct loop *loop)
{
	struct commands *c = heap_alloc_zeroed(1, sizeof(*c));

	reply_set_init(&c->replies, loop);
	commands_add(c, own_rows, c);
	return c;
}

void
commands_free(struct commands *c)
{
	if (c == NULL)
		return;
	reply_set_fini(&c->replies);
	free(c);
}

void
commands_add(struct commands *c, const struct command *rows, void *arg)
{
	assert(c->table_count < TABLES_MAX);
	c->tables[c->table_count++] =
	    (struct table){ .rows = rows, .arg = arg };
}

static const struct command *
find(const struct commands *c, const struct command_words *w, void **arg)
{
	const struct command *found = NULL;

	for (size_t i = 0; i < c->table_count; i++) {
		const struct command *row =
		    command_find(c->tables[i].rows, w);

		if (row == NULL || (found != NULL &&
		    command_name_words(row) <= command_name_words(found)))
			continue;
		found = row;
		*arg = c->tables[i].arg;
	}
	return found;
}

void
commands_serve(struct commands *c, int fd, struct span line)
{
	struct reply *r = reply_new(&c->replies, fd);
	struct command_env env = { .arg = NULL };
	const struct command *row;
	struct command_words w;
	struct error err;

	if (command_split(&w, line, &err) != 0) {
		reply_answer(r, err.text, span_of(NULL, 0));
		return;
	}
	row = find(c, &w, &env.arg);
	if (row == NULL) {
		error_set(&err, "there is no command \"%s\"", w.items[0]);
		reply_answer(r, err.text, span_of(NULL, 0));
		return;
	}
	reply_log_request(fd, row, line);
	reply_run(r, row, &w, &env, ANSWER_MAX);
}

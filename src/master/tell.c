/* SPDX-License-Identifier: BSD-2-Clause */
/* tell - from a configuration to its pid file to a process. */
#include "master/tell.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/error.h"
#include "conf/report.h"
#include "conf/tree.h"
#include "master/pidfile.h"
#include "os/signals.h"

enum { EXIT_NOBODY = 1, EXIT_WRONG = 2 };

int
tell_signal(const char *word)
{
	static const struct {
		const char *word;
		int number;
	} rows[] = {
		{ "reload", SIGHUP }, { "stop", SIGINT }, { "quit", SIGTERM },
		{ "reopen", SIGUSR1 }, { "upgrade", SIGUSR2 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		if (strcmp(word, rows[i].word) == 0)
			return rows[i].number;
	}
	return 0;
}

/* NULL: it is not given.  From the arena. */
static const char *
find_string(struct arena *arena, const struct conf_node *tree,
    const char *name)
{
	const struct conf_node *node = conf_node_get(tree, name);

	return node != NULL && node->type == CONF_NODE_STRING
	    ? arena_dup(arena, node->v.string) : NULL;
}

/* The path in the configuration, the default one, or NULL. */
static const char *
find_pid_file(struct arena *arena, const struct conf_node *tree)
{
	const char *path = find_string(arena, tree, "pid_file");

	if (path != NULL)
		return path;
	return geteuid() == 0 ? WEIR_RUNSTATEDIR "/weir/weir.pid" : NULL;
}

/* Where a path begins that does not begin with a slash. */
static void
go_to_directory(struct arena *arena, const struct conf_node *tree)
{
	const char *path = find_string(arena, tree, "working_directory");

	if (path != NULL && chdir(path) != 0)
		fprintf(stderr, "weir: warning: working_directory %s: %s\n",
		    path, strerror(errno));
}

static int
send_to(const char *path, int number)
{
	struct error err;
	pid_t pid = 0;

	if (path == NULL) {
		fputs("weir: the configuration has no pid_file: which process "
		    "is meant cannot be told\n", stderr);
		return EXIT_NOBODY;
	}
	if (pidfile_owner(path, &pid, &err) != 0) {
		fprintf(stderr, "weir: %s\n", err.text);
		return EXIT_NOBODY;
	}
	if (kill(pid, number) != 0) {
		fprintf(stderr, "weir: sending %s to process %ld: %s\n",
		    signals_name(number), (long)pid, strerror(errno));
		return EXIT_NOBODY;
	}
	return 0;
}

int
tell_instance(const char *conf_path, int number)
{
	struct conf_report *report = conf_report_new();
	const struct conf_node *tree;
	int status = EXIT_WRONG;
	struct arena arena;

	arena_init(&arena, NULL);
	tree = conf_tree_load(&arena, conf_path, NULL, report);
	if (tree == NULL) {
		conf_report_print(report, stderr);
	} else {
		go_to_directory(&arena, tree);
		status = send_to(find_pid_file(&arena, tree), number);
	}
	conf_report_free(report);
	arena_fini(&arena);
	return status;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* weir - a reverse proxy server: arguments, configuration, then the master. */
#include <stdlib.h>
#include <string.h>

#include "background/background.h"
#include "background/logwriter.h"
#include "base/error.h"
#include "base/heap_alloc.h"
#include "base/log.h"
#include "base/str.h"
#include "conf/report.h"
#include "master/cli.h"
#include "master/master.h"
#include "master/options.h"
#include "master/tell.h"
#include "master/version.h"
#include "os/proc.h"
#include "site/generation.h"
#include "site/modules.h"
#include "worker/worker.h"

enum { EXIT_RUN_TIME = 1, EXIT_USAGE = 2, TEXT_BYTES = 4096 };

static void
print_version(void)
{
	const char *names[256];
	size_t count = modules_count();

	for (size_t i = 0; i < count && i < 256; i++)
		names[i] = modules_get(i)->name;
	version_print(stdout, names, count < 256 ? count : 256);
}

/* "conf.d" beside the file; caller frees. */
static char *
conf_dir_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	size_t len = slash != NULL ? (size_t)(slash - path) + 1 : 0;
	char *dir = heap_alloc(len + sizeof("conf.d"));

	memcpy(dir, path, len);
	memcpy(dir + len, "conf.d", sizeof("conf.d"));
	return dir;
}

static const char *
name_of(const struct cli *cli)
{
	return cli->conf_path != NULL ? cli->conf_path : "command line";
}

/* Where the configuration is from, now and at each reload. */
static struct generation_source
source_of(const struct cli *cli, struct str *text)
{
	struct generation_source source = {
		.path = cli->conf_path,
		.text_name = name_of(cli),
		.workers = cli->workers,
		.log_level = cli->log_level,
		.is_daemon = cli->is_daemon,
		.is_test = cli->action != CLI_RUN,
	};

	if (cli->conf_path != NULL)
		source.conf_dir = conf_dir_of(cli->conf_path);
	else
		cli_compose(cli, text);
	source.text = str_view(text);
	return source;
}

/* NULL when there were errors, which are then printed. */
static struct generation *
load(const struct generation_source *source)
{
	struct conf_report *report = conf_report_new();
	struct generation *g = generation_load(source, report);

	conf_report_print(report, stderr);
	conf_report_free(report);
	return g;
}

static int
serve(const struct generation_source *source, struct generation *g)
{
	static const struct metric_set *const metric_sets[] = {
		&logwriter_metrics, NULL };
	const struct master_boot boot = {
		.metric_sets = metric_sets,
		.generation = g,
		.source = source,
		.conf_name = source->text_name,
		.version = version_text(),
		.worker_main = worker_main,
		.background_main = background_main,
	};

	log_set_level(
	    (enum log_level)generation_settings(g)->error_log.level);
	return master_run(&boot);
}

static int
with_generation(const struct cli *cli)
{
	char memory[TEXT_BYTES];
	struct generation_source source;
	struct generation *g;
	struct str text;
	int status = EXIT_SUCCESS;

	str_init(&text, memory, sizeof(memory));
	source = source_of(cli, &text);
	g = load(&source);
	if (g == NULL)
		status = EXIT_USAGE;
	else if (cli->action == CLI_TEST)
		fprintf(stderr, "%s: configuration is valid\n", name_of(cli));
	else if (cli->action == CLI_DUMP)
		generation_dump(g, stdout);
	else
		status = serve(&source, g);
	if (cli->action != CLI_RUN)
		generation_free(g);
	free(source.conf_dir);
	return status;
}

static int
run(const struct cli *cli)
{
	switch (cli->action) {
	case CLI_HELP:
		cli_print_help(stdout);
		return EXIT_SUCCESS;
	case CLI_VERSION:
		print_version();
		return EXIT_SUCCESS;
	case CLI_DUMP_OPTIONS:
		options_print(stdout);
		return EXIT_SUCCESS;
	case CLI_TELL:
		return tell_instance(cli->conf_path, cli->signal);
	case CLI_RUN:
	case CLI_TEST:
	case CLI_DUMP:
		break;
	}
	/* The configuration's limits are measured against this. */
	proc_raise_descriptors();
	return with_generation(cli);
}

int
main(int argc, char **argv)
{
	struct error err;
	struct cli cli;
	int status;

	proc_title_init(argc, &argv);
	if (cli_parse(&cli, argc, argv, &err) != 0) {
		fprintf(stderr, "weir: %s\n"
		    "weir: see \"weir --help\"\n", err.text);
		return EXIT_USAGE;
	}
	status = run(&cli);
	if (fflush(stdout) != 0 && status == EXIT_SUCCESS) {
		perror("weir: writing to stdout");
		status = EXIT_RUN_TIME;
	}
	return status;
}

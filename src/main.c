/* SPDX-License-Identifier: BSD-2-Clause */
/* weir - a reverse proxy server: arguments, configuration, then the master. */
#include <stdlib.h>
#include <string.h>

#include "background/background.h"
#include "background/logwriter.h"
#include "background/orphan_logs.h"
#include "base/error.h"
#include "base/heap_alloc.h"
#include "base/log.h"
#include "base/str.h"
#include "conf/report.h"
#include "master/cli.h"
#include "master/handover.h"
#include "master/master.h"
#include "master/options.h"
#include "master/reexec.h"
#include "master/tell.h"
#include "master/version.h"
#include "os/proc.h"
#include "signer/signer.h"
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

/* What the process was started with. */
struct start {
	struct cli cli;
	struct reexec program; /* to start it once more */
	int handover_fd;       /* a predecessor has started us; -1 = no */
};

/* The first error, for the log of the predecessor. */
static void
tell_predecessor(int fd, const char *text)
{
	const char *at = strstr(text, ": error: ");

	if (at == NULL)
		at = text;
	while (at > text && at[-1] != '\n')
		at--;
	handover_say_fd(fd, HANDOVER_FAILED,
	    span_of(at, strcspn(at, "\n")));
}

/* To stderr, or to whoever has started us and serves. */
static void
print_report(const struct conf_report *report, int handover_fd)
{
	size_t len = 0;
	char *text = NULL;
	FILE *out;

	if (handover_fd < 0 || conf_report_errors(report) == 0) {
		conf_report_print(report, stderr);
		return;
	}
	out = open_memstream(&text, &len);
	if (out == NULL)
		return;
	conf_report_print(report, out);
	fclose(out);
	tell_predecessor(handover_fd, text);
	free(text);
}

/* NULL when there were errors, which are then printed. */
static struct generation *
load(const struct generation_source *source, int handover_fd)
{
	struct conf_report *report = conf_report_new();
	struct generation *g = generation_load(source, report);

	print_report(report, handover_fd);
	conf_report_free(report);
	return g;
}

static int
serve(const struct start *start, const struct generation_source *source,
    struct generation *g)
{
	static const struct metric_set *const metric_sets[] = {
		&logwriter_metrics, NULL };
	const struct master_boot boot = {
		.metric_sets = metric_sets,
		.generation = g,
		.source = source,
		.conf_name = source->text_name,
		.version = version_text(),
		.program = &start->program,
		.is_upgrade = start->cli.is_upgrade,
		.handover_fd = start->handover_fd,
		.worker_main = worker_main,
		.background_main = background_main,
		.orphan_logs_start = orphan_logs_start,
		.orphan_logs_stop = orphan_logs_stop,
		.signer_main = signer_main,
	};

	log_set_level(
	    (enum log_level)generation_settings(g)->error_log.level);
	return master_run(&boot);
}

static int
with_generation(const struct start *start)
{
	const struct cli *cli = &start->cli;
	char memory[TEXT_BYTES];
	struct generation_source source;
	struct generation *g;
	struct str text;
	int status = EXIT_SUCCESS;

	str_init(&text, memory, sizeof(memory));
	source = source_of(cli, &text);
	g = load(&source, start->handover_fd);
	if (g == NULL)
		status = EXIT_USAGE;
	else if (cli->action == CLI_TEST)
		fprintf(stderr, "%s: configuration is valid\n", name_of(cli));
	else if (cli->action == CLI_DUMP)
		generation_dump(g, stdout);
	else
		status = serve(start, &source, g);
	if (cli->action != CLI_RUN)
		generation_free(g);
	free(source.conf_dir);
	return status;
}

static int
run(const struct start *start)
{
	switch (start->cli.action) {
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
		return tell_instance(start->cli.conf_path,
		    start->cli.signal);
	case CLI_RUN:
	case CLI_TEST:
	case CLI_DUMP:
		break;
	}
	/* The configuration's limits are measured against this. */
	proc_raise_descriptors();
	return with_generation(start);
}

int
main(int argc, char **argv)
{
	struct start start;
	struct error err;
	int status;

	proc_title_init(argc, &argv);
	start.handover_fd = reexec_inherited();
	if (cli_parse(&start.cli, argc, argv, &err) != 0) {
		fprintf(stderr, "weir: %s\n"
		    "weir: see \"weir --help\"\n", err.text);
		if (start.handover_fd >= 0)
			tell_predecessor(start.handover_fd, err.text);
		return EXIT_USAGE;
	}
	reexec_init(&start.program, argv);
	status = run(&start);
	reexec_fini(&start.program);
	if (fflush(stdout) != 0 && status == EXIT_SUCCESS) {
		perror("weir: writing to stdout");
		status = EXIT_RUN_TIME;
	}
	return status;
}

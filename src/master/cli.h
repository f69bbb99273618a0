/* SPDX-License-Identifier: BSD-2-Clause */
/* cli - the command line. */
#ifndef MASTER_CLI_H
#define MASTER_CLI_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct error;
struct str;

enum cli_action {
	CLI_RUN,
	CLI_TEST,         /* -t */
	CLI_DUMP,         /* -T */
	CLI_VERSION,      /* -V */
	CLI_HELP,         /* -h */
	CLI_TELL,         /* -s */
	CLI_DUMP_OPTIONS, /* every option table, for the manual's test */
};

struct cli {
	enum cli_action action;
	const char *conf_path; /* NULL with from and to */
	const char *from;
	const char *to;
	uint32_t workers;      /* 0 = as configured */
	int log_level;         /* -1 = as configured */
	bool is_daemon;
	int signal;            /* of CLI_TELL */
	bool is_upgrade;       /* -u */
};

/* Borrows argv.  -1 and err when the usage is wrong. */
int cli_parse(struct cli *cli, int argc, char **argv, struct error *err)
    __attribute__((warn_unused_result));
void cli_print_help(FILE *out);
/* The configuration that --from and --to stand for. */
void cli_compose(const struct cli *cli, struct str *text);

#endif

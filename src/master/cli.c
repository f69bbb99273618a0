/* SPDX-License-Identifier: BSD-2-Clause */
/* cli - options with getopt_long(3), and a configuration made of two. */
#include "master/cli.h"

#include <getopt.h>
#include <stddef.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/str.h"
#include "master/tell.h"
#include "os/addr.h"

enum {
	OPTION_WORKERS = 256, /* those without a letter */
	OPTION_LOG_LEVEL,
	OPTION_FROM,
	OPTION_TO,
	OPTION_DUMP_OPTIONS,
};

static const struct option options[] = {
	{ "conf", required_argument, NULL, 'c' },
	{ "test", no_argument, NULL, 't' },
	{ "dump", no_argument, NULL, 'T' },
	{ "signal", required_argument, NULL, 's' },
	{ "daemon", no_argument, NULL, 'd' },
	{ "upgrade", no_argument, NULL, 'u' },
	{ "version", no_argument, NULL, 'V' },
	{ "help", no_argument, NULL, 'h' },
	{ "workers", required_argument, NULL, OPTION_WORKERS },
	{ "log-level", required_argument, NULL, OPTION_LOG_LEVEL },
	{ "from", required_argument, NULL, OPTION_FROM },
	{ "to", required_argument, NULL, OPTION_TO },
	{ "dump-options", no_argument, NULL, OPTION_DUMP_OPTIONS },
	{ NULL, 0, NULL, 0 },
};

static const char default_conf[] = WEIR_SYSCONFDIR "/weir/weir.conf";

void
cli_print_help(FILE *out)
{
	fprintf(out,
	    "usage: weir [-c FILE] [-tTdu] [--workers N] [--log-level LEVEL]\n"
	    "       weir [-c FILE] -s reload|stop|quit|reopen|upgrade\n"
	    "       weir --from [HOST]:PORT --to http://HOST:PORT\n"
	    "\n"
	    "  -c, --conf FILE     the configuration (%s)\n"
	    "  -t, --test          check the configuration and exit\n"
	    "  -T, --dump          check it and print what is in effect\n"
	    "  -d, --daemon        run in the background\n"
	    "  -u, --upgrade       take over from the running instance\n"
	    "  -s, --signal WORD   tell the running instance: reload, stop "
	    "(at once),\n"
	    "                      quit (drain), reopen or upgrade\n"
	    "  -V, --version       print version, modules and libraries\n"
	    "  -h, --help          print this\n"
	    "      --workers N     so many worker processes\n"
	    "      --log-level L   error, warn, notice, info or debug\n"
	    "      --from, --to    serve an address without a configuration\n",
	    default_conf);
}

static int
read_workers(const char *text, uint32_t *workers, struct error *err)
{
	uint64_t n;

	if (strcmp(text, "auto") == 0)
		return 0;
	if (span_u64(span_cstr(text), &n) != 0 || n < 1 || n > 256)
		return error_set(err, "--workers \"%s\": a number from 1 to "
		    "256 is expected", text);
	*workers = (uint32_t)n;
	return 0;
}

static int
read_log_level(const char *text, int *level, struct error *err)
{
	enum log_level parsed;

	if (log_level_parse(text, &parsed) != 0)
		return error_set(err, "--log-level \"%s\": error, warn, "
		    "notice, info or debug is expected", text);
	*level = (int)parsed;
	return 0;
}

/* What getopt did not know, as it was written. */
static int
fail_unknown(char **argv, int letter, struct error *err)
{
	const char *word = argv[optind - 1];

	if (letter == ':')
		return error_set(err, "option \"%s\" needs an argument", word);
	if (optopt != 0 && optopt < OPTION_WORKERS)
		return error_set(err, "there is no option \"-%c\"", optopt);
	return error_set(err, "there is no option \"%s\"", word);
}

static int
read_option(struct cli *cli, int letter, struct error *err)
{
	switch (letter) {
	case 'c':
		cli->conf_path = optarg;
		return 0;
	case 't':
		cli->action = CLI_TEST;
		return 0;
	case 'T':
		cli->action = CLI_DUMP;
		return 0;
	case 'd':
		cli->is_daemon = true;
		return 0;
	case 'u':
		cli->is_upgrade = true;
		return 0;
	case 's':
		cli->action = CLI_TELL;
		cli->signal = tell_signal(optarg);
		if (cli->signal == 0)
			return error_set(err, "--signal \"%s\": reload, stop, "
			    "quit, reopen or upgrade is expected", optarg);
		return 0;
	case 'V':
		cli->action = CLI_VERSION;
		return 0;
	case 'h':
		cli->action = CLI_HELP;
		return 0;
	case OPTION_WORKERS:
		return read_workers(optarg, &cli->workers, err);
	case OPTION_LOG_LEVEL:
		return read_log_level(optarg, &cli->log_level, err);
	case OPTION_FROM:
		cli->from = optarg;
		return 0;
	case OPTION_TO:
		cli->to = optarg;
		return 0;
	default:
		cli->action = CLI_DUMP_OPTIONS;
		return 0;
	}
}

/* "http://HOST:PORT" or with a slash behind; *host is what stands between. */
static int
read_to(const char *text, struct span *host, struct error *err)
{
	static const char scheme[] = "http://";
	struct addr_spec spec;
	struct error why;

	if (strncmp(text, scheme, sizeof(scheme) - 1) != 0)
		return error_set(err, "--to \"%s\": http://HOST:PORT is "
		    "expected", text);
	*host = span_cstr(text + sizeof(scheme) - 1);
	if (host->len > 0 && host->p[host->len - 1] == '/')
		host->len--;
	if (addr_parse(*host, 80, &spec, &why) != 0)
		return error_set(err, "--to %s", why.text);
	if (spec.is_any)
		return error_set(err, "--to \"%s\": the host is missing",
		    text);
	return 0;
}

static int
check_pair(struct cli *cli, struct error *err)
{
	struct addr_spec spec;
	struct error why;
	struct span host;

	if (cli->from == NULL && cli->to == NULL) {
		if (cli->conf_path == NULL)
			cli->conf_path = default_conf;
		return 0;
	}
	if (cli->conf_path != NULL)
		return error_set(err, "--from and --to make their own "
		    "configuration: --conf cannot be given too");
	if (cli->from == NULL || cli->to == NULL)
		return error_set(err, "--from and --to belong together: "
		    "--%s is missing", cli->from == NULL ? "from" : "to");
	if (addr_parse(span_cstr(cli->from), 0, &spec, &why) != 0)
		return error_set(err, "--from %s", why.text);
	if (spec.is_name)
		return error_set(err, "--from \"%s\": an address is expected, "
		    "as :8080 or 127.0.0.1:8080", cli->from);
	if (cli->action == CLI_TELL)
		return error_set(err, "--signal needs a configuration, which "
		    "names the pid file");
	return read_to(cli->to, &host, err);
}

int
cli_parse(struct cli *cli, int argc, char **argv, struct error *err)
{
	int letter;

	*cli = (struct cli){ .action = CLI_RUN, .log_level = -1 };
	opterr = 0;
	optind = 0; /* from the start, also a second time */
	while ((letter = getopt_long(argc, argv, ":c:s:tTduVh", options,
	    NULL)) != -1) {
		if (letter == '?' || letter == ':')
			return fail_unknown(argv, letter, err);
		if (read_option(cli, letter, err) != 0)
			return -1;
	}
	if (optind < argc)
		return error_set(err, "\"%s\" is no option", argv[optind]);
	return check_pair(cli, err);
}

/* Inside a string of the configuration. */
static void
put_quoted(struct str *s, struct span v)
{
	for (size_t i = 0; i < v.len; i++) {
		if (v.p[i] == '"' || v.p[i] == '\\')
			str_char(s, '\\');
		str_char(s, v.p[i]);
	}
}

void
cli_compose(const struct cli *cli, struct str *text)
{
	struct span host = { NULL, 0 };
	struct error err;

	if (read_to(cli->to, &host, &err) != 0)
		return; /* cli_parse() has looked */
	str_lit(text, "version = 1;\n"
	    "upstreams = (\n"
	    "  { name = \"to\"; backends = ( { address = \"");
	put_quoted(text, host);
	/* Behind brackets or a name without a colon the port is missing. */
	if (memchr(host.p, ':', host.len) == NULL ||
	    host.p[host.len - 1] == ']')
		str_lit(text, ":80");
	str_lit(text, "\"; } ); } );\n"
	    "services = (\n"
	    "  { name = \"from\"; listen = ( { address = \"");
	put_quoted(text, span_cstr(cli->from));
	str_lit(text, "\"; } );\n"
	    "    routes = ( { path = \"/\"; upstream = \"to\"; } ); } );\n");
}

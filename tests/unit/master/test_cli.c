/* SPDX-License-Identifier: BSD-2-Clause */
/* The command line: every option, every refusal, what --from makes. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/str.h"
#include "master/cli.h"

enum { WORDS_MAX = 8 };

static int
parse(const char *const *words, struct cli *cli, struct error *err)
{
	static char copies[WORDS_MAX + 1][128];
	char *argv[WORDS_MAX + 2];
	int argc = 1;

	strcpy(copies[0], "weir");
	argv[0] = copies[0];
	for (; words[argc - 1] != NULL; argc++) {
		strcpy(copies[argc], words[argc - 1]);
		argv[argc] = copies[argc];
	}
	argv[argc] = NULL;
	return cli_parse(cli, argc, argv, err);
}

static void
test_options(void **state)
{
	static const struct {
		const char *words[WORDS_MAX];
		struct cli want;
	} rows[] = {
		{ { NULL }, { .conf_path = WEIR_SYSCONFDIR "/weir/weir.conf",
		    .log_level = -1 } },
		{ { "-c", "a.conf", "-t" }, { .action = CLI_TEST,
		    .conf_path = "a.conf", .log_level = -1 } },
		{ { "--conf=a.conf", "--dump" }, { .action = CLI_DUMP,
		    .conf_path = "a.conf", .log_level = -1 } },
		{ { "-ca.conf", "-d", "--workers", "256" },
		    { .conf_path = "a.conf", .log_level = -1,
		    .is_daemon = true, .workers = 256 } },
		{ { "-c", "a", "--workers=auto", "--log-level", "error" },
		    { .conf_path = "a", .log_level = 0 } },
		{ { "-c", "a", "--log-level=debug" }, { .conf_path = "a",
		    .log_level = 4 } },
		{ { "-V", "-c", "a" }, { .action = CLI_VERSION,
		    .conf_path = "a", .log_level = -1 } },
		{ { "--help", "-c", "a" }, { .action = CLI_HELP,
		    .conf_path = "a", .log_level = -1 } },
		{ { "-s", "quit", "-c", "a" }, { .action = CLI_TELL,
		    .signal = SIGTERM, .conf_path = "a", .log_level = -1 } },
		{ { "--signal=stop" }, { .action = CLI_TELL,
		    .signal = SIGINT, .log_level = -1,
		    .conf_path = WEIR_SYSCONFDIR "/weir/weir.conf" } },
		{ { "--from", ":80", "--to", "http://a:3000/" },
		    { .from = ":80", .to = "http://a:3000/",
		    .log_level = -1 } },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		const struct cli *want = &rows[i].want;
		struct error err;
		struct cli cli;

		if (parse(rows[i].words, &cli, &err) != 0)
			fail_msg("row %zu: %s", i, err.text);
		assert_int_equal(cli.action, want->action);
		assert_int_equal(cli.workers, want->workers);
		assert_int_equal(cli.log_level, want->log_level);
		assert_int_equal(cli.is_daemon, want->is_daemon);
		assert_int_equal(cli.conf_path == NULL,
		    want->conf_path == NULL);
		if (want->conf_path != NULL)
			assert_string_equal(cli.conf_path, want->conf_path);
		assert_int_equal(cli.from == NULL, want->from == NULL);
		if (want->from != NULL)
			assert_string_equal(cli.from, want->from);
	}
}

static void
test_refusals(void **state)
{
	static const struct {
		const char *words[WORDS_MAX];
		const char *error;
	} rows[] = {
		{ { "-x" }, "there is no option \"-x\"" },
		{ { "-tx" }, "there is no option \"-x\"" },
		{ { "--nonsense" }, "there is no option \"--nonsense\"" },
		{ { "--conf" }, "\"--conf\" needs an argument" },
		{ { "-c" }, "\"-c\" needs an argument" },
		{ { "word" }, "\"word\" is no option" },
		{ { "--workers", "0" }, "from 1 to 256" },
		{ { "--workers", "257" }, "from 1 to 256" },
		{ { "--workers", "-1" }, "\"-1\"" },
		{ { "--workers", "2x" }, "\"2x\"" },
		{ { "--log-level", "loud" }, "\"loud\"" },
		{ { "--from", ":80" }, "--to is missing" },
		{ { "--to", "http://a" }, "--from is missing" },
		{ { "-c", "a", "--from", ":80", "--to", "http://a" },
		    "--conf cannot be given" },
		{ { "--from", "80", "--to", "http://a" }, "--from \"80\"" },
		{ { "--from", "name:80", "--to", "http://a" },
		    "an address is expected" },
		{ { "--from", ":80", "--to", "a:80" }, "http://HOST:PORT" },
		{ { "--from", ":80", "--to", "https://a:80" }, "https://a" },
		{ { "--from", ":80", "--to", "http://" }, "--to" },
		{ { "--from", ":80", "--to", "http://:80" }, "host is miss" },
		{ { "--from", ":80", "--to", "http://a/b" }, "--to \"a/b\"" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct error err;
		struct cli cli;

		if (parse(rows[i].words, &cli, &err) == 0)
			fail_msg("row %zu was taken", i);
		if (strstr(err.text, rows[i].error) == NULL)
			fail_msg("row %zu: %s", i, err.text);
	}
}

static void
test_compose(void **state)
{
	static const struct {
		const char *from, *to;
		const char *listen, *backend;
	} rows[] = {
		{ ":8080", "http://127.0.0.1:3000", "address = \":8080\"",
		    "address = \"127.0.0.1:3000\"" },
		{ "[::1]:1", "http://app/", "address = \"[::1]:1\"",
		    "address = \"app:80\"" },
		{ ":1", "http://[::1]", ":1", "address = \"[::1]:80\"" },
		{ ":1", "http://[::1]:3/", ":1", "address = \"[::1]:3\"" },
		{ "unix:/a\"b", "http://a", "\"unix:/a\\\"b\"", "a:80" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct cli cli = { .from = rows[i].from, .to = rows[i].to };
		char memory[1024];
		struct str s;

		str_init(&s, memory, sizeof(memory));
		cli_compose(&cli, &s);
		assert_false(s.overflow);
		str_terminate(&s);
		assert_non_null(strstr(memory, "version = 1;"));
		assert_non_null(strstr(memory, rows[i].listen));
		assert_non_null(strstr(memory, rows[i].backend));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_compose),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

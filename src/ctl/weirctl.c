/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * weirctl - commands for a running weir, over its control socket.
 *
 * It knows few commands by name: any words are passed on, and whatever is
 * answered is printed.  `apikey` alone is done here: it is about a file.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/command.h"
#include "base/error.h"
#include "base/str.h"
#include "ctl/apikey.h"
#include "ctl/ask.h"
#include "ctl/jsonread.h"
#include "ctl/show.h"

enum {
	STATUS_DONE,
	STATUS_REFUSED,
	STATUS_USAGE,
	STATUS_NOBODY,
};

enum { TIMEOUT_MS = 10000, TIMEOUT_MAX_S = 86400 };

struct options {
	const char *socket;
	bool is_json;
	bool has_timeout;
	uint64_t timeout_ms; /* 0 = none */
	struct str line;     /* the command */
	const char *command; /* its first word, NULL = none */
};

static const char default_socket[] = WEIR_RUNSTATEDIR "/weir/control.sock";

/* Their answer comes when it is over, and weir itself sets the limits. */
static const char *const slow_commands[] = { "reload", "upgrade", "stop",
	"drain", "workers", NULL };

static const char usage[] =
    "usage: weirctl [--json] [--socket PATH] [--timeout SECONDS] COMMAND "
    "[ARGUMENT...]\n"
    "\n"
    "      --json             print the answer as it came\n"
    "  -s, --socket PATH      the control socket (%s)\n"
    "  -t, --timeout SECONDS  wait at most so long for the answer; 0 = for "
    "ever\n"
    "  -h, --help             print this\n"
    "  -V, --version          print the version\n"
    "\n"
    "\"weirctl apikey\" is about files of API keys and needs no instance.\n"
    "\"weirctl help\" lists the commands of the running instance.\n"
    "Status: 0 done, 1 refused or failed, 2 usage, 3 no instance there.\n";

static int __attribute__((format(printf, 1, 2)))
fail_usage(const char *fmt, ...)
{
	va_list ap;

	fputs("weirctl: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputs("\nweirctl: see \"weirctl --help\"\n", stderr);
	return STATUS_USAGE;
}

/* ---- arguments ---- */

static void
put_word(struct str *line, const char *word)
{
	bool is_plain = word[0] != '\0' && strpbrk(word, " \t\"\\") == NULL;

	if (line->len > 0)
		str_char(line, ' ');
	if (is_plain) {
		str_cstr(line, word);
		return;
	}
	str_char(line, '"');
	for (; *word != '\0'; word++) {
		if (*word == '"' || *word == '\\')
			str_char(line, '\\');
		str_char(line, *word);
	}
	str_char(line, '"');
}

static int
read_timeout(struct options *o, const char *text)
{
	uint64_t seconds;

	if (span_u64(span_cstr(text), &seconds) != 0 ||
	    seconds > TIMEOUT_MAX_S)
		return fail_usage("--timeout \"%s\": a number of seconds is "
		    "expected", text);
	o->has_timeout = true;
	o->timeout_ms = seconds * 1000;
	return 0;
}

/*
 * The value of an option that has one, as "--name VALUE", "--name=VALUE" or
 * "-n VALUE"; NULL if this is another option, "" if the value is missing.
 */
static const char *
value_of(char ***at, const char *name, const char *letter)
{
	const char *word = **at;
	size_t len = strlen(name);

	if (strncmp(word, name, len) == 0 && word[len] == '=')
		return word + len + 1;
	if (strcmp(word, name) != 0 && strcmp(word, letter) != 0)
		return NULL;
	if ((*at)[1] == NULL)
		return "";
	return *++*at;
}

/* Options of our own stand anywhere; the rest is the command's. */
static int
read_arguments(struct options *o, char **at)
{
	bool is_over = false;

	for (; *at != NULL; at++) {
		const char *value = NULL;

		if (is_over || **at != '-') {
			o->command = o->command != NULL ? o->command : *at;
			put_word(&o->line, *at);
		} else if (strcmp(*at, "--") == 0) {
			is_over = true;
		} else if (strcmp(*at, "--json") == 0) {
			o->is_json = true;
		} else if ((value = value_of(&at, "--socket", "-s")) != NULL) {
			if (*value == '\0')
				return fail_usage("--socket needs a path");
			o->socket = value;
		} else if ((value = value_of(&at, "--timeout",
		    "-t")) != NULL) {
			if (read_timeout(o, value) != 0)
				return STATUS_USAGE;
		} else if (o->command == NULL) {
			return fail_usage("there is no option \"%s\"", *at);
		} else {
			put_word(&o->line, *at);
		}
	}
	if (o->command == NULL)
		return fail_usage("a command is expected");
	if (o->line.overflow)
		return fail_usage("the command is too long");
	return 0;
}

static uint64_t
timeout_of(const struct options *o)
{
	if (o->has_timeout)
		return o->timeout_ms;
	for (size_t i = 0; slow_commands[i] != NULL; i++) {
		if (strcmp(o->command, slow_commands[i]) == 0)
			return 0;
	}
	return TIMEOUT_MS;
}

/* ---- answers ---- */

static int
fail(const struct options *o, const char *why)
{
	fprintf(stderr, "weirctl: %s: %s\n", o->command, why);
	return STATUS_REFUSED;
}

static int
print_answer(const struct options *o, const struct jsonread_value *answer)
{
	const struct jsonread_value *ok = jsonread_get(answer, "ok");
	const struct jsonread_value *why = jsonread_get(answer, "error");
	const struct jsonread_value *result = jsonread_get(answer, "result");
	bool is_done;

	if (ok == NULL || ok->type != JSONREAD_BOOL)
		return fail(o, "the answer makes no sense");
	is_done = ok->is_true;
	if (!is_done)
		fprintf(stderr, "weirctl: %s: %.*s\n", o->command,
		    why != NULL ? (int)why->text.len : 0,
		    why != NULL ? why->text.p : "");
	if (result != NULL)
		show(result, is_done ? stdout : stderr);
	return is_done ? STATUS_DONE : STATUS_REFUSED;
}

/* Prints the answer to line; a command may need several. */
static int
run(const struct options *o, struct span line)
{
	struct jsonread_value *value;
	struct arena arena;
	struct span answer;
	struct error err;
	int status;

	switch (ask(o->socket, line, timeout_of(o), &answer, &err)) {
	case ASK_DONE:
		break;
	case ASK_NOBODY:
		fail(o, err.text);
		return STATUS_NOBODY;
	case ASK_FAILED:
		status = fail(o, err.text);
		goto out;
	}
	arena_init(&arena, NULL);
	value = jsonread_parse(&arena, answer);
	if (value == NULL) {
		status = fail(o, "the answer makes no sense");
	} else if (o->is_json) {
		const struct jsonread_value *ok = jsonread_get(value, "ok");

		printf("%.*s\n", SPAN_ARG(answer));
		status = ok != NULL && ok->is_true ? STATUS_DONE
		    : STATUS_REFUSED;
	} else {
		status = print_answer(o, value);
	}
	arena_fini(&arena);
out:
	free((void *)(uintptr_t)answer.p);
	return status;
}

static int
run_help(const struct options *o)
{
	int status;

	if (!o->is_json)
		printf(usage, default_socket);
	fflush(stdout);
	status = run(o, SPAN("commands"));
	return status != STATUS_DONE ? status
	    : run(o, SPAN("background commands"));
}

/* NULL, or the words behind "apikey", if that is the command. */
static char **
words_of_apikey(char **at, bool *is_json)
{
	*is_json = false;
	for (; *at != NULL && strcmp(*at, "--json") == 0; at++)
		*is_json = true;
	return *at != NULL && strcmp(*at, "apikey") == 0 ? at + 1 : NULL;
}

int
main(int argc, char **argv)
{
	char memory[COMMAND_LINE_MAX];
	char **words;
	bool is_json;
	struct options o = { .socket = default_socket };
	int status;

	str_init(&o.line, memory, sizeof(memory));
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0 ||
		    strcmp(argv[i], "-h") == 0) {
			printf(usage, default_socket);
			return STATUS_DONE;
		}
		if (strcmp(argv[i], "--version") == 0 ||
		    strcmp(argv[i], "-V") == 0) {
			puts("weirctl " PACKAGE_VERSION);
			return STATUS_DONE;
		}
	}
	words = words_of_apikey(argv + 1, &is_json);
	if (words != NULL) {
		status = apikey_run(words, is_json);
	} else {
		status = read_arguments(&o, argv + 1);
		if (status != 0)
			return status;
		status = strcmp(o.command, "help") == 0 ? run_help(&o)
		    : run(&o, str_view(&o.line));
	}
	if (fflush(stdout) != 0 && status == STATUS_DONE) {
		perror("weirctl: writing to stdout");
		status = STATUS_REFUSED;
	}
	return status;
}

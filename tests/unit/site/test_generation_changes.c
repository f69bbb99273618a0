/* SPDX-License-Identifier: BSD-2-Clause */
/* What is said of two configurations: each thing once, by its name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "site/generation.h"
#include "site/settings.h"
#include "site/shared.h"

static struct shared *shared;

static int
setup(void **state)
{
	const struct settings settings = { .routes_max = 64,
		.backends_max = 64, .max_draining_generations = 1,
		.log_ring_bytes = LOGRING_BYTES_MIN };
	const struct shared_config config = { .settings = &settings,
		.workers = 2 };
	struct error err;

	(void)state;
	shared = shared_new(&config, &err);
	return shared == NULL ? -1 : 0;
}

static int
teardown(void **state)
{
	(void)state;
	shared_free(shared);
	return 0;
}

static struct generation *
load(const char *text)
{
	struct conf_report *report = conf_report_new();
	const struct generation_source source = { .text = span_cstr(text),
		.text_name = "test", .log_level = -1 };
	struct generation *g = generation_load(&source, report);
	struct error err;

	if (g == NULL)
		conf_report_print(report, stderr);
	conf_report_free(report);
	assert_non_null(g);
	assert_int_equal(generation_attach(g, shared, &err), 0);
	return g;
}

/* Lines, each with its end. */
static void
add_line(void *arg, const char *line)
{
	char *text = arg;

	assert_true(strlen(text) + strlen(line) < 2000);
	strcat(strcat(text, line), "\n");
}

#define TOP "version = 1; workers = 2; " \
	"error_log = { path = \"stderr\"; };\n"
#define UP "upstreams = ( { name = \"app\"; " \
	"backends = ( { address = \"127.0.0.1:1\"; } ); } );\n"
#define WEB(listen, options, routes) \
	"services = ( { name = \"web\"; listen = ( " listen " ); " options \
	"routes = ( " routes " ); } );\n"
#define AT(address, more) "{ address = \"" address "\"; " more "}"
#define ALL "{ name = \"all\"; path = \"/\"; upstream = \"app\"; }"
#define API(more) "{ name = \"api\"; path = \"/api\"; upstream = \"app\"; " \
	more "}, "
#define GET(name) "{ name = \"" name "\"; path = \"/api\"; " \
	"methods = [ \"GET\" ]; upstream = \"app\"; }, "
#define REGEX(name) "{ name = \"" name "\"; path_regex = \"^/" name "\"; " \
	"upstream = \"app\"; }, "
#define TWO(address, more) "services = ( { name = \"one\"; listen = ( " \
	AT("127.0.0.1:8", "") " ); routes = ( " ALL " ); }, " \
	"{ name = \"two\"; listen = ( " AT(address, "") " ); routes = ( " \
	"{ name = \"all\"; path = \"/\"; upstream = \"app\"; " more \
	"} ); } );\n"
#define PLAIN TOP UP WEB(AT("127.0.0.1:1", ""), "", ALL)

static const struct {
	const char *name, *before, *after, *want;
} rows[] = {
	{ "nothing", PLAIN, PLAIN, "" },
	{ "what is written out, but is the default", PLAIN,
	    TOP "connections_max = 65536;\n" UP
	    WEB(AT("127.0.0.1:1", "backlog = 4096; "), "", ALL), "" },
	{ "a route comes", PLAIN,
	    TOP UP WEB(AT("127.0.0.1:1", ""), "", API("") ALL),
	    "added route web/api\n" },
	{ "a route goes",
	    TOP UP WEB(AT("127.0.0.1:1", ""), "", API("") ALL), PLAIN,
	    "removed route web/api\n" },
	{ "an option of a route",
	    TOP UP WEB(AT("127.0.0.1:1", ""), "", API("") ALL),
	    TOP UP WEB(AT("127.0.0.1:1", ""), "", API("retries = 7; ") ALL),
	    "changed route web/api\n" },
	{ "routes of one name in two services",
	    TOP UP TWO("127.0.0.1:1", ""), TOP UP TWO("127.0.0.1:1",
	    "retries = 7; "), "changed route two/all\n" },
	{ "an inherited option: all who have it",
	    TOP UP WEB(AT("127.0.0.1:1", ""), "", ALL),
	    TOP UP WEB(AT("127.0.0.1:1", ""), "buffer = \"9KB\"; ",
	    API("buffer = \"64KB\"; ") ALL),
	    "changed service web\nadded route web/api\n"
	    "changed route web/all\n" },
	{ "the place of one that a regex finds",
	    TOP UP WEB(AT("127.0.0.1:1", ""), "", REGEX("b") API("")
	    REGEX("c") ALL),
	    TOP UP WEB(AT("127.0.0.1:1", ""), "", API("") REGEX("c")
	    REGEX("a") REGEX("b") ALL),
	    "added route web/a\nchanged route web/b\n" },
	{ "which of one path comes first",
	    TOP UP WEB(AT("127.0.0.1:1", ""), "", GET("b") GET("c") ALL),
	    TOP UP WEB(AT("127.0.0.1:1", ""), "", GET("c") GET("b") ALL),
	    "changed route web/b\n" },
	{ "which of one path comes first, with and without a condition",
	    TOP UP WEB(AT("127.0.0.1:1", ""), "", GET("b") API("") ALL),
	    TOP UP WEB(AT("127.0.0.1:1", ""), "", API("") GET("b") ALL),
	    "changed route web/b\n" },
	{ "an order that does not count",
	    TOP UP WEB(AT("127.0.0.1:1", ""), "", REGEX("b") API("") ALL),
	    TOP UP WEB(AT("127.0.0.1:1", ""), "", API("") REGEX("b") ALL),
	    "" },
	{ "a listener comes, another goes", PLAIN,
	    TOP UP WEB(AT("127.0.0.1:2", ""), "", ALL),
	    "added listener 127.0.0.1:2\nremoved listener 127.0.0.1:1\n" },
	{ "a listener's options", PLAIN,
	    TOP UP WEB(AT("127.0.0.1:1", "reuseport = false; "), "", ALL),
	    "changed listener 127.0.0.1:1\n" },
	{ "who may say whose a connection is", PLAIN,
	    TOP UP WEB(AT("127.0.0.1:1", "proxy_protocol = true; "), "", ALL),
	    "changed listener 127.0.0.1:1\n" },
	{ "upstreams", PLAIN,
	    TOP "upstreams = ( { name = \"app\"; backends = ( "
	    "{ address = \"127.0.0.1:9\"; } ); }, { name = \"more\"; "
	    "backends = ( { address = \"127.0.0.1:1\"; } ); } );\n"
	    WEB(AT("127.0.0.1:1", ""), "", ALL),
	    "changed upstream app\nadded upstream more\n" },
	{ "settings", PLAIN,
	    TOP "connections_max = 9; admin = { address = \"127.0.0.1:3\"; "
	    "};\n" UP WEB(AT("127.0.0.1:1", ""), "", ALL),
	    "added listener 127.0.0.1:3\nchanged option connections_max\n"
	    "changed option admin\n" },
	{ "what templates read", "custom = { color = \"red\"; };\n" PLAIN,
	    "custom = { color = \"blue\"; };\n" PLAIN,
	    "changed option custom\n" },
	{ "where it stands", "custom = { color = \"red\"; n = [ 1, 2 ]; };\n"
	    PLAIN, "\n# As before.\n\ncustom = {\n color = \"red\";\n"
	    "n = [ 1,\n2 ]; };\n" PLAIN, "" },
	{ "what is in a list", "custom = { n = ( 1, { a = 2.5; } ); };\n"
	    PLAIN, "custom = { n = ( 1, { a = 2.25; } ); };\n" PLAIN,
	    "changed option custom\n" },
	{ "what nobody reads any more", "custom = { color = \"red\"; };\n"
	    PLAIN, PLAIN, "removed option custom\n" },
	{ "another service's address", PLAIN,
	    TOP UP "services = ( { name = \"new\"; listen = ( "
	    AT("127.0.0.1:1", "") " ); routes = ( " ALL " ); } );\n",
	    "changed listener 127.0.0.1:1\nadded service new\n"
	    "added route new/all\nremoved service web\n"
	    "removed route web/all\n" },
};

static void
test_changes(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct generation *before = load(rows[i].before);
		struct generation *after = load(rows[i].after);
		char text[2048] = "";

		generation_changes(before, after, add_line, text);
		if (strcmp(text, rows[i].want) != 0)
			fail_msg("%s:\n%sand not:\n%s", rows[i].name, text,
			    rows[i].want);
		generation_free(before);
		generation_free(after);
	}
}

/* A start's settings stay, and each that was to be another is named. */
static void
test_kept(void **state)
{
	struct generation *running = load(PLAIN);
	struct generation *g = load(TOP "routes_max = 100; daemon = true; "
	    "connections_max = 9; control = { path = \"/x\"; };\n" UP
	    WEB(AT("127.0.0.1:1", ""), "", ALL));
	char text[2048] = "";

	(void)state;
	generation_changes_keep(g, running, add_line, text);
	assert_string_equal(text,
	    "daemon takes effect at a restart or an upgrade only\n"
	    "routes_max takes effect at a restart or an upgrade only\n"
	    "control.path takes effect at a restart or an upgrade only\n");
	assert_int_equal(generation_settings(g)->routes_max,
	    generation_settings(running)->routes_max);
	assert_false(generation_settings(g)->daemon);
	assert_null(generation_settings(g)->control.path);
	assert_int_equal(generation_settings(g)->connections_max, 9);
	text[0] = '\0';
	generation_changes(running, g, add_line, text);
	assert_string_equal(text, "changed option connections_max\n");
	generation_free(running);
	generation_free(g);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(test_changes),
		TEST(test_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* The dump: every type, where values are from, and that it loads again. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/arena.h"
#include "conf/dump.h"
#include "conf/origins.h"
#include "conf/rows.h"
#include "printed.h"
#include "thing.h"

struct load {
	struct arena arena;
	struct conf_report *report;
	struct conf_ctx ctx;
	struct thing thing;
};

static void
load_begin(struct load *l, const char *text)
{
	struct conf_part part = { &thing_table, &l->thing };

	memset(l, 0, sizeof(*l));
	arena_init(&l->arena, NULL);
	l->report = conf_report_new();
	l->ctx.arena = &l->arena;
	l->ctx.report = l->report;
	l->ctx.vars = &thing_vars;
	l->ctx.origins = conf_origins_new();
	conf_defaults(&l->ctx, &thing_table, &l->thing);
	assert_int_equal(conf_apply(&l->ctx, conf_tree_parse(&l->arena, "t",
	    span_cstr(text), l->report), &part, 1), 0);
}

static void
load_end(struct load *l)
{
	conf_origins_free(l->ctx.origins);
	conf_regex_free_all(l->ctx.regexes);
	conf_report_free(l->report);
	arena_fini(&l->arena);
}

/* Caller frees. */
static char *
dumped(const struct load *l, const struct conf_origins *origins,
    bool only_set)
{
	struct conf_dump d = { .origins = origins, .only_set = only_set };
	char *text;
	size_t len;

	d.out = open_memstream(&text, &len);
	conf_dump_table(&d, &thing_table, &l->thing);
	fclose(d.out);
	return text;
}

static void
test_defaults(void **state)
{
	struct load l;
	char *text;

	(void)state;
	load_begin(&l, "");
	text = dumped(&l, l.ctx.origins, false);
	assert_string_equal(text,
	    "yes = true; # default\n"
	    "number = 10; # default\n"
	    "workers = \"auto\"; # default\n"
	    "level = \"notice\"; # default\n"
	    "size = \"64KB\"; # default\n"
	    "time = \"30s\"; # default\n"
	    "ticks = \"3s\"; # default\n"
	    "# text is unset; # default\n"
	    "# password is unset; # default\n"
	    "field = \"X-Real-IP\"; # default\n"
	    "greeting = \"hello ${client.ip}\"; # default\n"
	    "names = [ \"a\", \"b\" ]; # default\n"
	    "statuses = ( 404 ); # default\n"
	    "ranges = [ ]; # default\n"
	    "# address is unset; # default\n"
	    "# regex is unset; # default\n"
	    "fields = { }; # default\n"
	    "limits = {\n"
	    "\tconnect = \"60s\"; # default\n"
	    "\tcount = 7; # default\n"
	    "};\n"
	    "backends = ( ); # default\n"
	    "mode = 0; # default\n"
	    "other = 0; # default\n");
	free(text);
	l.thing.other = CONF_UNSET;
	text = dumped(&l, l.ctx.origins, false);
	assert_non_null(strstr(text, "# other is unset; # default\n"));
	free(text);
	load_end(&l);
}

static const char whole[] =
    "yes = false; number = 99;\n"
    "workers = 3; level = \"warn\"; size = \"1MB\"; time = 1500;\n"
    "ticks = 0; text = \"a\\\"b\\\\c\\n\\x01\\x7f\xc3\xa4\";\n"
    "password = \"geheim\"; field = \"A\"; greeting = \"$${client.ip}\";\n"
    "names = [ ]; statuses = [ 1, 2 ];\n"
    "ranges = [ \"10.0.0.0/8\", \"::1\", \"2001:db8::/32\" ];\n"
    "address = \"app.internal:80\"; regex = \"^/a$\";\n"
    "fields = { A = \"1\";\n B-c = \"${client.ip}\"; };\n"
    "limits = { count = 4294967295L; };\n"
    "backends = ( { address = \":1\"; }, { address = \"unix:/x\";\n"
    "weight = 2; } ); mode = -3;\nmaybe = { count = 8; };\n";

static void
test_set_values_say_where(void **state)
{
	struct load l;
	char *text;

	(void)state;
	load_begin(&l, whole);
	text = dumped(&l, l.ctx.origins, true);
	assert_string_equal(text,
	    "yes = false; # t:1\n"
	    "number = 99; # t:1\n"
	    "workers = 3; # t:2\n"
	    "level = \"warn\"; # t:2\n"
	    "size = \"1MB\"; # t:2\n"
	    "time = \"1500ms\"; # t:2\n"
	    "ticks = 0; # t:3\n"
	    "text = \"a\\\"b\\\\c\\n\\x01\\x7f\xc3\xa4\"; # t:3\n"
	    "password = \"****\"; # t:4\n"
	    "field = \"A\"; # t:4\n"
	    "greeting = \"$${client.ip}\"; # t:4\n"
	    "names = [ ]; # t:5\n"
	    "statuses = ( 1, 2 ); # t:5\n"
	    "ranges = [ \"10.0.0.0/8\", \"::1/128\", \"2001:db8::/32\" ]; "
	    "# t:6\n"
	    "address = \"app.internal:80\"; # t:7\n"
	    "regex = \"^/a$\"; # t:7\n"
	    "fields = { # t:8\n"
	    "\tA = \"1\"; # t:8\n"
	    "\tB-c = \"${client.ip}\"; # t:9\n"
	    "};\n"
	    "limits = {\n"
	    "\tcount = 4294967295L; # t:10\n"
	    "};\n"
	    "backends = ( # t:11\n"
	    "\t{\n"
	    "\t\taddress = \":1\"; # t:11\n"
	    "\t},\n"
	    "\t{\n"
	    "\t\taddress = \"unix:/x\"; # t:11\n"
	    "\t\tweight = 2; # t:12\n"
	    "\t}\n"
	    ");\n"
	    "mode = -3; # t:12\n"
	    "maybe = {\n"
	    "\tcount = 8; # t:13\n"
	    "};\n");
	free(text);
	load_end(&l);
}

static void
test_dump_loads_to_the_same(void **state)
{
	struct load first, second;
	char *text, *again;

	(void)state;
	load_begin(&first, whole);
	text = dumped(&first, NULL, false);
	load_begin(&second, text);
	again = dumped(&second, NULL, false);
	assert_string_equal(text, again);
	assert_null(strstr(text, "geheim"));
	free(text);
	free(again);
	load_end(&first);
	load_end(&second);
}

static void
test_hidden_rows(void **state)
{
	struct conf_dump d = { .hidden = CONF_SECRET | CONF_FIELD_NAME };
	struct load l;
	char *text;
	size_t len;

	(void)state;
	load_begin(&l, whole);
	d.out = open_memstream(&text, &len);
	conf_dump_table(&d, &thing_table, &l.thing);
	fclose(d.out);
	assert_null(strstr(text, "password"));
	assert_null(strstr(text, "fields"));
	assert_non_null(strstr(text, "yes = false"));
	free(text);
	load_end(&l);
}

static void
test_inherited_values(void **state)
{
	const struct conf_place command = { .file = "command line" };
	struct conf_dump d = { .out = NULL };
	struct thing inner;
	struct load l;
	char *text;
	size_t len;

	(void)state;
	load_begin(&l, "number = 3; limits = { count = 1; };");
	inner = l.thing;
	conf_origins_inherit(l.ctx.origins, &inner, &l.thing);
	conf_origins_set(l.ctx.origins, &inner.workers, &command);
	d.origins = l.ctx.origins;
	d.out = open_memstream(&text, &len);
	conf_dump_table(&d, &thing_table, &inner);
	fputs("--\n", d.out);
	d.only_set = true;
	d.indent = 1;
	conf_dump_table(&d, &thing_table, &inner);
	fclose(d.out);
	assert_non_null(strstr(text, "number = 3; # t:1\n"));
	assert_non_null(strstr(text, "\tcount = 1; # t:1\n"));
	assert_non_null(strstr(text, "yes = true; # default\n"));
	assert_string_equal(strstr(text, "--\n"),
	    "--\n\tworkers = \"auto\"; # command line\n");
	free(text);
	load_end(&l);
}

static void
test_quoted_reads_back(void **state)
{
	struct conf_report *r = conf_report_new();
	const struct conf_node *root;
	struct arena a;
	char every[256], *text;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	(void)state;
	for (int i = 0; i < 255; i++)
		every[i] = (char)(i + 1);
	fputs("a = ", out);
	conf_dump_quoted(out, span_of(every, 255));
	fputs(";", out);
	fclose(out);
	arena_init(&a, NULL);
	root = conf_tree_parse(&a, "t", span_of(text, len), r);
	assert_non_null(root);
	assert_true(span_eq(root->first->v.string, span_of(every, 255)));
	arena_fini(&a);
	conf_report_free(r);
	free(text);
}

static void
test_node(void **state)
{
	static const char text[] =
	    "custom = {\n\ta = \"x\\\"y\"; # t:2\n"
	    "\tb = (\n\t\t1, # t:4\n\t\t{\n\t\t\tc = true; # t:6\n"
	    "\t\t} # t:5\n\t); # t:3\n\td = [\n\t\t-1L, # t:10\n"
	    "\t\t5000000000L # t:11\n\t]; # t:9\n\te = 5000000000L; # t:13\n"
	    "\tf = 1.50000000000000000e+00; # t:14\n\tg = {\n\t}; # t:15\n"
	    "}; # t:1\n";
	struct conf_report *r = conf_report_new();
	struct conf_dump d = { .out = NULL };
	const struct conf_node *root;
	struct arena a;
	char *again;
	size_t len;

	(void)state;
	arena_init(&a, NULL);
	root = conf_tree_parse(&a, "t", span_cstr(text), r);
	assert_non_null(root);
	d.out = open_memstream(&again, &len);
	conf_dump_node(&d, root->first);
	fclose(d.out);
	assert_string_equal(again, text);
	free(again);
	arena_fini(&a);
	conf_report_free(r);
}

static void
test_items_json(void **state)
{
	static const char *const lines[] = {
		"{\"path\":\"top\",\"name\":\"number\",\"type\":\"integer\","
		"\"default\":\"10\",\"min\":1,\"max\":100,\"range\":\"1 to "
		"100\",\"unit\":\"things\",\"values\":[],\"help\":\"a "
		"number\",\"flags\":[]}\n",
		"{\"path\":\"top\",\"name\":\"level\",\"type\":\"word\","
		"\"default\":\"notice\",\"min\":null,\"max\":null,\"range\":"
		"null,\"unit\":null,\"values\":[\"error\",\"warn\",\"notice\"]"
		",\"help\":\"a word\",\"flags\":[]}\n",
		("\"name\":\"size\",\"type\":\"size\",\"default\":\"64KB\","
		 "\"min\":4096,\"max\":16777216,\"range\":\"4KB to 16MB\""),
		"\"name\":\"time\",\"type\":\"duration\"",
		"\"flags\":[\"restart\"]",
		"\"flags\":[\"secret\"]",
		"\"default\":null",
		"\"name\":\"limits\",\"type\":\"group\"",
		"{\"path\":\"top.limits\",\"name\":\"connect\"",
		"\"range\":\"1s to 1h\"",
		"{\"path\":\"top.backends\",\"name\":\"address\"",
		"\"flags\":[\"required\"]",
	};
	char *text;
	size_t len, rows = 0;
	FILE *out = open_memstream(&text, &len);

	(void)state;
	conf_rows_items(out, &thing_table, "top");
	fclose(out);
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		if (strstr(text, lines[i]) == NULL)
			fail_msg("%s in %s", lines[i], text);
	}
	for (const char *c = text; *c != '\0'; c++)
		rows += *c == '\n';
	assert_int_equal(rows, 22 + 2 + 3 + 2);
	free(text);
}

static void
test_vars_json(void **state)
{
	char *text;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	(void)state;
	conf_rows_vars(out, &thing_vars);
	fclose(out);
	assert_string_equal(text,
	    "{\"variable\":\"client.ip\",\"help\":\"the client's address\"}\n"
	    "{\"variable\":\"request.header.\",\"help\":\"a field \\\"of\\\" "
	    "the request\"}\n");
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_set_values_say_where),
		cmocka_unit_test(test_dump_loads_to_the_same),
		cmocka_unit_test(test_hidden_rows),
		cmocka_unit_test(test_inherited_values),
		cmocka_unit_test(test_quoted_reads_back),
		cmocka_unit_test(test_node),
		cmocka_unit_test(test_items_json),
		cmocka_unit_test(test_vars_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

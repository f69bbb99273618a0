/* SPDX-License-Identifier: BSD-2-Clause */
/* Option tables: values of every type, and what is said of wrong ones. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/heap_alloc.h"
#include "conf/origins.h"
#include "printed.h"
#include "thing.h"

#define ROWS(rows) (sizeof(rows) / sizeof((rows)[0]))

struct load {
	struct arena arena;
	struct conf_report *report;
	struct conf_ctx ctx;
	struct thing thing;
};

static void
load_begin(struct load *l)
{
	memset(l, 0, sizeof(*l));
	arena_init(&l->arena, NULL);
	l->report = conf_report_new();
	l->ctx.arena = &l->arena;
	l->ctx.report = l->report;
	l->ctx.vars = &thing_vars;
	conf_defaults(&l->ctx, &thing_table, &l->thing);
	assert_int_equal(conf_report_errors(l->report), 0);
}

static void
load_end(struct load *l)
{
	conf_regex_free_all(l->ctx.regexes);
	conf_report_free(l->report);
	arena_fini(&l->arena);
}

static int
load_text(struct load *l, const char *text)
{
	struct conf_part part = { &thing_table, &l->thing };
	const struct conf_node *root =
	    conf_tree_parse(&l->arena, "t", span_cstr(text), l->report);

	assert_non_null(root);
	return conf_apply(&l->ctx, root, &part, 1);
}

/* The text loads without a word. */
static void
load_good(struct load *l, const char *text)
{
	int result = load_text(l, text);
	char *report = printed_report(l->report);

	if (result != 0 || report[0] != '\0')
		fail_msg("%s: %s", text, report);
	free(report);
}

static void
test_defaults(void **state)
{
	struct load l;
	struct span text;

	(void)state;
	load_begin(&l);
	assert_true(l.thing.yes);
	assert_int_equal(l.thing.number, 10);
	assert_int_equal(l.thing.workers, 0);
	assert_int_equal(l.thing.level, 3);
	assert_int_equal(l.thing.size, 65536);
	assert_int_equal(l.thing.time, 30000);
	assert_int_equal(l.thing.ticks, 3000);
	assert_null(l.thing.text);
	assert_string_equal(l.thing.field, "X-Real-IP");
	assert_false(template_is_constant(l.thing.greeting, &text));
	assert_int_equal(l.thing.names.count, 2);
	assert_string_equal(l.thing.names.items[1], "b");
	assert_int_equal(l.thing.statuses.count, 1);
	assert_int_equal(l.thing.statuses.items[0], 404);
	assert_int_equal(l.thing.ranges.count, 0);
	assert_null(l.thing.address);
	assert_null(l.thing.regex);
	assert_int_equal(l.thing.fields.count, 0);
	assert_int_equal(l.thing.limits.connect_ms, 60000);
	assert_int_equal(l.thing.limits.count, 7);
	assert_int_equal(l.thing.backends.count, 0);
	load_end(&l);
}

static void
test_scalars(void **state)
{
	struct load l;

	(void)state;
	load_begin(&l);
	load_good(&l, "yes = false; number = 100; workers = 4;"
	    "level = \"warn\";"
	    "size = \"1MB\"; time = \"1d\"; ticks = 7; text = \"\";"
	    "field = \"x-y\"; mode = -5L; address = \"[::1]:80\";"
	    "greeting = \"$${client.ip}\";");
	assert_false(l.thing.yes);
	assert_int_equal(l.thing.number, 100);
	assert_int_equal(l.thing.workers, 4);
	assert_int_equal(l.thing.level, 2);
	assert_int_equal(l.thing.size, 1048576);
	assert_int_equal(l.thing.time, 86400000);
	assert_int_equal(l.thing.ticks, 7000);
	assert_string_equal(l.thing.text, "");
	assert_string_equal(l.thing.field, "x-y");
	assert_int_equal(l.thing.mode, -5);
	assert_int_equal(l.thing.address->port, 80);
	assert_string_equal(template_text(l.thing.greeting).p,
	    "$${client.ip}");
	load_end(&l);
	load_begin(&l);
	load_good(&l, "workers = \"auto\"; size = 4096; time = 1500; "
	    "ticks = \"1500ms\";");
	assert_int_equal(l.thing.workers, 0);
	assert_int_equal(l.thing.size, 4096);
	assert_int_equal(l.thing.time, 1500);
	assert_int_equal(l.thing.ticks, 1500);
	load_end(&l);
}

static void
test_lists_of_scalars(void **state)
{
	static const struct {
		const char *text;
		size_t names, statuses, ranges;
	} rows[] = {
		{ "names = \"a\"; statuses = 1; ranges = \"10.0.0.0/8\";",
		  1, 1, 1 },
		{ "names = [ \"a\", \"b\", \"c\" ]; statuses = [ 1, 2 ];"
		  "ranges = [ \"10.0.0.0/8\", \"::1\" ];", 3, 2, 2 },
		{ "names = ( \"a\" ); statuses = ( 1, 2L ); "
		  "ranges = ( \"192.0.2.1\" );", 1, 2, 1 },
		{ "names = [ ]; statuses = ( ); ranges = [ ];", 0, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct load l;

		load_begin(&l);
		load_good(&l, rows[i].text);
		assert_int_equal(l.thing.names.count, rows[i].names);
		assert_int_equal(l.thing.statuses.count, rows[i].statuses);
		assert_int_equal(l.thing.ranges.count, rows[i].ranges);
		load_end(&l);
	}
}

static void
test_map_group_and_list(void **state)
{
	const struct backend *b;
	struct load l;
	struct span value;

	(void)state;
	load_begin(&l);
	load_good(&l, "fields = { X-A = \"1\"; Server = \"${client.ip}\"; };\n"
	    "limits = { connect = \"9s\"; };\n"
	    "backends = ( { address = \"a:1\"; },\n"
	    "  { weight = 5; address = \"unix:/b\"; } );");
	assert_int_equal(l.thing.fields.count, 2);
	assert_string_equal(l.thing.fields.items[0].name, "X-A");
	assert_true(template_is_constant(l.thing.fields.items[0].value,
	    &value));
	assert_true(span_eq(value, SPAN("1")));
	assert_int_equal(l.thing.fields.items[1].place.column, 23);
	assert_int_equal(l.thing.limits.connect_ms, 9000);
	assert_int_equal(l.thing.limits.count, 7);
	assert_int_equal(l.thing.backends.count, 2);
	b = l.thing.backends.items;
	assert_string_equal(b[0].address->host, "a");
	assert_int_equal(b[0].weight, 1);
	assert_int_equal(b[0].wait_ms, 2000);
	assert_int_equal(b[1].weight, 5);
	assert_int_equal(l.thing.backends.nodes[1]->place.line, 4);
	load_end(&l);
}

static void
test_inheritance(void **state)
{
	struct conf_part part = { &thing_table, NULL };
	struct thing inner;
	struct load l;

	(void)state;
	load_begin(&l);
	load_good(&l, "number = 20; limits = { count = 1; };"
	    "names = [ \"x\", \"y\" ]; backends = ( { address = \"a:1\"; } );");
	inner = l.thing;
	part.conf = &inner;
	assert_int_equal(conf_apply(&l.ctx, conf_tree_parse(&l.arena, "u",
	    SPAN("limits = { connect = \"2s\"; }; names = [ \"z\" ];"),
	    l.report), &part, 1), 0);
	assert_int_equal(inner.number, 20);
	assert_int_equal(inner.limits.count, 1);
	assert_int_equal(inner.limits.connect_ms, 2000);
	assert_int_equal(inner.names.count, 1);
	assert_int_equal(inner.backends.count, 1);
	assert_int_equal(l.thing.names.count, 2);
	load_end(&l);
}

/* error: the first line printed; more: the number of all errors. */
static void
test_wrong_values(void **state)
{
	static const struct {
		const char *text, *error;
		size_t errors;
	} rows[] = {
		/* types: both are named */
		{ "yes = 1;", "t:1:7: error: `yes` is the integer 1, but must "
		  "be true or false", 1 },
		{ "yes = \"true\";", "the string \"true\", but must be true or "
		  "false", 1 },
		{ "number = \"ten\";", "`number` is the string \"ten\", but "
		  "must be an integer from 1 to 100", 1 },
		{ "number = 1.5;", "is the number 1.5, but", 1 },
		{ "number = true;", "is the boolean true, but", 1 },
		{ "number = [ 1 ];", "is an array, but", 1 },
		{ "size = true;", "must be a size from 4KB to 16MB (\"64KB\", "
		  "or an integer of bytes)", 1 },
		{ "time = [ ];", "must be a duration (\"30s\", or an integer "
		  "of ms)", 1 },
		{ "ticks = { };", "or an integer of s)", 1 },
		{ "text = 5;", "`text` is the integer 5, but must be a string",
		  1 },
		{ "greeting = 5;", "must be a string (a template)", 1 },
		{ "address = 80;", "must be a string (\"host:port\"", 1 },
		{ "regex = 80;", "must be a string (a regular expression)",
		  1 },
		{ "names = 5;", "must be a string or a list of strings", 1 },
		{ "names = ( \"a\", 5 );", "t:1:16: error: this element of "
		  "`names` is the integer 5, but must be a string", 1 },
		{ "statuses = \"x\";", "must be an integer or a list of such",
		  1 },
		{ "statuses = ( 1, \"x\", true );", "this element of "
		  "`statuses` is the string \"x\", but must be an integer",
		  2 },
		{ "ranges = 5;", "address ranges such as", 1 },
		{ "fields = ( );", "`fields` is a list, but must be a group "
		  "`{ name = \"value\"; }`", 1 },
		{ "fields = { A = 1; };", "`A` is the integer 1, but must be a "
		  "string (a template)", 1 },
		{ "limits = 5;", "`limits` is the integer 5, but must be a "
		  "group `{ }`", 1 },
		{ "backends = { };", "`backends` is a group, but must be a "
		  "list of groups `( { }, { } )`", 1 },
		{ "backends = [ ];", "is an array, but must be a list", 1 },
		{ "backends = ( 5 );", "this element of `backends` is the "
		  "integer 5, but must be a group", 1 },
		{ "mode = \"x\";", "`mode` is the string \"x\", but must be an "
		  "integer", 1 },
		/* ranges */
		{ "number = 0;", "t:1:10: error: `number` is 0, but must be an "
		  "integer from 1 to 100", 1 },
		{ "number = -1;", "`number` is -1, but", 1 },
		{ "number = 101;", "`number` is 101, but", 1 },
		{ "number = 5000000000L;", "`number` is 5000000000, but", 1 },
		{ "limits = { count = 4294967296L; };", "`count` is "
		  "4294967296, but must be an integer", 1 },
		{ "limits = { connect = 1; };", "`connect` is 1ms, but must be "
		  "a duration from 1s to 1h", 1 },
		{ "limits = { connect = \"2h\"; };", "`connect` is 2h", 1 },
		{ "size = 1;", "`size` is 1B", 1 },
		{ "size = -1;", "`size` is -1, but", 1 },
		{ "time = -1;", "`time` is -1, but", 1 },
		{ "ticks = 9223372036854775807L;", "but must be", 1 },
		/* units */
		{ "time = \"30\";", "`time`: \"30\" has no unit", 1 },
		{ "size = \"5 pc\";", "\"5 pc\": unknown unit", 1 },
		/* words */
		{ "level = \"warning\";", "`level` is \"warning\", but must be "
		  "\"error\", \"warn\" or \"notice\"", 1 },
		{ "level = \"wran\";", "did you mean \"warn\"?", 1 },
		{ "level = 2;", "`level` is the integer 2, but must be "
		  "\"error\", \"warn\" or \"notice\"", 1 },
		{ "workers = \"many\";", "must be an integer from 1 to 256 or "
		  "\"auto\"", 1 },
		{ "workers = \"atuo\";", "did you mean \"auto\"?", 1 },
		{ "workers = 0;", "`workers` is 0, but must be an integer from "
		  "1 to 256 or \"auto\"", 1 },
		/* the others */
		{ "field = \"a b\";", "\"a b\" is not the name of a field", 1 },
		{ "field = \"\";", "\"\" is not the name of a field", 1 },
		{ "greeting = \"${client.pi}\";", "t:1:12: error: `greeting`: "
		  "unknown variable `${client.pi}`; did you mean "
		  "`${client.ip}`?", 1 },
		{ "address = \"x\";", "`address`: ", 1 },
		{ "ranges = ( \"x\", \"y\" );", "this element of `ranges`: ",
		  2 },
		{ "regex = \"ab(c\";", "t:1:14: error: `regex`: at byte 5 of "
		  "the pattern: missing closing parenthesis", 1 },
		{ "regex = \"a\\\\(b\" \"(c\";", "t:1:9: error: `regex`: at "
		  "byte 7", 1 },
		{ "fields = { A = \"1\"; a = \"2\"; };", "t:1:21: error: `a` "
		  "and `A` are the same field", 1 },
		{ "fields = { A = \"b\\r\\nC: d\"; };", "byte 0x0d cannot "
		  "stand in the value of a field", 1 },
		{ "fields = { A = \"b\x01\"; };", "t:1:18: error: byte 0x01",
		  1 },
		{ "fields = { A = \"${x}\"; B = \"${y}\"; };", "`A`: unknown "
		  "variable", 2 },
		/* required, and checks */
		{ "backends = ( { } );", "t:1:14: error: `address` is missing: "
		  "a backend needs it (where it listens)", 1 },
		{ "backends = ( { address = \"a:1\"; weight = 13; } );",
		  "13 brings bad luck", 1 },
		{ "backends = ( { weight = 13; } );", "is missing", 1 },
		/* reported by the reader of the text: not again */
		{ "number = 5000000000;", "does not fit into 32 bits", 1 },
		{ "names = [ \"a\\x00\" ];", "\\x00 would end", 1 },
		{ "fields = { A = \"a\\x00\"; };", "\\x00 would end", 1 },
		{ "mode = 5000000000;", "does not fit into 32 bits", 1 },
		{ "statuses = [ \"5xx\", 404 ];", "of one type", 1 },
		/* all of them */
		{ "yes = 1; number = 0; backends = ( { weight = 0; x = 1; },\n"
		  "{ wieght = 1; } ); fields = 1; y = 2;", "`yes`", 9 },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct load l;
		char *report;
		int result;

		load_begin(&l);
		result = load_text(&l, rows[i].text);
		report = printed_report(l.report);
		*strchr(report, '\n') = '\0';
		if (result != -1 || strstr(report, rows[i].error) == NULL ||
		    conf_report_errors(l.report) != rows[i].errors)
			fail_msg("%s: %d, %zu, %s", rows[i].text, result,
			    conf_report_errors(l.report), report);
		free(report);
		load_end(&l);
	}
}

/* What is wrong leaves the default in its place. */
static void
test_wrong_values_change_nothing(void **state)
{
	struct thing before;
	struct load l;

	(void)state;
	load_begin(&l);
	before = l.thing;
	load_text(&l, "yes = 1; number = 0; workers = \"x\"; level = \"x\";"
	    "size = 1; time = \"x\"; text = 1; names = ( 1 );"
	    "statuses = \"x\"; ranges = \"x\"; address = \"x\"; regex = \"(\";"
	    "fields = { A = 1; }; limits = { connect = 0; };");
	assert_memory_equal(&before, &l.thing, sizeof(before));
	load_end(&l);
}

static void
test_unknown_keys(void **state)
{
	static const struct conf_level levels[] = {
		{ "an upstream", &thing_backend_table },
		{ NULL, NULL },
	};
	static const struct {
		const char *text, *error;
		enum conf_unknown unknown;
		bool is_alone; /* without the levels */
	} rows[] = {
		{ "wokers = 1;", "t:1:1: error: unknown setting `wokers`; did "
		  "you mean `workers`?\nwokers = 1;\n^\n", 0, true },
		{ "zebra = 1;", "error: unknown setting `zebra`\n", 0, true },
		{ "limits = { conect = 1; };", "t:1:12: error: unknown setting "
		  "`conect`; did you mean `connect`?", 0, true },
		{ "backends = ( { adress = \"a:1\"; address = \"a:1\"; } );",
		  "did you mean `address`?", 0, true },
		{ "connect = 1;", "unknown setting `connect`; it belongs into "
		  "`limits`", 0, true },
		{ "weight = 1;", "it belongs into `backends`", 0, true },
		{ "limits = { weight = 1; };", "unknown setting `weight`\n",
		  0, true },
		{ "limits = { weight = 1; };", "unknown setting `weight`; it "
		  "belongs into an upstream", 0, false },
		{ "limits = { wieght = 1; };", "unknown setting `wieght`; did "
		  "you mean `weight`, which belongs into an upstream?",
		  0, false },
		{ "limits = { Weight = 1; };", "unknown setting `Weight`; did "
		  "you mean `weight`, which belongs into an upstream?",
		  0, false },
		{ "wokers = 1;", "warning: unknown setting `wokers`; did you "
		  "mean `workers`?", CONF_UNKNOWN_WARN, true },
		{ "wokers = { a = 1; };", "", CONF_UNKNOWN_IGNORE, true },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct load l;
		char *report;
		int result;

		load_begin(&l);
		l.ctx.unknown = rows[i].unknown;
		if (!rows[i].is_alone)
			l.ctx.levels = levels;
		result = load_text(&l, rows[i].text);
		assert_int_equal(result,
		    rows[i].unknown == CONF_UNKNOWN_ERROR ? -1 : 0);
		report = printed_report(l.report);
		if (strstr(report, rows[i].error) == NULL ||
		    (rows[i].error[0] == '\0' && report[0] != '\0'))
			fail_msg("%s: %s", rows[i].text, report);
		free(report);
		load_end(&l);
	}
}

/* A group that two tables read: each key has to be known to one of them. */
static void
test_several_tables(void **state)
{
	struct limits other = { 0, 0 };
	struct thing thing;
	struct conf_part parts[2] = {
		{ &thing_table, &thing }, { &thing_limits_table, &other },
	};
	struct load l;
	char *report;

	(void)state;
	load_begin(&l);
	thing = l.thing;
	assert_int_equal(conf_apply(&l.ctx, conf_tree_parse(&l.arena, "t",
	    SPAN("number = 3; count = 4; limits = { count = 5; };"),
	    l.report), parts, 2), 0);
	assert_int_equal(thing.number, 3);
	assert_int_equal(other.count, 4);
	assert_int_equal(thing.limits.count, 5);
	assert_int_equal(conf_apply(&l.ctx, conf_tree_parse(&l.arena, "t",
	    SPAN("cuont = 4;"), l.report), parts, 2), -1);
	report = printed_report(l.report);
	assert_non_null(strstr(report, "did you mean `count`?"));
	free(report);
	load_end(&l);
}

/* Keys that somebody else reads are known, and neither read nor required. */
static void
test_a_table_without_a_struct(void **state)
{
	struct limits limits = { 0, 0 };
	struct conf_part parts[3] = {
		{ &thing_limits_table, &limits }, { &thing_table, NULL },
		{ &thing_backend_table, NULL },
	};
	struct load l;
	char *report;

	(void)state;
	load_begin(&l);
	assert_int_equal(conf_apply(&l.ctx, conf_tree_parse(&l.arena, "t",
	    SPAN("count = 4; number = 5; limits = { count = 9; };"),
	    l.report), parts, 3), 0);
	assert_int_equal(limits.count, 4);
	assert_int_equal(conf_apply(&l.ctx, conf_tree_parse(&l.arena, "t",
	    SPAN("nubmer = 4;"), l.report), parts, 3), -1);
	report = printed_report(l.report);
	assert_non_null(strstr(report, "did you mean `number`?"));
	free(report);
	load_end(&l);
}

/* A key that several tables have goes into each. */
static void
test_a_key_of_several_tables(void **state)
{
	struct limits one = { 0, 0 }, two = { 0, 0 };
	struct thing first, second;
	struct conf_part parts[2] = {
		{ &thing_limits_table, &one }, { &thing_limits_table, &two },
	};
	struct load l;

	(void)state;
	load_begin(&l);
	assert_int_equal(conf_apply(&l.ctx, conf_tree_parse(&l.arena, "t",
	    SPAN("count = 4;"), l.report), parts, 2), 0);
	assert_int_equal(one.count, 4);
	assert_int_equal(two.count, 4);
	first = l.thing;
	second = l.thing;
	parts[0] = (struct conf_part){ &thing_table, &first };
	parts[1] = (struct conf_part){ &thing_table, &second };
	assert_int_equal(conf_apply(&l.ctx, conf_tree_parse(&l.arena, "t",
	    SPAN("limits = { count = 8; };"), l.report), parts, 2), 0);
	assert_int_equal(first.limits.count, 8);
	assert_int_equal(second.limits.count, 8);
	load_end(&l);
}

/* Rows with a flag that is refused now: known, but not here. */
static void
test_refused_rows(void **state)
{
	struct load l;
	char *report;

	(void)state;
	load_begin(&l);
	l.ctx.refused = CONF_SECRET | CONF_RESTART;
	assert_int_equal(load_text(&l, "number = 5; password = \"x\";\n"
	    "limits = { count = 2; }; time = \"1s\";"), -1);
	report = printed_report(l.report);
	assert_non_null(strstr(report, "t:1:13: error: `password` cannot be "
	    "set here: it holds for a whole service"));
	assert_non_null(strstr(report, "t:2:26: error: `time` cannot"));
	assert_int_equal(conf_report_errors(l.report), 2);
	free(report);
	load_end(&l);
}

/* REQUIRED is met by what was inherited. */
static void
test_required_may_be_inherited(void **state)
{
	struct backend outer = { NULL, 0, 0 }, inner;
	struct conf_part part = { &thing_backend_table, &outer };
	struct load l;

	(void)state;
	load_begin(&l);
	conf_defaults(&l.ctx, &thing_backend_table, &outer);
	assert_int_equal(conf_apply(&l.ctx, conf_tree_parse(&l.arena, "t",
	    SPAN("address = \"a:1\";"), l.report), &part, 1), 0);
	inner = outer;
	part.conf = &inner;
	assert_int_equal(conf_apply(&l.ctx, conf_tree_parse(&l.arena, "t",
	    SPAN("weight = 2;"), l.report), &part, 1), 0);
	assert_int_equal(conf_report_errors(l.report), 0);
	load_end(&l);
}

static void
test_origins(void **state)
{
	struct conf_part part = { &thing_table, NULL };
	const struct conf_place command = { .file = "command line" };
	const struct conf_place *place;
	struct thing inner;
	struct load l;

	(void)state;
	load_begin(&l);
	l.ctx.origins = conf_origins_new();
	load_good(&l, "number = 20;\nlimits = { count = 1; };");
	inner = l.thing;
	conf_origins_inherit(l.ctx.origins, &inner, &l.thing);
	part.conf = &inner;
	assert_int_equal(conf_apply(&l.ctx, conf_tree_parse(&l.arena, "u",
	    SPAN("limits = { connect = \"2s\"; };"), l.report), &part, 1), 0);
	conf_origins_set(l.ctx.origins, &inner.size, &command);
	place = conf_origins_get(l.ctx.origins, &inner,
	    offsetof(struct thing, number));
	assert_string_equal(place->file, "t");
	place = conf_origins_get(l.ctx.origins, &inner,
	    offsetof(struct thing, limits.count));
	assert_int_equal(place->line, 2);
	place = conf_origins_get(l.ctx.origins, &inner,
	    offsetof(struct thing, limits.connect_ms));
	assert_string_equal(place->file, "u");
	place = conf_origins_get(l.ctx.origins, &inner,
	    offsetof(struct thing, size));
	assert_string_equal(place->file, "command line");
	assert_null(conf_origins_get(l.ctx.origins, &inner,
	    offsetof(struct thing, yes)));
	assert_null(conf_origins_get(l.ctx.origins, &l.thing,
	    offsetof(struct thing, size)));
	assert_null(conf_origins_own(l.ctx.origins, &inner.number));
	assert_non_null(conf_origins_own(l.ctx.origins, &l.thing.number));
	conf_origins_free(l.ctx.origins);
	load_end(&l);
}

/* Without origins nothing is kept, and nothing asked of them is found. */
static void
test_no_origins(void **state)
{
	struct load l;
	const struct conf_place place = { .file = "x" };

	(void)state;
	load_begin(&l);
	conf_origins_set(NULL, &l.thing, &place);
	conf_origins_inherit(NULL, &l.thing, &l.thing);
	assert_null(conf_origins_get(NULL, &l.thing, 0));
	conf_origins_free(NULL);
	load_end(&l);
}

static void
test_readers_for_custom_rows(void **state)
{
	struct load l;
	const struct conf_node *root, *n;
	const struct template *t;
	const char *text;
	uint64_t value;
	int64_t integer;

	(void)state;
	load_begin(&l);
	root = conf_tree_parse(&l.arena, "t", SPAN("d = \"2s\"; s = \"1KB\"; "
	    "t = \"${client.ip}\"; i = -3; x = true;"), l.report);
	n = conf_node_get(root, "d");
	assert_int_equal(conf_read_duration(&l.ctx, n, &value), 0);
	assert_int_equal(value, 2000);
	assert_int_equal(conf_read_string(&l.ctx, n, &text), 0);
	assert_string_equal(text, "2s");
	assert_int_equal(conf_read_size(&l.ctx, n, &value), -1);
	n = conf_node_get(root, "s");
	assert_int_equal(conf_read_size(&l.ctx, n, &value), 0);
	assert_int_equal(value, 1024);
	assert_int_equal(conf_read_integer(&l.ctx, n, &integer), -1);
	n = conf_node_get(root, "t");
	assert_int_equal(conf_read_template(&l.ctx, n, &t), 0);
	n = conf_node_get(root, "i");
	assert_int_equal(conf_read_integer(&l.ctx, n, &integer), 0);
	assert_int_equal(integer, -3);
	assert_int_equal(conf_report_errors(l.report), 2);
	n = conf_node_get(root, "x");
	assert_int_equal(conf_read_duration(&l.ctx, n, &value), -1);
	assert_int_equal(conf_read_string(&l.ctx, n, &text), -1);
	assert_int_equal(conf_read_template(&l.ctx, n, &t), -1);
	assert_int_equal(conf_report_errors(l.report), 5);
	load_end(&l);
}

/* Reading takes no longer per element when there are many. */
static void
test_many_elements(void **state)
{
	struct timespec from, to;
	struct load l;
	char *text;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	(void)state;
	fputs("backends = (", out);
	for (int i = 0; i < 10000; i++)
		fprintf(out, "%s{ address = \"10.0.%d.%d:80\"; "
		    "weight = %d; }\n", i > 0 ? "," : "", i / 256, i % 256,
		    i % 5 + 1);
	fputs(");", out);
	fclose(out);
	load_begin(&l);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
	load_good(&l, text);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
	print_message("10000 elements: %ld ms\n",
	    (long)(to.tv_sec - from.tv_sec) * 1000 +
	    (to.tv_nsec - from.tv_nsec) / 1000000);
	assert_int_equal(l.thing.backends.count, 10000);
	assert_int_equal(((struct backend *)l.thing.backends.items)[9999]
	    .weight, 5);
	load_end(&l);
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_scalars),
		cmocka_unit_test(test_lists_of_scalars),
		cmocka_unit_test(test_map_group_and_list),
		cmocka_unit_test(test_inheritance),
		cmocka_unit_test(test_wrong_values),
		cmocka_unit_test(test_wrong_values_change_nothing),
		cmocka_unit_test(test_unknown_keys),
		cmocka_unit_test(test_several_tables),
		cmocka_unit_test(test_a_table_without_a_struct),
		cmocka_unit_test(test_a_key_of_several_tables),
		cmocka_unit_test(test_refused_rows),
		cmocka_unit_test(test_required_may_be_inherited),
		cmocka_unit_test(test_origins),
		cmocka_unit_test(test_no_origins),
		cmocka_unit_test(test_readers_for_custom_rows),
		cmocka_unit_test(test_many_elements),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

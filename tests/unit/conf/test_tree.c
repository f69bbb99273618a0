/* SPDX-License-Identifier: BSD-2-Clause */
/* Configuration text: what is read, what is refused, and where it stood. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/heap_alloc.h"
#include "printed.h"

#define ROWS(rows) (sizeof(rows) / sizeof((rows)[0]))

/* text is read as want; error is the first line printed, NULL = none. */
struct row {
	const char *text, *want, *error;
};

static void
check(const struct row *row)
{
	struct conf_report *r = conf_report_new();
	struct arena a;
	char *node, *report, *end;

	arena_init(&a, NULL);
	node = printed_node(conf_tree_parse(&a, "t", span_cstr(row->text),
	    r));
	report = printed_report(r);
	end = strchr(report, '\n');
	if (end != NULL)
		*end = '\0';
	if (strcmp(node, row->want) != 0 || (row->error == NULL ?
	    report[0] != '\0' : strstr(report, row->error) == NULL))
		fail_msg("%s: %s, %s", row->text, node, report);
	free(node);
	free(report);
	arena_fini(&a);
	conf_report_free(r);
}

static void
test_what_libconfig_takes(void **state)
{
	static const struct row rows[] = {
		{ "", "{}", NULL },
		{ " \n\t\r\f", "{}", NULL },
		{ "a = 1;", "{a=1}", NULL },
		{ "a : 1, b = 2", "{a=1 b=2}", NULL },
		{ "a=1 b=2;c=3,", "{a=1 b=2 c=3}", NULL },
		{ "a\n=\n1\n;", "{a=1}", NULL },
		{ "a=1;\r\nb=2;\r\n", "{a=1 b=2}", NULL },
		{ "*x-y_z9 = 1;", "{*x-y_z9=1}", NULL },
		{ "truex = 1; falsehood = 2;", "{truex=1 falsehood=2}", NULL },
		{ "a=true b=False c=TRUE", "{a=true b=false c=true}", NULL },
		{ "a=+5; b=-5; c=007; d=08;", "{a=5 b=-5 c=7 d=8}", NULL },
		{ "a=0x1F; b=0XfFL; c=5L; d=5LL;", "{a=31 b=255 c=5 d=5}",
		  NULL },
		{ "a=2147483647; b=-2147483648; c=0x7fffffff;",
		  "{a=2147483647 b=-2147483648 c=2147483647}", NULL },
		{ "a=9223372036854775807L; b=-9223372036854775808L;",
		  "{a=9223372036854775807 b=-9223372036854775808}", NULL },
		{ "a=.5; b=1.; c=1e5; d=-1.5e-3; e=1E+2;",
		  "{a=0.5 b=1 c=100000 d=-0.0015 e=100}", NULL },
		{ "a=\"x\"", "{a=\"x\"}", NULL },
		{ "a=\"\\\"\\\\\\n\\r\\t\\f\\x41\\X7e\"",
		  "{a=\"\"\\\n\r\t\fA~\"}", NULL },
		{ "a=\"x\" \"y\" # c\n\"z\";", "{a=\"xyz\"}", NULL },
		{ "a=\"x\ny\";", "{a=\"x\ny\"}", NULL },
		{ "a=\"\xc3\xa4\xff\";", "{a=\"\xc3\xa4\xff\"}", NULL },
		{ "a=\"# // /* @include\";",
		  "{a=\"# // /* @include\"}", NULL },
		{ "# c\n// c\n/* c\n c */ a /* c */ = /**/ 1; # c", "{a=1}",
		  NULL },
		{ "#", "{}", NULL },
		{ "a={}; b=(); c=[];", "{a={} b=() c=[]}", NULL },
		{ "a={b={c=1}d=2};", "{a={b={c=1} d=2}}", NULL },
		{ "a=(1,\"x\" \"y\",{b=1},[1],(2,3));",
		  "{a=(1 \"xy\" {b=1} [1] (2 3))}", NULL },
		{ "a=[1,0x2,3]; b=[\"x\",\"y\" \"z\"]; c=[1L,2L];",
		  "{a=[1 2 3] b=[\"x\" \"yz\"] c=[1 2]}", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++)
		check(&rows[i]);
}

static void
test_syntax_errors_name_place_and_token(void **state)
{
	static const struct row rows[] = {
		{ "a", "nothing", "t:1:2: error: expected `=`, but the file "
		  "ends" },
		{ "a 1", "nothing", "t:1:3: error: expected `=`, but found "
		  "`1`" },
		{ "a = = 2", "nothing", "t:1:5: error: expected a value, but "
		  "found `=`" },
		{ "a =", "nothing", "t:1:4: error: expected a value, but the "
		  "file ends" },
		{ "a = yes;", "nothing", "t:1:5: error: expected a value "
		  "(strings stand in double quotes), but found `yes`" },
		{ "a = 1;\n  ;", "nothing", "t:2:3: error: expected the name "
		  "of a setting, but found `;`" },
		{ "a = 1,,b = 2", "nothing", "t:1:7: error:" },
		{ "a = 1 }", "nothing", "t:1:7: error: expected the name of a "
		  "setting, but found `}`" },
		{ "a = {\nb = 1;\n", "nothing", "t:3:1: error: expected the "
		  "name of a setting or `}` for the group of line 1, but the "
		  "file ends" },
		{ "a = { b = { }", "nothing", "for the group of line 1" },
		{ "a = { b = 1 ];", "nothing", "t:1:13: error:" },
		{ "a = (1 2);", "nothing", "t:1:8: error: expected `,`, or `)` "
		  "for the list of line 1, but found `2`" },
		{ "a = 1;\nb = (\n{ }", "nothing", "t:3:4: error: expected "
		  "`,`, or `)` for the list of line 2, but the file ends" },
		{ "a = ( b = 1; );", "nothing", "t:1:7: error: expected `{` or "
		  "another value (strings stand in double quotes), but found "
		  "`b`" },
		{ "a = (1,);", "nothing", "t:1:8: error: expected another "
		  "value behind the comma" },
		{ "a = [1", "nothing", "expected `,`, or `]` for the array of "
		  "line 1, but the file ends" },
		{ "a = [{ }];", "nothing", "t:1:6: error: expected a plain "
		  "value" },
		{ "a = b.c;", "nothing", "t:1:5: error: expected a value" },
		{ "true = 1;", "nothing", "t:1:1: error: expected the name" },
		{ "1 = 1;", "nothing", "t:1:1: error: expected the name" },
		{ "_a = 1;", "nothing", "t:1:1: error: `_` has no meaning" },
		{ "a = 'x';", "nothing", "double quotes" },
		{ "a = 12b;", "nothing", "t:1:5: error: `12b` is no number" },
		{ "a = 1.2.3;", "nothing", "`1.2.3` is no number" },
		{ "a = -0x5;", "nothing", "`-0x5` is no number" },
		{ "a = 0x;", "nothing", "`0x` is no number" },
		{ "a = 5l;", "nothing", "`5l` is no number" },
		{ "a = 1LLL;", "nothing", "`1LLL` is no number" },
		{ "a = .;", "nothing", "`.` is no number" },
		{ "a = -;", "nothing", "`-` is no number" },
		{ "a = 1-2;", "nothing", "t:1:6: error: expected the name" },
		{ "a = \"x", "nothing", "t:1:5: error: this string is not "
		  "closed" },
		{ "a = \"x\\\"", "nothing", "not closed" },
		{ "a = \"x;\nb = \"y\";", "nothing", "t:2:7: error: this "
		  "string is not closed: `\"` is missing (a string of several "
		  "lines begins in line 1)" },
		{ "a = \"x\n\" y;", "nothing", "(a string of several lines "
		  "begins in line 1)" },
		{ "a = 1; /* c", "nothing", "t:1:8: error: this comment is "
		  "not closed" },
		{ "a / b", "nothing", "t:1:3: error: `/` has no meaning" },
		{ "a = \xc3\xa4;", "nothing", "t:1:5: error: byte 0xc3 outside "
		  "a string" },
		{ "a = 1;\v", "nothing", "t:1:7: error: byte 0x0b" },
		{ "\xef\xbb\xbf""a = 1;", "nothing", "byte order mark" },
		{ "@inclood \"x\"", "nothing", "t:1:1: error: `@` begins" },
		{ "@include \"\"", "nothing", "t:1:1: error: expected "
		  "`@include \"file\"`" },
		{ "@include x", "nothing", "expected `@include" },
		{ "@include\"x\"", "nothing", "expected `@include" },
		{ "@include \"x", "nothing", "expected `@include" },
		{ "@include \"x\ny\"", "nothing", "expected `@include" },
		{ "a = 1; @include \"x\"", "nothing", "t:1:8: error: "
		  "`@include` must be the first in its line" },
		{ "/* */ @include \"x\"", "nothing", "must be the first" },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++)
		check(&rows[i]);
}

static void
test_trap_integer_beyond_32_bits(void **state)
{
	static const struct row rows[] = {
		{ "a = 5000000000;", "{a=5000000000}", "t:1:5: error: "
		  "5000000000 does not fit into 32 bits and would be read as "
		  "705032704: write 5000000000L" },
		{ "a = 2147483648;", "{a=2147483648}", "read as -2147483648" },
		{ "a = -2147483649;", "{a=-2147483649}",
		  "read as 2147483647" },
		{ "a = 0xffffffff;", "{a=4294967295}", "read as -1" },
		{ "a = 0x1ffffffff;", "{a=8589934591}", "read as -1" },
		{ "a = [ 1, 5000000000 ];", "{a=[1 5000000000]}",
		  "t:1:10: error: 5000000000" },
		{ "a = 5000000000L;", "{a=5000000000}", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++)
		check(&rows[i]);
}

static void
test_trap_integer_beyond_64_bits(void **state)
{
	static const char *const texts[] = {
		"a = 9223372036854775808L;",
		"a = -9223372036854775809L;",
		"a = 99999999999999999999L;",
		"a = 99999999999999999999;",
		"a = 0xffffffffffffffffL;",
		"a = 0x10000000000000000L;",
	};

	(void)state;
	for (size_t i = 0; i < ROWS(texts); i++) {
		struct conf_report *r = conf_report_new();
		struct conf_node *root;
		struct arena a;
		char *report;

		arena_init(&a, NULL);
		root = conf_tree_parse(&a, "t", span_cstr(texts[i]), r);
		report = printed_report(r);
		assert_non_null(strstr(report, "does not fit into 64 bits"));
		assert_true(root->first->is_bad);
		free(report);
		arena_fini(&a);
		conf_report_free(r);
	}
}

static void
test_trap_nul_in_a_string(void **state)
{
	const struct row row = { "a = \"b\\x00c\";", "{a=\"b\"}",
		"t:1:7: error: \\x00 would end the string here" };
	struct conf_report *r = conf_report_new();
	struct arena a;
	char *report;

	(void)state;
	check(&row);
	arena_init(&a, NULL);
	assert_null(conf_tree_parse(&a, "t", span_of("a = 1;\n \0", 9), r));
	report = printed_report(r);
	assert_string_equal(report,
	    "t:2:2: error: a NUL byte: this is no text\n");
	free(report);
	arena_fini(&a);
	conf_report_free(r);
}

static void
test_trap_setting_twice(void **state)
{
	static const struct row rows[] = {
		{ "a = 1;\nb = 2;\na = 3;", "{a=1 b=2}",
		  "t:3:1: error: `a` is set twice here, first at t:1:1" },
		{ "g = { a = 1; a = 2; };", "{g={a=1}}", "t:1:14: error:" },
		{ "a = 1; g = { a = 1; };", "{a=1 g={a=1}}", NULL },
		{ "l = ( { a = 1; }, { a = 1; } );", "{l=({a=1} {a=1})}",
		  NULL },
		{ "a1=1 a2=1 a3=1 a4=1 a5=1 a6=1 a7=1 a8=1 a9=1 b1=1 b2=1 "
		  "b3=1 b4=1 b5=1 b6=1 b7=1 b8=1 b9=1 a1=2",
		  "{a1=1 a2=1 a3=1 a4=1 a5=1 a6=1 a7=1 a8=1 a9=1 b1=1 b2=1 "
		  "b3=1 b4=1 b5=1 b6=1 b7=1 b8=1 b9=1}", "`a1` is set twice" },
		{ "a1=1 a2=1 a3=1 a4=1 a5=1 a6=1 a7=1 a8=1 a9=1 b1=1 b2=1 "
		  "b3=1 b4=1 b5=1 b6=1 b7=1 b8=1 b9=1 b9=2",
		  "{a1=1 a2=1 a3=1 a4=1 a5=1 a6=1 a7=1 a8=1 a9=1 b1=1 b2=1 "
		  "b3=1 b4=1 b5=1 b6=1 b7=1 b8=1 b9=1}", "`b9` is set twice" },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++)
		check(&rows[i]);
}

static void
test_trap_array_of_several_types(void **state)
{
	static const struct row rows[] = {
		{ "a = [ \"5xx\", 404 ];", "{a=[\"5xx\" 404]}",
		  "t:1:14: error: an array `[ ]` holds values of one type, "
		  "and the first is a string, this one is an integer: write "
		  "a list `( )`" },
		{ "a = [ 1, 2L ];", "{a=[1 2]}", "t:1:10: error: in an array "
		  "`[ ]` all integers or none have an L" },
		{ "a = [ 1, 1.5 ];", "{a=[1 1.5]}", "number with a fraction" },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++)
		check(&rows[i]);
}

static void
test_unknown_escapes_warn(void **state)
{
	static const struct row rows[] = {
		{ "a = \"\\d\";", "{a=\"\\d\"}",
		  "t:1:6: warning: no escape sequence" },
		{ "a = \"\\x4\";", "{a=\"\\x4\"}", "t:1:6: warning:" },
		{ "a = \"\\xg0\";", "{a=\"\\xg0\"}", "t:1:6: warning:" },
		{ "a = \"\n \\q\";", "{a=\"\n \\q\"}", "t:2:2: warning:" },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++)
		check(&rows[i]);
}

static void
test_depth_is_limited(void **state)
{
	enum { DEEP = 100000 };
	char *text = heap_alloc(DEEP + 3);
	static const char brackets[] = "({[";

	(void)state;
	for (size_t i = 0; i < strlen(brackets); i++) {
		struct row row = { text, "nothing", "t:1:" };

		memset(text, brackets[i], DEEP + 2);
		memcpy(text, "a=", 2);
		text[DEEP + 2] = '\0';
		check(&row);
	}
	/* So deep and no deeper. */
	for (size_t depth = CONF_TREE_DEPTH_MAX - 1;
	    depth <= CONF_TREE_DEPTH_MAX; depth++) {
		struct conf_report *r = conf_report_new();
		struct arena a;

		memcpy(text, "a=", 2);
		memset(text + 2, '(', depth);
		text[2 + depth] = '1';
		memset(text + 3 + depth, ')', depth);
		arena_init(&a, NULL);
		if (depth < CONF_TREE_DEPTH_MAX)
			assert_non_null(conf_tree_parse(&a, "t",
			    span_of(text, 2 * depth + 3), r));
		else
			assert_null(conf_tree_parse(&a, "t",
			    span_of(text, 2 * depth + 3), r));
		arena_fini(&a);
		conf_report_free(r);
	}
	free(text);
}

static void
test_places(void **state)
{
	static const char text[] =
	    "a = 1;\n"
	    "\tgroup = {\n"
	    "  inner = \"x\"\n"
	    "    \"y\"; };\n"
	    "list = ( { k = true; },\n"
	    "  { k = [ 1, 2 ]; } );\n";
	static const struct {
		const char *path;
		unsigned line, column, value_line, value_column;
		const char *source;
	} rows[] = {
		{ "a", 1, 1, 1, 5, "a = 1;" },
		{ "group", 2, 2, 2, 10, "\tgroup = {" },
		{ "group.inner", 3, 3, 3, 11, "  inner = \"x\"" },
		{ "list", 5, 1, 5, 8, "list = ( { k = true; }," },
		{ "list[0]", 5, 10, 5, 10, "list = ( { k = true; }," },
		{ "list[0].k", 5, 12, 5, 16, "list = ( { k = true; }," },
		{ "list[1].k", 6, 5, 6, 9, "  { k = [ 1, 2 ]; } );" },
		{ "list[1].k[1]", 6, 14, 6, 14, "  { k = [ 1, 2 ]; } );" },
	};
	struct conf_report *r = conf_report_new();
	struct arena a;
	struct conf_node *root, *group, *list, *second;
	const struct conf_node *nodes[ROWS(rows)];

	(void)state;
	arena_init(&a, NULL);
	root = conf_tree_parse(&a, "t", span_cstr(text), r);
	assert_non_null(root);
	group = conf_node_get(root, "group");
	list = conf_node_get(root, "list");
	second = conf_node_get(list->first->next, "k");
	nodes[0] = conf_node_get(root, "a");
	nodes[1] = group;
	nodes[2] = conf_node_get(group, "inner");
	nodes[3] = list;
	nodes[4] = list->first;
	nodes[5] = conf_node_get(list->first, "k");
	nodes[6] = second;
	nodes[7] = second->first->next;
	for (size_t i = 0; i < ROWS(rows); i++) {
		const struct conf_node *n = nodes[i];

		assert_string_equal(conf_node_path(&a, n), rows[i].path);
		assert_string_equal(n->place.file, "t");
		assert_string_equal(n->place.source, rows[i].source);
		assert_int_equal(n->place.line, rows[i].line);
		assert_int_equal(n->place.column, rows[i].column);
		assert_int_equal(n->value_place.line, rows[i].value_line);
		assert_int_equal(n->value_place.column,
		    rows[i].value_column);
	}
	assert_null(conf_node_get(root, "b"));
	assert_null(conf_node_get(list, "k"));
	assert_string_equal(conf_node_path(&a, root), "");
	assert_int_equal(list->count, 2);
	arena_fini(&a);
	conf_report_free(r);
}

static double
seconds_of(size_t routes)
{
	struct conf_report *r = conf_report_new();
	struct conf_node *root;
	struct timespec from, to;
	struct arena a;
	char *text;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	fputs("services = ( { routes = (\n", out);
	for (size_t i = 0; i < routes; i++)
		fprintf(out, "%s{ host = \"h%zu.example.com\"; path = \"/p\"; "
		    "upstream = \"app\"; retries = 1;\n"
		    "timeouts = { connect = \"1s\"; }; }\n",
		    i > 0 ? "," : "", i);
	fputs("); } );\n", out);
	fclose(out);
	arena_init(&a, NULL);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
	root = conf_tree_parse(&a, "t", span_of(text, len), r);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
	assert_non_null(root);
	assert_int_equal(root->first->first->first->count, routes);
	arena_fini(&a);
	conf_report_free(r);
	free(text);
	return (double)(to.tv_sec - from.tv_sec) +
	    (double)(to.tv_nsec - from.tv_nsec) * 1e-9;
}

static void
test_trap_many_routes_take_linear_time(void **state)
{
	double few = seconds_of(2000), many = seconds_of(20000);

	(void)state;
	print_message("2000 routes: %.3f s, 20000 routes: %.3f s\n", few,
	    many);
	/* Ten times as many; the square would be a hundred times. */
	assert_true(many < few * 40 + 0.05);
}

static void
test_many_errors_in_one_line(void **state)
{
	struct conf_report *r = conf_report_new();
	struct timespec from, to;
	struct arena a;
	char *text, *printed;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	(void)state;
	for (int i = 0; i < 5000; i++)
		fputs("version = 1;", out);
	fclose(out);
	arena_init(&a, NULL);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
	conf_tree_parse(&a, "t", span_of(text, len), r);
	printed = printed_report(r);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
	assert_int_equal(conf_report_errors(r), 4999);
	assert_true(strlen(printed) < 4999 * 500);
	print_message("4999 errors: %ld ms\n",
	    (long)(to.tv_sec - from.tv_sec) * 1000 +
	    (to.tv_nsec - from.tv_nsec) / 1000000);
	free(printed);
	free(text);
	arena_fini(&a);
	conf_report_free(r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_libconfig_takes),
		cmocka_unit_test(test_syntax_errors_name_place_and_token),
		cmocka_unit_test(test_trap_integer_beyond_32_bits),
		cmocka_unit_test(test_trap_integer_beyond_64_bits),
		cmocka_unit_test(test_trap_nul_in_a_string),
		cmocka_unit_test(test_trap_setting_twice),
		cmocka_unit_test(test_trap_array_of_several_types),
		cmocka_unit_test(test_unknown_escapes_warn),
		cmocka_unit_test(test_depth_is_limited),
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_trap_many_routes_take_linear_time),
		cmocka_unit_test(test_many_errors_in_one_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

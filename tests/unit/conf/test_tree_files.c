/* SPDX-License-Identifier: BSD-2-Clause */
/* Configuration in files: includes, conf.d, and what cannot be read. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/heap_alloc.h"
#include "printed.h"

struct files {
	char dir[32];
	struct arena arena;
	struct conf_report *report;
};

static int
files_begin(void **state)
{
	struct files *f = heap_alloc_zeroed(1, sizeof(*f));

	strcpy(f->dir, "/tmp/weir-conf-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	arena_init(&f->arena, NULL);
	f->report = conf_report_new();
	*state = f;
	return 0;
}

static int
files_end(void **state)
{
	struct files *f = *state;
	char command[64];
	int status;

	snprintf(command, sizeof(command), "rm -r %s", f->dir);
	status = system(command);
	arena_fini(&f->arena);
	conf_report_free(f->report);
	free(f);
	return status;
}

static const char *
path_of(struct files *f, const char *name)
{
	return arena_printf(&f->arena, "%s/%s", f->dir, name);
}

static void
put_file(struct files *f, const char *name, const char *text)
{
	const char *path = path_of(f, name);
	char *slash = strrchr(path, '/');
	FILE *out;

	*slash = '\0';
	mkdir(path, 0700);
	*slash = '/';
	out = fopen(path, "w");
	assert_non_null(out);
	fputs(text, out);
	fclose(out);
}

/* What is read, and what is reported with the folder's name taken out. */
static void
check_load(struct files *f, const char *want, const char *want_report)
{
	char *node = printed_node(conf_tree_load(&f->arena,
	    path_of(f, "weir.conf"), path_of(f, "conf.d"), f->report));
	char *report = printed_report(f->report), *at;
	size_t len = strlen(f->dir) + 1;

	while ((at = strstr(report, f->dir)) != NULL)
		memmove(at, at + len, strlen(at + len) + 1);
	assert_string_equal(node, want);
	assert_string_equal(report, want_report);
	free(node);
	free(report);
}

static void
test_missing_file_is_named(void **state)
{
	check_load(*state, "nothing", "weir.conf: error: cannot read the "
	    "file: No such file or directory\n");
}

static void
test_directory_is_no_file(void **state)
{
	mkdir(path_of(*state, "weir.conf"), 0700);
	check_load(*state, "nothing", "weir.conf: error: cannot read the "
	    "file: Is a directory\n");
}

static void
test_include(void **state)
{
	put_file(*state, "weir.conf", "a = 1;\n"
	    " @include \"sub/b.conf\" e = 5;\n"
	    "f = (\n@include \"sub/list.conf\"\n);");
	put_file(*state, "sub/b.conf", "b = 2; # no newline\n"
	    "@include \"c.conf\"\nd = 4");
	put_file(*state, "sub/c.conf", "c = 3; # at the end");
	put_file(*state, "sub/list.conf", "{ g = \"x\"\n\"y\"; }, 7");
	check_load(*state, "{a=1 b=2 c=3 d=4 e=5 f=({g=\"xy\"} 7)}", "");
}

static void
test_include_has_places_of_its_own(void **state)
{
	put_file(*state, "weir.conf",
	    "a = 1;\n@include \"b.conf\"\na = 5000000000;\n");
	put_file(*state, "b.conf", "\n  a = 5000000000;\n");
	check_load(*state, "{a=1}",
	    "weir.conf:3:1: error: `a` is set twice here, first at "
	    "weir.conf:1:1\na = 5000000000;\n^\n"
	    "weir.conf:3:5: error: 5000000000 does not fit into 32 bits and "
	    "would be read as 705032704: write 5000000000L\n"
	    "a = 5000000000;\n    ^\n"
	    "b.conf:2:3: error: `a` is set twice here, first at "
	    "weir.conf:1:1\n  a = 5000000000;\n  ^\n"
	    "b.conf:2:7: error: 5000000000 does not fit into 32 bits and "
	    "would be read as 705032704: write 5000000000L\n"
	    "  a = 5000000000;\n      ^\n");
}

static void
test_include_of_nothing(void **state)
{
	put_file(*state, "weir.conf", "@include \"conf/*.conf\"\n");
	check_load(*state, "nothing", "weir.conf:1:1: error: cannot include "
	    "\"conf/*.conf\": No such file or directory; names are taken as "
	    "they are, `*` is no wildcard\n@include \"conf/*.conf\"\n^\n");
}

static void
test_include_of_itself(void **state)
{
	put_file(*state, "weir.conf", "@include \"b.conf\"\n");
	put_file(*state, "b.conf", "a = 1;\n@include \"weir.conf\"\n");
	check_load(*state, "nothing", "b.conf:2:1: error: \"weir.conf\" would "
	    "include itself\n@include \"weir.conf\"\n^\n");
}

static void
test_include_depth(void **state)
{
	char name[24], text[32];

	put_file(*state, "weir.conf", "@include \"1.conf\"\n");
	for (int i = 1; i <= 11; i++) {
		snprintf(name, sizeof(name), "%d.conf", i);
		snprintf(text, sizeof(text), i < 11 ?
		    "@include \"%d.conf\"\n" : "a = 1;", i + 1);
		put_file(*state, name, text);
	}
	check_load(*state, "nothing", "10.conf:1:1: error: files are included "
	    "more than 10 deep\n@include \"11.conf\"\n^\n");
}

static void
test_include_with_an_open_comment(void **state)
{
	put_file(*state, "weir.conf", "@include \"b.conf\"\n*/ a = 1;\n");
	put_file(*state, "b.conf", "/* b\n");
	check_load(*state, "nothing", "b.conf:1:1: error: this comment is not "
	    "closed: `*/` is missing\n/* b\n^\n");
}

static void
test_conf_d_in_byte_order(void **state)
{
	put_file(*state, "weir.conf",
	    "version = 1;\nservices = ( { n = 0; } );\n");
	put_file(*state, "conf.d/b.conf", "services = ( { n = 3; } );\n"
	    "upstreams = ( { n = 4; } );");
	put_file(*state, "conf.d/a.conf", "services = ( { n = 2; } );");
	put_file(*state, "conf.d/B.conf",
	    "services = ( { n = 1; }, { n = 11; } );");
	put_file(*state, "conf.d/c.conf", "services = ( );");
	put_file(*state, "conf.d/.hidden.conf", "nonsense");
	put_file(*state, "conf.d/README", "nonsense");
	put_file(*state, "conf.d/x.conf~", "nonsense");
	check_load(*state, "{version=1 services=({n=0} {n=1} {n=11} {n=2} "
	    "{n=3}) upstreams=({n=4})}", "");
}

static void
test_conf_d_holds_lists_only(void **state)
{
	put_file(*state, "weir.conf", "version = 1;\n");
	put_file(*state, "conf.d/a.conf", "workers = 2;\nservices = { };\n"
	    "upstreams = ( { n = 1; } );\n");
	check_load(*state, "{version=1 upstreams=({n=1})}",
	    "conf.d/a.conf:1:1: error: `workers` stands in the main file "
	    "only: files of conf.d hold `upstreams` and `services`\n"
	    "workers = 2;\n^\n"
	    "conf.d/a.conf:2:12: error: `services` is a group, but must be a "
	    "list `( … )`\nservices = { };\n           ^\n");
}

/* One syntax error a file; what stood before it counts. */
static void
test_conf_d_syntax_errors(void **state)
{
	put_file(*state, "weir.conf", "version = 1;\n");
	put_file(*state, "conf.d/a.conf",
	    "upstreams = ( { n = 1; } );\nservices = (\n");
	put_file(*state, "conf.d/b.conf", "services = ;\nalso ;\n");
	check_load(*state, "{version=1 upstreams=({n=1})}",
	    "conf.d/a.conf:3:1: error: expected a value, but the file ends\n"
	    "\n^\n"
	    "conf.d/b.conf:1:12: error: expected a value, but found `;`\n"
	    "services = ;\n           ^\n");
}

static void
test_conf_d_is_checked_without_the_main_file(void **state)
{
	put_file(*state, "weir.conf", "version 1;\n");
	put_file(*state, "conf.d/a.conf", "services = ;");
	check_load(*state, "nothing",
	    "weir.conf:1:9: error: expected `=`, but found `1`\n"
	    "version 1;\n        ^\n"
	    "conf.d/a.conf:1:12: error: expected a value, but found `;`\n"
	    "services = ;\n           ^\n");
}

#define FILES(test) cmocka_unit_test_setup_teardown(test, files_begin, \
	files_end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		FILES(test_missing_file_is_named),
		FILES(test_directory_is_no_file),
		FILES(test_include),
		FILES(test_include_has_places_of_its_own),
		FILES(test_include_of_nothing),
		FILES(test_include_of_itself),
		FILES(test_include_depth),
		FILES(test_include_with_an_open_comment),
		FILES(test_conf_d_in_byte_order),
		FILES(test_conf_d_holds_lists_only),
		FILES(test_conf_d_syntax_errors),
		FILES(test_conf_d_is_checked_without_the_main_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

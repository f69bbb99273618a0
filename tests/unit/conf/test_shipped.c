/* SPDX-License-Identifier: BSD-2-Clause */
/* The configurations that come with weir are read without a word. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <dirent.h>

#include <cmocka.h>

#include "base/arena.h"
#include "conf/slurp.h"
#include "printed.h"

static char folder[512]; /* etc of the source */

static void
check(const char *name, struct span text, bool has_services)
{
	struct conf_report *r = conf_report_new();
	const struct conf_node *root;
	struct arena a;
	char *report;

	arena_init(&a, NULL);
	root = conf_tree_parse(&a, name, text, r);
	report = printed_report(r);
	if (root == NULL || report[0] != '\0')
		fail_msg("%s", report);
	assert_non_null(conf_node_get(root, "version"));
	assert_int_equal(conf_node_get(root, "services") != NULL,
	    has_services);
	free(report);
	arena_fini(&a);
	conf_report_free(r);
}

static void
check_file(const char *name)
{
	char path[1024], *text;
	size_t len;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	if (slurp_file(path, 1 << 20, &text, &len) != 0)
		fail_msg("%s", path);
	check(name, span_of(text, len), true);
	free(text);
}

static void
test_weir_conf(void **state)
{
	(void)state;
	check_file("weir.conf");
}

static int
is_conf(const struct dirent *entry)
{
	const char *dot = strrchr(entry->d_name, '.');

	return dot != NULL && strcmp(dot, ".conf") == 0;
}

static void
test_examples(void **state)
{
	char path[1024];
	struct dirent **entries;
	int count;

	(void)state;
	snprintf(path, sizeof(path), "%s/examples", folder);
	count = scandir(path, &entries, is_conf, alphasort);
	assert_true(count > 5);
	for (int i = 0; i < count; i++) {
		snprintf(path, sizeof(path), "examples/%s",
		    entries[i]->d_name);
		check_file(path);
		free(entries[i]);
	}
	free(entries);
}

/*
 * A comment of weir.conf that begins with `#name`, `#,` or a bracket is an
 * option: all of them may be taken in at once.
 */
static void
test_weir_conf_without_its_hashes(void **state)
{
	char path[1024], *text;
	size_t len, taken = 0;

	(void)state;
	snprintf(path, sizeof(path), "%s/weir.conf", folder);
	assert_int_equal(slurp_file(path, 1 << 20, &text, &len), 0);
	for (size_t i = 0, at = 0; i < len; i++) {
		/* at: the first byte of the line that is no blank. */
		if (i == 0 || text[i - 1] == '\n')
			at = i;
		if (at == i && text[i] == ' ')
			at++;
		if (at != i || text[i] != '#' || text[i + 1] == '\0')
			continue;
		if ((text[i + 1] != ' ' && text[i + 1] != '\n') ||
		    (text[i + 1] == ' ' && text[i + 2] == ' ')) {
			text[i] = ' ';
			taken++;
		}
	}
	assert_true(taken > 40);
	check("weir.conf", span_of(text, len), true);
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_weir_conf),
		cmocka_unit_test(test_examples),
		cmocka_unit_test(test_weir_conf_without_its_hashes),
	};
	const char *source = getenv("WEIR_SRCDIR");

	snprintf(folder, sizeof(folder), "%s/etc",
	    source != NULL ? source : ".");
	return cmocka_run_group_tests(tests, NULL, NULL);
}

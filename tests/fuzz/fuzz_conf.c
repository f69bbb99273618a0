/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Configuration text: what our parser accepts, libconfig reads alike, and
 * what is loaded through a table of all types, dumps to text that loads to
 * the same dump.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/str.h"
#include "conf/dump.h"
#include "conf/origins.h"
#include "conf/template.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

struct inner {
	uint64_t a, b;
	struct conf_map map;
};

struct outer {
	bool yes;
	uint32_t number, word;
	uint64_t size, time;
	const char *text;
	const struct template *template;
	struct conf_strings strings;
	struct conf_uints numbers;
	struct conf_ranges ranges;
	const struct addr_spec *address;
	struct conf_regex *regex;
	struct conf_map map;
	struct inner inner;
	struct conf_list list;
	const struct conf_node *any;
};

static const struct conf_enum words[] = {
	{ "auto", 0 },
	{ "none", 77 },
	{ NULL, 0 },
};

static const struct conf_item inner_items[] = {
	CONF_DURATION("a", struct inner, a, 1, 86400000, "5s", 0, "a"),
	CONF_SIZE("b", struct inner, b, 0, 0, "0", 0, "b"),
	CONF_VALUE("map", MAP, struct inner, map, NULL, CONF_FIELD_NAME, "m"),
	CONF_END,
};

static const struct conf_table inner_table = {
	.name = "inner", .items = inner_items,
	.struct_bytes = sizeof(struct inner),
};

static int
parse_any(struct conf_ctx *ctx, const struct conf_node *node, void *field)
{
	uint64_t ignored;

	if (node->type == CONF_NODE_STRING)
		(void)conf_read_duration(ctx, node, &ignored);
	*(const struct conf_node **)field = node;
	return 0;
}

static const struct conf_item outer_items[] = {
	CONF_BOOL("yes", struct outer, yes, "true", 0, "yes"),
	CONF_UINT("number", struct outer, number, 0, UINT32_MAX, "1", NULL, 0,
	    "number"),
	{ .name = "word", .type = CONF_TYPE_UINT,
	  .offset = offsetof(struct outer, word), .min = 1, .max = 256,
	  .def = "auto", .values = words, .help = "word" },
	CONF_SIZE("size", struct outer, size, 4096, 1 << 24, "64KB", 0, "size"),
	CONF_DURATION("time", struct outer, time, 0, 0, "30s", 0, "time"),
	CONF_VALUE("text", STRING, struct outer, text, NULL, 0, "text"),
	CONF_VALUE("template", TEMPLATE, struct outer, template, NULL, 0,
	    "template"),
	CONF_VALUE("strings", STRINGS, struct outer, strings, NULL,
	    CONF_FIELD_NAME, "strings"),
	CONF_VALUE("numbers", UINTS, struct outer, numbers, "[ 1, 2 ]", 0,
	    "numbers"),
	CONF_VALUE("ranges", RANGES, struct outer, ranges, NULL, 0, "ranges"),
	CONF_VALUE("address", ADDRESS, struct outer, address, NULL, 0,
	    "address"),
	CONF_VALUE("regex", REGEX, struct outer, regex, NULL, 0, "regex"),
	CONF_VALUE("map", MAP, struct outer, map, NULL, 0, "map"),
	CONF_GROUP("inner", struct outer, inner, &inner_table, 0, "inner"),
	CONF_LIST("list", struct outer, list, &inner_table, 0, "list"),
	CONF_CUSTOM("any", struct outer, any, parse_any, NULL, 0, "any"),
	CONF_END,
};

static const struct conf_table outer_table = {
	.name = "outer", .items = outer_items,
	.struct_bytes = sizeof(struct outer),
};

static bool
put_ip(const void *subject, struct span arg, struct str *out)
{
	(void)subject;
	(void)arg;
	str_lit(out, "192.0.2.1");
	return true;
}

static const struct template_var var_items[] = {
	{ "client.ip", put_ip, "", NULL },
	{ "request.header.", put_ip, "", NULL },
};

static const struct template_vars vars = { .items = var_items,
	.count = 2 };

static void
require(bool condition)
{
	if (!condition)
		abort();
}

/* Caller frees the dump; NULL if text does not load. */
static char *
load(struct span text)
{
	struct conf_report *report = conf_report_new();
	struct conf_origins *origins = conf_origins_new();
	struct arena arena;
	struct conf_ctx ctx = { .arena = &arena, .report = report,
		.vars = &vars, .origins = origins };
	struct conf_dump dump = { .origins = NULL };
	struct outer outer = { .any = NULL };
	struct conf_part part = { &outer_table, &outer };
	const struct conf_node *root;
	char *dumped = NULL, *printed = NULL;
	size_t ignored;
	FILE *out;

	arena_init(&arena, NULL);
	conf_defaults(&ctx, &outer_table, &outer);
	require(conf_report_errors(report) == 0);
	root = conf_tree_parse(&arena, "/nonexistent/fuzz.conf", text,
	    report);
	if (root != NULL && conf_apply(&ctx, root, &part, 1) == 0 &&
	    conf_report_errors(report) == 0) {
		dump.out = open_memstream(&dumped, &ignored);
		conf_dump_table(&dump, &outer_table, &outer);
		fclose(dump.out);
	}
	require(dumped != NULL || conf_report_errors(report) > 0);
	out = open_memstream(&printed, &ignored);
	conf_report_print(report, out);
	fclose(out);
	require(strstr(printed, "libconfig re") == NULL);
	free(printed);
	conf_regex_free_all(ctx.regexes);
	conf_origins_free(origins);
	conf_report_free(report);
	arena_fini(&arena);
	return dumped;
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct span text = span_of((const char *)bytes, len);
	char *first, *second;

	/* Files of this machine are not to be read. */
	if (memmem(bytes, len, "@include", 8) != NULL &&
	    memmem(bytes, len, "\"/", 2) != NULL)
		return 0;
	/* What load() looks for shall be weir's own words. */
	if (memmem(bytes, len, "libconfig", 9) != NULL)
		return 0;
	first = load(text);
	if (first == NULL)
		return 0;
	second = load(span_cstr(first));
	require(second != NULL && strcmp(first, second) == 0);
	free(first);
	free(second);
	return 0;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* tree - the parser over lex's tokens, and the files of conf.d. */
#include "conf/tree.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/hash.h"
#include "conf/lex.h"
#include "conf/oracle.h"
#include "conf/slurp.h"

/* Groups of more settings look names up in a map. */
enum { NAMES_FEW = 16 };

struct parser {
	struct lex lex;
	struct lex_token token; /* the next, not yet taken */
	struct arena *arena;
	struct conf_report *report;
	unsigned depth;
	unsigned group_line; /* where the innermost open group began */
};

static int parse_value(struct parser *ps, struct conf_node *node);

const char *
conf_node_type_name(enum conf_node_type type)
{
	switch (type) {
	case CONF_NODE_GROUP:
		return "a group";
	case CONF_NODE_LIST:
		return "a list";
	case CONF_NODE_ARRAY:
		return "an array";
	case CONF_NODE_STRING:
		return "a string";
	case CONF_NODE_INT:
		return "an integer";
	case CONF_NODE_FLOAT:
		return "a number with a fraction";
	case CONF_NODE_BOOL:
		return "a boolean";
	}
	return "nothing";
}

static void
advance(struct parser *ps)
{
	if (ps->token.type != LEX_BAD)
		lex_next(&ps->lex, &ps->token);
}

/* Report what was expected; always -1.  What the lexer refused, it reported. */
static int
expected(struct parser *ps, const char *what)
{
	const struct lex_token *token = &ps->token;
	int len = token->text.len < 40 ? (int)token->text.len : 40;
	const char *hint;

	if (token->type == LEX_BAD)
		return -1;
	hint = lex_hint(&ps->lex);
	if (token->type == LEX_END)
		conf_report_error(ps->report, &token->place,
		    "expected %s, but the file ends%s", what, hint);
	else
		conf_report_error(ps->report, &token->place,
		    "expected %s, but found `%.*s`%s", what, len,
		    token->text.p, hint);
	return -1;
}

static struct conf_node *
new_node(struct parser *ps, struct conf_node *parent)
{
	struct conf_node *node = arena_zalloc(ps->arena, sizeof(*node));

	node->parent = parent;
	node->place = ps->token.place;
	return node;
}

/* *last: the child that was appended before, NULL for the first. */
static void
append(struct conf_node *parent, struct conf_node **last,
    struct conf_node *child)
{
	if (*last == NULL)
		parent->first = child;
	else
		(*last)->next = child;
	*last = child;
	child->parent = parent;
	child->next = NULL;
	parent->count++;
}

/* Neighbouring literals are one string. */
static int
parse_string(struct parser *ps, struct conf_node *node)
{
	struct span all = ps->token.v.string;

	for (;;) {
		struct span more;
		char *joined;

		node->is_bad = node->is_bad || ps->token.is_bad;
		advance(ps);
		if (ps->token.type != LEX_STRING)
			break;
		more = ps->token.v.string;
		joined = arena_alloc(ps->arena, all.len + more.len + 1);
		memcpy(joined, all.p, all.len);
		memcpy(joined + all.len, more.p, more.len + 1);
		all = span_of(joined, all.len + more.len);
	}
	node->type = CONF_NODE_STRING;
	node->v.string = all;
	return ps->token.type == LEX_BAD ? -1 : 0;
}

static int
parse_scalar(struct parser *ps, struct conf_node *node)
{
	const struct lex_token *token = &ps->token;

	node->is_bad = token->is_bad;
	switch (token->type) {
	case LEX_STRING:
		return parse_string(ps, node);
	case LEX_INT:
	case LEX_INT64:
		node->type = CONF_NODE_INT;
		node->v.integer = token->v.integer;
		break;
	case LEX_FLOAT:
		node->type = CONF_NODE_FLOAT;
		node->v.real = token->v.real;
		break;
	case LEX_BOOL:
		node->type = CONF_NODE_BOOL;
		node->v.boolean = token->v.boolean;
		break;
	case LEX_NAME:
		return expected(ps, "a value (strings stand in double quotes)");
	case LEX_END:
	case LEX_EQUALS:
	case LEX_COMMA:
	case LEX_SEMICOLON:
	case LEX_GROUP_OPEN:
	case LEX_GROUP_CLOSE:
	case LEX_LIST_OPEN:
	case LEX_LIST_CLOSE:
	case LEX_ARRAY_OPEN:
	case LEX_ARRAY_CLOSE:
	case LEX_BAD:
		return expected(ps, "a value");
	}
	advance(ps);
	return 0;
}

/* One element of an array; wrong types are reported, but are no syntax. */
static int
parse_array_element(struct parser *ps, struct conf_node *array,
    struct conf_node *node, enum lex_type *type)
{
	enum lex_type found = ps->token.type;

	node->value_place = node->place;
	if (found == LEX_GROUP_OPEN || found == LEX_LIST_OPEN ||
	    found == LEX_ARRAY_OPEN)
		return expected(ps, "a plain value: an array `[ ]` holds no "
		    "groups or lists, a list `( )` does");
	if (parse_scalar(ps, node) != 0)
		return -1;
	if (array->first == NULL) {
		*type = found;
	} else if (found != *type && !array->is_bad) {
		array->is_bad = true;
		if (node->type == array->first->type)
			conf_report_error(ps->report, &node->place,
			    "in an array `[ ]` all integers or none have an "
			    "L");
		else
			conf_report_error(ps->report, &node->place,
			    "an array `[ ]` holds values of one type, and the "
			    "first is %s, this one is %s: write a list `( )`",
			    conf_node_type_name(array->first->type),
			    conf_node_type_name(node->type));
	}
	return 0;
}

/* What should have ended an element, or the list or array that it is in. */
static int
expected_comma(struct parser *ps, const struct conf_node *node,
    enum lex_type close)
{
	char what[80];

	snprintf(what, sizeof(what), close == LEX_LIST_CLOSE ?
	    "`,`, or `)` for the list of line %u" :
	    "`,`, or `]` for the array of line %u", node->value_place.line);
	return expected(ps, what);
}

static int
parse_list_element(struct parser *ps, struct conf_node *element)
{
	if (ps->token.type == LEX_NAME)
		return expected(ps, "`{` or another value (strings stand in "
		    "double quotes)");
	return parse_value(ps, element);
}

/* Behind "(" or "[": elements with commas between them. */
static int
parse_elements(struct parser *ps, struct conf_node *node,
    enum lex_type close)
{
	struct conf_node *last = NULL;
	enum lex_type type = LEX_END;

	advance(ps);
	while (ps->token.type != close) {
		struct conf_node *element = new_node(ps, node);
		int result;

		if (node->first != NULL) {
			if (ps->token.type != LEX_COMMA)
				return expected_comma(ps, node, close);
			advance(ps);
			element->place = ps->token.place;
			if (ps->token.type == close)
				return expected(ps, "another value behind "
				    "the comma");
		}
		if (close == LEX_LIST_CLOSE)
			result = parse_list_element(ps, element);
		else
			result = parse_array_element(ps, node, element,
			    &type);
		if (result != 0)
			return -1;
		append(node, &last, element);
	}
	advance(ps);
	return ps->token.type == LEX_BAD ? -1 : 0;
}

/* What has been set in one group. */
struct names {
	const struct conf_node *group;
	struct hash_map map; /* used beyond NAMES_FEW */
};

static const struct conf_node *
find_name(struct names *names, const char *name)
{
	if (names->group->count <= NAMES_FEW)
		return conf_node_get(names->group, name);
	if (names->map.used == 0) {
		for (struct conf_node *n = names->group->first; n != NULL;
		    n = n->next)
			hash_map_put(&names->map, span_cstr(n->name), n);
	}
	return hash_map_get(&names->map, span_cstr(name));
}

static void
add_name(struct names *names, struct conf_node *node)
{
	if (names->map.used > 0)
		hash_map_put(&names->map, span_cstr(node->name), node);
}

static int
expected_name(struct parser *ps)
{
	char what[80] = "the name of a setting";

	if (ps->group_line > 0)
		snprintf(what, sizeof(what), "the name of a setting or `}` "
		    "for the group of line %u", ps->group_line);
	return expected(ps, what);
}

/* name = value, and what may end it. */
static int
parse_setting(struct parser *ps, struct conf_node *node)
{
	if (ps->token.type != LEX_NAME)
		return expected_name(ps);
	node->name = arena_dup(ps->arena, ps->token.text);
	advance(ps);
	if (ps->token.type != LEX_EQUALS)
		return expected(ps, "`=`");
	advance(ps);
	if (parse_value(ps, node) != 0)
		return -1;
	if (ps->token.type == LEX_SEMICOLON || ps->token.type == LEX_COMMA)
		advance(ps);
	return 0;
}

/* Settings up to close, which stays. */
static int
parse_settings(struct parser *ps, struct conf_node *group,
    enum lex_type close)
{
	struct names names = { .group = group };
	struct conf_node *last = NULL;
	int result = 0;

	hash_map_init(&names.map, false);
	while (result == 0 && ps->token.type != close) {
		struct conf_node *node = new_node(ps, group);
		const struct conf_node *before;

		result = parse_setting(ps, node);
		if (result != 0)
			break;
		before = find_name(&names, node->name);
		if (before != NULL) {
			conf_report_error(ps->report, &node->place,
			    "`%s` is set twice here, first at %s:%u:%u",
			    node->name, before->place.file,
			    before->place.line, before->place.column);
			continue;
		}
		append(group, &last, node);
		add_name(&names, node);
	}
	hash_map_fini(&names.map);
	return result;
}

static int
parse_group(struct parser *ps, struct conf_node *node)
{
	unsigned outer_line = ps->group_line;

	ps->group_line = node->value_place.line;
	advance(ps);
	if (parse_settings(ps, node, LEX_GROUP_CLOSE) != 0)
		return -1;
	ps->group_line = outer_line;
	advance(ps);
	return ps->token.type == LEX_BAD ? -1 : 0;
}

static int
parse_value(struct parser *ps, struct conf_node *node)
{
	int result;

	node->value_place = ps->token.place;
	if (ps->depth == CONF_TREE_DEPTH_MAX) {
		conf_report_error(ps->report, &ps->token.place,
		    "values are nested more than %d deep",
		    CONF_TREE_DEPTH_MAX);
		return -1;
	}
	ps->depth++;
	switch (ps->token.type) {
	case LEX_GROUP_OPEN:
		node->type = CONF_NODE_GROUP;
		result = parse_group(ps, node);
		break;
	case LEX_LIST_OPEN:
		node->type = CONF_NODE_LIST;
		result = parse_elements(ps, node, LEX_LIST_CLOSE);
		break;
	case LEX_ARRAY_OPEN:
		node->type = CONF_NODE_ARRAY;
		result = parse_elements(ps, node, LEX_ARRAY_CLOSE);
		break;
	case LEX_END:
	case LEX_NAME:
	case LEX_BOOL:
	case LEX_INT:
	case LEX_INT64:
	case LEX_FLOAT:
	case LEX_STRING:
	case LEX_EQUALS:
	case LEX_COMMA:
	case LEX_SEMICOLON:
	case LEX_GROUP_CLOSE:
	case LEX_LIST_CLOSE:
	case LEX_ARRAY_CLOSE:
	case LEX_BAD:
	default:
		result = parse_scalar(ps, node);
		break;
	}
	ps->depth--;
	return result;
}

/*
 * One file with its includes.  NULL if it cannot be read at all; *is_whole is
 * false if the nodes end at a syntax error.
 */
static struct conf_node *
parse_file(struct arena *a, const char *name, const struct span *text,
    struct conf_report *r, bool *is_whole)
{
	struct parser ps = { .arena = a, .report = r };
	size_t errors = conf_report_errors(r);
	struct conf_node *root = NULL;

	*is_whole = false;
	if (lex_init(&ps.lex, a, r, name, text) == 0) {
		lex_next(&ps.lex, &ps.token);
		root = new_node(&ps, NULL);
		root->type = CONF_NODE_GROUP;
		root->place = (struct conf_place){
			.file = name, .line = 1, .column = 1,
		};
		root->value_place = root->place;
		*is_whole = parse_settings(&ps, root, LEX_END) == 0;
	}
	if (conf_report_errors(r) == errors)
		*is_whole = oracle_check(root, ps.lex.resolved, r) == 0;
	lex_fini(&ps.lex);
	return root;
}

struct conf_node *
conf_tree_parse(struct arena *a, const char *file_name, struct span text,
    struct conf_report *r)
{
	bool is_whole;
	struct conf_node *root = parse_file(a, file_name, &text, r,
	    &is_whole);

	return is_whole ? root : NULL;
}

static struct conf_node *
last_child(const struct conf_node *node)
{
	struct conf_node *last = node->first;

	while (last != NULL && last->next != NULL)
		last = last->next;
	return last;
}

/* Move the elements of a list behind those of the main file's. */
static void
join(struct conf_node *root, struct conf_node *list)
{
	struct conf_node *main_list = conf_node_get(root, list->name);
	struct conf_node *last, *next;

	if (main_list == NULL) {
		last = last_child(root);
		append(root, &last, list);
		return;
	}
	if (main_list->type != CONF_NODE_LIST)
		return;
	last = last_child(main_list);
	for (struct conf_node *node = list->first; node != NULL;
	    node = next) {
		next = node->next;
		append(main_list, &last, node);
	}
}

static void
join_file(struct arena *a, struct conf_node *root, const char *name,
    struct conf_report *r)
{
	bool is_whole;
	struct conf_node *file = parse_file(a, name, NULL, r, &is_whole);
	struct conf_node *next;

	if (file == NULL)
		return;
	for (struct conf_node *node = file->first; node != NULL; node = next) {
		next = node->next;
		if (strcmp(node->name, "upstreams") != 0 &&
		    strcmp(node->name, "services") != 0)
			conf_report_error(r, &node->place, "`%s` stands in "
			    "the main file only: files of conf.d hold "
			    "`upstreams` and `services`", node->name);
		else if (node->type != CONF_NODE_LIST)
			conf_report_error(r, &node->value_place,
			    "`%s` is %s, but must be a list `( … )`",
			    node->name, conf_node_type_name(node->type));
		else
			join(root, node);
	}
}

static int
is_conf(const struct dirent *entry)
{
	struct span name = span_cstr(entry->d_name);

	return name.p[0] != '.' && name.len > 5 &&
	    strcmp(name.p + name.len - 5, ".conf") == 0;
}

/* By bytes: the same order under every locale. */
static int
compare_entries(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static void
join_dir(struct arena *a, struct conf_node *root, const char *dir,
    struct conf_report *r)
{
	struct conf_place place = { .file = dir };
	struct dirent **entries;
	int count = scandir(dir, &entries, is_conf, compare_entries);

	if (count < 0) {
		if (errno != ENOENT)
			conf_report_error(r, &place,
			    "cannot read the directory: %s",
			    slurp_reason(errno));
		return;
	}
	for (int i = 0; i < count; i++) {
		join_file(a, root, arena_printf(a, "%s/%s", dir,
		    entries[i]->d_name), r);
		free(entries[i]);
	}
	free(entries);
}

struct conf_node *
conf_tree_load(struct arena *a, const char *path, const char *conf_dir,
    struct conf_report *r)
{
	struct conf_node nowhere = { .type = CONF_NODE_GROUP };
	bool is_whole;
	struct conf_node *root = parse_file(a, arena_strdup(a, path), NULL, r,
	    &is_whole);

	/* Without the main file, conf.d is read for its syntax errors. */
	if (conf_dir != NULL)
		join_dir(a, is_whole ? root : &nowhere, conf_dir, r);
	return is_whole ? root : NULL;
}

struct conf_node *
conf_node_get(const struct conf_node *group, const char *name)
{
	struct conf_node *node = group->first;

	while (node != NULL &&
	    (node->name == NULL || strcmp(node->name, name) != 0))
		node = node->next;
	return node;
}

const char *
conf_node_path(struct arena *a, const struct conf_node *node)
{
	const char *outer;
	unsigned index = 0;

	if (node->parent == NULL)
		return "";
	outer = conf_node_path(a, node->parent);
	if (node->name != NULL)
		return arena_printf(a, "%s%s%s", outer,
		    outer[0] != '\0' ? "." : "", node->name);
	for (const struct conf_node *n = node->parent->first; n != node;
	    n = n->next)
		index++;
	return arena_printf(a, "%s[%u]", outer, index);
}

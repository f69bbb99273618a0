/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tree - configuration text as nodes that know where they were written.
 *
 * A lexer and parser of our own make the nodes (places, integer width, escapes,
 * repeated keys); libconfig then reads the same text and must find the same.
 */
#ifndef CONF_TREE_H
#define CONF_TREE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"
#include "conf/report.h"

struct arena;

enum conf_node_type {
	CONF_NODE_GROUP,  /* { }  : children have names */
	CONF_NODE_LIST,   /* ( )  : children have none */
	CONF_NODE_ARRAY,  /* [ ]  : scalars of one type */
	CONF_NODE_STRING,
	CONF_NODE_INT,
	CONF_NODE_FLOAT,
	CONF_NODE_BOOL,
};

struct conf_node {
	enum conf_node_type type;
	bool is_bad; /* its value is wrong, which was reported */
	const char *name; /* NULL inside lists and arrays */
	struct conf_place place; /* of the name, else of the value */
	struct conf_place value_place;
	struct conf_node *parent;
	struct conf_node *first; /* child */
	struct conf_node *next;  /* sibling */
	unsigned count;          /* of children */
	union {
		struct span string; /* NUL-terminated, without a NUL inside */
		int64_t integer;
		double real;
		bool boolean;
	} v;
};

enum { CONF_TREE_DEPTH_MAX = 64 }; /* values inside values */

/*
 * Read path with its includes, and then conf_dir's *.conf in byte order, of
 * which only `upstreams` and `services` are appended (conf_dir NULL or absent
 * = none).  All memory from a.  NULL if nothing usable was read; errors are in
 * r.  A file of conf_dir counts up to its first syntax error.
 */
struct conf_node *conf_tree_load(struct arena *a, const char *path,
    const char *conf_dir, struct conf_report *r);
/* The same from memory, for --from, tests and fuzzing. */
struct conf_node *conf_tree_parse(struct arena *a, const char *file_name,
    struct span text, struct conf_report *r);
/* The child of that name, NULL if absent. */
struct conf_node *conf_node_get(const struct conf_node *group,
    const char *name);
/* "services[0].routes[2].path", for messages. */
const char *conf_node_path(struct arena *a, const struct conf_node *node);
const char *conf_node_type_name(enum conf_node_type type);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * item - option tables: every option is one row beside the code that uses it.
 *
 * From the rows come loading, range checks, defaults, the dump (weir -T) and
 * the check that weir.conf(5) documents each.  A table describes a C struct;
 * values are stored at offsets in it.
 */
#ifndef CONF_ITEM_H
#define CONF_ITEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "conf/regex.h"
#include "conf/report.h"
#include "conf/tree.h"
#include "os/addr.h"

struct arena;
struct conf_ctx;
struct conf_origins;
struct str;
struct template;
struct template_vars;

/* Type of an option, and in brackets what its place in the struct is. */
enum conf_type {
	CONF_TYPE_BOOL,     /* [bool] */
	CONF_TYPE_UINT,     /* [uint32_t] */
	CONF_TYPE_SIZE,     /* [uint64_t] bytes: "64KB" or integer */
	CONF_TYPE_DURATION, /* [uint64_t] milliseconds: "30s" or integer */
	CONF_TYPE_STRING,   /* [const char *] NULL = unset */
	CONF_TYPE_ENUM,     /* [uint32_t] a value of item->values */
	CONF_TYPE_TEMPLATE, /* [const struct template *] NULL = unset */
	CONF_TYPE_STRINGS,  /* [struct conf_strings] string, array or list */
	CONF_TYPE_UINTS,    /* [struct conf_uints] integer, array or list */
	CONF_TYPE_ADDRESS,  /* [const struct addr_spec *] NULL = unset */
	CONF_TYPE_RANGES,   /* [struct conf_ranges] CIDR strings */
	CONF_TYPE_REGEX,    /* [struct conf_regex *] NULL = unset */
	CONF_TYPE_MAP,      /* [struct conf_map] free names -> templates */
	CONF_TYPE_GROUP,    /* [the struct of item->table, embedded] */
	CONF_TYPE_LIST,     /* [struct conf_list] of groups of item->table */
	CONF_TYPE_CUSTOM,   /* item->parse stores what it likes */
};

struct conf_strings {
	const char **items;
	size_t count;
};

struct conf_uints {
	uint32_t *items;
	size_t count;
};

struct conf_ranges {
	struct addr_range *items;
	size_t count;
};

struct conf_map_entry {
	const char *name;
	const struct template *value;
	struct conf_place place;
};

struct conf_map {
	struct conf_map_entry *items;
	size_t count;
};

struct conf_list {
	void *items; /* structs of item->table->struct_bytes each */
	const struct conf_node **nodes; /* where each was written */
	size_t count;
};

struct conf_enum {
	const char *name; /* NULL ends the table */
	uint32_t value;
};

enum conf_flags {
	CONF_REQUIRED = 1,
	CONF_SECRET = 2,   /* masked in dumps */
	CONF_RESTART = 4,  /* takes effect at restart or upgrade only */
	CONF_FIELD_NAME = 8, /* strings and map names must be HTTP tokens */
	CONF_NOT_IN_ROUTE = 16, /* of connections: no route can decide it */
};

/* A SIZE or DURATION that a level above or beside decides; shown as unset. */
#define CONF_UNSET UINT64_MAX

struct conf_item {
	const char *name;      /* NULL ends the table */
	enum conf_type type;
	size_t offset;
	uint64_t min, max;     /* of numbers; both 0 = no range */
	/* As text ("30s"; lists as in a file: "[ 1, 2 ]"); NULL = unset,
	 * empty, 0. */
	const char *def;
	const char *unit;      /* "ms", "bytes", NULL; for the manual */
	const char *help;      /* one line */
	unsigned flags;
	/* Of ENUM; also extra words that a UINT takes ("auto"). */
	const struct conf_enum *values;
	const struct conf_table *table;  /* of GROUP and LIST */
	/* Of GROUP: 0, or the offset of a bool that is set once the group is
	 * given; until then it is not shown. */
	size_t present;
	/* Of CUSTOM: read node into field (item's place).  Reports itself. */
	int (*parse)(struct conf_ctx *ctx, const struct conf_node *node,
	    void *field);
	/* Of CUSTOM: the value as configuration text, for the dump; or NULL. */
	void (*print)(const void *field, struct str *out);
};

struct conf_table {
	const char *name; /* for messages and the manual: "upstream" */
	const struct conf_item *items;
	size_t struct_bytes;
	/*
	 * Cross-checks once the struct is filled; may be NULL.  -1 = reported.
	 * Not called for a group that is not mentioned, nor for one in which
	 * an error was found: its values are not what was meant.
	 */
	int (*check)(struct conf_ctx *ctx, const struct conf_node *node,
	    void *conf);
};

/* Rows: CONF_UINT("burst", struct x, burst, 1, 1000, "10", 0, "help") */
#define CONF_BOOL(key, st, member, def_, flags_, help_)                      \
	{ .name = key, .type = CONF_TYPE_BOOL, .offset = offsetof(st, member), \
	  .def = def_, .flags = flags_, .help = help_ }
#define CONF_UINT(key, st, member, min_, max_, def_, unit_, flags_, help_)   \
	{ .name = key, .type = CONF_TYPE_UINT, .offset = offsetof(st, member), \
	  .min = min_, .max = max_, .def = def_, .unit = unit_,              \
	  .flags = flags_, .help = help_ }
#define CONF_SIZE(key, st, member, min_, max_, def_, flags_, help_)          \
	{ .name = key, .type = CONF_TYPE_SIZE, .offset = offsetof(st, member), \
	  .min = min_, .max = max_, .def = def_, .unit = "bytes",            \
	  .flags = flags_, .help = help_ }
#define CONF_DURATION(key, st, member, min_, max_, def_, flags_, help_)      \
	{ .name = key, .type = CONF_TYPE_DURATION,                           \
	  .offset = offsetof(st, member), .min = min_, .max = max_,          \
	  .def = def_, .unit = "ms", .flags = flags_, .help = help_ }
#define CONF_ENUM(key, st, member, values_, def_, flags_, help_)             \
	{ .name = key, .type = CONF_TYPE_ENUM, .offset = offsetof(st, member), \
	  .values = values_, .def = def_, .flags = flags_, .help = help_ }
/* STRING, TEMPLATE, STRINGS, UINTS, ADDRESS, RANGES, REGEX, MAP */
#define CONF_VALUE(key, type_, st, member, def_, flags_, help_)              \
	{ .name = key, .type = CONF_TYPE_##type_,                            \
	  .offset = offsetof(st, member), .def = def_, .flags = flags_,      \
	  .help = help_ }
#define CONF_GROUP(key, st, member, table_, flags_, help_)                   \
	{ .name = key, .type = CONF_TYPE_GROUP,                              \
	  .offset = offsetof(st, member), .table = table_,                   \
	  .flags = flags_, .help = help_ }
#define CONF_LIST(key, st, member, table_, flags_, help_)                    \
	{ .name = key, .type = CONF_TYPE_LIST,                               \
	  .offset = offsetof(st, member), .table = table_,                   \
	  .flags = flags_, .help = help_ }
#define CONF_CUSTOM(key, st, member, parse_, print_, flags_, help_)          \
	{ .name = key, .type = CONF_TYPE_CUSTOM,                             \
	  .offset = offsetof(st, member), .parse = parse_, .print = print_,  \
	  .flags = flags_, .help = help_ }
#define CONF_END { .name = NULL }

enum conf_unknown { CONF_UNKNOWN_ERROR, CONF_UNKNOWN_WARN,
	CONF_UNKNOWN_IGNORE };

/* A level of the file, so that a misplaced key can be sent to its place. */
struct conf_level {
	const char *where; /* "a service", "the top level"; NULL ends them */
	const struct conf_table *table;
};

/* What one load works with; zero what is not needed. */
struct conf_ctx {
	struct arena *arena; /* of the generation: all values live there */
	struct conf_report *report;
	const struct template_vars *vars; /* what templates may name */
	enum conf_unknown unknown;
	struct conf_origins *origins; /* which value was set where; or NULL */
	const struct conf_level *levels; /* or NULL */
	unsigned refused; /* rows with one of these flags are not legal now */
	/* Out: all REGEXes; conf_regex_free_all() them with the arena. */
	struct conf_regex *regexes;
};

/*
 * A table and the struct that it fills: a group may be read by several.  With
 * conf NULL the table only makes its keys known: somebody else reads them.
 */
struct conf_part {
	const struct conf_table *table;
	void *conf;
};

/*
 * Set every option of the table to its default (GROUPs recursively).  CUSTOM
 * fields and what the table does not name stay as they are.
 */
void conf_defaults(struct conf_ctx *ctx, const struct conf_table *table,
    void *conf);
/*
 * Read group into the parts: each key is looked up in all tables; a key that
 * none has is unknown (with the nearest name suggested).  What the group does
 * not mention keeps its value, so that a struct copied from an outer level
 * inherits.  GROUPs are merged; LISTs, MAPs, arrays replace.  Elements of a
 * LIST start from defaults, in cleared memory.  A key that several tables have
 * is read into each.  REQUIRED: mentioned here, or inherited and not empty.
 * -1 if anything was reported as an error; all that can be read is read.
 */
int conf_apply(struct conf_ctx *ctx, const struct conf_node *group,
    const struct conf_part *parts, size_t count);

/*
 * Scalars by themselves, for CUSTOM parsers; -1 = reported at the node (by a
 * node that is_bad: before).
 */
int conf_read_duration(struct conf_ctx *ctx, const struct conf_node *node,
    uint64_t *ms);
int conf_read_size(struct conf_ctx *ctx, const struct conf_node *node,
    uint64_t *bytes);
int conf_read_template(struct conf_ctx *ctx, const struct conf_node *node,
    const struct template **t);
/* Without range. */
int conf_read_integer(struct conf_ctx *ctx, const struct conf_node *node,
    int64_t *value);
/* Terminated; lives in the tree's arena. */
int conf_read_string(struct conf_ctx *ctx, const struct conf_node *node,
    const char **text);
/* Report that node should have been "a list"; always -1. */
int conf_wrong_type(struct conf_ctx *ctx, const struct conf_node *node,
    const char *expected);
/* Report key as unknown in the parts, as conf_apply() does; -1 if an error. */
int conf_unknown_key(struct conf_ctx *ctx, const struct conf_node *key,
    const struct conf_part *parts, size_t count);
/* "a boolean (true or false)": what a value of that row looks like. */
const char *conf_expected(struct conf_ctx *ctx, const struct conf_item *item);

/* The nearest of the names (NULL-terminated) to word, NULL if none is near. */
const char *conf_nearest(const char *word, const char *const *names);

/*
 * A path that stands in node, under key, counts from the folder of the file in
 * which it stands; an absolute one, and one that is inherited, stays.
 */
void conf_item_path(struct conf_ctx *ctx, const struct conf_node *node,
    const char *key, const char **path);

#endif

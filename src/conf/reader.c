/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reader - one function per type of option.
 *
 * Defaults are text; they become a node and take the same way as the values of
 * a file, so that a default outside its own range is found at the first start.
 */
#include "conf/reader_private.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/str.h"
#include "conf/measure.h"
#include "conf/nearest.h"
#include "conf/template.h"
#include "conf/wording_private.h"

typedef int reader_fn(struct conf_ctx *ctx, const struct conf_item *item,
    const struct conf_node *node, void *field);

static int
out_of_range(struct conf_ctx *ctx, const struct conf_item *item,
    const struct conf_node *node, const char *found)
{
	conf_report_error(ctx->report, &node->value_place,
	    "%s is %s, but must be %s", wording_name(ctx, node), found,
	    conf_expected(ctx, item));
	return -1;
}

/* At the byte of the string where the trouble begins, if that can be told. */
static struct conf_place
place_in_string(const struct conf_node *node, size_t offset)
{
	struct conf_place place = node->value_place;
	const char *line = place.source;

	if (line == NULL || offset > node->v.string.len)
		return place;
	line += place.column - 1;
	if (line[0] == '"' &&
	    strncmp(line + 1, node->v.string.p, offset) == 0)
		place.column += (unsigned)offset + 1;
	return place;
}

int
conf_read_string(struct conf_ctx *ctx, const struct conf_node *node,
    const char **text)
{
	if (node->is_bad)
		return -1;
	if (node->type != CONF_NODE_STRING)
		return conf_wrong_type(ctx, node, "a string");
	*text = node->v.string.p;
	return 0;
}

int
conf_read_integer(struct conf_ctx *ctx, const struct conf_node *node,
    int64_t *value)
{
	if (node->is_bad)
		return -1;
	if (node->type != CONF_NODE_INT)
		return conf_wrong_type(ctx, node, "an integer");
	*value = node->v.integer;
	return 0;
}

static int
check_range(struct conf_ctx *ctx, const struct conf_item *item,
    const struct conf_node *node, uint64_t n)
{
	if (n >= item->min && n <= wording_largest(item))
		return 0;
	return out_of_range(ctx, item, node, wording_number(ctx, item, n));
}

/* A plain integer within the row's range, in the row's unit. */
static int
read_number(struct conf_ctx *ctx, const struct conf_item *item,
    const struct conf_node *node, uint64_t factor, uint64_t *n)
{
	int64_t value = node->v.integer;

	if (value < 0 || (uint64_t)value > INT64_MAX / factor)
		return out_of_range(ctx, item, node,
		    arena_printf(ctx->arena, "%" PRId64, value));
	*n = (uint64_t)value * factor;
	return check_range(ctx, item, node, *n);
}

static int
read_bool(struct conf_ctx *ctx, const struct conf_item *item,
    const struct conf_node *node, void *field)
{
	if (node->type != CONF_NODE_BOOL)
		return conf_wrong_type(ctx, node, conf_expected(ctx, item));
	*(bool *)field = node->v.boolean;
	return 0;
}

static const struct conf_enum *
find_word(const struct conf_enum *values, const char *word)
{
	for (; values->name != NULL; values++) {
		if (strcmp(values->name, word) == 0)
			return values;
	}
	return NULL;
}

static int
read_word(struct conf_ctx *ctx, const struct conf_item *item,
    const struct conf_node *node, void *field)
{
	const struct conf_enum *found;
	struct nearest n;

	if (node->type != CONF_NODE_STRING)
		return conf_wrong_type(ctx, node, conf_expected(ctx, item));
	found = find_word(item->values, node->v.string.p);
	if (found != NULL) {
		*(uint32_t *)field = found->value;
		return 0;
	}
	nearest_init(&n, node->v.string);
	for (const struct conf_enum *v = item->values; v->name != NULL; v++)
		nearest_offer(&n, v->name);
	conf_report_error(ctx->report, &node->value_place,
	    "%s is \"%s\", but must be %s%s", wording_name(ctx, node),
	    node->v.string.p, conf_expected(ctx, item), n.best == NULL ? "" :
	    arena_printf(ctx->arena, "; did you mean \"%s\"?", n.best));
	return -1;
}

static int
read_uint(struct conf_ctx *ctx, const struct conf_item *item,
    const struct conf_node *node, void *field)
{
	uint64_t n;

	if (item->values != NULL && node->type == CONF_NODE_STRING)
		return read_word(ctx, item, node, field);
	if (node->type != CONF_NODE_INT)
		return conf_wrong_type(ctx, node, conf_expected(ctx, item));
	if (read_number(ctx, item, node, 1, &n) != 0)
		return -1;
	*(uint32_t *)field = (uint32_t)n;
	return 0;
}

/* A string with a unit, or an integer. */
static int
read_measure(struct conf_ctx *ctx, const struct conf_item *item,
    const struct conf_node *node, void *field)
{
	bool is_duration = item->type == CONF_TYPE_DURATION;
	uint64_t factor = is_duration && strcmp(item->unit, "s") == 0 ?
	    1000 : 1;
	struct error err;
	uint64_t n;
	int result;

	if (node->type == CONF_NODE_INT) {
		if (read_number(ctx, item, node, factor, &n) != 0)
			return -1;
		*(uint64_t *)field = n;
		return 0;
	}
	if (node->type != CONF_NODE_STRING)
		return conf_wrong_type(ctx, node, conf_expected(ctx, item));
	if (is_duration)
		result = measure_duration(node->v.string, &n, &err);
	else
		result = measure_size(node->v.string, &n, &err);
	if (result != 0) {
		conf_report_error(ctx->report, &node->value_place, "%s: %s",
		    wording_name(ctx, node), err.text);
		return -1;
	}
	if (check_range(ctx, item, node, n) != 0)
		return -1;
	*(uint64_t *)field = n;
	return 0;
}

int
conf_read_duration(struct conf_ctx *ctx, const struct conf_node *node,
    uint64_t *ms)
{
	static const struct conf_item item = {
		.type = CONF_TYPE_DURATION, .unit = "ms",
	};

	return node->is_bad ? -1 : read_measure(ctx, &item, node, ms);
}

int
conf_read_size(struct conf_ctx *ctx, const struct conf_node *node,
    uint64_t *bytes)
{
	static const struct conf_item item = {
		.type = CONF_TYPE_SIZE, .unit = "bytes",
	};

	return node->is_bad ? -1 : read_measure(ctx, &item, node, bytes);
}

/* RFC 9110, section 5.6.2. */
static bool
is_token(const char *text)
{
	static const char marks[] = "!#$%&'*+-.^_`|~";
	const char *c = text;

	while ((*c >= 'A' && *c <= 'Z') || (*c >= 'a' && *c <= 'z') ||
	    (*c >= '0' && *c <= '9') ||
	    (*c != '\0' && strchr(marks, *c) != NULL))
		c++;
	return c > text && *c == '\0';
}

static int
read_text(struct conf_ctx *ctx, const struct conf_item *item,
    const struct conf_node *node, const char **text)
{
	if (node->type != CONF_NODE_STRING)
		return conf_wrong_type(ctx, node, conf_expected(ctx, item));
	if ((item->flags & CONF_FIELD_NAME) != 0 &&
	    !is_token(node->v.string.p)) {
		conf_report_error(ctx->report, &node->value_place,
		    "\"%s\" is not the name of a field", node->v.string.p);
		return -1;
	}
	*text = node->v.string.p;
	return 0;
}

static int
read_string(struct conf_ctx *ctx, const struct conf_item *item,
    const struct conf_node *node, void *field)
{
	return read_text(ctx, item, node, field);
}

int
conf_read_template(struct conf_ctx *ctx, const struct conf_node *node,
    const struct template **t)
{
	const struct template *compiled;
	struct error err;

	if (node->is_bad)
		return -1;
	if (node->type != CONF_NODE_STRING)
		return conf_wrong_type(ctx, node, "a string (a template)");
	compiled = template_compile(ctx->arena, node->v.string, ctx->vars,
	    &err);
	if (compiled == NULL) {
		conf_report_error(ctx->report, &node->value_place, "%s: %s",
		    wording_name(ctx, node), err.text);
		return -1;
	}
	*t = compiled;
	return 0;
}

static int
read_template(struct conf_ctx *ctx, const struct conf_item *item,
    const struct conf_node *node, void *field)
{
	(void)item;
	return conf_read_template(ctx, node, field);
}

static bool
is_sequence(const struct conf_node *node)
{
	return node->type == CONF_NODE_LIST || node->type == CONF_NODE_ARRAY;
}

/*
 * The scalars of a value that may be one or many: *first and the number of
 * siblings from there on.
 */
static size_t
elements_of(const struct conf_node *node, const struct conf_node **first)
{
	*first = is_sequence(node) ? node->first : node;
	return is_sequence(node) ? node->count : 1;
}

static int
read_strings(struct conf_ctx *ctx, const struct conf_item *item,
    const struct conf_node *node, void *field)
{
	struct conf_item one = *item; /* what an element is to be */
	struct conf_strings all;
	int result = 0;

	one.type = CONF_TYPE_STRING;
	if (!is_sequence(node) && node->type != CONF_NODE_STRING)
		return conf_wrong_type(ctx, node, conf_expected(ctx, item));
	all.count = elements_of(node, &node);
	all.items = arena_zalloc(ctx->arena, all.count * sizeof(*all.items));
	for (size_t i = 0; i < all.count; i++, node = node->next) {
		if (node->is_bad ||
		    read_text(ctx, &one, node, &all.items[i]) != 0)
			result = -1;
	}
	if (result == 0)
		*(struct conf_strings *)field = all;
	return result;
}

static int
read_uints(struct conf_ctx *ctx, const struct conf_item *item,
    const struct conf_node *node, void *field)
{
	struct conf_item one = *item; /* what an element is to be */
	struct conf_uints all;
	int result = 0;

	one.type = CONF_TYPE_UINT;
	if (!is_sequence(node) && node->type != CONF_NODE_INT)
		return conf_wrong_type(ctx, node, conf_expected(ctx, item));
	all.count = elements_of(node, &node);
	all.items = arena_zalloc(ctx->arena, all.count * sizeof(*all.items));
	for (size_t i = 0; i < all.count; i++, node = node->next) {
		if (node->is_bad ||
		    read_uint(ctx, &one, node, &all.items[i]) != 0)
			result = -1;
	}
	if (result == 0)
		*(struct conf_uints *)field = all;
	return result;
}

static int
read_range(struct conf_ctx *ctx, const struct conf_item *item,
    const struct conf_node *node, struct addr_range *range)
{
	struct error err;
	const char *text;

	if (node->is_bad || read_text(ctx, item, node, &text) != 0)
		return -1;
	if (addr_range_parse(node->v.string, range, &err) == 0)
		return 0;
	conf_report_error(ctx->report, &node->value_place, "%s: %s",
	    wording_name(ctx, node), err.text);
	return -1;
}

static int
read_ranges(struct conf_ctx *ctx, const struct conf_item *item,
    const struct conf_node *node, void *field)
{
	struct conf_ranges all;
	int result = 0;

	all.count = elements_of(node, &node);
	all.items = arena_zalloc(ctx->arena, all.count * sizeof(*all.items));
	for (size_t i = 0; i < all.count; i++, node = node->next) {
		if (read_range(ctx, item, node, &all.items[i]) != 0)
			result = -1;
	}
	if (result == 0)
		*(struct conf_ranges *)field = all;
	return result;
}

static int
read_address(struct conf_ctx *ctx, const struct conf_item *item,
    const struct conf_node *node, void *field)
{
	struct addr_spec *spec;
	struct error err;
	const char *text;

	if (read_text(ctx, item, node, &text) != 0)
		return -1;
	spec = arena_zalloc(ctx->arena, sizeof(*spec));
	if (addr_parse(node->v.string, 0, spec, &err) != 0) {
		conf_report_error(ctx->report, &node->value_place, "%s: %s",
		    wording_name(ctx, node), err.text);
		return -1;
	}
	*(const struct addr_spec **)field = spec;
	return 0;
}

static int
read_regex(struct conf_ctx *ctx, const struct conf_item *item,
    const struct conf_node *node, void *field)
{
	struct conf_place place;
	struct conf_regex *re;
	struct error err;
	const char *text;
	size_t offset;

	if (read_text(ctx, item, node, &text) != 0)
		return -1;
	re = conf_regex_compile(ctx->arena, node->v.string, &offset, &err);
	if (re == NULL) {
		place = place_in_string(node, offset);
		conf_report_error(ctx->report, &place, "%s: %s",
		    wording_name(ctx, node), err.text);
		return -1;
	}
	re->next = ctx->regexes;
	ctx->regexes = re;
	*(struct conf_regex **)field = re;
	return 0;
}

/* A field's value ends no line and holds no control character. */
static int
check_field_value(struct conf_ctx *ctx, const struct conf_node *node)
{
	const struct span text = node->v.string;

	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.p[i];
		struct conf_place place = place_in_string(node, i);

		if ((c >= 0x20 && c != 0x7f) || c == '\t')
			continue;
		conf_report_error(ctx->report, &place, "byte 0x%02x cannot "
		    "stand in the value of a field", c);
		return -1;
	}
	return 0;
}

static int
read_entry(struct conf_ctx *ctx, const struct conf_item *item,
    const struct conf_node *node, struct conf_map_entry *entry,
    struct hash_map *seen)
{
	bool is_field = (item->flags & CONF_FIELD_NAME) != 0;
	const struct conf_map_entry *before;

	entry->name = node->name;
	entry->place = node->place;
	if (node->is_bad)
		return -1;
	if (is_field) {
		before = hash_map_get(seen, span_cstr(node->name));
		if (before != NULL) {
			conf_report_error(ctx->report, &node->place,
			    "`%s` and `%s` are the same field", node->name,
			    before->name);
			return -1;
		}
		hash_map_put(seen, span_cstr(node->name), entry);
	}
	if (node->type != CONF_NODE_STRING)
		return conf_wrong_type(ctx, node, "a string (a template)");
	if (is_field && check_field_value(ctx, node) != 0)
		return -1;
	return conf_read_template(ctx, node, &entry->value);
}

static int
read_map(struct conf_ctx *ctx, const struct conf_item *item,
    const struct conf_node *node, void *field)
{
	struct hash_map seen;
	struct conf_map map;
	int result = 0;

	if (node->type != CONF_NODE_GROUP)
		return conf_wrong_type(ctx, node, conf_expected(ctx, item));
	hash_map_init(&seen, true);
	map.count = 0;
	map.items = arena_zalloc(ctx->arena,
	    node->count * sizeof(*map.items));
	for (const struct conf_node *n = node->first; n != NULL;
	    n = n->next) {
		if (read_entry(ctx, item, n, &map.items[map.count++],
		    &seen) != 0)
			result = -1;
	}
	hash_map_fini(&seen);
	if (result == 0)
		*(struct conf_map *)field = map;
	return result;
}

static int
read_custom(struct conf_ctx *ctx, const struct conf_item *item,
    const struct conf_node *node, void *field)
{
	return item->parse(ctx, node, field);
}

static const struct {
	reader_fn *read;
	size_t bytes; /* of the field */
} types[] = {
	[CONF_TYPE_BOOL] = { read_bool, sizeof(bool) },
	[CONF_TYPE_UINT] = { read_uint, sizeof(uint32_t) },
	[CONF_TYPE_SIZE] = { read_measure, sizeof(uint64_t) },
	[CONF_TYPE_DURATION] = { read_measure, sizeof(uint64_t) },
	[CONF_TYPE_STRING] = { read_string, sizeof(char *) },
	[CONF_TYPE_ENUM] = { read_word, sizeof(uint32_t) },
	[CONF_TYPE_TEMPLATE] = { read_template, sizeof(void *) },
	[CONF_TYPE_STRINGS] = { read_strings, sizeof(struct conf_strings) },
	[CONF_TYPE_UINTS] = { read_uints, sizeof(struct conf_uints) },
	[CONF_TYPE_ADDRESS] = { read_address, sizeof(void *) },
	[CONF_TYPE_RANGES] = { read_ranges, sizeof(struct conf_ranges) },
	[CONF_TYPE_REGEX] = { read_regex, sizeof(void *) },
	[CONF_TYPE_MAP] = { read_map, sizeof(struct conf_map) },
	[CONF_TYPE_GROUP] = { NULL, 0 },
	[CONF_TYPE_LIST] = { NULL, sizeof(struct conf_list) },
	[CONF_TYPE_CUSTOM] = { read_custom, 0 },
};

int
reader_read(struct conf_ctx *ctx, const struct conf_item *item,
    const struct conf_node *node, void *field)
{
	return types[item->type].read(ctx, item, node, field);
}

bool
reader_is_empty(const struct conf_item *item, const void *field)
{
	const char *bytes = field;
	size_t len = types[item->type].bytes;

	for (size_t i = 0; i < len; i++) {
		if (bytes[i] != 0)
			return false;
	}
	return len > 0;
}

/* "30s", "true", "17", or in brackets what a file would say. */
static const struct conf_node *
default_node(struct conf_ctx *ctx, const struct conf_item *item)
{
	struct span text = span_cstr(item->def);
	struct conf_node *node, *root;
	uint64_t n;

	if (item->def[0] == '[' || item->def[0] == '(' ||
	    item->def[0] == '{') {
		root = conf_tree_parse(ctx->arena, item->name,
		    span_cstr(arena_printf(ctx->arena, "%s = %s;", item->name,
		    item->def)), ctx->report);
		return root != NULL ? root->first : NULL;
	}
	node = arena_zalloc(ctx->arena, sizeof(*node));
	node->name = item->name;
	node->type = CONF_NODE_STRING;
	node->v.string = text;
	if (item->type == CONF_TYPE_BOOL) {
		node->type = CONF_NODE_BOOL;
		node->v.boolean = strcmp(item->def, "true") == 0;
	} else if ((item->type == CONF_TYPE_UINT ||
	    item->type == CONF_TYPE_UINTS || item->type == CONF_TYPE_SIZE ||
	    item->type == CONF_TYPE_DURATION) && span_u64(text, &n) == 0) {
		node->type = CONF_NODE_INT;
		node->v.integer = (int64_t)n;
	}
	return node;
}

void
reader_default(struct conf_ctx *ctx, const struct conf_item *item,
    void *field)
{
	const struct conf_node *node;

	if (item->type == CONF_TYPE_CUSTOM)
		return;
	memset(field, 0, types[item->type].bytes);
	if (item->def == NULL || item->type == CONF_TYPE_LIST)
		return;
	node = default_node(ctx, item);
	if (node != NULL)
		(void)reader_read(ctx, item, node, field);
}

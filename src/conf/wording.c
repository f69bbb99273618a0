/* SPDX-License-Identifier: BSD-2-Clause */
/* wording - what is there, and what should be, in words. */
#include "conf/wording_private.h"

#include <inttypes.h>

#include "base/arena.h"
#include "base/str.h"
#include "conf/measure.h"

/* How messages call a node: by its name, or as an element of what has one. */
const char *
wording_name(struct conf_ctx *ctx, const struct conf_node *node)
{
	if (node->name != NULL)
		return arena_printf(ctx->arena, "`%s`", node->name);
	if (node->parent != NULL && node->parent->name != NULL)
		return arena_printf(ctx->arena, "this element of `%s`",
		    node->parent->name);
	return "this value";
}

/* What stands there instead: its type, and what is short enough to show. */
static const char *
found_text(struct conf_ctx *ctx, const struct conf_node *node)
{
	switch (node->type) {
	case CONF_NODE_STRING:
		return arena_printf(ctx->arena, "the string \"%.40s\"",
		    node->v.string.p);
	case CONF_NODE_INT:
		return arena_printf(ctx->arena, "the integer %" PRId64,
		    node->v.integer);
	case CONF_NODE_FLOAT:
		return arena_printf(ctx->arena, "the number %g",
		    node->v.real);
	case CONF_NODE_BOOL:
		return node->v.boolean ? "the boolean true" :
		    "the boolean false";
	case CONF_NODE_GROUP:
	case CONF_NODE_LIST:
	case CONF_NODE_ARRAY:
		break;
	}
	return conf_node_type_name(node->type);
}

int
conf_wrong_type(struct conf_ctx *ctx, const struct conf_node *node,
    const char *expected)
{
	conf_report_error(ctx->report, &node->value_place,
	    "%s is %s, but must be %s", wording_name(ctx, node),
	    found_text(ctx, node), expected);
	return -1;
}

/* A number of the row's type as the admin writes it. */
const char *
wording_number(struct conf_ctx *ctx, const struct conf_item *item, uint64_t n)
{
	char *memory = arena_alloc(ctx->arena, 32);
	struct str text;

	str_init(&text, memory, 32);
	if (item->type == CONF_TYPE_DURATION)
		measure_put_duration(&text, n);
	else if (item->type == CONF_TYPE_SIZE)
		measure_put_size(&text, n);
	else
		str_u64(&text, n);
	return str_terminate(&text);
}

uint64_t
wording_largest(const struct conf_item *item)
{
	bool is_wide = item->type == CONF_TYPE_DURATION ||
	    item->type == CONF_TYPE_SIZE;
	uint64_t max = is_wide ? INT64_MAX : UINT32_MAX;

	if (item->min == 0 && item->max == 0)
		return max;
	return item->max < max ? item->max : max;
}

/* " from 1 to 256", or nothing where any number will do. */
static const char *
range_text(struct conf_ctx *ctx, const struct conf_item *item)
{
	if (wording_largest(item) >= UINT32_MAX &&
	    item->type != CONF_TYPE_DURATION && item->type != CONF_TYPE_SIZE)
		return item->min == 0 ? "" : arena_printf(ctx->arena,
		    " of at least %" PRIu64, item->min);
	if (wording_largest(item) == INT64_MAX)
		return item->min == 0 ? "" : arena_printf(ctx->arena,
		    " of at least %s", wording_number(ctx, item, item->min));
	return arena_printf(ctx->arena, " from %s to %s",
	    wording_number(ctx, item, item->min),
	    wording_number(ctx, item, item->max));
}

/* "a", "b" or "c" */
static const char *
words_text(struct conf_ctx *ctx, const struct conf_enum *values)
{
	const char *text = "";

	for (const struct conf_enum *v = values; v->name != NULL; v++) {
		const char *comma = v == values ? "" :
		    v[1].name == NULL ? " or " : ", ";

		text = arena_printf(ctx->arena, "%s%s\"%s\"", text, comma,
		    v->name);
	}
	return text;
}

const char *
conf_expected(struct conf_ctx *ctx, const struct conf_item *item)
{
	switch (item->type) {
	case CONF_TYPE_BOOL:
		return "true or false";
	case CONF_TYPE_UINT:
		if (item->values == NULL)
			return arena_printf(ctx->arena, "an integer%s",
			    range_text(ctx, item));
		return arena_printf(ctx->arena, "an integer%s or %s",
		    range_text(ctx, item), words_text(ctx, item->values));
	case CONF_TYPE_SIZE:
		return arena_printf(ctx->arena,
		    "a size%s (\"64KB\", or an integer of bytes)",
		    range_text(ctx, item));
	case CONF_TYPE_DURATION:
		return arena_printf(ctx->arena,
		    "a duration%s (\"30s\", or an integer of %s)",
		    range_text(ctx, item), item->unit);
	case CONF_TYPE_STRING:
		return "a string";
	case CONF_TYPE_ENUM:
		return words_text(ctx, item->values);
	case CONF_TYPE_TEMPLATE:
		return "a string (a template)";
	case CONF_TYPE_STRINGS:
		return "a string or a list of strings";
	case CONF_TYPE_UINTS:
		return arena_printf(ctx->arena,
		    "an integer%s or a list of such", range_text(ctx, item));
	case CONF_TYPE_ADDRESS:
		return "a string (\"host:port\" or \"unix:/path\")";
	case CONF_TYPE_RANGES:
		return "a string or a list of strings (address ranges such "
		    "as \"10.0.0.0/8\")";
	case CONF_TYPE_REGEX:
		return "a string (a regular expression)";
	case CONF_TYPE_MAP:
		return "a group `{ name = \"value\"; }`";
	case CONF_TYPE_GROUP:
		return "a group `{ }`";
	case CONF_TYPE_LIST:
		return "a list of groups `( { }, { } )`";
	case CONF_TYPE_CUSTOM:
		break;
	}
	return "something else";
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* item - which row of which table a key meets, and what is done about it. */
#include "conf/item.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "conf/reader_private.h"
#include "conf/nearest.h"
#include "conf/origins.h"

enum { PARTS_MAX = 64 }; /* tables that share one group */

static const struct conf_item *
find_item(const struct conf_table *table, const char *name)
{
	for (const struct conf_item *item = table->items; item->name != NULL;
	    item++) {
		if (item->name[0] == name[0] && strcmp(item->name, name) == 0)
			return item;
	}
	return NULL;
}

static void *
field_of(const struct conf_item *item, void *conf)
{
	return (char *)conf + item->offset;
}

void
conf_defaults(struct conf_ctx *ctx, const struct conf_table *table,
    void *conf)
{
	for (const struct conf_item *item = table->items; item->name != NULL;
	    item++) {
		if (item->type == CONF_TYPE_GROUP)
			conf_defaults(ctx, item->table,
			    field_of(item, conf));
		else
			reader_default(ctx, item, field_of(item, conf));
	}
}

const char *
conf_nearest(const char *word, const char *const *names)
{
	struct nearest n;

	nearest_init(&n, span_cstr(word));
	for (; *names != NULL; names++)
		nearest_offer(&n, *names);
	return n.best;
}

/* The best name so far, and where it is known (NULL = right here). */
struct guess {
	struct nearest nearest;
	const char *where;
};

static void
guess_table(struct guess *g, const struct conf_table *table,
    const char *where)
{
	for (const struct conf_item *item = table->items; item->name != NULL;
	    item++) {
		const char *before = g->nearest.best;

		nearest_offer(&g->nearest, item->name);
		if (g->nearest.best != before)
			g->where = where;
	}
}

/* The same in what is nested in the table: "`timeouts` of an upstream". */
static void
guess_inside(struct conf_ctx *ctx, struct guess *g,
    const struct conf_table *table, const char *where)
{
	for (const struct conf_item *item = table->items; item->name != NULL;
	    item++) {
		if (item->table != NULL)
			guess_table(g, item->table, arena_printf(ctx->arena,
			    where != NULL ? "`%s` of %s" : "`%s`",
			    item->name, where));
	}
}

static void
guess_elsewhere(struct conf_ctx *ctx, struct guess *g,
    const struct conf_part *parts, size_t count)
{
	for (size_t i = 0; i < count; i++)
		guess_inside(ctx, g, parts[i].table, NULL);
	for (const struct conf_level *level = ctx->levels;
	    level != NULL && level->where != NULL; level++)
		guess_table(g, level->table, level->where);
	for (const struct conf_level *level = ctx->levels;
	    level != NULL && level->where != NULL; level++)
		guess_inside(ctx, g, level->table, level->where);
}

/* "; did you mean `x`?", or "". */
static const char *
hint_for(struct conf_ctx *ctx, const char *key,
    const struct conf_part *parts, size_t count)
{
	struct guess here = { .where = NULL }, other = { .where = NULL };

	nearest_init(&here.nearest, span_cstr(key));
	nearest_init(&other.nearest, span_cstr(key));
	for (size_t i = 0; i < count; i++)
		guess_table(&here, parts[i].table, NULL);
	guess_elsewhere(ctx, &other, parts, count);
	/* A slip of one letter is likelier than a key in a wrong place. */
	if (other.nearest.best != NULL &&
	    strcmp(other.nearest.best, key) == 0 &&
	    (here.nearest.best == NULL || here.nearest.distance > 1))
		return arena_printf(ctx->arena, "; it belongs into %s",
		    other.where);
	if (here.nearest.best != NULL)
		return arena_printf(ctx->arena, "; did you mean `%s`?",
		    here.nearest.best);
	if (other.nearest.best != NULL)
		return arena_printf(ctx->arena,
		    "; did you mean `%s`, which belongs into %s?",
		    other.nearest.best, other.where);
	return "";
}

int
conf_unknown_key(struct conf_ctx *ctx, const struct conf_node *key,
    const struct conf_part *parts, size_t count)
{
	const char *hint;

	if (ctx->unknown == CONF_UNKNOWN_IGNORE)
		return 0;
	hint = hint_for(ctx, key->name, parts, count);
	if (ctx->unknown == CONF_UNKNOWN_WARN) {
		conf_report_warning(ctx->report, &key->place,
		    "unknown setting `%s`%s", key->name, hint);
		return 0;
	}
	conf_report_error(ctx->report, &key->place, "unknown setting `%s`%s",
	    key->name, hint);
	return -1;
}

static int
read_list(struct conf_ctx *ctx, const struct conf_item *item,
    const struct conf_node *node, struct conf_list *list)
{
	const struct conf_table *table = item->table;
	size_t i = 0;
	int result = 0;
	char *items;

	if (node->type != CONF_NODE_LIST)
		return conf_wrong_type(ctx, node, conf_expected(ctx, item));
	items = arena_zalloc(ctx->arena, node->count * table->struct_bytes);
	list->nodes = arena_alloc(ctx->arena,
	    node->count * sizeof(*list->nodes));
	for (const struct conf_node *n = node->first; n != NULL;
	    n = n->next) {
		struct conf_part part = { table,
			items + i * table->struct_bytes };

		conf_defaults(ctx, table, part.conf);
		if (conf_apply(ctx, n, &part, 1) != 0)
			result = -1;
		list->nodes[i++] = n;
	}
	list->items = items;
	list->count = i;
	return result;
}

/* The structs of a GROUP that key names in one or more of the parts. */
static int
apply_group(struct conf_ctx *ctx, const struct conf_node *key,
    const struct conf_part *parts, size_t count)
{
	struct conf_part inner[PARTS_MAX];
	const struct conf_item *item = NULL;
	size_t inner_count = 0;

	for (size_t i = 0; i < count; i++) {
		const struct conf_item *found =
		    find_item(parts[i].table, key->name);

		if (found == NULL || found->type != CONF_TYPE_GROUP ||
		    parts[i].conf == NULL)
			continue;
		item = found;
		if (item->present != 0) {
			bool *present = (bool *)(void *)
			    ((char *)parts[i].conf + item->present);

			*present = true;
			/* An empty one says something as well. */
			conf_origins_set(ctx->origins, present, &key->place);
		}
		inner[inner_count++] = (struct conf_part){ found->table,
			field_of(found, parts[i].conf) };
	}
	if (key->type != CONF_NODE_GROUP)
		return conf_wrong_type(ctx, key, conf_expected(ctx, item));
	return conf_apply(ctx, key, inner, inner_count);
}

static int
refuse(struct conf_ctx *ctx, const struct conf_node *key)
{
	conf_report_error(ctx->report, &key->place, "`%s` cannot be set here: "
	    "it holds for a whole service", key->name);
	return -1;
}

/* -1 if the value is wrong, also where that was reported before. */
static int
apply_key(struct conf_ctx *ctx, const struct conf_node *key,
    const struct conf_part *parts, size_t count)
{
	bool is_known = false, has_group = false;
	int result = key->is_bad ? -1 : 0;

	for (size_t i = 0; i < count; i++) {
		const struct conf_item *item =
		    find_item(parts[i].table, key->name);
		void *field;

		if (item == NULL)
			continue;
		is_known = true;
		if ((item->flags & ctx->refused) != 0)
			result = refuse(ctx, key);
		if (parts[i].conf == NULL)
			continue;
		field = field_of(item, parts[i].conf);
		if (item->type == CONF_TYPE_GROUP) {
			has_group = true;
			continue;
		}
		if (item->type == CONF_TYPE_LIST ?
		    read_list(ctx, item, key, field) != 0 :
		    !key->is_bad && reader_read(ctx, item, key, field) != 0)
			result = -1;
		conf_origins_set(ctx->origins, field, &key->place);
	}
	if (has_group && apply_group(ctx, key, parts, count) != 0)
		result = -1;
	if (!is_known)
		conf_unknown_key(ctx, key, parts, count);
	return result;
}

static void
check_required(struct conf_ctx *ctx, const struct conf_node *group,
    const struct conf_part *part)
{
	for (const struct conf_item *item = part->table->items;
	    item->name != NULL; item++) {
		if ((item->flags & CONF_REQUIRED) == 0 ||
		    conf_node_get(group, item->name) != NULL)
			continue;
		if (reader_is_empty(item, field_of(item, part->conf)))
			conf_report_error(ctx->report, &group->value_place,
			    "`%s` is missing: %s needs it (%s)", item->name,
			    part->table->name, item->help);
	}
}

int
conf_apply(struct conf_ctx *ctx, const struct conf_node *group,
    const struct conf_part *parts, size_t count)
{
	size_t errors = conf_report_errors(ctx->report);
	int result = 0;

	assert(count <= PARTS_MAX);
	if (group->type != CONF_NODE_GROUP)
		return conf_wrong_type(ctx, group, "a group `{ }`");
	for (const struct conf_node *key = group->first; key != NULL;
	    key = key->next) {
		if (apply_key(ctx, key, parts, count) != 0)
			result = -1;
	}
	for (size_t i = 0; i < count; i++) {
		if (parts[i].conf != NULL)
			check_required(ctx, group, &parts[i]);
	}
	if (result != 0 || conf_report_errors(ctx->report) != errors)
		return -1;
	for (size_t i = 0; i < count; i++) {
		if (parts[i].conf != NULL && parts[i].table->check != NULL &&
		    parts[i].table->check(ctx, group, parts[i].conf) != 0)
			return -1;
	}
	return conf_report_errors(ctx->report) == errors ? 0 : -1;
}

void
conf_item_path(struct conf_ctx *ctx, const struct conf_node *node,
    const char *key, const char **path)
{
	const char *file = node->place.file;
	const char *slash = file != NULL ? strrchr(file, '/') : NULL;

	if (*path == NULL || **path == '/' || **path == '\0' ||
	    slash == NULL || conf_node_get(node, key) == NULL)
		return;
	*path = arena_printf(ctx->arena, "%.*s/%s", (int)(slash - file), file,
	    *path);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * build_level - the options that a level may set for what is within it.
 *
 * A level that says nothing of a table points at the struct of the level
 * around it; so a route points at the values that hold for it.
 */
#include "site/build_private.h"

#include <string.h>

#include "base/arena.h"
#include "conf/origins.h"
#include "proxy/core_conf.h"
#include "site/modules.h"

static bool
mentions(const struct conf_node *group, const struct conf_table *table)
{
	for (const struct conf_item *i = table->items; i->name != NULL; i++) {
		if (conf_node_get(group, i->name) != NULL)
			return true;
	}
	return false;
}

static void *
copy_of(struct build *b, const void *conf, size_t len)
{
	void *copy = arena_alloc(b->ctx->arena, len);

	memcpy(copy, conf, len);
	conf_origins_inherit(b->ctx->origins, copy, conf);
	return copy;
}

static struct build_started *
note_started(struct build *b, const struct module *m, void *conf,
    const struct conf_node *node)
{
	struct build_started *s = arena_zalloc(b->ctx->arena, sizeof(*s));

	s->module = m;
	s->conf = conf;
	if (node != NULL)
		s->place = node->place;
	s->next = b->started;
	b->started = s;
	return s;
}

/* Whose struct `own` is, by its table. */
static void
note_owner(struct build_started *s, const struct conf_table *table,
    const void *own)
{
	if (table == &route_conf_service_table) {
		s->service = own;
	} else if (table == &route_conf_table) {
		s->route = own;
		s->service = s->route->service;
	}
}

void
build_level_defaults(struct build *b, struct build_level *level)
{
	size_t modules = modules_count();
	struct core_conf *core = arena_zalloc(b->ctx->arena, sizeof(*core));

	conf_defaults(b->ctx, &core_conf_table, core);
	level->core = core;
	level->modules = arena_zalloc(b->ctx->arena,
	    (modules + 1) * sizeof(*level->modules));
	for (size_t i = 0; i < modules; i++) {
		const struct module *m = modules_get(i);
		void *conf = arena_zalloc(b->ctx->arena, m->conf_size);

		conf_defaults(b->ctx, m->table, conf);
		level->modules[i] = conf;
		(void)note_started(b, m, conf, NULL);
	}
}

int
build_level_read(struct build *b, const struct conf_node *node,
    const struct build_level *outer, const struct conf_table *own_table,
    void *own, struct build_level *level)
{
	struct conf_part parts[BUILD_PARTS_MAX];
	size_t count = 0, modules = modules_count();
	int result;

	*level = *outer;
	if (own_table != NULL)
		parts[count++] = (struct conf_part){ own_table, own };
	/*
	 * Tables that the group does not mention are given too, with a struct
	 * that is thrown away, so that unknown keys get the best suggestion.
	 */
	if (mentions(node, &core_conf_table)) {
		void *core = copy_of(b, outer->core, sizeof(*outer->core));

		level->core = core;
		parts[count++] = (struct conf_part){ &core_conf_table, core };
	} else {
		parts[count++] = (struct conf_part){ &core_conf_table, NULL };
	}
	for (size_t i = 0; i < modules; i++) {
		const struct module *m = modules_get(i);
		void *conf;

		if (!mentions(node, m->table)) {
			parts[count++] = (struct conf_part){ m->table, NULL };
			continue;
		}
		if (level->modules == outer->modules)
			level->modules = copy_of(b, outer->modules,
			    modules * sizeof(*level->modules));
		conf = copy_of(b, outer->modules[i], m->conf_size);
		level->modules[i] = conf;
		note_owner(note_started(b, m, conf, node), own_table, own);
		parts[count++] = (struct conf_part){ m->table, conf };
	}
	if (own_table == &route_conf_table)
		b->ctx->refused = CONF_NOT_IN_ROUTE;
	result = conf_apply(b->ctx, node, parts, count);
	b->ctx->refused = 0;
	return result;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* build_phases - the handlers of each phase, in their order, for one level. */
#include "site/build_private.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "site/modules.h"

/* A handler and its place in the order. */
struct ordered {
	struct phase_handler handler;
	int order;
};

static int
by_order(const void *a, const void *b)
{
	const struct ordered *x = a, *y = b;

	if (x->order != y->order)
		return x->order < y->order ? -1 : 1;
	return strcmp(x->handler.module, y->handler.module);
}

/* False if the module has no handler there, or none for this conf. */
static bool
find_handler(const struct module *m, const void *conf, enum phase phase,
    struct ordered *o)
{
	if (m->is_active != NULL && !m->is_active(conf))
		return false;
	if (m->hooks[phase] != NULL)
		o->handler.fn.hook = m->hooks[phase];
	else if (m->body_hooks[phase] != NULL)
		o->handler.fn.body = m->body_hooks[phase];
	else if (m->trailers_hooks[phase] != NULL)
		o->handler.fn.trailers = m->trailers_hooks[phase];
	else
		return false;
	o->handler.cancel = m->on_cancel;
	o->handler.module = m->name;
	o->order = m->order;
	return m->runs_in == NULL || m->runs_in(conf, phase);
}

static bool
find_late_handler(struct build *b, const struct module *m, const void *conf,
    enum phase phase, struct ordered *o)
{
	const struct module_late *late = m->late;

	if (late == NULL || late->hooks[phase] == NULL ||
	    (m->is_active != NULL && !m->is_active(conf)) ||
	    (late->runs_in != NULL && !late->runs_in(conf, phase)))
		return false;
	o->handler.fn.hook = late->hooks[phase];
	o->handler.cancel = m->on_cancel;
	o->handler.module = arena_printf(b->ctx->arena, "%s(late)", m->name);
	o->order = late->order;
	return true;
}

static void
fill_chain(struct build *b, const struct build_level *level,
    enum phase phase, struct phase_chain *chain)
{
	struct ordered found[2 * BUILD_PARTS_MAX];
	struct phase_handler *items;
	uint32_t count = 0;

	for (size_t i = 0; i < modules_count(); i++) {
		const struct module *m = modules_get(i);
		const void *conf = level->modules[i];

		memset(&found[count], 0, 2 * sizeof(*found));
		count += find_handler(m, conf, phase, &found[count]);
		count += find_late_handler(b, m, conf, phase, &found[count]);
		for (uint32_t j = count > 2 ? count - 2 : 0; j < count; j++) {
			if (found[j].handler.conf != NULL)
				continue;
			found[j].handler.conf = conf;
			found[j].handler.module_index = (uint32_t)i;
		}
	}
	if (count == 0) {
		*chain = (struct phase_chain){ NULL, 0 };
		return;
	}
	qsort(found, count, sizeof(*found), by_order);
	items = arena_alloc(b->ctx->arena, count * sizeof(*items));
	for (uint32_t i = 0; i < count; i++)
		items[i] = found[i].handler;
	*chain = (struct phase_chain){ items, count };
}

void
build_phases(struct build *b, const struct build_level *level,
    struct phase_table *table)
{
	table->used = 0;
	for (unsigned i = 0; i < PHASE_COUNT; i++) {
		fill_chain(b, level, (enum phase)i, &table->chains[i]);
		if (table->chains[i].count > 0)
			table->used |= PHASE_BIT(i);
	}
}

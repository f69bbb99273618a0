/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * relay_starved - sources that pause because body_memory is used up.
 *
 * Nothing of theirs may be on its way, so that no event would wake them: they
 * are asked again now and then.
 */
#include "base/now.h"
#include "proxy/relay_private.h"

enum { LOOK_EVERY_MS = 20 };

void
relay_starved_init(struct proxy *p)
{
	list_init(&p->starved);
	deadline_init(&p->starved_look, relay_starved_on_look);
}

void
relay_starved_note(struct exchange *ex)
{
	struct proxy *p = ex->proxy;

	if (ex->is_starved)
		return;
	ex->is_starved = true;
	if (list_is_empty(&p->starved))
		deadline_set(p->loop, &p->starved_look,
		    now_ms() + LOOK_EVERY_MS);
	list_push_back(&p->starved, &ex->starved);
	counter_add(&p->stats[PROXY_STAT_BODY_PAUSED], 1);
}

void
relay_starved_on_look(struct deadline *d)
{
	struct proxy *p = LIST_OF(d, struct proxy, starved_look);

	if (list_is_empty(&p->starved))
		return;
	if (!block_pool_has_room(&p->blocks)) {
		deadline_set(p->loop, d, now_ms() + LOOK_EVERY_MS);
		return;
	}
	LIST_EACH(&p->starved, node, after) {
		struct exchange *ex = LIST_OF(node, struct exchange, starved);

		/* Who finds none left again comes back behind the others. */
		list_remove(&ex->starved);
		ex->is_starved = false;
		ex->client_ops->resume(ex);
		if (ex->backend_conn != NULL)
			ex->backend_ops->resume(ex);
	}
	proxy_flush(p);
}

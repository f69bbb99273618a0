/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * children_adopt - until a slot's next process serves, a neighbour accepts from
 * its sockets.
 */
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "master/children_private.h"

static void
tell_slot(struct child *child, enum channel_type type, unsigned number)
{
	struct channel_slot body = { .slot = number };

	/* One that has just died is noticed otherwise. */
	if (channel_send(&child->channel, type, &body, sizeof(body), NULL,
	    0) != 0 && errno != EPIPE && errno != ECONNRESET)
		log_warn(NULL, "%s (pid %ld): telling it about slot %u: %s",
		    child->slot->name, (long)child->pid, number,
		    strerror(errno));
}

/* The next worker behind slot that serves, or NULL. */
static struct child *
neighbour(struct child_slot *slot)
{
	struct children *c = slot->children;

	for (unsigned i = 1; i < c->config.workers; i++) {
		size_t at = (slot->number + i) % c->config.workers + 1;

		if (child_is_serving(c->slots[at].current))
			return c->slots[at].current;
	}
	return NULL;
}

void
children_adopt(struct children *c)
{
	if (!c->was_ready || c->is_stopping)
		return;
	for (size_t i = 1; i <= c->config.workers; i++) {
		struct child_slot *slot = &c->slots[i];

		if (child_is_serving(slot->current)) {
			if (slot->adopter != NULL)
				tell_slot(slot->adopter, CHANNEL_RELEASE,
				    slot->number);
			slot->adopter = NULL;
		} else if (slot->adopter == NULL) {
			slot->adopter = neighbour(slot);
			if (slot->adopter != NULL)
				tell_slot(slot->adopter, CHANNEL_ADOPT,
				    slot->number);
		}
	}
}

void
children_adopt_forget(struct children *c, const struct child *child)
{
	for (size_t i = 1; i < c->slot_count; i++) {
		if (c->slots[i].adopter == child)
			c->slots[i].adopter = NULL;
	}
}

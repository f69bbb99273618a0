/* SPDX-License-Identifier: BSD-2-Clause */
/* children_files - contents of files to processes, and their answers. */
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "master/children_private.h"
#include "site/generation.h"

static bool
send_to(struct child *child, const struct channel_file *body, int fd)
{
	if (channel_send(&child->channel, CHANNEL_FILE, body, sizeof(*body),
	    &fd, 1) == 0)
		return true;
	/* Who has gone needs none; its successor has it from the start. */
	if (errno == EPIPE || errno == ECONNRESET)
		return true;
	log_warn(NULL, "sending a file to %s: %s; it is tried again",
	    child->slot->name, strerror(errno));
	return false;
}

bool
children_files_send(struct children *c, uint32_t number, uint32_t version,
    bool is_check, int fd)
{
	const struct channel_file body = { number, version, is_check };
	bool is_whole = true;

	if (is_check)
		return c->slots[0].current != NULL &&
		    send_to(c->slots[0].current, &body, fd);
	LIST_EACH(&c->all, node, after) {
		if (!send_to(LIST_OF(node, struct child, node), &body, fd))
			is_whole = false;
	}
	return is_whole;
}

static bool
send_file(void *arg, uint32_t number, uint32_t version, bool is_check, int fd)
{
	return children_files_send(arg, number, version, is_check, fd);
}

void
children_files_hear(struct child *child, const struct channel_message *m)
{
	struct children *c = child->children;
	const struct generation_send send = { NULL, send_file, c };

	generation_files_hear(c->config.generation, m,
	    child->slot->is_background, child->slot->name, &send);
}

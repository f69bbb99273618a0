/* SPDX-License-Identifier: BSD-2-Clause */
/* master_logs - where the master's own lines go, and USR1. */
#include "master/master_logs.h"

#include <stdlib.h>

#include "base/error.h"
#include "base/heap_alloc.h"
#include "base/log.h"
#include "master/master_private.h"
#include "site/generation.h"
#include "site/shared.h"

void
master_logs_use(struct master *m)
{
	const struct generation *g = generations_serving(&m->generations);

	m->log_output.targets = &m->shared->targets;
	m->log_output.target = generation_shared(g)->error_log;
	log_set_sink(logtarget_sink, &m->log_output);
	log_set_level(
	    (enum log_level)generation_settings(g)->error_log.level);
}

void
master_logs_say_failure(const struct master *m, const char *why)
{
	const struct logtarget_output *out = m->log_output.targets != NULL
	    ? &m->log_output : &m->upgrade.early_output;

	if (out->targets != NULL)
		log_error(NULL, "%s", why);
	if (out->targets == NULL || m->daemonize.stderr_fd >= 0 ||
	    out->targets->items[out->target].kind != LOGTARGET_STDERR)
		daemonize_print(&m->daemonize, why);
}

void
master_logs_reopen(struct master *m)
{
	struct logtargets *targets = &m->shared->targets;
	uint32_t *ids = heap_alloc_zeroed(targets->count, sizeof(*ids));
	int *fds = heap_alloc_zeroed(targets->count, sizeof(*fds));
	size_t count = 0;

	log_notice(NULL, "reopening the logs");
	for (unsigned id = 0; id < targets->count; id++) {
		struct error err;

		if (targets->items[id].uses == 0 ||
		    targets->items[id].kind != LOGTARGET_FILE)
			continue;
		if (logtarget_reopen(targets, id, &err) != 0) {
			log_error(NULL, "%s; the old file stays in use",
			    err.text);
			continue;
		}
		ids[count] = id;
		fds[count++] = targets->items[id].fd;
	}
	generations_replace_logs(&m->generations, ids, fds, count);
	free(ids);
	free(fds);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* orphan_logs - a log writer in a worker. */
#include "background/orphan_logs.h"

#include <fcntl.h>
#include <stdlib.h>

#include "background/logwriter.h"
#include "base/heap_alloc.h"
#include "base/list.h"
#include "base/now.h"
#include "os/deadline.h"
#include "site/shared.h"

enum {
	/* A background process that lives has the lock long before. */
	AGAIN_MS = 1000,
	LAST_LINES_MS = 2000, /* for outputs that are busy at the end */
};

struct orphan_logs {
	struct shared *shared;
	struct loop *loop;
	unsigned process;
	struct deadline again;
	struct logwriter *writer; /* NULL = it is another's turn */
};

static void
try_to_write(struct orphan_logs *o)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	struct shared *s = o->shared;
	const struct logwriter_config config = {
		.loop = o->loop,
		.rings = s->ring_list,
		.ring_count = s->process_count,
		.targets = &s->targets,
		.kick_fd = s->kick_fd,
		.counters = metrics_block(&s->metrics, &logwriter_metrics,
		    o->process, 0),
	};

	if (fcntl(s->log_zone.fd, F_SETLK, &lock) == 0)
		o->writer = logwriter_start(&config);
}

static void
on_again(struct deadline *d)
{
	struct orphan_logs *o = LIST_OF(d, struct orphan_logs, again);

	try_to_write(o);
	if (o->writer == NULL)
		deadline_set(o->loop, d, now_ms() + AGAIN_MS);
}

struct orphan_logs *
orphan_logs_start(struct shared *shared, struct loop *loop, unsigned process)
{
	struct orphan_logs *o = heap_alloc_zeroed(1, sizeof(*o));

	*o = (struct orphan_logs){ .shared = shared, .loop = loop,
		.process = process };
	deadline_init(&o->again, on_again);
	deadline_set(loop, &o->again, now_ms() + AGAIN_MS);
	return o;
}

void
orphan_logs_stop(struct orphan_logs *o)
{
	if (o == NULL)
		return;
	if (o->writer == NULL)
		try_to_write(o);
	deadline_stop(o->loop, &o->again);
	if (o->writer != NULL) {
		logwriter_flush(o->writer, LAST_LINES_MS);
		logwriter_stop(o->writer);
	}
	free(o);
}

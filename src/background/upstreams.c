/* SPDX-License-Identifier: BSD-2-Clause */
/* upstreams - upkeep of the backends' shared state. */
#include "background/upstreams.h"

#include <stdlib.h>

#include "background/checks.h"
#include "base/heap_alloc.h"
#include "base/list.h"
#include "base/now.h"
#include "os/loop.h"
#include "site/generation.h"
#include "upstream/backend.h"

enum { MEND_EVERY_MS = 500 };

struct upstreams {
	struct loop *loop;
	const struct generation_shared *shared;
	struct checks *checks;
	struct deadline mend;
};

static void
on_mend(struct deadline *d)
{
	struct upstreams *u = LIST_OF(d, struct upstreams, mend);

	backend_zone_mend(u->shared->backends);
	deadline_set(u->loop, d, now_ms() + MEND_EVERY_MS);
}

struct upstreams *
upstreams_start(struct loop *loop, const struct generation_shared *shared)
{
	struct upstreams *u = heap_alloc_zeroed(1, sizeof(*u));

	u->loop = loop;
	u->shared = shared;
	deadline_init(&u->mend, on_mend);
	on_mend(&u->mend);
	u->checks = checks_start(loop, shared->groups, shared->group_count);
	return u;
}

void
upstreams_stop(struct upstreams *u)
{
	if (u == NULL)
		return;
	checks_stop(u->checks);
	deadline_stop(u->loop, &u->mend);
	free(u);
}

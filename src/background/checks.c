/* SPDX-License-Identifier: BSD-2-Clause */
/* checks - when health checks are made, and what their results change. */
#include "background/checks.h"

#include <stdlib.h>

#include "background/probe.h"
#include "base/block.h"
#include "base/entropy.h"
#include "base/heap_alloc.h"
#include "base/list.h"
#include "base/log.h"
#include "base/now.h"
#include "net/tls_stream.h"
#include "upstream/backend.h"
#include "upstream/check_conf.h"
#include "upstream/group.h"

enum { MEMORY_BYTES = 1 << 20 }; /* of requests that the kernel refuses */

struct check {
	struct probe probe;
	struct deadline next;
	struct checks *checks;
	uint64_t started_ms;
	uint32_t in_a_row; /* results like `is_good` */
	bool is_good;
	uint32_t tenancy; /* of the backend, when it was checked last */
};

struct checks {
	struct loop *loop;
	struct block_pool pool;
	struct tls_io *tls;
	struct check *items;
	size_t count;
};

static void
log_change(const struct check *c, bool is_up, enum health_why why,
    const char *detail)
{
	char memory[BACKEND_LOG_NAME_MAX];
	const char *name = backend_log_name(c->probe.backend, memory);

	if (is_up)
		log_notice(NULL, "backend %s is up: %s", name,
		    health_why_words(why));
	else
		log_warn(NULL, "backend %s is down: %s%s%s", name,
		    health_why_words(why), detail != NULL ? ": " : "",
		    detail != NULL ? detail : "");
}

static void
apply(struct check *c, enum health_why why, const char *detail)
{
	const struct backend *b = c->probe.backend;
	const struct check_conf *conf = c->probe.conf;
	bool is_good = why == HEALTH_PASSED;

	if (c->in_a_row == 0 || c->is_good != is_good) {
		c->is_good = is_good;
		c->in_a_row = 0;
	}
	if (c->in_a_row < UINT32_MAX)
		c->in_a_row++;
	if (c->in_a_row < (is_good ? conf->rise : conf->fall))
		return;
	if (!health_change(b, BACKEND_CHECK_DOWN, !is_good, why))
		return;
	/* It was gone: what requests met then says nothing about now. */
	if (is_good)
		health_forget(b);
	log_change(c, is_good, why, detail);
}

static void
on_result(struct probe *p, enum health_why why, const char *detail)
{
	struct check *c = LIST_OF(p, struct check, probe);
	const struct check_conf *conf = p->conf;
	uint64_t early = conf->interval_ms * conf->jitter / 100;
	uint64_t wait = conf->interval_ms;

	apply(c, why, detail);
	if (early > 0)
		wait -= entropy_fast() % (early + 1);
	deadline_set(c->checks->loop, &c->next, c->started_ms + wait);
}

/* Results of another address say nothing about the one that is there now. */
static void
begin_anew(struct check *c)
{
	probe_stop(&c->probe);
	c->tenancy = backend_tenancy(c->probe.backend);
	c->in_a_row = 0;
}

/* Nobody is at an empty place. */
static bool
is_due(struct check *c)
{
	const struct backend *b = c->probe.backend;

	if (!b->is_name)
		return true;
	if (c->tenancy != backend_tenancy(b))
		begin_anew(c);
	return backend_is_resolved(b);
}

static void
on_next(struct deadline *d)
{
	struct check *c = LIST_OF(d, struct check, next);

	c->started_ms = now_ms();
	if (!is_due(c)) {
		deadline_set(c->checks->loop, d,
		    c->started_ms + c->probe.conf->interval_ms);
		return;
	}
	probe_start(&c->probe);
}

static void
add(struct checks *checks, const struct backend *b)
{
	const struct probe_env env = { checks->loop, &checks->pool,
		checks->tls };
	struct check *c = &checks->items[checks->count++];

	c->checks = checks;
	deadline_init(&c->next, on_next);
	probe_init(&c->probe, &env, b, on_result);
	deadline_set(checks->loop, &c->next, now_ms());
}

void
checks_begin(struct checks *checks, const struct backend *b)
{
	for (size_t i = 0; checks != NULL && i < checks->count; i++) {
		struct check *c = &checks->items[i];

		if (c->probe.backend != b)
			continue;
		begin_anew(c);
		deadline_set(checks->loop, &c->next, now_ms());
	}
}

/* What an older generation's check has found holds no longer. */
static void
forget(const struct backend *b)
{
	char name[BACKEND_LOG_NAME_MAX];

	if (health_change(b, BACKEND_CHECK_DOWN, false,
	    HEALTH_UNCHECKED_ANY_MORE))
		log_notice(NULL, "backend %s is up: %s",
		    backend_log_name(b, name), health_why_words(HEALTH_UNCHECKED_ANY_MORE));
}

struct checks *
checks_start(struct loop *loop, struct group *const *groups, size_t count)
{
	struct checks *checks = heap_alloc_zeroed(1, sizeof(*checks));
	size_t total = 0;

	checks->loop = loop;
	block_pool_init(&checks->pool, MEMORY_BYTES);
	checks->tls = tls_io_new(loop, NULL, NULL);
	for (size_t i = 0; i < count; i++)
		total += groups[i]->conf->has_check ?
		    groups[i]->backend_count : 0;
	checks->items = heap_alloc_zeroed(total + 1, sizeof(*checks->items));
	for (size_t i = 0; i < count; i++)
		for (uint32_t k = 0; k < groups[i]->backend_count; k++)
			if (groups[i]->conf->has_check)
				add(checks, &groups[i]->backends[k]);
			else
				forget(&groups[i]->backends[k]);
	return checks;
}

void
checks_stop(struct checks *checks)
{
	if (checks == NULL)
		return;
	for (size_t i = 0; i < checks->count; i++) {
		deadline_stop(checks->loop, &checks->items[i].next);
		probe_stop(&checks->items[i].probe);
	}
	tls_io_free(checks->tls);
	block_pool_fini(&checks->pool);
	free(checks->items);
	free(checks);
}

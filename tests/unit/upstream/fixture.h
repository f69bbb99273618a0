/* SPDX-License-Identifier: BSD-2-Clause */
/* fixture - groups made of texts, for the tests of this folder. */
#ifndef TESTS_UNIT_UPSTREAM_FIXTURE_H
#define TESTS_UNIT_UPSTREAM_FIXTURE_H

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/error.h"
#include "upstream/backend.h"
#include "upstream/backend_zone.h"
#include "upstream/group.h"

enum { FIXTURE_BACKENDS_MAX = 64 };

struct fixture {
	struct arena arena;
	struct group_conf conf;
	struct addr_spec specs[FIXTURE_BACKENDS_MAX];
	struct backend_conf backends[FIXTURE_BACKENDS_MAX];
	struct group *group;
};

/* "a.test:80=5 127.0.0.1:81" makes two backends, the first of weight 5. */
static inline void
fixture_init(struct fixture *f, const char *name, const char *backends)
{
	char *text = strdup(backends);
	char *rest = text;
	char *word;
	struct error err;

	memset(f, 0, sizeof(*f));
	arena_init(&f->arena, NULL);
	f->conf.name = name;
	f->conf.retries = 2;
	f->conf.resolve.ttl_min_ms = 5000;
	f->conf.resolve.ttl_max_ms = 300000;
	f->conf.retry_budget.percent = 20;
	f->conf.keepalive.idle_timeout_ms = 60000;
	f->conf.keepalive.idle_max = 256;
	f->conf.pool_share_after_ms = 100;
	f->conf.backends.items = f->backends;
	while ((word = strtok_r(rest, " ", &rest)) != NULL) {
		size_t i = f->conf.backends.count++;
		char *weight = strchr(word, '=');

		if (weight != NULL)
			*weight++ = '\0';
		if (i >= FIXTURE_BACKENDS_MAX || addr_parse(span_cstr(word),
		    0, &f->specs[i], &err) != 0)
			abort();
		f->backends[i].address = &f->specs[i];
		f->backends[i].weight = weight != NULL ?
		    (uint32_t)atoi(weight) : 1;
	}
	free(text);
	f->group = group_new(&f->arena, &f->conf);
}

/* The same, and names have so many places. */
static inline void
fixture_init_places(struct fixture *f, const char *name,
    const char *backends, uint32_t places)
{
	fixture_init(f, name, backends);
	f->conf.resolve.addresses_max = places;
	f->group = group_new(&f->arena, &f->conf);
}

static inline void
fixture_fini(struct fixture *f)
{
	group_stop(f->group);
	arena_fini(&f->arena);
}

/* A published answer; addresses separated by spaces. */
static inline void
fixture_addresses(struct backend_addresses *list, const char *addresses)
{
	char *text = strdup(addresses);
	char *rest = text;
	char *word;

	memset(list, 0, sizeof(*list));
	while ((word = strtok_r(rest, " ", &rest)) != NULL)
		if (addr_ip_parse(span_cstr(word),
		    &list->items[list->count++]) != 0)
			abort();
	free(text);
}

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * discovery - asks for each host name once, however many backends have it.
 */
#include "background/discovery.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/heap_alloc.h"
#include "base/list.h"
#include "base/log.h"
#include "base/now.h"
#include "base/str.h"
#include "os/loop.h"
#include "upstream/group.h"
#include "upstream/places.h"

enum {
	FAILED_AGAIN_MS = 5000,
	PUBLISH_AGAIN_MS = 100, /* another generation was at it */
	READY_MS = 2000,
	LOGGED_MAX = 16, /* addresses in one line */
};

/* A backend that has a name. */
struct member {
	const struct backend *first; /* the first place */
	uint32_t left_out; /* of the addresses: that was logged */
};

struct name {
	struct resolver_query query;
	struct deadline again;
	struct discovery *discovery;
	const char *host; /* of its first backend */
	struct member *members;
	size_t count;
	struct group_resolve bounds; /* the least of its upstreams */
	struct resolver_answer good; /* the last good one */
	bool is_answered;
	bool is_failing; /* and that was logged */
	uint64_t publish_ms; /* 0, or publishing failed: try again then */
};

struct discovery {
	struct loop *loop;
	struct resolver *resolver;
	struct name *names;
	size_t count;
	size_t answered;
	struct deadline ready;
	bool is_ready;
	struct discovery_events events;
};

static void
become_ready(struct discovery *d)
{
	if (d->is_ready)
		return;
	d->is_ready = true;
	deadline_clear(&d->ready);
	if (d->events.on_ready != NULL)
		d->events.on_ready(d->events.arg);
}

static void
on_ready_time(struct deadline *deadline)
{
	become_ready(LIST_OF(deadline, struct discovery, ready));
}

static bool
has(const struct resolver_answer *list, const struct addr_ip *ip)
{
	for (uint32_t i = 0; i < list->count; i++)
		if (memcmp(list->items[i].bytes, ip->bytes,
		    sizeof(ip->bytes)) == 0)
			return true;
	return false;
}

/* Servers turn the order round from answer to answer: that is no change. */
static bool
is_same(const struct resolver_answer *a, const struct resolver_answer *b)
{
	if (a->count != b->count)
		return false;
	for (uint32_t i = 0; i < a->count; i++)
		if (!has(b, &a->items[i]))
			return false;
	return true;
}

static void
log_change(const struct name *name, uint32_t ttl)
{
	char memory[1024];
	struct str text;
	uint32_t shown = name->good.count;

	if (shown > LOGGED_MAX)
		shown = LOGGED_MAX;
	str_init(&text, memory, sizeof(memory));
	for (uint32_t i = 0; i < shown; i++) {
		if (i > 0)
			str_lit(&text, ", ");
		addr_ip_put(&text, &name->good.items[i]);
	}
	if (shown < name->good.count)
		str_printf(&text, " and %u more", name->good.count - shown);
	if (ttl != UINT32_MAX)
		str_printf(&text, " (ttl %u s)", ttl);
	log_notice(NULL, "resolving backend name %s: %s", name->host,
	    str_terminate(&text));
}

static void
note_left_out(const struct name *name, struct member *m, uint32_t left_out)
{
	const struct backend *b = m->first;

	if (left_out == m->left_out)
		return;
	m->left_out = left_out;
	if (left_out > 0)
		log_warn(NULL, "backend name %s of upstream %.*s has %u "
		    "addresses more than the %u that resolve.addresses_max "
		    "allows: they are not used", name->host,
		    SPAN_ARG(b->group->name), left_out, b->places);
}

/* False if some backend's slots were being written by another process. */
static bool
publish(struct name *name)
{
	const struct discovery_events *events = &name->discovery->events;
	const struct places_answer answer = { name->good.items,
		name->good.count };
	bool is_done = true;

	for (size_t i = 0; i < name->count; i++) {
		const struct backend *b = name->members[i].first;
		struct places_news news;

		if (places_settle(b, &answer, &news, events->on_come,
		    events->arg) != 0) {
			is_done = false;
			continue;
		}
		note_left_out(name, &name->members[i], news.left_out);
		if (events->on_change != NULL &&
		    (news.come > 0 || news.gone > 0))
			events->on_change(events->arg, b->group);
	}
	return is_done;
}

static uint64_t
again_after(const struct name *name, const struct resolver_answer *answer)
{
	uint64_t ms = (uint64_t)answer->ttl * 1000;

	if (answer->count == 0)
		return FAILED_AGAIN_MS;
	if (ms < name->bounds.ttl_min_ms)
		return name->bounds.ttl_min_ms;
	return ms < name->bounds.ttl_max_ms ? ms : name->bounds.ttl_max_ms;
}

static void
take_good(struct name *name, const struct resolver_answer *answer)
{
	bool is_back = name->is_failing;

	name->is_failing = false;
	if (!is_same(&name->good, answer)) {
		name->good = *answer;
		log_change(name, answer->ttl);
	} else if (is_back) {
		log_notice(NULL, "resolving backend name %s: works again",
		    name->host);
	}
}

static void
take_failure(struct name *name, const struct resolver_answer *answer)
{
	if (name->is_failing)
		return;
	name->is_failing = true;
	log_warn(NULL, "resolving backend name %s: %s: %s", name->host,
	    answer->why, name->good.count > 0 ?
	    "the last good answer is kept" :
	    "the backend is down until it resolves");
}

static void
plan(struct name *name, uint64_t after_ms)
{
	deadline_set(name->discovery->loop, &name->again, now_ms() + after_ms);
}

static void
on_answer(struct resolver_query *q, const struct resolver_answer *answer)
{
	struct name *name = LIST_OF(q, struct name, query);
	struct discovery *d = name->discovery;
	uint64_t after_ms = again_after(name, answer);

	if (answer->count > 0)
		take_good(name, answer);
	else
		take_failure(name, answer);
	name->publish_ms = 0;
	if (name->good.count > 0 && !publish(name)) {
		name->publish_ms = now_ms() + after_ms;
		after_ms = PUBLISH_AGAIN_MS;
	}
	plan(name, after_ms);
	if (name->is_answered)
		return;
	name->is_answered = true;
	if (++d->answered == d->count)
		become_ready(d);
}

static void
on_again(struct deadline *deadline)
{
	struct name *name = LIST_OF(deadline, struct name, again);
	uint64_t now = now_ms();

	if (name->publish_ms > now) {
		if (!publish(name)) {
			plan(name, PUBLISH_AGAIN_MS);
			return;
		}
		plan(name, name->publish_ms - now);
		name->publish_ms = 0;
		return;
	}
	resolver_start(name->discovery->resolver, &name->query, name->host);
}

/* The first place stands for the name. */
static bool
is_first(const struct backend *b)
{
	return b->is_name && b->place == 0;
}

static size_t
count_names(struct group *const *groups, size_t count)
{
	size_t names = 0;

	for (size_t i = 0; i < count; i++)
		for (uint32_t k = 0; k < groups[i]->backend_count; k++)
			names += is_first(&groups[i]->backends[k]);
	return names;
}

/* What an older generation knows is good until the first answer. */
static void
recall(struct name *name, const struct backend *first)
{
	struct resolver_answer *good = &name->good;

	for (uint32_t i = 0; i < first->places; i++) {
		struct backend_addresses list;

		if (!backend_addresses(first + i, &list))
			continue;
		for (uint32_t k = 0; k < list.count &&
		    good->count < RESOLVER_ADDRESSES_MAX; k++)
			if (!has(good, &list.items[k]))
				good->items[good->count++] = list.items[k];
	}
}

static void
add_backend(struct discovery *d, struct hash_map *by_host,
    const struct backend *b)
{
	struct span host = span_cstr(b->spec->host);
	const struct group_resolve *bounds = &b->group->conf->resolve;
	struct name *name = hash_map_get(by_host, host);

	if (name == NULL) {
		name = &d->names[d->count++];
		name->discovery = d;
		name->host = b->spec->host;
		name->bounds = *bounds;
		name->query.on_answer = on_answer;
		deadline_init(&name->again, on_again);
		hash_map_put(by_host, host, name);
	}
	if (bounds->ttl_min_ms < name->bounds.ttl_min_ms)
		name->bounds.ttl_min_ms = bounds->ttl_min_ms;
	if (bounds->ttl_max_ms < name->bounds.ttl_max_ms)
		name->bounds.ttl_max_ms = bounds->ttl_max_ms;
	name->members = heap_alloc_grow(name->members, name->count + 1,
	    sizeof(*name->members));
	name->members[name->count++] = (struct member){ .first = b };
	recall(name, b);
}

static void
collect(struct discovery *d, struct group *const *groups, size_t count)
{
	struct hash_map by_host;

	d->names = heap_alloc_zeroed(count_names(groups, count) + 1,
	    sizeof(*d->names));
	hash_map_init(&by_host, true);
	for (size_t i = 0; i < count; i++)
		for (uint32_t k = 0; k < groups[i]->backend_count; k++)
			if (is_first(&groups[i]->backends[k]))
				add_backend(d, &by_host,
				    &groups[i]->backends[k]);
	hash_map_fini(&by_host);
}

struct discovery *
discovery_start(struct loop *loop, struct group *const *groups, size_t count,
    const struct resolver_options *options,
    const struct discovery_events *events, struct error *err)
{
	struct discovery *d = heap_alloc_zeroed(1, sizeof(*d));

	d->loop = loop;
	d->events = *events;
	deadline_init(&d->ready, on_ready_time);
	d->resolver = resolver_new(loop, options, err);
	if (d->resolver == NULL) {
		free(d);
		return NULL;
	}
	collect(d, groups, count);
	for (size_t i = 0; i < d->count; i++)
		resolver_start(d->resolver, &d->names[i].query,
		    d->names[i].host);
	deadline_set(loop, &d->ready, now_ms() + (d->count > 0 ? READY_MS : 0));
	return d;
}

void
discovery_stop(struct discovery *d)
{
	if (d == NULL)
		return;
	resolver_free(d->resolver);
	deadline_stop(d->loop, &d->ready);
	for (size_t i = 0; i < d->count; i++) {
		deadline_stop(d->loop, &d->names[i].again);
		free(d->names[i].members);
	}
	free(d->names);
	free(d);
}

void
discovery_retire(struct discovery *d)
{
	for (size_t i = 0; i < d->count; i++) {
		resolver_cancel(d->resolver, &d->names[i].query);
		deadline_clear(&d->names[i].again);
	}
}

bool
discovery_is_ready(const struct discovery *d)
{
	return d->is_ready;
}

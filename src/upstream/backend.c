/* SPDX-License-Identifier: BSD-2-Clause */
/* backend - one server behind weir: its names, addresses and tenancies. */
#include "upstream/backend.h"

#include <arpa/inet.h>
#include <assert.h>
#include <string.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/now.h"
#include "base/str.h"
#include "upstream/backend_private.h"
#include "upstream/group.h"
#include "upstream/health.h"

enum {
	/* A claim this old is that of a writer who died. */
	CLAIM_MS = 2000,
	COUNT_BITS = 4,
	COUNT_MASK = (1 << COUNT_BITS) - 1,
	READ_TRIES = 64,
};

_Static_assert(sizeof(struct backend_addresses) % sizeof(uint32_t) == 0,
    "addresses are copied by words");
_Static_assert((int)BACKEND_ADDRESSES_MAX <= (int)COUNT_MASK,
    "the count shares a word");

static const struct conf_item items[] = {
	CONF_VALUE("address", ADDRESS, struct backend_conf, address, NULL,
	    CONF_REQUIRED, "host:port, [v6]:port or unix:/path"),
	CONF_UINT("weight", struct backend_conf, weight, 1, 1000, "1", NULL, 0,
	    "share of the requests, relative to the other backends"),
	CONF_UINT("max_connections", struct backend_conf, max_connections, 0,
	    1000000, "0", NULL, 0,
	    "connections of all workers; 0 = as the upstream says"),
	CONF_BOOL("backup", struct backend_conf, backup, "false", 0,
	    "used only while no backend without this can be"),
	{ .name = "tls", .type = CONF_TYPE_GROUP,
	    .offset = offsetof(struct backend_conf, tls),
	    .table = &tls_conf_client_table,
	    .present = offsetof(struct backend_conf, has_tls),
	    .help = "speak TLS to this backend, by these options" },
	CONF_END,
};

const struct conf_table backend_table = {
	.name = "backend",
	.items = items,
	.struct_bytes = sizeof(struct backend_conf),
};

void
backend_text(const struct addr_spec *spec, struct str *out)
{
	if (!spec->is_name) {
		addr_put(out, &spec->addr);
		return;
	}
	for (const char *p = spec->host; *p != '\0'; p++)
		str_char(out, (char)span_lower((unsigned char)*p));
	str_printf(out, ":%u", (unsigned)spec->port);
}

/*
 * What a connection has of the configuration for as long as it lives, as a
 * number that other generations know it by.
 */
static uint32_t
terms_of(const struct group_conf *conf)
{
	uint64_t hash = conf->proxy_protocol;

	if (conf->bind.count == 0 && hash == 0)
		return 0;
	for (size_t i = 0; i < conf->bind.count; i++)
		hash = hash * 31 + hash_stable(span_cstr(conf->bind.items[i]));
	return (uint32_t)(hash >> 32 ^ hash) | 1;
}

void
backend_init(struct backend *b, struct arena *a,
    const struct backend_conf *conf, struct group *group, uint32_t place)
{
	const struct addr_spec *spec = conf->address;
	char memory[BACKEND_NAME_MAX];
	struct str text;

	str_init(&text, memory, sizeof(memory));
	backend_text(spec, &text);
	*b = (struct backend){
		.magic = BACKEND_MAGIC,
		.group = group,
		.place = place,
		.weight = conf->weight,
		.limit = conf->max_connections != 0 ? conf->max_connections :
		    group->conf->max_connections,
		.is_backup = conf->backup,
		.terms = terms_of(group->conf),
		.is_name = spec->is_name,
		.spec = spec,
	};
	b->text = span_of(arena_dup(a, str_view(&text)), text.len);
	b->label = b->text;
	if (place > 0)
		b->label = span_cstr(arena_printf(a, "%.*s#%u",
		    SPAN_ARG(b->text), place + 1));
	b->name = span_cstr(arena_printf(a, "%.*s/%.*s",
	    SPAN_ARG(group->name), SPAN_ARG(b->label)));
}

static bool
first_address(const struct backend *b, struct addr_ip *ip)
{
	struct backend_addresses list;

	if (!b->is_name || b->shared == NULL || !backend_addresses(b, &list))
		return false;
	*ip = list.items[0];
	return true;
}

void
backend_put_address(const struct backend *b, struct str *out)
{
	struct addr_ip ip;
	struct addr a;

	if (first_address(b, &ip)) {
		backend_address_of(&a, &ip, b->spec->port);
		addr_put(out, &a);
	} else {
		str_span(out, b->label);
	}
}

void
backend_put_name(const struct backend *b, struct str *out)
{
	struct addr_ip ip;

	str_span(out, b->group->name);
	str_char(out, '/');
	if (first_address(b, &ip)) {
		str_span(out, b->text);
		str_lit(out, " (");
		addr_ip_put(out, &ip);
		str_char(out, ')');
	} else {
		str_span(out, b->label);
	}
}

const char *
backend_log_name(const struct backend *b, char *memory)
{
	struct str out;

	str_init(&out, memory, BACKEND_LOG_NAME_MAX);
	backend_put_name(b, &out);
	return str_terminate(&out);
}

void
backend_address_of(struct addr *out, const struct addr_ip *ip, uint16_t port)
{
	memset(out, 0, sizeof(*out));
	if (ip->family == AF_INET) {
		out->len = sizeof(out->u.in);
		out->u.in.sin_family = AF_INET;
		out->u.in.sin_port = htons(port);
		memcpy(&out->u.in.sin_addr, ip->bytes + 12, 4);
		return;
	}
	out->len = sizeof(out->u.in6);
	out->u.in6.sin6_family = AF_INET6;
	out->u.in6.sin6_port = htons(port);
	memcpy(&out->u.in6.sin6_addr, ip->bytes, 16);
}

uint32_t
backend_weight(const struct backend *b)
{
	uint32_t weight = 0;

	if (b->shared != NULL)
		weight = atomic_load_explicit(&b->shared->weight,
		    memory_order_relaxed);
	return weight != 0 ? weight : b->weight;
}

bool
backend_addresses(const struct backend *b, struct backend_addresses *out)
{
	struct backend_slot *slot = b->shared;
	uint32_t words[BACKEND_ADDRESSES_WORDS];

	for (int tries = 0; tries < READ_TRIES; tries++) {
		uint64_t seen = atomic_load_explicit(&slot->published,
		    memory_order_acquire);
		_Atomic uint32_t *copy =
		    slot->copies[(seen >> COUNT_BITS) & 1];

		if ((seen & COUNT_MASK) == 0)
			return false;
		for (size_t i = 0; i < BACKEND_ADDRESSES_WORDS; i++)
			words[i] = atomic_load_explicit(&copy[i],
			    memory_order_relaxed);
		atomic_thread_fence(memory_order_acquire);
		if (atomic_load_explicit(&slot->published,
		    memory_order_relaxed) != seen)
			continue;
		memcpy(out, words, sizeof(*out));
		/* The word counts, whatever the copy says. */
		out->count = (uint32_t)(seen & COUNT_MASK);
		return out->count <= BACKEND_ADDRESSES_MAX;
	}
	return false;
}

/* The one who holds the claim writes the copy that nobody reads. */
void
backend_put_addresses(struct backend_slot *slot,
    const struct backend_addresses *addresses)
{
	uint64_t turn = (atomic_load(&slot->published) >> COUNT_BITS) + 1;
	_Atomic uint32_t *copy = slot->copies[turn & 1];
	uint32_t words[BACKEND_ADDRESSES_WORDS];

	memcpy(words, addresses, sizeof(words));
	for (size_t i = 0; i < BACKEND_ADDRESSES_WORDS; i++)
		atomic_store_explicit(&copy[i], words[i],
		    memory_order_relaxed);
	atomic_store_explicit(&slot->published,
	    turn << COUNT_BITS | addresses->count, memory_order_release);
}

int
backend_claim(const struct backend *b)
{
	struct backend_slot *slot = b->shared;
	uint64_t now = now_ms() + 1; /* never 0 */
	uint64_t held = atomic_load(&slot->publishing_ms);

	if (held != 0 && now < held + CLAIM_MS)
		return -1;
	if (!atomic_compare_exchange_strong(&slot->publishing_ms, &held, now))
		return -1;
	return 0;
}

void
backend_unclaim(const struct backend *b)
{
	atomic_store(&b->shared->publishing_ms, 0);
}

void
backend_settle(const struct backend *b,
    const struct backend_addresses *addresses)
{
	bool was_there = backend_is_resolved(b);

	assert(addresses->count <= BACKEND_ADDRESSES_MAX);
	/* A copy that is being replaced must not look like the valid one. */
	atomic_thread_fence(memory_order_seq_cst);
	backend_put_addresses(b->shared, addresses);
	if (was_there != (addresses->count > 0))
		group_changed(b->group);
}

int
backend_publish(const struct backend *b,
    const struct backend_addresses *addresses)
{
	if (backend_claim(b) != 0)
		return -1;
	backend_settle(b, addresses);
	backend_unclaim(b);
	return 0;
}

/* A backend that is new may have to pass a check before it serves. */
static void
set_initial(const struct backend *b, struct backend_slot *slot, uint32_t bits)
{
	const struct group_conf *conf = b->group->conf;

	if (conf->has_check && conf->health_check.initial != 0) {
		bits |= BACKEND_CHECK_DOWN;
		atomic_store(&slot->why, HEALTH_UNCHECKED);
	}
	atomic_store(&slot->state, bits);
}

/* As new: whoever comes next, or nobody. */
static void
clear_slot(struct backend_slot *slot)
{
	atomic_store(&slot->since_ms, now_wall_ms());
	atomic_store(&slot->why, HEALTH_NONE);
	atomic_store(&slot->weight, 0);
	atomic_store(&slot->failures, 0);
}

void
backend_begin_tenancy(const struct backend *b, bool is_drained)
{
	clear_slot(b->shared);
	set_initial(b, b->shared, is_drained ? BACKEND_DRAINED : 0);
}

void
backend_end_tenancy(const struct backend *b, bool is_drained)
{
	clear_slot(b->shared);
	atomic_store(&b->shared->state, is_drained ? BACKEND_DRAINED : 0);
}

int
backend_bind(struct backend *b, struct backend_zone *zone, struct error *err)
{
	struct backend_booking *o = backend_zone_find(zone, b->name);

	if (b->name.len >= BACKEND_NAME_MAX)
		return error_set(err, "backend \"%.*s\": upstream and address "
		    "together have more than %d bytes", SPAN_ARG(b->name),
		    BACKEND_NAME_MAX - 1);
	if (o == NULL)
		return error_set(err, "backend \"%.*s\": all %zu slots are "
		    "taken: raise backends_max", SPAN_ARG(b->name),
		    zone->count);
	/* A successor that failed may have renamed a slot that was free. */
	if (o->name == NULL || !span_eq(span_cstr(o->name), b->name) ||
	    (o->generations == 0 && atomic_load(&zone->slots[o -
	    zone->owners].version) != o->version)) {
		backend_zone_rename(zone, o, b->name);
		set_initial(b, &zone->slots[o - zone->owners], 0);
	}
	o->generations++;
	b->slot = (uint32_t)(o - zone->owners);
	b->slot_version = o->version;
	b->shared = &zone->slots[b->slot];
	return 0;
}

void
backend_unbind(struct backend *b, struct backend_zone *zone)
{
	struct backend_booking *o;

	if (b->shared == NULL)
		return;
	o = &zone->owners[b->slot];
	assert(o->version == b->slot_version && o->generations > 0);
	if (--o->generations == 0)
		o->released = ++zone->releases;
	b->shared = NULL;
}

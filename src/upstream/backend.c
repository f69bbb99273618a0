/* SPDX-License-Identifier: BSD-2-Clause */
/* backend - one server behind weir and its slot in shared memory. */
#include "upstream/backend.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/heap_alloc.h"
#include "base/log.h"
#include "base/now.h"
#include "base/str.h"
#include "os/shmem.h"
#include "upstream/backend_inherit.h"
#include "upstream/backend_private.h"
#include "upstream/group.h"
#include "upstream/health.h"

enum {
	/* A claim this old is that of a writer who died. */
	CLAIM_MS = 2000,
	/* So many slots may a successor rename. */
	VERSIONS_RESERVED = 1 << 20,
	COUNT_BITS = 4,
	COUNT_MASK = (1 << COUNT_BITS) - 1,
	READ_TRIES = 64,
};

_Static_assert(sizeof(struct backend_addresses) % sizeof(uint32_t) == 0,
    "addresses are copied by words");
_Static_assert((int)BACKEND_ADDRESSES_MAX <= (int)COUNT_MASK,
    "the count shares a word");
_Static_assert(sizeof(struct backend_slot) % 64 == 0, "slots are lines");

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

size_t
backend_zone_bytes(size_t slots)
{
	return slots * sizeof(struct backend_slot) + sizeof(struct backend_accounts) +
	    slots * BACKEND_ACCOUNTS_MAX * sizeof(struct backend_cell);
}

struct backend_zone *
backend_zone_wrap(const struct shmem *memory, size_t slots)
{
	struct backend_zone *zone = heap_alloc_zeroed(1, sizeof(*zone));

	zone->memory = *memory;
	zone->slots = zone->memory.data;
	zone->accounts = (struct backend_accounts *)(void *)(zone->slots + slots);
	zone->cells = (struct backend_cell *)(void *)(zone->accounts + 1);
	zone->count = slots;
	zone->owners = heap_alloc_zeroed(slots, sizeof(*zone->owners));
	return zone;
}

struct backend_zone *
backend_zone_new(size_t slots, struct error *err)
{
	struct shmem memory;

	assert(slots > 0);
	if (shmem_create(&memory, "backends", BACKEND_ZONE_LAYOUT,
	    backend_zone_bytes(slots), err) != 0)
		return NULL;
	return backend_zone_wrap(&memory, slots);
}

struct backend_zone *
backend_zone_adopt(int fd, size_t slots, const struct backend_owner *owners,
    size_t owner_count, uint32_t versions, struct error *err)
{
	struct backend_zone *zone;
	struct shmem memory;

	if (shmem_adopt(&memory, fd, "backends", BACKEND_ZONE_LAYOUT,
	    backend_zone_bytes(slots), err) != 0)
		return NULL;
	if (owner_count != slots) {
		shmem_close(&memory);
		error_set(err, "the table of backends has %zu slots, and the "
		    "zone %zu", owner_count, slots);
		return NULL;
	}
	zone = backend_zone_wrap(&memory, slots);
	zone->versions = versions;
	for (size_t i = 0; i < slots; i++) {
		if (owners[i].name == NULL)
			continue;
		zone->owners[i].name = heap_alloc_strdup(owners[i].name);
		zone->owners[i].version = owners[i].version;
	}
	return zone;
}

struct backend_owner
backend_zone_owner(const struct backend_zone *zone, size_t slot)
{
	assert(slot < zone->count);
	return (struct backend_owner){ zone->owners[slot].name,
		zone->owners[slot].version };
}

uint32_t
backend_zone_reserve(struct backend_zone *zone)
{
	uint32_t last = zone->versions;

	zone->versions += VERSIONS_RESERVED;
	return last;
}

void
backend_zone_free(struct backend_zone *zone)
{
	if (zone == NULL)
		return;
	for (size_t i = 0; i < zone->count; i++)
		free(zone->owners[i].name);
	free(zone->owners);
	for (size_t i = 0; i < zone->waker_count; i++)
		close(zone->wakers[i]);
	free(zone->wakers);
	backend_inherit_free(zone->heritage);
	shmem_close(&zone->memory);
	free(zone);
}

const struct shmem *
backend_zone_memory(const struct backend_zone *zone)
{
	return &zone->memory;
}

size_t
backend_zone_slots(const struct backend_zone *zone)
{
	return zone->count;
}

struct backend_slot *
backend_zone_slot(const struct backend_zone *zone, size_t slot)
{
	assert(slot < zone->count);
	return &zone->slots[slot];
}

/*
 * The slot of that name; else one never used; else the one that has been free
 * longest, so that a name which comes back soon finds its slot as it was.
 */
static struct backend_booking *
find(struct backend_zone *zone, struct span name)
{
	struct backend_booking *best = NULL;

	for (size_t i = 0; i < zone->count; i++) {
		struct backend_booking *o = &zone->owners[i];

		if (o->name != NULL && span_eq(span_cstr(o->name), name))
			return o;
		if (o->generations > 0)
			continue;
		if (best == NULL || (best->name != NULL &&
		    (o->name == NULL || o->released < best->released)))
			best = o;
	}
	return best;
}

/* Hand the slot to another name, with everything in it as new. */
static void
rename_slot(struct backend_zone *zone, struct backend_booking *o,
    struct span name)
{
	struct backend_slot *slot = &zone->slots[o - zone->owners];
	static const struct backend_addresses none;

	free(o->name);
	o->name = heap_alloc_zeroed(1, name.len + 1);
	memcpy(o->name, name.p, name.len);
	o->version = ++zone->versions;
	/*
	 * `parked` stays: it counts what lies in the lane, which the reaper
	 * closes because of the new version.
	 */
	atomic_store(&slot->version, o->version);
	atomic_store(&slot->state, 0);
	atomic_store(&slot->since_ms, now_wall_ms());
	atomic_store(&slot->why, 0);
	atomic_store(&slot->weight, 0);
	atomic_store(&slot->failures, 0);
	atomic_store(&slot->turns, 0);
	/* Tallies are what the processes hold: tally_mend() sees to them. */
	backend_put_addresses(slot, &none);
	memset(slot->name, 0, sizeof(slot->name));
	memcpy(slot->name, name.p, name.len);
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
	struct backend_booking *o = find(zone, b->name);

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
		rename_slot(zone, o, b->name);
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

/* ---- accounts of processes ---- */

/*
 * A record lock on one byte of the zone's file, which the kernel drops in
 * whatever way the process ends: a number of a process could be another's by
 * the time that somebody looks.
 */
static bool
lock_account(const struct backend_zone *zone, unsigned account, short type)
{
	struct flock lock = { .l_type = type, .l_whence = SEEK_SET,
		.l_start = (off_t)account, .l_len = 1 };

	return fcntl(zone->memory.fd, F_SETLK, &lock) == 0;
}

static struct backend_cell *
row_of(const struct backend_zone *zone, unsigned account)
{
	return zone->cells + (size_t)account * zone->count;
}

static void
forget_account(struct backend_zone *zone, unsigned account)
{
	struct backend_cell *row = row_of(zone, account);

	for (size_t i = 0; i < zone->count; i++) {
		if (atomic_load(&zone->slots[i].version) == 0)
			continue;
		tally_forget(&row[i].in_flight);
		tally_forget(&row[i].connections);
		tally_forget(&row[i].waiters);
		atomic_store(&row[i].idle, 0);
		atomic_store(&row[i].streams, 0);
	}
}

struct backend_cell *
backend_zone_join(struct backend_zone *zone)
{
	uint32_t used = atomic_load(&zone->accounts->used);
	unsigned i = 0;

	while (i < BACKEND_ACCOUNTS_MAX && !lock_account(zone, i, F_WRLCK))
		i++;
	if (i == BACKEND_ACCOUNTS_MAX) {
		log_warn(NULL, "counting what this process has of backends: "
		    "all %d accounts are taken", BACKEND_ACCOUNTS_MAX);
		return NULL;
	}
	while (used <= i && !atomic_compare_exchange_weak(
	    &zone->accounts->used, &used, i + 1))
		continue;
	forget_account(zone, i);
	atomic_store(&zone->accounts->joined[i], 1);
	zone->own = i + 1;
	return row_of(zone, i);
}

uint32_t
backend_zone_accounts(const struct backend_zone *zone)
{
	uint32_t used = atomic_load_explicit(&zone->accounts->used,
	    memory_order_relaxed);

	return used < BACKEND_ACCOUNTS_MAX ? used : BACKEND_ACCOUNTS_MAX;
}

uint32_t
backend_zone_own(const struct backend_zone *zone)
{
	return zone->own > 0 ? zone->own - 1 : UINT32_MAX;
}

const struct backend_cell *
backend_zone_cell(const struct backend_zone *zone, uint32_t account,
    uint32_t slot)
{
	assert(account < BACKEND_ACCOUNTS_MAX && slot < zone->count);
	return row_of(zone, account) + slot;
}

int
backend_zone_need_wakers(struct backend_zone *zone, size_t count,
    struct error *err)
{
	if (zone->wakers == NULL)
		zone->wakers = heap_alloc_zeroed(BACKEND_ACCOUNTS_MAX,
		    sizeof(*zone->wakers));
	if (count > BACKEND_ACCOUNTS_MAX)
		count = BACKEND_ACCOUNTS_MAX;
	while (zone->waker_count < count) {
		int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

		if (fd < 0)
			return error_set_errno(err, errno, "making event "
			    "descriptors for max_connections");
		zone->wakers[zone->waker_count++] = fd;
	}
	return 0;
}

int
backend_zone_waker(const struct backend_zone *zone)
{
	return zone->own > 0 && zone->own <= zone->waker_count ?
	    zone->wakers[zone->own - 1] : -1;
}

void
backend_zone_wake(const struct backend_zone *zone, uint32_t account)
{
	static const uint64_t one = 1;

	/* Full means that it is awake. */
	if (account < zone->waker_count &&
	    write(zone->wakers[account], &one, sizeof(one)) < 0)
		return;
}

static void
mend_tally(struct backend_zone *zone, struct tally *t, size_t offset)
{
	struct tally_cells cells = {
		.first = (struct tally_cell *)(void *)
		    ((char *)zone->cells + offset),
		.stride = zone->count * sizeof(struct backend_cell),
		.count = atomic_load(&zone->accounts->used),
	};

	if (cells.count > BACKEND_ACCOUNTS_MAX)
		cells.count = BACKEND_ACCOUNTS_MAX;
	(void)tally_mend(t, &cells);
}

void
backend_zone_mend(struct backend_zone *zone)
{
	uint32_t used = atomic_load(&zone->accounts->used);

	for (unsigned i = 0; i < used && i < BACKEND_ACCOUNTS_MAX; i++) {
		/* One's own lock is no obstacle: see to it here. */
		if (i + 1 == zone->own ||
		    atomic_load(&zone->accounts->joined[i]) == 0 ||
		    !lock_account(zone, i, F_WRLCK))
			continue;
		/* Nobody's: it is ours until it is empty. */
		forget_account(zone, i);
		atomic_store(&zone->accounts->joined[i], 0);
		(void)lock_account(zone, i, F_UNLCK);
	}
	backend_inherit_mirror(zone);
	for (size_t i = 0; i < zone->count; i++) {
		struct backend_slot *slot = &zone->slots[i];
		size_t cell = i * sizeof(struct backend_cell);

		if (atomic_load(&slot->version) == 0)
			continue;
		mend_tally(zone, &slot->in_flight, cell +
		    offsetof(struct backend_cell, in_flight));
		mend_tally(zone, &slot->connections, cell +
		    offsetof(struct backend_cell, connections));
		mend_tally(zone, &slot->waiters, cell +
		    offsetof(struct backend_cell, waiters));
	}
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * backend - one server behind weir, and the slot of shared memory that all
 * processes and generations have of it.
 *
 * A name may have several addresses: each is a backend of its own.  So a name
 * has several of these, its places, which are there from the load on, empty or
 * not; upstream/places says which address is at which.
 *
 * struct backend belongs to a generation and does not change once it is bound.
 * What changes (addresses of its name, counts, health) lives in its slot, of
 * fixed size, in the zone "backends".  The master alone gives slots away: by
 * the name "UPSTREAM/ADDRESS" ("UPSTREAM/NAME#2" for the second place of a
 * name), counted by generation, from a table of its own, never by what it reads
 * in the zone.  A slot that goes to another name gets a
 * new version.
 *
 * Addresses are published in two copies of which a counter names the valid
 * one, so that readers take no lock and a writer may die at any instruction.
 */
#ifndef UPSTREAM_BACKEND_H
#define UPSTREAM_BACKEND_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/item.h"
#include "net/tls_conf.h"
#include "os/addr.h"
#include "upstream/tally.h"

struct arena;
struct backend_zone;
struct error;
struct group;
struct str;
struct tls_client;

enum {
	BACKEND_NAME_MAX = 384, /* of a slot, with its NUL */
	BACKEND_LOG_NAME_MAX = BACKEND_NAME_MAX + 64,
	BACKEND_PLACES_MAX = 256,  /* of a name */
	BACKEND_ADDRESSES_MAX = 8, /* of one place: in both families */
	BACKEND_MAGIC = 0x4241434b,
};

/* backends = ( { … } ) of an upstream. */
struct backend_conf {
	const struct addr_spec *address;
	uint32_t weight;
	uint32_t max_connections; /* 0 = as the upstream says */
	bool backup; /* used only while no other can be */
	bool has_tls;
	struct tls_client_conf tls;
};

extern const struct conf_table backend_table;

/*
 * What is at a place of a name; the port is the configuration's.  The first is
 * the backend's; the others are of the other family, for when that cannot be
 * connected to.
 */
struct backend_addresses {
	struct addr_ip items[BACKEND_ADDRESSES_MAX]; /* port unused */
	uint32_t count; /* 0 = nobody: the place is empty */
};

enum {
	BACKEND_ADDRESSES_WORDS =
	    sizeof(struct backend_addresses) / sizeof(uint32_t),
};

/* Why a backend gets no requests; bits of its slot's state, 0 = it does. */
enum backend_state {
	BACKEND_CHECK_DOWN = 1, /* its health check fails */
	BACKEND_FAILED = 2,     /* it failed requests; until retry_ms */
	BACKEND_DRAINED = 4,    /* weirctl upstream drain */
};

/*
 * The shared words; everybody maps them.  The first line is what every pick
 * reads and little writes; counts that many write have a line of their own.
 */
struct backend_slot {
	/* Bits 0-3 the number of addresses, the rest counts publications. */
	_Alignas(64) _Atomic uint64_t published;
	_Atomic uint64_t publishing_ms; /* a writer's claim, 0 = nobody's */
	_Atomic uint64_t since_ms;      /* wall clock: of the last change */
	_Atomic uint64_t retry_ms;      /* monotonic: of BACKEND_FAILED */
	_Atomic uint32_t version;       /* 0 = slot never used */
	_Atomic uint32_t state;         /* enum backend_state */
	_Atomic uint32_t why;           /* of the last change */
	_Atomic uint32_t weight;        /* of weirctl, 0 = as configured */
	/* Of a group's first backend: weights or members have changed. */
	_Atomic uint32_t changes;
	/* Another number once an address has gone: its connections are over. */
	_Atomic uint32_t tenancy;
	/* Idle connections in the lane; never less than there are. */
	_Alignas(64) _Atomic uint32_t parked;
	_Atomic uint64_t failures;      /* in a row, and since when */
	struct tally in_flight;         /* exact where the balancer asks */
	struct tally connections;       /* where max_connections is set */
	struct tally waiters;           /* of a group's first backend */
	/* Of a group's first backend: turns that its workers have claimed. */
	_Alignas(64) _Atomic uint64_t turns;
	_Alignas(64) _Atomic uint32_t copies[2][BACKEND_ADDRESSES_WORDS];
	char name[BACKEND_NAME_MAX];
};

/* What one process holds of a backend. */
struct backend_cell {
	struct tally_cell in_flight;
	struct tally_cell connections;
	struct tally_cell waiters;
	_Atomic uint32_t idle; /* connections in its pool */
	_Atomic uint32_t streams; /* enum backend_streams: over HTTP/2 */
};

/* What a process has of connections that carry many requests at once. */
enum backend_streams {
	BACKEND_STREAMS_ROOM = 1, /* one takes another request */
	BACKEND_STREAMS_IDLE = 2, /* one carries none */
};

struct backend {
	uint32_t magic;
	uint32_t index;  /* in its group */
	uint32_t slot;   /* in the zone, and of its lane */
	uint32_t slot_version;
	uint32_t terms;        /* how its connections begin; 0 = plainly */
	uint32_t metric_index; /* the caller's */
	uint32_t conf_index;   /* in the group's list of them */
	uint32_t place;  /* of its name, from 0 */
	uint32_t places; /* of its name; 1 without one */
	struct backend_slot *shared; /* NULL until bound */
	struct backend_cell *own;    /* this process's; NULL: no account */
	struct group *group;
	uint32_t weight; /* as configured: see backend_weight() */
	uint32_t limit;  /* connections over all workers, 0 = none */
	bool is_backup;
	bool is_counted; /* in_flight of the slot is kept exact */
	struct tls_client *tls; /* the group's, or its own; NULL: clear text */
	const struct tls_client_conf *tls_conf;
	bool is_name;    /* its address comes from the slot */
	const struct addr_spec *spec; /* as configured */
	struct span text; /* "10.0.0.1:80", "app.internal:80", "unix:/run/a" */
	struct span label; /* text; "app.internal:80#2" at the second place */
	struct span name; /* "UPSTREAM/LABEL" */
};

/* The address as weir writes it, hosts in lower case: half of the name. */
void backend_text(const struct addr_spec *spec, struct str *out);
/*
 * Fills b but for its slot, and what follows from its place; texts are made in
 * a.  Borrows conf and group.
 */
void backend_init(struct backend *b, struct arena *a,
    const struct backend_conf *conf, struct group *group, uint32_t place);

/* The address that it has now, as "10.0.0.1:80"; b->label if it has none. */
void backend_put_address(const struct backend *b, struct str *out);
/* For the log: "app/10.0.0.1:80", "app/app.internal:80 (10.0.0.1)". */
void backend_put_name(const struct backend *b, struct str *out);
/* The same in memory of BACKEND_LOG_NAME_MAX bytes, with a NUL. */
const char *backend_log_name(const struct backend *b, char *memory);

/* False while it is an empty place of a name. */
static inline bool
backend_is_resolved(const struct backend *b)
{
	return !b->is_name || (b->shared != NULL &&
	    (atomic_load_explicit(&b->shared->published,
	    memory_order_relaxed) & 15) != 0);
}

/*
 * Connections that were made under another number are of no use.  To be read
 * before the address that it is about: see places.c.
 */
static inline uint32_t
backend_tenancy(const struct backend *b)
{
	return b->shared == NULL ? 0 :
	    atomic_load_explicit(&b->shared->tenancy, memory_order_acquire);
}

/* Bits of enum backend_state. */
static inline uint32_t
backend_state(const struct backend *b)
{
	return b->shared == NULL ? 0 :
	    atomic_load_explicit(&b->shared->state, memory_order_relaxed);
}

static inline bool
backend_is_up(const struct backend *b)
{
	return backend_state(b) == 0 && backend_is_resolved(b);
}

/* No more connections are allowed, and this worker's are all busy. */
static inline bool
backend_is_full(const struct backend *b)
{
	return b->limit != 0 && b->shared != NULL &&
	    tally_sum(&b->shared->connections) >= b->limit &&
	    (b->own == NULL || (atomic_load_explicit(&b->own->idle,
	    memory_order_relaxed) == 0 &&
	    (atomic_load_explicit(&b->own->streams, memory_order_relaxed) &
	    BACKEND_STREAMS_ROOM) == 0));
}

/* A connection to b is about to be made, or has gone; only with a limit. */
static inline bool
backend_take_connection(const struct backend *b)
{
	return tally_take(&b->shared->connections,
	    b->own != NULL ? &b->own->connections : NULL, b->limit);
}

static inline void
backend_give_connection(const struct backend *b)
{
	tally_give(&b->shared->connections,
	    b->own != NULL ? &b->own->connections : NULL);
}

/* As weirctl set it, else as configured. */
uint32_t backend_weight(const struct backend *b);

/* A request goes to b, or has come back from it. */
static inline void
backend_begin(const struct backend *b)
{
	struct tally_cell *cell = b->own != NULL ? &b->own->in_flight : NULL;

	if (b->is_counted)
		(void)tally_take(&b->shared->in_flight, cell, 0);
	else
		tally_note(cell, 1);
}

static inline void
backend_end(const struct backend *b)
{
	struct tally_cell *cell = b->own != NULL ? &b->own->in_flight : NULL;

	if (b->is_counted)
		tally_give(&b->shared->in_flight, cell);
	else
		tally_note(cell, -1);
}

/* Requests that b has now, of all workers; exact if b->is_counted. */
static inline uint32_t
backend_in_flight(const struct backend *b)
{
	return b->shared == NULL ? 0 : tally_sum(&b->shared->in_flight);
}

/* An address of an answer with a port. */
void backend_address_of(struct addr *out, const struct addr_ip *ip,
    uint16_t port);
/* A consistent copy of the name's addresses; false if there are none. */
bool backend_addresses(const struct backend *b, struct backend_addresses *out);
/*
 * Only who has the claim of a name's first place may fill its places.  Any
 * number of processes may ask; -1 if another is at it this moment (try again a
 * little later).  It lapses by itself where its holder dies.
 */
int backend_claim(const struct backend *b)
    __attribute__((warn_unused_result));
void backend_unclaim(const struct backend *b);
/*
 * With the claim: what is at this place from now on.  Whether the group has
 * more members or fewer, its workers see.
 */
void backend_settle(const struct backend *b,
    const struct backend_addresses *addresses);
/* All three, for a name with one place; -1: the claim is another's. */
int backend_publish(const struct backend *b,
    const struct backend_addresses *addresses)
    __attribute__((warn_unused_result));
/*
 * Somebody new is at this place: he knows nothing of his predecessor's health
 * and weight, and starts by the start state.  With the claim.
 */
void backend_begin_tenancy(const struct backend *b, bool is_drained);
void backend_end_tenancy(const struct backend *b, bool is_drained);

/*
 * Give b a slot: the one that has its name, else a free one.  -1 and err when
 * all are taken.  To be undone by backend_unbind() when the generation ends.
 */
int backend_bind(struct backend *b, struct backend_zone *zone,
    struct error *err);
void backend_unbind(struct backend *b, struct backend_zone *zone);

#endif

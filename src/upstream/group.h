/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * group - an upstream: its options, its backends, and who is next.
 *
 * Made with the generation in the master (group_new, group_bind).  After the
 * fork each worker calls group_start(), which makes what changes: the retry
 * budget, which addresses refused of late.  The rotation itself is one for all
 * workers: if each had its own, a backend would meet bursts and gaps even
 * under steady load, and its parked connections would be missed by the ones
 * and expire in the others (simulated: 93 % reuse against 100 %).
 */
#ifndef UPSTREAM_GROUP_H
#define UPSTREAM_GROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/item.h"
#include "os/addr.h"
#include "upstream/backend.h"
#include "upstream/check_conf.h"
#include "upstream/retry.h"
#include "upstream/tier.h"

struct arena;
struct conf_place;
struct conf_report;
struct error;
struct tls_ctx_about;

enum {
	GROUP_RETRIES_MAX = 16,
	GROUP_TRIES_MAX = GROUP_RETRIES_MAX + 1,
	GROUP_BACKENDS_MAX = 4096,
	GROUP_MAGIC = 0x47525550,
};

enum group_balance {
	GROUP_ROUND_ROBIN,
	GROUP_RANDOM,
	GROUP_LEAST_CONNECTIONS,
	GROUP_POWER_OF_TWO,
	GROUP_HASH,
};

/* What is spoken with backends; auto: what TLS negotiates. */
enum group_protocol { GROUP_H1, GROUP_H2, GROUP_AUTO };

/* Routes may override them: apply group_timeouts_table to a copy. */
struct group_timeouts {
	uint64_t connect_ms;
	uint64_t first_byte_ms;    /* request sent until response head */
	uint64_t between_bytes_ms;
	uint64_t total_ms;         /* 0 = off */
};

struct group_keepalive {
	uint64_t idle_timeout_ms; /* 0 = connections are not kept */
	uint32_t idle_max;        /* per backend and worker */
	uint32_t requests_max;    /* per connection, 0 = no limit */
};

/* Where requests wait while all backends have max_connections. */
struct group_queue {
	uint32_t size;       /* over all workers */
	uint64_t timeout_ms;
};

/* How long answers for the names of backends are good. */
struct group_resolve {
	uint64_t ttl_min_ms;
	uint64_t ttl_max_ms;
	uint32_t addresses_max; /* of a name, each a backend; 0 = 1 */
};

/* upstreams = ( { … } ) */
struct group_conf {
	const char *name;
	uint32_t balance;          /* enum group_balance */
	const struct template *hash_key; /* of GROUP_HASH, else NULL */
	uint32_t hash_load_max;    /* percent of a fair share, 0 = off */
	struct conf_list backends; /* of struct backend_conf */
	const struct template *host; /* NULL: the client's goes through */
	struct group_timeouts timeouts;
	uint32_t retries; /* further attempts after the first */
	struct retry_budget_conf retry_budget;
	struct group_resolve resolve;
	uint32_t max_connections;  /* to each backend, 0 = no limit */
	struct group_queue queue;
	uint32_t max_fails;        /* in a row; 0 = off */
	uint64_t fail_window_ms;
	uint64_t fail_timeout_ms;
	bool has_check;
	struct check_conf health_check;
	struct group_keepalive keepalive;
	uint64_t pool_share_after_ms;
	uint64_t response_header_max_bytes;
	uint32_t response_fields_max;
	uint32_t interim_responses_max;
	uint32_t protocol;         /* enum group_protocol */
	uint32_t proxy_protocol;   /* version to send, 0 = none */
	uint32_t h2_streams_max;   /* exchanges on one connection */
	uint64_t h2_ping_interval_ms; /* 0 = off */
	bool has_tls;
	struct tls_client_conf tls;
};

extern const struct conf_table group_table;          /* group_conf */
extern const struct conf_table group_timeouts_table; /* group_timeouts */

struct group_state; /* a worker's own */

struct group {
	uint32_t magic;
	uint32_t backend_count;
	struct backend *backends;
	const struct group_conf *conf;
	const struct lb_ops *lb;
	struct tier tiers[TIER_COUNT]; /* as configured */
	struct group_state *state; /* NULL but in a started worker */
	struct span name;
	struct tls_client *tls; /* of those that have none of their own */
	bool is_limited; /* some backend has a limit */
	bool has_names;  /* members come and go */
	uint32_t number; /* among the generation's upstreams: the caller's */
};

/* What one exchange wants and has tried; all 0 to begin. */
struct group_tries {
	uint32_t count;
	uint32_t hash; /* of its key: lb_hash_key() */
	bool has_hash;
	bool is_full; /* out: a backend was passed over for want of room */
	uint16_t tried[GROUP_TRIES_MAX]; /* backend->index */
};

/* Memory from a; borrows conf. */
struct group *group_new(struct arena *a, const struct group_conf *conf);
/*
 * The contexts of its backends' TLS, of files; -1 = reported.  Of about only
 * what is the same for all.
 */
int group_tls_open(struct group *g, const struct tls_ctx_about *about,
    const struct conf_place *place);
void group_tls_close(struct group *g);
/* Slots for all backends, or none: -1 and err.  Master, before the fork. */
int group_bind(struct group *g, struct backend_zone *zone, struct error *err);
void group_unbind(struct group *g, struct backend_zone *zone);
/*
 * In a worker, after the fork.  cells: of backend_zone_join(), NULL if this
 * process keeps no account.
 */
void group_start(struct group *g, struct backend_cell *cells);
void group_stop(struct group *g);

/*
 * The backend that the balancer chooses of those that can serve and are not
 * among tries, and note it there; NULL if none is left.  Backups come after
 * all others, and last of all come those that failed requests of late: that
 * alone never leaves an upstream without a backend.
 */
const struct backend *group_pick(struct group *g, struct group_tries *tries);

/* Weights or members have changed: each worker is to plan anew. */
void group_changed(struct group *g);

/* The backend that was picked last was not asked after all. */
static inline void
group_unpick(struct group_tries *tries)
{
	if (tries->count > 0)
		tries->count--;
}

/* Could group_pick() have one now that has room? */
bool group_has_room(const struct group *g, const struct group_tries *tries);

/*
 * The next address to connect to.  A name may have several: they are taken in
 * turn, those that refused of late come last.  *seen is 0 in the first call
 * for a try and remembers the ones given out; -1 when there are no more.
 */
int group_address(struct group *g, const struct backend *b, unsigned *seen,
    struct addr *out) __attribute__((warn_unused_result));
/* A connect to this address failed: avoid it for a while if others exist. */
void group_address_failed(struct group *g, const struct backend *b,
    const struct addr *a);

/* The retry budget of this group in this worker: see retry.h. */
struct retry_budget *group_budget(struct group *g);

#endif

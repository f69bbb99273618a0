/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * group - an upstream: its backends, and who is next.
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

#include "os/addr.h"
#include "upstream/backend.h"
#include "upstream/group_conf.h"
#include "upstream/tier.h"

struct arena;
struct conf_place;
struct conf_report;
struct error;
struct tls_ctx_about;

enum {
	GROUP_TRIES_MAX = GROUP_RETRIES_MAX + 1,
	GROUP_MAGIC = 0x47525550,
};

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

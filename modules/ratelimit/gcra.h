/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gcra - steady rates for many keys, in shared memory, exact over processes.
 *
 * The generic cell rate algorithm: for each key one point in time, the
 * "theoretical arrival time", up to which what was let in has been paid for.
 * Each request moves it on by one interval; who would move it further into the
 * future than the burst allows is refused.  A slot is a tag and that time, 16
 * bytes; 15 slots and their head are a bucket of 256 bytes, so that a million
 * keys fit into 24 MB.  In a full bucket the oldest key has to go.
 *
 * Times are those of the monotonic clock, in ticks of 1/16 microsecond.  There
 * is no lock: a change is one exchange of one word (see keytable.h).
 */
#ifndef MODULES_RATELIMIT_GCRA_H
#define MODULES_RATELIMIT_GCRA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	GCRA_VERSION = 1,       /* of the layout */
	GCRA_TICKS_PER_US = 16,
	GCRA_BYTES_MIN = 65536,
};

struct gcra_bucket;

/* A table, as one process sees it: the zone is mapped before the fork. */
struct gcra {
	struct gcra_bucket *buckets;
	uint32_t count;
	uint64_t key[2]; /* of hashing; of the zone, so that heirs find keys */
};

struct gcra_limit {
	uint64_t interval;  /* ticks from one request to the next, > 0 */
	uint64_t tolerance; /* ticks that a burst may be ahead */
	uint64_t delay;     /* further ticks that a request may be held up */
};

enum gcra_verdict {
	GCRA_TAKEN,   /* let it in, after wait_us */
	GCRA_REFUSED, /* try again after wait_us */
};

struct gcra_answer {
	enum gcra_verdict verdict;
	uint64_t wait_us;
	uint64_t ahead;  /* ticks that are used up after this request */
	bool evicted;    /* a key that still counted had to go for this one */
	bool is_full;    /* too many others at once: let in uncounted */
};

/* requests per period_us; burst >= 1: how many may come at once. */
void gcra_limit_set(struct gcra_limit *l, uint32_t requests,
    uint64_t period_us, uint32_t burst, uint64_t delay_us);
/* Requests that would be let in now; and microseconds until all are again. */
uint32_t gcra_remaining(const struct gcra_limit *l, uint64_t ahead);
uint64_t gcra_reset_us(uint64_t ahead);

/*
 * memory: bytes of a zone, 64-byte aligned, zeroed if it is new.  Then it gets
 * a random key; else it is taken as a predecessor left it.
 */
void gcra_open(struct gcra *g, void *memory, size_t bytes, bool is_new);
/*
 * Before anybody counts in `to`: its key becomes that of `from`, and what
 * counts there at now_us is copied.
 */
void gcra_copy(struct gcra *to, void *to_memory, const struct gcra *from,
    uint64_t now_us);
/* The hash of a key's bytes: the same in all processes that share the zone. */
uint64_t gcra_hash(const struct gcra *g, const void *p, size_t len);
/* One request of the key; now_us is monotonic. */
void gcra_take(const struct gcra *g, uint64_t hash, const struct gcra_limit *l,
    uint64_t now_us, struct gcra_answer *answer);
/* Undo one that was taken: another limit has refused the request. */
void gcra_give_back(const struct gcra *g, uint64_t hash,
    const struct gcra_limit *l);
/* Keys that count at now_us; looks at the whole table. */
size_t gcra_used(const struct gcra *g, uint64_t now_us);

#endif

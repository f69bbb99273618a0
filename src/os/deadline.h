/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * deadline - a point in time at which a state has lasted too long.
 *
 * Every state of a connection has exactly one.  Moving a deadline later, or
 * clearing it, writes one word: the place in the loop's heap is mended only
 * when the old time comes.  Moving it earlier than its place costs one sift.
 */
#ifndef OS_DEADLINE_H
#define OS_DEADLINE_H

#include <stdint.h>

#define DEADLINE_NEVER UINT64_MAX

struct deadline;
struct loop;

/* Called once when the time has come; the deadline is then not set. */
typedef void deadline_fn(struct deadline *d);

struct deadline {
	uint64_t at_ms;     /* monotonic, DEADLINE_NEVER = not set */
	uint64_t queued_ms; /* its place in the heap; <= at_ms while queued */
	deadline_fn *on_expire;
	uint32_t heap_index; /* 1-based, 0 = not queued */
};

struct deadline_heap {
	struct deadline **items; /* 1-based */
	uint32_t count;
	uint32_t size;
};

void deadline_init(struct deadline *d, deadline_fn *on_expire);
/* deadline_set's slow path: give d the place that at_ms asks for. */
void deadline_queue(struct loop *loop, struct deadline *d);
/* at_ms: monotonic, as now_ms(); DEADLINE_NEVER clears. */
static inline void
deadline_set(struct loop *loop, struct deadline *d, uint64_t at_ms)
{
	d->at_ms = at_ms;
	if ((d->heap_index == 0 || at_ms < d->queued_ms) &&
	    at_ms != DEADLINE_NEVER)
		deadline_queue(loop, d);
}
static inline void
deadline_clear(struct deadline *d)
{
	d->at_ms = DEADLINE_NEVER;
}
/* Must be called before the memory of a deadline that was ever set goes. */
void deadline_stop(struct loop *loop, struct deadline *d);

/* For the loop: the earliest place, DEADLINE_NEVER if there is none. */
uint64_t deadline_next(const struct deadline_heap *heap);
/*
 * For the loop: run what is due at now_ms.  At most max places of the heap are
 * looked at, whether they had come true or were mended; returns how many.
 */
unsigned deadline_run(struct deadline_heap *heap, uint64_t now_ms,
    unsigned max);
void deadline_heap_fini(struct deadline_heap *heap);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/* deadline - a binary heap whose places may be too early, never too late. */
#include "os/deadline.h"

#include <assert.h>
#include <stdlib.h>

#include "base/heap_alloc.h"
#include "os/loop.h"

void
deadline_init(struct deadline *d, deadline_fn *on_expire)
{
	*d = (struct deadline){ .at_ms = DEADLINE_NEVER,
		.on_expire = on_expire };
}

static void
place(struct deadline_heap *heap, uint32_t at, struct deadline *d)
{
	heap->items[at] = d;
	d->heap_index = at;
}

/* Find d's place from the free place `at` upwards. */
static void
sift_up(struct deadline_heap *heap, uint32_t at, struct deadline *d)
{
	while (at > 1 && heap->items[at / 2]->queued_ms > d->queued_ms) {
		place(heap, at, heap->items[at / 2]);
		at /= 2;
	}
	place(heap, at, d);
}

/* Find d's place from the free place `at` downwards. */
static void
sift_down(struct deadline_heap *heap, uint32_t at, struct deadline *d)
{
	for (;;) {
		uint32_t child = at * 2;

		if (child > heap->count)
			break;
		if (child < heap->count && heap->items[child + 1]->queued_ms <
		    heap->items[child]->queued_ms)
			child++;
		if (heap->items[child]->queued_ms >= d->queued_ms)
			break;
		place(heap, at, heap->items[child]);
		at = child;
	}
	place(heap, at, d);
}

void
deadline_queue(struct loop *loop, struct deadline *d)
{
	struct deadline_heap *heap = loop_deadlines(loop);
	uint32_t at = d->heap_index;

	assert(d->at_ms != DEADLINE_NEVER);
	d->queued_ms = d->at_ms;
	if (at == 0) {
		at = ++heap->count;
		if (at >= heap->size) {
			heap->size = heap->size > 0 ? heap->size * 2 : 64;
			heap->items = heap_alloc_grow(heap->items, heap->size,
			    sizeof(*heap->items));
		}
	}
	sift_up(heap, at, d);
}

static void
take_out(struct deadline_heap *heap, struct deadline *d)
{
	uint32_t at = d->heap_index;
	struct deadline *last = heap->items[heap->count--];

	d->heap_index = 0;
	if (last == d)
		return;
	if (at > 1 && heap->items[at / 2]->queued_ms > last->queued_ms)
		sift_up(heap, at, last);
	else
		sift_down(heap, at, last);
}

void
deadline_stop(struct loop *loop, struct deadline *d)
{
	d->at_ms = DEADLINE_NEVER;
	if (d->heap_index != 0)
		take_out(loop_deadlines(loop), d);
}

uint64_t
deadline_next(const struct deadline_heap *heap)
{
	return heap->count > 0 ? heap->items[1]->queued_ms : DEADLINE_NEVER;
}

unsigned
deadline_run(struct deadline_heap *heap, uint64_t now_ms, unsigned max)
{
	unsigned count = 0;

	for (; count < max && deadline_next(heap) <= now_ms; count++) {
		struct deadline *d = heap->items[1];

		if (d->at_ms > now_ms && d->at_ms != DEADLINE_NEVER) {
			d->queued_ms = d->at_ms;
			sift_down(heap, 1, d);
			continue;
		}
		take_out(heap, d);
		if (d->at_ms == DEADLINE_NEVER)
			continue;
		d->at_ms = DEADLINE_NEVER;
		d->on_expire(d);
	}
	return count;
}

void
deadline_heap_fini(struct deadline_heap *heap)
{
	free(heap->items);
	*heap = (struct deadline_heap){ .items = NULL };
}

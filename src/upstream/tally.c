/* SPDX-License-Identifier: BSD-2-Clause */
/* tally - counting in two places, in an order that survives a death. */
#include "upstream/tally.h"

#define CHANGE (UINT64_C(1) << 32)      /* of a sum */
#define BUSY (UINT64_C(1) << 32)        /* of a cell */
#define CELL_CHANGE (UINT64_C(1) << 33)
#define COUNT_MASK UINT64_C(0xffffffff)

/* The cell says "busy" before the sum changes, and tells its share after. */
static uint64_t
begin(struct tally_cell *cell)
{
	uint64_t had;

	if (cell == NULL)
		return 0;
	had = atomic_load_explicit(&cell->word, memory_order_relaxed);
	atomic_store_explicit(&cell->word, had | BUSY, memory_order_relaxed);
	return had & ~BUSY;
}

static void
end(struct tally_cell *cell, uint64_t value)
{
	if (cell != NULL)
		atomic_store_explicit(&cell->word, value,
		    memory_order_release);
}

bool
tally_take(struct tally *t, struct tally_cell *cell, uint32_t max)
{
	uint64_t had = begin(cell);
	uint64_t seen = atomic_load_explicit(&t->word, memory_order_relaxed);

	do {
		if (max != 0 && (seen & COUNT_MASK) >= max) {
			end(cell, had);
			return false;
		}
	} while (!atomic_compare_exchange_weak_explicit(&t->word, &seen,
	    seen + CHANGE + 1, memory_order_acq_rel, memory_order_relaxed));
	end(cell, had + CELL_CHANGE + 1);
	return true;
}

void
tally_give(struct tally *t, struct tally_cell *cell)
{
	uint64_t had = begin(cell);
	uint64_t seen = atomic_load_explicit(&t->word, memory_order_relaxed);
	uint64_t want;

	do {
		/* A zone begun anew under us holds less than we gave. */
		want = seen + CHANGE - ((seen & COUNT_MASK) > 0 ? 1 : 0);
	} while (!atomic_compare_exchange_weak_explicit(&t->word, &seen, want,
	    memory_order_acq_rel, memory_order_relaxed));
	end(cell, had + CELL_CHANGE - ((had & COUNT_MASK) > 0 ? 1 : 0));
}

void
tally_note(struct tally_cell *cell, int by)
{
	uint64_t had;

	if (cell == NULL)
		return;
	had = atomic_load_explicit(&cell->word, memory_order_relaxed);
	if (by < 0 && (had & COUNT_MASK) == 0)
		by = 0;
	end(cell, had + CELL_CHANGE + (uint64_t)(int64_t)by);
}

void
tally_forget(struct tally_cell *cell)
{
	uint64_t had = atomic_load_explicit(&cell->word,
	    memory_order_relaxed);

	end(cell, ((had & ~COUNT_MASK) & ~BUSY) + CELL_CHANGE);
}

/* What the cells hold together, and how often they have changed. */
static bool
collect(const struct tally_cells *cells, uint64_t *sum, uint64_t *changes)
{
	char *p = (char *)cells->first;

	*sum = 0;
	*changes = 0;
	for (size_t i = 0; i < cells->count; i++, p += cells->stride) {
		struct tally_cell *cell = (struct tally_cell *)(void *)p;
		uint64_t word = atomic_load_explicit(&cell->word,
		    memory_order_acquire);

		if ((word & BUSY) != 0)
			return false;
		*sum += word & COUNT_MASK;
		*changes += word / CELL_CHANGE;
	}
	return true;
}

bool
tally_mend(struct tally *t, const struct tally_cells *cells)
{
	uint64_t seen = atomic_load_explicit(&t->word, memory_order_acquire);
	uint64_t sum, again, changes, changes_again;

	if (!collect(cells, &sum, &changes) ||
	    !collect(cells, &again, &changes_again) ||
	    changes != changes_again)
		return false;
	/* Of what was read before the cells only if nobody changed it since. */
	if ((seen & COUNT_MASK) == sum)
		return atomic_load_explicit(&t->word, memory_order_acquire) ==
		    seen;
	/* Fails if anybody changed the sum since it was read. */
	return atomic_compare_exchange_strong(&t->word, &seen,
	    (seen & ~COUNT_MASK) + CHANGE + sum);
}

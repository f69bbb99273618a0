/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tally - a count over all processes that becomes right whoever dies.
 *
 * The sum is one word that all change by compare-and-swap.  What of it is a
 * process's own stands in a cell that this process alone writes, with a mark
 * while a change of both is under way.  So the sum is never less than what the
 * living hold (a limit is never exceeded), and after a death the cells of the
 * living tell what it should be: tally_mend().
 */
#ifndef UPSTREAM_TALLY_H
#define UPSTREAM_TALLY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bits 0-31 the sum, the rest counts changes. */
struct tally {
	_Atomic uint64_t word;
};

/* Bits 0-31 the process's share, bit 32 the mark, the rest counts changes. */
struct tally_cell {
	_Atomic uint64_t word;
};

/* The cells of one tally: one a process, at equal distances. */
struct tally_cells {
	struct tally_cell *first;
	size_t stride; /* bytes */
	size_t count;
};

static inline uint32_t
tally_sum(const struct tally *t)
{
	return (uint32_t)atomic_load_explicit(&t->word,
	    memory_order_relaxed);
}

static inline uint32_t
tally_share(const struct tally_cell *cell)
{
	return (uint32_t)atomic_load_explicit(&cell->word,
	    memory_order_relaxed);
}

/*
 * One more, or false if the sum is max already (0 = no limit).  cell NULL: a
 * process that keeps no account (a test).
 */
bool tally_take(struct tally *t, struct tally_cell *cell, uint32_t max);
/* One less, of those that this process took. */
void tally_give(struct tally *t, struct tally_cell *cell);
/* The same in the cell alone: the next tally_mend() brings the sum up. */
void tally_note(struct tally_cell *cell, int by);

/* Of a process that has died, by whoever took its place. */
void tally_forget(struct tally_cell *cell);
/*
 * Make the sum that of the cells.  False if a change was under way: try again
 * a little later.  Any number of processes may do this at any time.
 */
bool tally_mend(struct tally *t, const struct tally_cells *cells);

#endif

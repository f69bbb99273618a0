/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * metrics_inherit - counters of a predecessor whose zone has another layout:
 * more or fewer names or processes, or tables of another version.
 *
 * The predecessor says where things lie in its zone, as text that goes over
 * with it.  The successor maps that zone for reading and shows its sums, by the
 * names of rows, routes, upstreams and backends, in one process slot of its own
 * zone.  The predecessor counts on in the old zone while it drains, so this is
 * done again and again until it has gone; what the slot has then stays.
 *
 * In the master.  Offsets and sizes are those that the predecessor's master
 * said, names are read as any directory's; values are only values.
 */
#ifndef METRICS_METRICS_INHERIT_H
#define METRICS_METRICS_INHERIT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"

struct error;
struct metrics;
struct metrics_heir;

/*
 * The layout of m, for a successor; heap, caller frees.
 *
 *	zone FORMAT PROCESSES PROCESS_AT PROCESS_BYTES
 *	names SCOPE COUNT AT
 *	set SCOPE BLOCKS_AT BLOCK_BYTES PREFIX
 *	row SET ROW TYPE NAME LABEL
 */
char *metrics_inherit_describe(const struct metrics *m);
/*
 * The zone that is described so, to be shown in m, which outlives this; takes
 * fd also on failure, then NULL and err.
 */
struct metrics_heir *metrics_inherit_open(struct metrics *m, int fd,
    uint32_t version, uint64_t bytes, struct span description,
    struct error *err);
/*
 * Bring process_slot, which nobody else writes, to what the old zone has now.
 * From the first call on its names are registered in m.
 */
void metrics_inherit_sync(struct metrics_heir *h, uint32_t process_slot);
/*
 * is_over: the predecessor has gone; its names are released.  Otherwise they
 * stay, for m belongs to somebody else as well.  NULL is fine.
 */
void metrics_inherit_close(struct metrics_heir *h, uint32_t process_slot,
    bool is_over);

#endif

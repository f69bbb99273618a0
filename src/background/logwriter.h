/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * logwriter - carries log lines from the rings of all processes to files,
 * syslog or stderr.
 *
 * Runs in the background process, in one of them at a time.  It sleeps until
 * the first line kicks it, gathers for LOGWRITER_GATHER_MS or until a ring is
 * half full, writes whole lines in batches, and sleeps again.  It never
 * blocks: lines for an output that takes none now wait in their ring while
 * that is less than half full; lines that a full disk refuses are dropped and
 * counted.  A line that was written in part is completed before another.
 */
#ifndef BACKGROUND_LOGWRITER_H
#define BACKGROUND_LOGWRITER_H

#include <stddef.h>
#include <stdint.h>

#include "metrics/counter.h"

struct logring;
struct logtargets;
struct logwriter;
struct loop;

enum { LOGWRITER_GATHER_MS = 100 };

struct logwriter_config {
	struct loop *loop;
	struct logring *const *rings; /* borrowed, as all of these */
	size_t ring_count;
	struct logtargets *targets; /* open; this process's copy */
	int kick_fd;                /* of logring_kick_open() */
	/* A block of logwriter_metrics, written by this process; or NULL. */
	_Atomic uint64_t *counters;
};

extern const struct metric_set logwriter_metrics; /* prefix "log" */

/* Starts at once with what is in the rings.  NULL with errno on failure. */
struct logwriter *logwriter_start(const struct logwriter_config *config);
/*
 * A new descriptor for a target (USR1): later lines go there; a line that is
 * partly written is completed in the old file.  Takes fd.
 */
void logwriter_replace(struct logwriter *w, unsigned target, int fd);
/*
 * Write all that the rings hold, also without the loop; waits at most
 * wait_ms for outputs that are busy.  For the end of the process.
 */
void logwriter_flush(struct logwriter *w, unsigned wait_ms);
/* Stops watching; lines that were not written stay in the rings. */
void logwriter_stop(struct logwriter *w);

#endif

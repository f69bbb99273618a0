/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * logoutput - the log writer's work for one target: lines are gathered into a
 * batch, written together, and given back to their rings.
 *
 * A line keeps its place in its ring until it was written or given up, and how
 * much of it was written is noted there: whoever takes over after a kill goes
 * on with the same line.
 */
#ifndef BACKGROUND_LOGOUTPUT_H
#define BACKGROUND_LOGOUTPUT_H

#include <stdbool.h>
#include <stdint.h>

#include "metrics/counter.h"
#include "os/logring.h"

struct logoutput;
struct logtargets;

/* Rows of logwriter_metrics that are counted here. */
enum logoutput_row {
	LOGOUTPUT_LINES,
	LOGOUTPUT_BYTES,
	LOGOUTPUT_WRITES,
	LOGOUTPUT_DROPPED_FAILED,
	LOGOUTPUT_DROPPED_BUSY,
	LOGOUTPUT_ROWS
};

/* A line and the ring where it lies. */
struct logoutput_line {
	struct logring *ring;
	struct logring_line line;
};

/* Borrows targets and counters (a block of logwriter_metrics). */
struct logoutput *logoutput_new(struct logtargets *targets, unsigned target,
    _Atomic uint64_t *counters);
void logoutput_free(struct logoutput *o);

/* A new pass over the rings: a busy output is tried again. */
void logoutput_begin(struct logoutput *o);
/* Put the line into the batch, which is written when it is full. */
void logoutput_take(struct logoutput *o, const struct logoutput_line *l);
/* Write what is in the batch. */
void logoutput_flush(struct logoutput *o);
/* A line of an earlier writer: what it has written is not written again. */
void logoutput_adopt(struct logoutput *o, const struct logoutput_line *l);
/*
 * Nobody takes this line now: it stays while its ring is less than half full,
 * else it is dropped and counted.
 */
void logoutput_put_off(_Atomic uint64_t *counters,
    const struct logoutput_line *l);
/* The target has another descriptor from here on; takes fd. */
void logoutput_replace(struct logoutput *o, int fd);

/* In this pass it took nothing more. */
bool logoutput_is_busy(const struct logoutput *o);
/* In this pass something was written. */
bool logoutput_has_written(const struct logoutput *o);
/* A line is written in part. */
bool logoutput_has_rest(const struct logoutput *o);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * logring - a ring of log lines in shared memory: one process writes lines to
 * it, the background process carries them to files.
 *
 * One producer and one consumer; each may be killed at any instruction, and
 * its successor goes on with the same ring.  A line becomes visible by one
 * store, so a killed producer leaves whole lines only; the consumer's position
 * and the state of each line lie in the ring too.  A full ring refuses the
 * line and counts it.  While the consumer is awake the producer makes no
 * system call; to wake it, one write to an eventfd.
 */
#ifndef OS_LOGRING_H
#define OS_LOGRING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "base/span.h"
#include "os/shmem.h"

struct error;
struct logring_zone;

enum {
	LOGRING_LINE_MAX = 16384,  /* bytes of a line with its newline */
	LOGRING_BYTES_MIN = 65536, /* of a ring */
};

/* When the producer is to write to the eventfd. */
enum logring_wake {
	LOGRING_WAKE_NEVER, /* the consumer is awake, or was kicked already */
	LOGRING_WAKE_FIRST, /* it sleeps: at the first line */
	LOGRING_WAKE_HALF,  /* it gathers: when the ring is half full */
};

/* A process's view of one ring; inherited by fork. */
struct logring {
	struct logring_zone *head; /* in the zone */
	char *bytes;               /* in the zone */
	uint64_t size;             /* a power of two */
	uint64_t tail_seen;        /* where the producer last saw tail */
	int kick_fd;               /* borrowed; -1 = none */
};

/* The eventfd that all rings share, -1 and err on failure.  Caller closes. */
int logring_kick_open(struct error *err) __attribute__((warn_unused_result));
/*
 * The rings of count process slots, in one zone "log"; bytes of each is rounded
 * up to a power of two.  Before the fork.  -1 and err on failure.
 */
int logring_open_all(struct shmem *zone, struct logring *rings, size_t count,
    uint64_t bytes, int kick_fd, struct error *err)
    __attribute__((warn_unused_result));
/* The same in a zone that was handed on; takes fd, also on failure. */
int logring_adopt_all(struct shmem *zone, int fd, struct logring *rings,
    size_t count, uint64_t bytes, int kick_fd, struct error *err)
    __attribute__((warn_unused_result));

/* For the producer. */

/*
 * Append a line: 1 to LOGRING_LINE_MAX bytes, of which the last is a newline.
 * False = the ring is full; the line is dropped and counted.
 */
bool logring_push(struct logring *r, unsigned target, enum log_level level,
    struct span line);

/* Where a process's error log goes. */
struct logring_output {
	struct logring *ring;
	unsigned target;
};

/* A log_sink_fn; arg is a struct logring_output that outlives its use. */
void logring_sink(void *arg, enum log_level level, const char *line,
    size_t len);

/* For the consumer.  It believes no length without checking it. */

struct logring_line {
	uint64_t at;       /* names the line in the calls below */
	uint32_t written;  /* bytes that are in the file already */
	/* It was about to be written at a place with these low bits. */
	uint32_t place;
	bool in_flight;
	uint16_t target;
	enum log_level level;
	struct span bytes; /* in the ring */
};

/* Where reading begins. */
uint64_t logring_start(const struct logring *r);
/*
 * The next line at or behind *cursor that is not done; moves *cursor behind
 * it.  False at the end.  What makes no sense empties the ring and is counted.
 */
bool logring_next(struct logring *r, uint64_t *cursor,
    struct logring_line *line);
/* Remember how much of a line is in its file. */
void logring_note_written(struct logring *r, uint64_t at, uint32_t written);
/* Remember where in its file it is about to be written. */
void logring_note_flight(struct logring *r, uint64_t at, uint32_t place);
/* The file has changed: nothing of the line is in it. */
void logring_note_unwritten(struct logring *r, uint64_t at);
/* The line needs its place no longer, whatever became of it. */
void logring_done(struct logring *r, uint64_t at);
/* Give the place of all lines that are done and have none before them. */
void logring_release(struct logring *r);

void logring_set_wake(struct logring *r, enum logring_wake wake);
bool logring_is_empty(const struct logring *r);
bool logring_is_half_full(const struct logring *r);
/* Lines dropped since it was last asked, by this or an earlier consumer. */
uint64_t logring_take_dropped(struct logring *r);
/* The same for rings that had to be emptied. */
uint64_t logring_take_broken(struct logring *r);

#endif

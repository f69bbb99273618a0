/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * shared - what all generations have in common: log outputs and rings, the
 * counters, the slots of backends, the lanes, and the zones of modules.
 *
 * Made once by the master, before the first generation is attached; handed on
 * in an upgrade.  A generation books what it uses in a struct shared_use, and
 * gives all of it back with one call.
 *
 * Process slots: each process counts in one, and writes its log lines to the
 * ring of that number.  The master has the first; the others are given away
 * one by one, and there are
 *
 *	1 + (max_draining_generations + 2) * (W + 2) + W
 *
 * of them, W being the number of workers at the start, or of the usable CPUs,
 * or 8, whichever is most: for all that drain, the one that serves, the one
 * that starts, and workers that leave while their successors run.  A slot that
 * nobody ever used costs no memory, only addresses.
 */
#ifndef SITE_SHARED_H
#define SITE_SHARED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/span.h"
#include "metrics/metrics.h"
#include "os/logring.h"
#include "os/logtarget.h"
#include "os/shmem.h"

struct backend_zone;
struct error;
struct lane_set;
struct metrics_heir;
struct settings;
struct serving;
struct shared_zone;
struct str;

enum { SHARED_MASTER, SHARED_FIRST_CHILD }; /* process slots */

/* Whose a slot of the zone "backends" is. */
struct shared_owner {
	const char *name; /* NULL = never used; borrowed */
	uint32_t version;
};

/*
 * What a predecessor left, in an upgrade.  Descriptors are taken, which sets
 * them to -1; what has another size or layout is copied by name, what cannot be
 * read starts empty, and that is logged.
 */
struct shared_legacy {
	size_t process_count;  /* process slots of its counters */
	const uint32_t *used;  /* those of its living processes */
	size_t used_count;
	int *metrics_fd;       /* NULL = none */
	uint32_t metrics_version; /* and size, of the zone */
	uint64_t metrics_bytes;
	struct span metrics_layout; /* see metrics/metrics_inherit.h */
	int *backends_fd;      /* NULL = none */
	const struct shared_owner *owners;
	size_t owner_count;
	uint32_t versions;     /* see shared_leave_backends() */
	int *lanes;
	size_t lane_fd_count;
};

struct shared_config {
	const struct settings *settings; /* sizes; not borrowed */
	size_t workers;
	/* Tables of counters of higher floors; borrowed for good. */
	const struct metric_set *const *metric_sets;
	size_t metric_set_count;
	const struct shared_legacy *legacy; /* NULL = there was nobody */
};

struct shared {
	struct logtargets targets;
	struct shmem log_zone;
	struct logring *rings;      /* in it, by process slot */
	struct logring **ring_list; /* the same, by address */
	bool *process_used;
	size_t process_count;
	int kick_fd;                /* wakes the log writer */
	struct metrics metrics;
	struct metrics_heir *heir;  /* NULL = a predecessor counts in metrics */
	unsigned heir_process;      /* the slot that shows what it counts */
	const struct metric_set **metric_sets;
	uint32_t routes_max;        /* numbers of routes are below */
	struct shmem serving_zone;
	struct serving *serving;    /* in it, by process slot */
	struct backend_zone *backends;
	struct lane_set *lanes;     /* NULL until there are two workers */
	struct shared_zone *zones;  /* of modules */
	uint32_t connections_warned; /* connections_max that was too high */
	struct list uses;           /* struct shared_use, oldest first */
	/*
	 * The zones are a successor's: names and counters in them are its
	 * own business.
	 */
	bool is_given;
	bool has_predecessor;       /* which still takes slots, the lowest */
};

/* What one generation has booked. */
struct shared_use {
	struct list node;
	uint64_t epoch;
	unsigned *targets;
	size_t target_count;
	struct shared_zone **zones;
	size_t zone_count;
};

/* NULL and err on failure. */
struct shared *shared_new(const struct shared_config *config,
    struct error *err);
/* Nothing is booked any more. */
void shared_free(struct shared *s);

/* A generation comes; from here on it may book. */
void shared_begin(struct shared *s, struct shared_use *use);
/* It has gone, and its processes with it: what it booked is given back. */
void shared_end(struct shared *s, struct shared_use *use);
/* The number of a log output; opens nothing.  -1 and err on failure. */
int shared_book_target(struct shared *s, struct shared_use *use,
    const char *path, struct error *err) __attribute__((warn_unused_result));
/*
 * A module's zone.  0: one of that name, version and size was there, with what
 * is in it; 1: it is new and all zero; -1 and err on failure.  Of one name
 * there may be several while generations drain that know it differently.
 */
int shared_book_zone(struct shared *s, struct shared_use *use,
    const struct shmem *want, const struct shmem **zone, struct error *err)
    __attribute__((warn_unused_result));
/*
 * Another one of the same name and version, for what is in it: the newest.
 * NULL if there is none.
 */
const struct shmem *shared_former_zone(const struct shared *s,
    const struct shmem *zone);
/* From the first generation with two workers on there are lanes. */
int shared_need_lanes(struct shared *s, struct error *err)
    __attribute__((warn_unused_result));

/*
 * A zone that a predecessor left, for a generation that will ask for it; takes
 * fd also on failure.  What nobody has booked is dropped by
 * shared_drop_unbooked().
 */
int shared_adopt_zone(struct shared *s, int fd, const struct shmem *want,
    struct error *err) __attribute__((warn_unused_result));
void shared_drop_unbooked(struct shared *s);
/* All shared memory: counters, backends, log rings, zones of modules. */
void shared_each_zone(const struct shared *s,
    void (*fn)(void *arg, const struct shmem *zone), void *arg);

/*
 * For a successor: whose each slot is (caller frees), their number, and in
 * *versions the last version that was given away; those behind it are the
 * successor's, whatever becomes of it.
 */
struct shared_owner *shared_leave_backends(struct shared *s, size_t *count,
    uint32_t *versions);
/* The descriptors of all lanes (caller frees, borrowed), and their number. */
int *shared_leave_lanes(const struct shared *s, size_t *count);

/* ---- process slots ---- */

/* wanted if it is free (0 = any), else the lowest free one; -1: none is. */
int shared_take_process(struct shared *s, unsigned wanted);
/* Its process has died: nothing is "now" there any more. */
void shared_give_process(struct shared *s, unsigned process);
/*
 * Once all is ours, and then about once a second until the predecessor has
 * gone: what it counts in a zone of its own.  False if there is no such zone.
 */
bool shared_sync_inherited(struct shared *s);
/*
 * The processes of a predecessor that had these slots have gone, and with them
 * what it counted in.
 */
void shared_give_inherited(struct shared *s, const uint32_t *used,
    size_t count);
/* A successor has failed: what it left in the zones is put in order. */
void shared_reclaim(struct shared *s);
/* True once all lines of the slot's ring were written. */
bool shared_is_logged(const struct shared *s, unsigned process);

#endif

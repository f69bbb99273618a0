/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * generation - one loaded configuration: the immutable root of everything a
 * worker serves by.
 *
 * Loaded in the master, inherited by the processes forked under it.  All its
 * memory is one arena; nothing in it changes after generation_load().
 */
#ifndef SITE_GENERATION_H
#define SITE_GENERATION_H

#include <stddef.h>
#include <stdio.h>

#include "base/span.h"
#include "conf/report.h"
#include "net/listener.h"
#include "site/settings.h"

struct backend_zone;
struct error;
struct template_vars;
struct generation;
struct group;
struct lane_set;
struct logring;
struct logtargets;
struct metric_set;
struct metrics;
struct proxy_boot;
struct str;

/* Where a configuration comes from, and what the command line overrides. */
struct generation_source {
	const char *path;     /* the file; NULL with text */
	const char *conf_dir; /* "conf.d" beside it, NULL = none */
	struct span text;     /* made from --from and --to */
	const char *text_name;
	uint32_t workers;     /* 0 = as configured */
	int log_level;        /* -1 = as configured */
	bool is_daemon;       /* -d */
};

/*
 * Read and check everything; NULL if anything was reported as an error.
 * Touches no network and writes nothing.
 */
struct generation *generation_load(const struct generation_source *source,
    struct conf_report *report);
void generation_free(struct generation *g);
const struct settings *generation_settings(const struct generation *g);
const struct listener_spec *generation_listeners(const struct generation *g,
    size_t *count);
/* Counters of a higher floor; before generation_prepare().  Borrows set. */
void generation_add_metrics(struct generation *g,
    const struct metric_set *set);
/*
 * Shared memory and log targets that this configuration needs; in the master,
 * as root, before the first fork.  workers: slots.
 */
int generation_prepare(struct generation *g, size_t workers,
    struct error *err);
/* Slots of counters and log rings: one a process. */
enum generation_process {
	GENERATION_MASTER,
	GENERATION_BACKGROUND,
	GENERATION_WORKER, /* and the worker's slot on top */
};

/* What generation_prepare() made; inherited by all processes. */
struct generation_shared {
	struct logtargets *targets;
	unsigned error_log;           /* target of the error log */
	struct logring *const *rings; /* by enum generation_process */
	size_t ring_count;
	int kick_fd;                  /* wakes the log writer */
	struct metrics *metrics;
	struct group *const *groups;
	size_t group_count;
	struct backend_zone *backends;
	struct lane_set *lanes;       /* NULL with one worker */
};

const struct generation_shared *generation_shared(const struct generation *g);
/*
 * In a worker: all of boot but loop, set_accepting and arg.  Whatever a
 * process of its own needs to use the generation is set up here.
 */
void generation_boot_proxy(const struct generation *g, unsigned slot,
    struct proxy_boot *boot);
/*
 * In the master, when a process has died: what it was serving, in words for
 * the log (nothing if nothing), and its gauges are reset.
 */
void generation_process_ended(struct generation *g, unsigned process,
    struct str *was_serving);
/*
 * Every option table, for the documentation's test.  place: where in the
 * configuration its group stands, as "services.routes"; "" = top level.
 */
void generation_each_table(void (*fn)(void *arg, const char *place,
    const struct conf_table *table), void *arg);
/* What templates may name. */
const struct template_vars *generation_vars(void);
/* weir -T. */
void generation_dump(const struct generation *g, FILE *out);

#endif

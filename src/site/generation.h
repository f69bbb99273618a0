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

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/span.h"
#include "conf/report.h"
#include "net/listener.h"
#include "site/settings.h"

struct backend_zone;
struct channel;
struct channel_message;
struct error;
struct template_vars;
struct tls_keys;
struct generation;
struct group;
struct lane_set;
struct logring;
struct logtargets;
struct metrics;
struct proxy_boot;
struct shared;
struct str;

/* Where a configuration comes from, and what the command line overrides. */
struct generation_source {
	const char *path;     /* the file; NULL with text */
	char *conf_dir;       /* "conf.d" beside it, NULL = none */
	struct span text;     /* made from --from and --to */
	const char *text_name;
	uint32_t workers;     /* 0 = as configured */
	int log_level;        /* -1 = as configured */
	bool is_daemon;       /* -d */
	bool is_test;         /* -t, -T: nothing will be served */
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
/*
 * It will serve: log outputs are opened, counters named, backends bound, and
 * modules take their zones.  In the master, as root, before its processes are
 * forked.  -1 and err on failure, with everything undone.
 */
int generation_attach(struct generation *g, struct shared *shared,
    struct error *err) __attribute__((warn_unused_result));
/* Its processes have gone.  Harmless on one that is not attached. */
void generation_detach(struct generation *g);

/* What generation_attach() found or made; inherited by all processes. */
struct generation_shared {
	struct shared *shared;        /* NULL = not attached */
	struct logtargets *targets;
	unsigned error_log;           /* target of the error log */
	struct logring *const *rings; /* by process slot */
	size_t ring_count;
	int kick_fd;                  /* wakes the log writer */
	struct metrics *metrics;
	struct group *const *groups;
	size_t group_count;
	struct backend_zone *backends;
	struct lane_set *lanes;       /* NULL while there is one worker */
};

const struct generation_shared *generation_shared(const struct generation *g);
/*
 * In a worker: all of boot but what belongs to the process itself (loop, ring
 * and slot of counters, set_accepting and arg).  Whatever a process of its own
 * needs to use the generation is set up here.
 */
void generation_boot_proxy(const struct generation *g, unsigned slot,
    struct proxy_boot *boot);
/* What a process serves now, and has served. */
struct generation_load {
	uint64_t connections;
	uint64_t exchanges;
	uint64_t requests;
};

void generation_load_of(const struct generation *g, unsigned process,
    struct generation_load *load);
/* In a worker, before it serves: process is its slot of counters. */
void generation_process_begun(const struct generation *g, unsigned process);
/*
 * In the master, when a process has died: " while serving GET /x ...; 3
 * connections and 1 exchange were lost", for the log, as far as there is
 * anything to say.
 */
void generation_process_ended(const struct generation *g, unsigned process,
    struct str *was_serving);

/* How the master sends what has changed; fd is borrowed. */
struct generation_send {
	/* To the background process, to be checked; false: not sent. */
	bool (*check)(void *arg, uint32_t number, uint32_t version, int fd);
	/*
	 * There may be new versions of generation_files_open().  False: some
	 * process does not use the newest of all of them yet.
	 */
	bool (*spread)(void *arg);
	/* To the signer: keys have been released; or NULL. */
	void (*keys)(void *arg);
	void *arg;
};

/*
 * In the master, while it serves: what has to be done from time to time (keys
 * of session tickets, files that were replaced).  g NULL = nothing.  Returns
 * milliseconds until it wants to be called again.
 */
uint64_t generation_tend(struct generation *g,
    const struct generation_send *send);
/* Are its private keys with a process of their own?  Then it needs one. */
bool generation_has_signer(const struct generation *g);
/* NULL: they are in all processes. */
struct tls_keys *generation_keys(const struct generation *g);
/* In a new process of g: close what only the signer, or no signer, may have. */
void generation_keep_keys(const struct generation *g, bool is_signer);
/* In a process of another generation, or of none. */
void generation_forget_keys(const struct generation *g);
/*
 * What may change while it serves, by number: files, then pairs of listeners.
 * Version 0 is what every process has from the start.
 */
size_t generation_files_count(const struct generation *g);
uint32_t generation_files_version(const struct generation *g, size_t i);
/* "access rule 2: /etc/weir/list.txt" */
const char *generation_files_name(const struct generation *g, size_t i);
/* In the master: that version, sealed, the caller's; -1 and err. */
int generation_files_open(const struct generation *g, size_t i,
    struct error *err);
/*
 * In a new process: files as they are now (files_catch_up()).  Tells the master
 * of those that it could not take.
 */
void generation_files_catch_up(struct generation *g,
    const struct channel *c);
/* In the master: what was fed to former is there from the start. */
void generation_files_inherit(struct generation *g,
    const struct generation *former);
/*
 * In a process: CHANNEL_FILE; answers to the master.  True if a pair of a
 * listener is another now.
 */
bool generation_files_take(struct generation *g, const struct channel *c,
    const struct channel_message *m);
/*
 * In the background process: content for a file without path, by the arg of
 * its struct files_spec.  False: it could not be sent.
 */
bool generation_files_feed(struct generation *g, const struct channel *c,
    const void *arg, struct span content);
/*
 * In the master, from the background process: CHANNEL_FILE_FED, or a
 * CHANNEL_FILE_ANSWER about a check.
 */
void generation_files_hear(struct generation *g,
    const struct channel_message *m, const struct generation_send *send);
/*
 * Every option table, for the documentation's test.  place: where in the
 * configuration its group stands, as "services.routes"; "" = top level.
 */
void generation_each_table(void (*fn)(void *arg, const char *place,
    const struct conf_table *table), void *arg);
/* What templates may name. */
const struct template_vars *generation_vars(void);
/*
 * In what b differs from a: fn gets a line for each listener, upstream, route,
 * certificate and option, as "added route web/api" or "changed option workers".
 * Both are attached.
 */
typedef void generation_line_fn(void *arg, const char *line);
void generation_changes(const struct generation *a,
    const struct generation *b, generation_line_fn *fn, void *arg);
/*
 * Settings that take effect at a restart only keep the values of `running`; fn
 * gets a line for each that was to be another.
 */
void generation_changes_keep(struct generation *g,
    const struct generation *running, generation_line_fn *fn, void *arg);
/* weir -T. */
void generation_dump(const struct generation *g, FILE *out);

#endif

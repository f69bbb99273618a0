/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * module_def - what a module is, for those who load and run them.
 *
 * A module is one `const struct module mod_NAME`: its option, its handlers,
 * its counters.  Its option is legal in `http`, services and routes and is
 * inherited downwards: a group is merged, a list replaces.
 */
#ifndef PROXY_MODULE_DEF_H
#define PROXY_MODULE_DEF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/item.h"
#include "proxy/phase.h"

struct addr_ip;
struct arena;
struct digest;
struct error;
struct exchange;
struct files;
struct helpers;
struct logtargets;
struct logring;
struct metric_set;
struct shmem;

/* What start and attach may use; in the master, before workers are forked. */
struct module_env {
	struct arena *arena; /* of the generation */
	/*
	 * In start the configuration's own table, to which it adds what it will
	 * write to; in attach that of all generations, which has the numbers
	 * (logtarget_number()).
	 */
	struct logtargets *log_targets;
	/* In start: what it reads it adds to these, see files_add(). */
	struct files *files;
	/*
	 * In start: a place for what all structures of this module in this
	 * configuration share; NULL at first.
	 */
	void **common;
	unsigned workers;
	unsigned processes; /* in attach: process slots there may ever be */
	/* Where the conf struct was made: "http", "web", "web/route". */
	const char *place;
	/*
	 * In attach: shared memory of that name, layout version and size.  0:
	 * an earlier generation or a predecessor has left it, with what is in
	 * it; 1: it is new and all zero; -1 and err on failure.  It stays as
	 * long as a generation has asked for it.
	 */
	int (*zone)(const struct module_env *env, const char *name,
	    uint32_t layout_version, size_t bytes,
	    const struct shmem **zone, struct error *err);
	/*
	 * In attach, for a zone that is new: one of the same name and version
	 * but of another size that an earlier generation has; NULL if none has.
	 */
	const struct shmem *(*former_zone)(const struct module_env *env,
	    const struct shmem *zone);
	void *owner; /* who fills this struct */
};

/* Per worker: what handlers reach through exchange_worker(). */
struct module_worker {
	struct logring *log_ring;
	unsigned slot;
	unsigned process; /* slot among all processes, see metrics.h */
};

/*
 * Handlers of a module that have to run at another place of the order than its
 * own: behind what they depend on.
 */
struct module_late {
	int order;
	/* As module.runs_in. */
	bool (*runs_in)(const void *conf, enum phase phase);
	hook_fn *hooks[PHASE_COUNT];
};

struct module {
	const char *name;
	const char *help; /* one line */
	/*
	 * One row: the option by which the configuration names the module, a
	 * GROUP or LIST (at offset 0 or where it belongs in the conf struct).
	 */
	const struct conf_table *table;
	size_t conf_size;
	int order;        /* of its handlers in each phase; lower runs first */
	/*
	 * False: this conf asks for nothing, and no handler is put into the
	 * route's phases.  NULL = always active.
	 */
	bool (*is_active)(const void *conf);
	/*
	 * Of an active conf: false = its handler of that phase has nothing to
	 * do, and is not put there.  NULL = it always has.
	 */
	bool (*runs_in)(const void *conf, enum phase phase);
	/* What it counts, of METRIC_SCOPE_PROCESS; NULL = nothing. */
	const struct metric_set *metrics;
	/* Once for each conf struct; -1 and err refuses the configuration. */
	int (*start)(const struct module_env *env, void *conf,
	    struct error *err);
	/*
	 * The same when this configuration is to serve (never for -t): takes
	 * its place in what all generations share.  What it books there is
	 * given back when the generation has gone; -1 and err: it will not
	 * serve.
	 */
	int (*attach)(const struct module_env *env, void *conf,
	    struct error *err);
	/*
	 * For each conf that was attached: a process of that slot begins (in
	 * it) or has died (in the master).
	 */
	void (*on_process)(const void *conf, unsigned process);
	/*
	 * A connection has come, of which nothing but the peer's address is
	 * known: false = close it at once, before TLS.  With the conf of the
	 * service, if guards_connections says that it has something to decide;
	 * counters are the module's, as exchange_counters().
	 */
	bool (*guards_connections)(const void *conf);
	bool (*on_connection)(const void *conf, const struct addr_ip *peer,
	    _Atomic uint64_t *counters);
	hook_fn *hooks[PHASE_COUNT];          /* the phases of heads */
	body_fn *body_hooks[PHASE_COUNT];     /* *_BODY */
	trailers_fn *trailers_hooks[PHASE_COUNT]; /* *_TRAILERS */
	/*
	 * Of handlers in .hooks: a wait ends by a deadline or by what a peer
	 * did.  NULL: only a client that has gone ends it, and the phase log
	 * tells of that.
	 */
	cancel_fn *on_cancel;
	const struct module_late *late; /* or NULL */
};

/*
 * Memory of the module whose handler runs in this worker: size bytes, zeroed
 * at first, the same for all exchanges, as long as the worker lives.
 */
void *exchange_worker_memory(const struct exchange *ex, size_t size);
/* For work that takes more than a few microseconds. */
struct helpers *exchange_helpers(const struct exchange *ex);
/* For hashes that do not. */
struct digest *exchange_digest(const struct exchange *ex);
/* The worker that serves ex. */
const struct module_worker *exchange_worker(const struct exchange *ex);
/*
 * The block of counters of the module whose handler runs, by the rows of its
 * set (counter_add()).  NULL if the module has none.
 */
_Atomic uint64_t *exchange_counters(const struct exchange *ex);

#endif

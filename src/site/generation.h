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

struct error;
struct generation;

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
/*
 * Shared memory and log targets that this configuration needs; in the master,
 * as root, before the first fork.  workers: slots.
 */
int generation_prepare(struct generation *g, size_t workers,
    struct error *err);
/* weir -T. */
void generation_dump(const struct generation *g, FILE *out);

#endif

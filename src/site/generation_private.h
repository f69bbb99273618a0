/* SPDX-License-Identifier: BSD-2-Clause */
/* generation_private - what a generation is, for the files of generation. */
#ifndef SITE_GENERATION_PRIVATE_H
#define SITE_GENERATION_PRIVATE_H

#include "base/arena.h"
#include "conf/template.h"
#include "os/logtarget.h"
#include "site/build.h"
#include "site/generation.h"
#include "site/shared.h"

struct files;
struct tls_session_zone;
struct tls_ticket_zone;

/* A file that the configuration names, and what tells another content. */
struct generation_file {
	const char *path;
	uint64_t sign;
};

struct generation_pair {
	struct tls_server *server;
	size_t index; /* in it */
};

struct generation {
	struct arena arena;
	struct conf_ctx ctx;
	struct conf_origins *origins;
	struct conf_node *tree;
	struct template_vars vars;
	struct settings settings;
	struct conf_list upstream_confs; /* struct group_conf */
	struct build_level http;
	struct build build;
	struct group **groups;
	size_t group_count;
	uint32_t *group_metric_index;
	struct logtargets targets; /* that it will write to; never opened */
	struct files *files_named; /* that may change while it serves */
	struct generation_pair *pairs; /* of all listeners, as files are */
	size_t pair_count;
	/* Of generation_attach(). */
	struct generation_shared shared;
	struct shared_use use;
	size_t workers;
	struct tls_session_zone *sessions; /* with backends; or NULL */
	struct tls_ticket_zone *tickets; /* NULL: no listener has TLS */
	uint32_t connections_max; /* that there are descriptors for */
	size_t groups_bound;
	bool has_names; /* numbers of counters are booked */
	/* Certificates and keys as they were when it was attached. */
	struct generation_file *files;
	size_t file_count;
};

extern const struct conf_table generation_root_table;

/* Remember the files, for a later generation_changes(). */
void generation_changes_note(struct generation *g);
/* What generation_detach() does. */
void generation_attach_undo(struct generation *g);
/* A process of that slot begins, or has ended. */
void generation_attach_process(const struct generation *g, unsigned process);
/* Once all is loaded. */
void generation_files_list_pairs(struct generation *g);
/* What generation_tend() does about files; how many there are. */
size_t generation_files_look(struct generation *g,
    const struct generation_send *send);

#endif

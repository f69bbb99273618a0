/* SPDX-License-Identifier: BSD-2-Clause */
/* children_private - slots and processes, for the files of children only. */
#ifndef MASTER_CHILDREN_PRIVATE_H
#define MASTER_CHILDREN_PRIVATE_H

#include <stdint.h>

#include "base/list.h"
#include "master/children.h"
#include "os/channel.h"
#include "os/deadline.h"
#include "site/shared.h"

/* Rows of children_metrics. */
enum {
	CHILDREN_STAT_STARTS,
	CHILDREN_STAT_DEATHS,
	CHILDREN_STAT_KILLED,
	CHILDREN_STAT_COUNT,
};

enum child_state {
	CHILD_STARTING, /* forked, has not said that it serves */
	CHILD_SERVING,
	CHILD_LEAVING,  /* finishes what it has; its slot is another's */
};

struct child_slot;

struct child {
	struct list node; /* of children->all */
	struct children *children;
	struct child_slot *slot;
	struct channel channel;
	pid_t pid;
	unsigned process;
	enum child_state state;
	uint64_t started_ms;
};

struct child_slot {
	struct children *children;
	bool is_background;
	bool is_signer;
	unsigned number;        /* of a worker */
	char name[24];          /* "worker 3" */
	struct child *current;  /* NULL = empty */
	struct child *adopter;  /* accepts from its sockets meanwhile */
	struct deadline restart;
	unsigned quick_deaths;  /* in a row */
	unsigned process;       /* that its last one had; 0 = none yet */
};

struct children {
	struct children_config config;
	struct list all;          /* living processes */
	struct child_slot *slots; /* the background process, then workers */
	size_t slot_count;
	struct shared *shared;
	_Atomic uint64_t *stats;
	bool was_ready;
	bool has_failed;
	uint32_t log_level;       /* enum log_level */
	bool is_serving;
	bool surplus_stays;
	bool is_retired;          /* a successor serves */
	bool is_announced;        /* a drain comes soon, and all know it */
	bool is_stopping;         /* workers are not replaced any more */
	bool is_ending;           /* nor is the background process */
};

/*
 * Fork the slot's process, which becomes its current one and says what it has
 * to say to on_message.  -1 and err on failure.
 */
int children_fork(struct child_slot *slot, channel_fn *on_message,
    struct error *err) __attribute__((warn_unused_result));
void children_count(struct children *c, unsigned row);
/* CHANNEL_FILE_ANSWER, CHANNEL_FILE_FED. */
void children_files_hear(struct child *child, const struct channel_message *m);

#endif

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
	CHILDREN_STAT_FILES_OLD,
	CHILDREN_STAT_FILES_AGAIN,
	CHILDREN_STAT_COUNT,
};

enum child_state {
	CHILD_STARTING, /* forked, has not said that it serves */
	CHILD_SERVING,
	CHILD_LEAVING,  /* finishes what it has; its slot is another's */
};

struct child_file;
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
	/* children_files: what it has of what may change; NULL: nothing. */
	struct child_file *files;
	size_t files_next;       /* before it, all is well or on its way */
	unsigned files_on_way;   /* not answered yet */
	unsigned files_pause_ms; /* the last one */
	uint64_t files_sent_ms;  /* the last one of them */
	uint64_t files_again_ms; /* nothing is sent before */
	bool files_are_late;     /* and that was logged */
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

enum { CHILDREN_SHELF = 32 };

/* A content that is being sent. */
struct children_shelf {
	size_t number;
	uint32_t version;
	int fd; /* -1: nothing is here */
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
	struct deadline files_again; /* children_files */
	struct children_shelf shelf[CHILDREN_SHELF];
};

/*
 * Fork the slot's process, which becomes its current one and says what it has
 * to say to on_message.  -1 and err on failure.
 */
int children_fork(struct child_slot *slot, channel_fn *on_message,
    struct error *err) __attribute__((warn_unused_result));
void children_count(struct children *c, unsigned row);
/* ---- children_files ---- */

void children_files_init(struct children *c);
void children_files_fini(struct children *c);
/* In a new process. */
void children_files_forget(struct children *c);
/* A process has been forked; it has ended. */
void children_files_begin(struct child *child);
void children_files_end(struct child *child);
/* CHANNEL_FILE_ANSWER, CHANNEL_FILE_FED. */
void children_files_hear(struct child *child, const struct channel_message *m);

/* ---- children_adopt: sockets of empty slots ---- */

static inline bool
child_is_serving(const struct child *child)
{
	return child != NULL && child->state == CHILD_SERVING;
}

/* Each empty slot has an adopter, and only those. */
void children_adopt(struct children *c);
/* It adopts nothing any more. */
void children_adopt_forget(struct children *c, const struct child *child);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * upgrade - what a master has for upgrades: as the one who leaves
 * (upgrade_leave), as the one who comes (upgrade_come, upgrade_left), and for
 * its workers when it dies.
 */
#ifndef MASTER_UPGRADE_H
#define MASTER_UPGRADE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "master/orphans.h"
#include "master/upgrade_give.h"
#include "master/upgrade_take.h"
#include "net/listener.h"
#include "os/logtarget.h"

struct master;
struct orphan_logs;
struct process_boot;

struct upgrade {
	struct upgrade_give give;
	struct upgrade_take take;
	struct listener_set left; /* the predecessor's sockets */
	struct listener_spec *left_specs;
	size_t *left_numbers; /* of them in the manifest */
	uint32_t *used; /* process slots of the predecessor */
	size_t used_count;
	struct shmem page; /* the predecessor's, see orphans.h */
	bool has_estate;
	bool has_taken; /* all of it is ours */
	struct orphans orphans;
	struct orphan_logs *logs; /* in a worker without a master */
	unsigned process;        /* slot of that worker */
	struct listener_set own; /* in a worker: what it may hand over */
	struct deadline forget; /* what orphans had is free again */
	struct deadline orphans_end; /* they had time enough */
	bool are_orphans_late;  /* and are not waited for any more */
	struct deadline again; /* ask orphans who are busy */
	uint64_t again_until_ms;
	struct deadline sync; /* shared_sync_inherited() */
	int init_fd;     /* to a process 1 that was a predecessor; -1 = none */
	int orphans_fd;  /* to the workers of one who has died; -1 = none */
	bool wants_quit; /* came, and has to wait */
	bool wants_usr2;
	struct logtargets early; /* the error log while we wait */
	struct logtarget_output early_output;
};

void upgrade_init(struct master *m);
void upgrade_fini(struct master *m);
/* In a forked process. */
void upgrade_forget(struct master *m);

/*
 * The conversation with a process 1 that has left and forwards signals: it is
 * handed on from successor to successor.  Borrowed; -1 = there is none.
 */
int upgrade_init_fd(const struct master *m);

/* Listen for a master that comes after our death; failures are logged. */
void upgrade_open_orphans(struct master *m);
/* In a new process, while own still has its sockets. */
void upgrade_prepare_orphan(struct master *m, struct process_boot *boot,
    struct listener_set *own);

#endif

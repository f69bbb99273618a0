/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * upgrade - what an upgrade means to this master: as the one who leaves (QUIT,
 * USR2), and as the one who comes (-u, or started by the one who leaves).
 *
 * It fills the estate with what this master has, gives what a predecessor left
 * to those who use it, and moves the pid file.
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

struct error;
struct master;
struct shared_config;
struct shared_legacy;

struct upgrade {
	struct upgrade_give give;
	struct upgrade_take take;
	struct listener_set left; /* the predecessor's sockets */
	struct listener_spec *left_specs;
	size_t *left_numbers; /* of them in the manifest */
	uint32_t *used; /* process slots of the predecessor */
	size_t used_count;
	bool has_estate;
	struct orphans orphans;
	struct listener_set own; /* in a worker: what it may hand over */
	struct deadline forget; /* what orphans had is free again */
	int orphans_fd;  /* to the workers of one who has died; -1 = none */
	bool wants_quit; /* came while all still start */
	bool wants_usr2;
	struct logtargets early; /* the error log while we wait */
	struct logtarget_output early_output;
};

void upgrade_init(struct master *m);
void upgrade_fini(struct master *m);
/* In a forked process. */
void upgrade_forget(struct master *m);

/* ---- coming ---- */

/* True if there is somebody to take over from; asks for orphans. */
bool upgrade_is_successor(struct master *m);
/*
 * Begin to wait for the predecessor; what follows is master_start().  -1 and
 * err on failure.
 */
int upgrade_wait(struct master *m, struct error *err)
    __attribute__((warn_unused_result));
/* shared_new(), with what was left. */
int upgrade_open_shared(struct master *m, struct shared_config *config,
    struct error *err) __attribute__((warn_unused_result));
/* The predecessor's sockets, or NULL: see struct generations_config. */
struct listener_set *upgrade_listeners(struct master *m);
/* The first generation has booked what it needs of the zones. */
void upgrade_check_zones(struct master *m);
/* The listening socket at path that a predecessor left; -1 = none. */
int upgrade_control(struct master *m, const char *path);
/* pidfile_open(), or the predecessor's until all is ours. */
int upgrade_open_pidfile(struct master *m, struct error *err)
    __attribute__((warn_unused_result));
/* All our processes serve: false if we have to wait for the last word. */
bool upgrade_on_ready(struct master *m);
/* We fail before all is ours: the predecessor is told why. */
void upgrade_on_failed(struct master *m, const char *why);
/* True before all is ours, and files and sockets are still another's. */
bool upgrade_is_provisional(const struct master *m);

/* Listen for a master that comes after our death; failures are logged. */
void upgrade_open_orphans(struct master *m);
/* In a new process, while own still has its sockets. */
void upgrade_prepare_orphan(struct master *m, struct process_boot *boot,
    struct listener_set *own);

/* ---- leaving ---- */

void upgrade_on_quit(struct master *m);
void upgrade_on_usr2(struct master *m);
/* What came while all still started is begun. */
void upgrade_on_serving(struct master *m);
/* True from QUIT or USR2 until it is known what became of it. */
bool upgrade_is_running(const struct master *m);
/* What waitpid() said; false if it is none of ours. */
bool upgrade_on_exit(struct master *m, pid_t pid, int status);
/* We stop ourselves: who comes is left alone. */
void upgrade_cancel(struct master *m);
/* The pid of the one who has taken over, 0 = nobody has. */
pid_t upgrade_successor(const struct master *m);

#endif

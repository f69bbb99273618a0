/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * orphans - processes whose master has died, and the next one that finds them.
 *
 * The master listens at upgrade_sock with ".orphans" behind it; all processes
 * inherit that socket.  While the master lives it closes what comes there.
 * Once it is gone, workers answer: they hand over as a predecessor does
 * (handover.h), and drain when the other side has taken over.  All of them see
 * that in a page of memory that they share, and hand over to one at a time: to
 * others they say that they are busy.
 */
#ifndef MASTER_ORPHANS_H
#define MASTER_ORPHANS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "master/handover.h"
#include "os/loop.h"
#include "os/shmem.h"
#include "site/boot.h"

struct error;
struct orphans_page;

struct orphans {
	char *path;
	int door_fd; /* -1 = none */
	struct shmem memory; /* of the page; goes over as a zone */
	struct orphans_page *page;
	struct loop *loop;
	struct loop_watch watch;
	/* In a worker without a master. */
	size_t listener_count;
	void (*collect)(void *arg, struct manifest *m);
	void *arg;
	struct manifest manifest;
	struct handover talk;
	bool has_turn; /* to hand over, of all workers */
	uint64_t turn_ms; /* as noted in the page */
	struct deadline look; /* at the page */
	struct process_orphan back;
};

/*
 * Listen, unless the folder does not allow it: then an error is returned, and
 * nobody will find the orphans.  door_fd: a predecessor's socket for the same
 * path, or -1; taken.
 */
int orphans_open(struct orphans *o, struct loop *loop, const char *sock_path,
    int door_fd, struct error *err) __attribute__((warn_unused_result));
/*
 * The page of a predecessor, as a zone of that name and version.  A successor
 * notes in it which listeners it keeps, and says that it has taken over when
 * the predecessor is no more: if it was killed before it could tell its
 * workers, they see it there.
 */
extern const char orphans_zone[];
enum { ORPHANS_ZONE_VERSION = 1 };
size_t orphans_zone_bytes(void);
void orphans_note_kept(const struct shmem *page, const uint32_t *kept,
    size_t count);
void orphans_say_taken(const struct shmem *page);
/* A successor answers there from now on. */
void orphans_unwatch(struct orphans *o);
/* is_left: the file is a successor's now. */
void orphans_close(struct orphans *o, bool is_left);
/*
 * A connection to the orphans of an instance that had this upgrade_sock; -1 =
 * there are none, nor a master.
 */
int orphans_connect(const char *sock_path);

/*
 * In a new process: collect fills the manifest with what this process has of
 * listener_count listeners and all else, see struct process_boot.
 */
void orphans_prepare(struct orphans *o, size_t listener_count,
    void (*collect)(void *arg, struct manifest *m), void *arg);
/* struct process_boot: the master has died. */
void orphans_start(struct orphans *o, struct loop *loop,
    const struct process_orphan *back);
void orphans_stop(struct orphans *o);
/* This one answers no more; once all do so, who comes is refused. */
void orphans_close_door(struct orphans *o);

#endif

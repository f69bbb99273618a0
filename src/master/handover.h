/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * handover - the conversation of two masters over a Unix socket
 * (SOCK_SEQPACKET), of which one leaves and the other comes.
 *
 *	coming                      leaving
 *	  HELLO      ->
 *	             <-  PIECE ...  of the manifest, with descriptors
 *	             <-  END
 *	  READY      ->             all its processes serve
 *	             <-  COMMIT     the pid file and all else is yours
 *	  TAKEN      ->             the leaving one drains from here on
 *	             <-  ENDED      none of its processes is left but, maybe,
 *	                            a process 1
 *	  SUCCESSOR  ->             who came after me, again and again: a
 *	                            process 1 follows them all
 *
 * Either side says FAILED, with words, where it gives up, or just closes; until
 * TAKEN the leaving one goes on as if nothing had happened.  What is no packet
 * of this protocol ends the conversation.  Later versions may add types, which
 * are passed over, and bytes behind a body.
 */
#ifndef MASTER_HANDOVER_H
#define MASTER_HANDOVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/span.h"
#include "master/manifest.h"
#include "os/loop.h"

struct error;

enum handover_type {
	HANDOVER_HELLO = 1, /* text: the version of weir */
	HANDOVER_PIECE,     /* never reported: see HANDOVER_END */
	HANDOVER_END,       /* h->manifest is whole */
	HANDOVER_READY,     /* u32 ...: numbers of the listeners it keeps */
	HANDOVER_COMMIT,
	HANDOVER_TAKEN,
	HANDOVER_FAILED,    /* text: why */
	HANDOVER_SUCCESSOR, /* text: the pid of the one after */
	HANDOVER_ENDED,
};

struct handover;

/*
 * type 0: the conversation is over, body says why in words; h is stopped, and
 * nothing is called after it.
 */
typedef void handover_fn(struct handover *h, unsigned type, struct span body);

struct handover {
	struct loop_watch watch;
	struct loop *loop;
	handover_fn *on_message;
	pid_t peer_pid;
	struct manifest manifest;       /* what has come, see HANDOVER_END */
	const struct manifest *sending; /* borrowed until END was sent */
	size_t sent;
	size_t fds_sent;
	struct deadline retry; /* too many descriptors in flight */
};

/*
 * Takes fd, also on failure.  The other end must be root or of our own user
 * (SO_PEERCRED): else -1 and err.
 */
int handover_start(struct handover *h, struct loop *loop, int fd,
    handover_fn *on_message, struct error *err)
    __attribute__((warn_unused_result));
/* Closes; harmless on one that is stopped, or zeroed with fd -1. */
void handover_stop(struct handover *h);
bool handover_is_open(const struct handover *h);
/* False if the other side has closed, and nothing of it is left to read. */
bool handover_has_peer(const struct handover *h);
/*
 * Send a short message.  A failure is reported as the end of the conversation
 * later, by the loop.
 */
void handover_say(struct handover *h, enum handover_type type,
    struct span body);
/* The same before there is a loop. */
void handover_say_fd(int fd, enum handover_type type, struct span body);
/* Send the manifest, piece by piece; m is borrowed until h is stopped. */
void handover_send_manifest(struct handover *h, const struct manifest *m);
/* True once all of it has left. */
bool handover_has_sent(const struct handover *h);

/*
 * A listening socket at path, mode 0600; replaces a stale one.  The folder
 * must be ours or root's and writable by nobody else (a sticky one is allowed).
 * -1 and err on failure.
 */
int handover_listen(const char *path, struct error *err)
    __attribute__((warn_unused_result));
/* -1 and errno; ENOENT or ECONNREFUSED where nobody waits. */
int handover_connect(const char *path);

#endif

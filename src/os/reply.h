/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reply - connections of a Unix socket to which one answer is owed.
 *
 * The answer is written as the peer takes it, without blocking, and then the
 * connection is closed; a peer that takes nothing for 10 s loses it.
 */
#ifndef OS_REPLY_H
#define OS_REPLY_H

#include <stddef.h>
#include <sys/socket.h>

#include "base/list.h"

struct loop;
struct reply;

struct reply_set {
	struct loop *loop;
	struct list all;
	unsigned count;
};

void reply_set_init(struct reply_set *set, struct loop *loop);
/* What can be sent at once is; the rest is lost. */
void reply_set_fini(struct reply_set *set);
/* In a forked process: the descriptors only. */
void reply_set_forget(struct reply_set *set);

/* Takes fd, which is watched by nobody. */
struct reply *reply_new(struct reply_set *set, int fd);
/*
 * The answer: takes memory, which is on the heap.  The reply ends by itself;
 * it is not to be used any more.
 */
void reply_send(struct reply *r, char *memory, size_t len);
/* Who is at the other end of fd; pid 0 where that cannot be told. */
struct ucred reply_peer(int fd);

#endif

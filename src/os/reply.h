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

#include "base/command.h"
#include "base/list.h"
#include "base/span.h"

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
/* In a forked process: closed and freed, without the loop. */
void reply_set_forget(struct reply_set *set);

/* Takes fd, which is watched by nobody. */
struct reply *reply_new(struct reply_set *set, int fd);
/*
 * The answer: takes memory, which is on the heap.  The reply ends by itself;
 * it is not to be used any more.
 */
void reply_send(struct reply *r, char *memory, size_t len);
/* The same with command_answer(): error NULL = ok. */
void reply_answer(struct reply *r, const char *error, struct span result);
/*
 * Run a command of a row that was found, and send its answer of at most max
 * bytes, unless it comes later: then call->request is r.  env->request is set
 * here.
 */
void reply_run(struct reply *r, const struct command *row,
    const struct command_words *w, struct command_env *env, size_t max);
/* Who asks for what: a notice if it changes something, else info. */
void reply_log_request(int fd, const struct command *row, struct span line);

#endif

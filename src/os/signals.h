/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * signals - signals as events of the loop, read from a signalfd.
 *
 * What is to be read is blocked for good, also in children until they say
 * otherwise, so that no signal is lost between fork and loop.
 */
#ifndef OS_SIGNALS_H
#define OS_SIGNALS_H

#include <stddef.h>
#include <sys/types.h>

#include "os/loop.h"

struct error;

/* sender: the process that sent it, 0 = the kernel or another namespace. */
typedef void signals_fn(void *arg, int number, pid_t sender);

struct signals {
	struct loop_watch watch;
	struct loop *loop;
	signals_fn *on_signal;
	void *arg;
};

/* Hold them back until somebody reads them; before anything is forked. */
void signals_block(const int *numbers, size_t count);
/* Never to be heard of again; also what is pending is forgotten. */
void signals_ignore(const int *numbers, size_t count);
/*
 * Block the numbers and report them through the loop from now on, what is
 * pending first.  -1 and err on failure.
 */
int signals_start(struct signals *s, struct loop *loop, const int *numbers,
    size_t count, signals_fn *on_signal, void *arg, struct error *err)
    __attribute__((warn_unused_result));
/* They stay blocked. */
void signals_stop(struct signals *s);
/* As a program starts: default actions, nothing blocked. */
void signals_reset(void);
/* "SIGTERM"; "signal 70" for those without a name. */
const char *signals_name(int number);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * helpers - threads for work that would hold up the event loop.
 *
 * For computation that takes milliseconds: hashes of passwords, signatures.
 * A job holds copies of all that it works on and hands its result back by an
 * eventfd; its thread sees the job and nothing else of the process.  Threads
 * are started when they are first needed, after fork and sandbox.  The queue
 * is bounded; who finds it full tells his client so.
 */
#ifndef OS_HELPERS_H
#define OS_HELPERS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/list.h"

struct helper_job;
struct helpers;
struct loop;

/*
 * Embedded in what the job's owner allocates, with malloc and not in an arena:
 * it outlives whoever asked.  Zeroed at first, then work and done are set.
 */
struct helper_job {
	struct list node;
	void (*work)(struct helper_job *job); /* in a thread */
	/*
	 * In the loop, after the work: takes the result and frees the job.
	 * Not is_worked: the pool goes, and the job is only to be freed, in
	 * helpers_free() or in a thread.
	 */
	void (*done)(struct helper_job *job, bool is_worked);
	bool is_queued; /* no thread has it yet; the helpers' own */
};

/* Up to `threads` at work and `queue_max` jobs waiting.  Takes nothing yet. */
struct helpers *helpers_new(struct loop *loop, unsigned threads,
    unsigned queue_max);
/*
 * Jobs that wait are done without the work.  Threads at work are waited for, at
 * most two seconds; what takes longer is freed by `done` in its thread.
 */
void helpers_free(struct helpers *h);
/* -1: the queue is full, or there is no thread; the job is the caller's. */
int helpers_submit(struct helpers *h, struct helper_job *job)
    __attribute__((warn_unused_result));
/*
 * True: nobody has begun it, and it is the caller's again.  False: its `done`
 * will come.
 */
bool helpers_cancel(struct helpers *h, struct helper_job *job)
    __attribute__((warn_unused_result));
/* Jobs that wait or are worked on. */
size_t helpers_pending(const struct helpers *h);

#endif

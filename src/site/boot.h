/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * boot - what the master hands to a process that it forks.
 *
 * All of it is inherited memory; a process owns its copy of the descriptors.
 */
#ifndef SITE_BOOT_H
#define SITE_BOOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct generation;
struct listener_set;
struct loop;
struct proc_account;

/* How a worker without a master hears that another one has taken over. */
struct process_orphan {
	/* gone: a byte for each listener, whether nobody has its address. */
	void (*on_taken)(void *arg, const uint8_t *gone, size_t count);
	void *arg;
};

struct process_boot {
	struct generation *generation;
	unsigned process; /* slot of counters and logs, see shared.h */
	unsigned slot;    /* of a worker */
	unsigned workers;
	bool is_background;
	bool is_signer;
	bool is_serving; /* else it waits until it is told to serve */
	bool surplus_stays; /* of its listeners: see struct accept */
	int channel_fd;
	/*
	 * Of a pipe that nobody writes to: workers and master hold the writing
	 * end, the background process reads.  Its end is the end of them all.
	 */
	int lifeline_fd;
	struct listener_set *listeners;
	/*
	 * The master's code for when it has died: it answers a new one, and
	 * then calls back.  NULL = there is none.  back NULL: this worker drains
	 * already, and has nothing to answer.
	 */
	void (*orphan_start)(void *arg, struct loop *loop,
	    const struct process_orphan *back);
	/* It drains without a new one's having come: it answers no more. */
	void (*orphan_drain)(void *arg);
	/* At its end, whether the master has died or not. */
	void (*orphan_stop)(void *arg, struct loop *loop);
	void *orphan_arg;
	const struct proc_account *account; /* NULL: not root, stay as we are */
};

/* The whole life of a process; returns its exit status. */
typedef int process_main_fn(const struct process_boot *boot);

#endif

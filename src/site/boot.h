/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * boot - what the master hands to a process that it forks.
 *
 * All of it is inherited memory; a process owns its copy of the descriptors.
 */
#ifndef SITE_BOOT_H
#define SITE_BOOT_H

#include <stdbool.h>

struct generation;
struct listener_set;
struct proc_account;

struct process_boot {
	struct generation *generation;
	unsigned process; /* slot of counters and logs, see shared.h */
	unsigned slot;    /* of a worker */
	unsigned workers;
	bool is_serving; /* else it waits until it is told to serve */
	bool surplus_stays; /* of its listeners: see struct accept */
	int channel_fd;
	/*
	 * Of a pipe that nobody writes to: workers and master hold the writing
	 * end, the background process reads.  Its end is the end of them all.
	 */
	int lifeline_fd;
	struct listener_set *listeners;
	const struct proc_account *account; /* NULL: not root, stay as we are */
};

/* The whole life of a process; returns its exit status. */
typedef int process_main_fn(const struct process_boot *boot);

#endif

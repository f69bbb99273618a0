/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lb - what a balancing algorithm is: a table of functions.
 *
 * A plan is made once per generation and never changes; a state belongs to one
 * worker.
 */
#ifndef UPSTREAM_LB_H
#define UPSTREAM_LB_H

#include <stddef.h>

struct arena;
struct backend;
struct group;
struct group_tries;

struct lb_ops {
	const char *name; /* as `balance` names it */
	/* Memory from a. */
	const void *(*plan)(struct arena *a, const struct group *g);
	/* For worker slot of slots; freed by stop(). */
	void *(*start)(const struct group *g, size_t slot, size_t slots);
	void (*stop)(void *state);
	/* One that is up and not among tries, or NULL. */
	const struct backend *(*pick)(const struct group *g, void *state,
	    const struct group_tries *tries);
};

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lb - what a balancing algorithm is: a table of functions.
 *
 * A plan is made once per generation and never changes; a state belongs to one
 * worker.
 */
#ifndef UPSTREAM_LB_H
#define UPSTREAM_LB_H

struct arena;
struct backend;
struct group;
struct group_tries;

struct lb_ops {
	const char *name; /* as `balance` names it */
	/* Memory from a. */
	const void *(*plan)(struct arena *a, const struct group *g);
	/* Of this worker; freed by stop(). */
	void *(*start)(const struct group *g);
	void (*stop)(void *state);
	/* One that is up and not among tries, or NULL. */
	const struct backend *(*pick)(const struct group *g, void *state,
	    const struct group_tries *tries);
};

#endif

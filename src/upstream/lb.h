/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lb - what a balancing algorithm is: a table of functions.
 *
 * An algorithm sees the members of one tier (the servers, or the backups) with
 * the weights that they have now.  The plan that it makes of them does not
 * change; when members or weights do, another is made.  A state belongs to one
 * worker and outlives its plans.
 *
 * Which backend is asked in what order is the algorithm's; whether it can
 * serve is lb_is_usable()'s alone.
 */
#ifndef UPSTREAM_LB_H
#define UPSTREAM_LB_H

#include <stdbool.h>
#include <stdint.h>

struct arena;
struct backend;
struct group;
struct group_tries;

struct lb_view {
	const struct group *group;
	const struct backend *const *members;
	const uint32_t *weights; /* of the members; >= 1 */
	uint64_t weight_sum;
	uint32_t count;
};

/* One choice. */
struct lb_query {
	const struct group_tries *tries; /* these were asked already */
	bool any; /* also those that failed requests of late */
	bool *is_full; /* set when one has only no room */
};

struct lb_ops {
	const char *name; /* as `balance` names it */
	/* It looks at backend_in_flight(). */
	bool needs_in_flight;
	/* Memory from a; view stays while the plan is in use. */
	const void *(*plan)(struct arena *a, const struct lb_view *view);
	/* Of this worker and tier; freed by stop().  NULL: nothing. */
	void *(*start)(void);
	void (*stop)(void *state);
	/* One that is usable, or NULL if none is; view->count > 0. */
	const struct backend *(*pick)(const struct lb_view *view,
	    const void *plan, void *state, const struct lb_query *query);
};

/* May a request go to b now?  Constant time for the first of an exchange. */
bool lb_is_usable(const struct backend *b, const struct lb_query *query);
bool lb_is_any_usable(const struct lb_view *view,
    const struct lb_query *query);
/* The first usable one from place `from` on, around; NULL if there is none. */
const struct backend *lb_walk(const struct lb_view *view, uint32_t from,
    const struct lb_query *query);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/* build_private - the parts of build, for one another. */
#ifndef SITE_BUILD_PRIVATE_H
#define SITE_BUILD_PRIVATE_H

#include "site/build.h"

struct listener_spec;
struct service_listen;

enum { BUILD_PARTS_MAX = 64 }; /* tables of a level: modules and two more */

/* An error at node; -1. */
int build_wrong(struct build *b, const struct conf_node *node,
    const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* The level around all others: nothing but defaults. */
void build_level_defaults(struct build *b, struct build_level *level);
/*
 * Read node's own table into own (both may be NULL), and beside it the options
 * that are inherited: a struct of its own is made only for what the group
 * mentions.
 */
int build_level_read(struct build *b, const struct conf_node *node,
    const struct build_level *outer, const struct conf_table *own_table,
    void *own, struct build_level *level);

/* The handlers that the level's options ask for. */
void build_phases(struct build *b, const struct build_level *level,
    struct phase_table *table);

/* Nothing but defaults, and no action. */
void build_route_init(struct build *b, struct route *r,
    const struct service *service);
/*
 * What holds in its level.  outer_phases are those of the level around it,
 * taken over if modules say nothing new; NULL = always make them.
 */
void build_route_inherit(struct build *b, struct route *r,
    const struct build_level *level, const struct build_level *outer,
    const struct phase_table *outer_phases);
/* The number-th of the service, from 1. */
int build_route(struct build *b, const struct conf_node *node,
    struct service *service, const struct build_level *outer, size_t number);

/* node: where it is configured, or NULL. */
struct listener_spec *build_listen_add(struct build *b,
    const struct service_listen *listen, struct service *service,
    const struct conf_node *node);
/* All that the service's options `listen` say. */
int build_listen(struct build *b, struct service *service);

#endif

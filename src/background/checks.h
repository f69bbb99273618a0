/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * checks - health checks: made once for all workers, here.
 *
 * The first one of each backend is made at start, then one each interval (a
 * little early at random, so that many do not meet).  An address that comes
 * to a name is checked at once.  A result that changes a
 * backend's state goes to its slot, where every worker sees it with its next
 * request, and makes one line in the log.
 */
#ifndef BACKGROUND_CHECKS_H
#define BACKGROUND_CHECKS_H

#include <stddef.h>

struct backend;
struct checks;
struct group;
struct loop;

/* Borrows the groups, which are bound. */
struct checks *checks_start(struct loop *loop, struct group *const *groups,
    size_t count);
/* An address of a name has come: check it at once.  checks may be NULL. */
void checks_begin(struct checks *checks, const struct backend *b);
/* NULL is fine. */
void checks_stop(struct checks *c);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * listeners - which sockets stay, come and go when one configuration follows
 * another.
 *
 * A listening socket cannot simply be closed: who waits in its queue would be
 * reset.  So an address that stays keeps its sockets.  Where it is to have more
 * of them, the new ones are bound at once and listen when the new generation
 * serves; where it is to have fewer, the rest (surplus) is steered away from,
 * emptied for LISTENERS_SURPLUS_MS by the new generation's workers, and then
 * closed.  What is steered away from gets no new connection; where that cannot
 * be done it stays, served by one of them.  An address that goes is emptied by
 * the workers of the old generation, which know its service.
 *
 * A new address may overlap one that goes: [::]:80 with and without ipv6_only,
 * 0.0.0.0:80 and 192.0.2.1:80.  It is bound beside that one, and listens when
 * the new generation serves, when nobody finds the old ones any more.
 */
#ifndef MASTER_LISTENERS_H
#define MASTER_LISTENERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/listener.h"

struct error;

enum {
	LISTENERS_SURPLUS_MS = 5000,
	/* By then the workers of the old generation have emptied the others. */
	LISTENERS_EMPTY_MS = 2000,
};

/*
 * The sockets of specs for slots workers: those of `before` that stay (shared
 * with it until listeners_take_over() or listeners_abandon()), and what is
 * bound anew.  Nobody notices.  before may be empty.  On failure all is undone,
 * -1 and err.
 */
int listeners_follow(struct listener_set *set,
    const struct listener_set *before, const struct listener_spec *specs,
    size_t count, size_t slots, struct error *err)
    __attribute__((warn_unused_result));
/*
 * The first of specs that cannot be bound while those that go are open, and is
 * none of those that stay; NULL = there is none.
 */
const struct listener_spec *listeners_meet(const struct listener_spec *specs,
    size_t count, const struct listener_set *stay,
    const struct listener_spec *go, size_t go_count);
/* It will not serve: closes what `before` does not have. */
void listeners_abandon(struct listener_set *set);
/*
 * It serves: new siblings listen, options of those that stay are changed,
 * surplus is steered away from.  -1 and err when a sibling cannot listen: then
 * nothing was changed.  After 0 `before` has the addresses that go, their
 * sockets closed in this process, and by index in *gone (bytes, for all of
 * before; caller frees) whether they are such.  *stays: surplus could not be
 * steered away from and is not to be closed.  is_lent: the addresses that go
 * are left as they are, to another instance which may have to go on with them.
 */
int listeners_take_over(struct listener_set *set, struct listener_set *before,
    bool is_lent, uint8_t **gone, bool *stays, struct error *err)
    __attribute__((warn_unused_result));
/*
 * Addresses that go: nobody new finds them, who is on the way comes in (see
 * sock_refuse_new()).  which: for each listener whether it goes; NULL = all.
 * Done here, for a worker has not the right to on each kernel.  What the
 * service manager gave is left open, as is the admin's.
 */
void listeners_shut(struct listener_set *set, const uint8_t *which);
bool listeners_have_surplus(const struct listener_set *set);
/* The workers have emptied it: closed here too. */
void listeners_close_surplus(struct listener_set *set);
/* In a new process: no socket stays open that is in set and not in its own. */
void listeners_close_others(struct listener_set *set,
    struct listener_set *own);

#endif

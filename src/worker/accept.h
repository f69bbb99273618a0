/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * accept - which listening sockets a worker watches, and how it lets go of
 * them.
 *
 * It has a copy of every socket.  It serves those of its own slot, those that
 * all share, and those of slots that it has adopted.  In a stop the queue of a
 * socket is emptied before it is closed, and what is on its way to it has a
 * moment to arrive; the admin listener stays to the end.  When another
 * generation follows, sockets are that one's: they are closed here at once,
 * but for those of addresses that it does not have.
 *
 * Surplus sockets get no new connections: their queues are emptied for a
 * while, and then they are closed.
 */
#ifndef WORKER_ACCEPT_H
#define WORKER_ACCEPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "os/loop.h"

struct accept_socket;
struct listener_set;
struct listener_spec;

/* Accept a batch of what waits on fd. */
typedef void accept_fn(void *arg, const struct listener_spec *spec, int fd);

struct accept {
	struct loop *loop;
	accept_fn *on_readable;
	void (*on_emptied)(void *arg);
	void *arg;
	unsigned slot;
	unsigned workers;
	struct accept_socket *sockets;
	size_t socket_count;
	bool *adopted;     /* by slot */
	struct loop_task resume;
	struct deadline admin_retry;
	struct deadline last_call; /* when emptying: nothing more comes */
	struct deadline surplus;   /* by then it is empty */
	uint64_t seen_ms;  /* when somebody came; 0 = never */
	bool is_paused;    /* no descriptors, or connections enough */
	bool is_admin_paused;
	bool is_draining;  /* nothing but the admin's is watched */
	bool is_emptying;  /* what is served is emptied, then closed */
	bool is_last_call; /* once a queue is empty its socket goes */
	bool is_surplus_over;
};

/* Takes over the descriptors of set, which is emptied; borrows its specs. */
void accept_init(struct accept *a, struct listener_set *set, unsigned slot,
    unsigned workers);
/*
 * Begin to watch.  on_emptied: in a stop, the queues were gone through; see
 * accept_is_emptying().
 */
void accept_start(struct accept *a, struct loop *loop,
    accept_fn *on_readable, void (*on_emptied)(void *arg), void *arg);
/* Surplus goes in surplus_ms. */
void accept_close_surplus(struct accept *a, uint64_t surplus_ms);
/* Stops watching and closes. */
void accept_fini(struct accept *a);

void accept_adopt(struct accept *a, unsigned slot, bool adopt);
/* The master has gone, and with it those who would tell about the dead. */
void accept_adopt_all(struct accept *a);
/*
 * Callable from on_readable.  The admin's stay watched while they can be
 * accepted from.
 */
void accept_set_paused(struct accept *a, bool is_paused);
enum {
	ACCEPT_LAST_CALL_MS = 200,
	/*
	 * Who has connected and says nothing waits in the kernel, unseen (see
	 * sock_defer_accept()), until that asks a second time, after a second.
	 * Waited for where an address goes, and in a stop while clients come.
	 */
	ACCEPT_SILENT_MS = 1300,
};

/*
 * Watch no more than the admin's.  is_stop: nobody comes after us, so accept
 * what waits in the queues before they go, and what was on its way when this
 * was called.
 */
void accept_drain(struct accept *a, bool is_stop);
/*
 * As a stop of this process alone: others may serve there, so that who comes
 * finds the sockets as before.
 */
void accept_leave(struct accept *a);
/*
 * A successor has the sockets: close them, but for those of the listeners with
 * a bit set in gone (gone_count bits), which are emptied as in a stop.
 */
void accept_retire(struct accept *a, const uint8_t *gone, size_t gone_count);
/* True while a queue is still to be emptied. */
bool accept_is_emptying(const struct accept *a);

#endif

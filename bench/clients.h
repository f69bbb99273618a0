/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * clients - a table of connections that send one prepared request again and
 * again and check every response.
 *
 * The idle connections wait in a queue, first in, first out, and at most so
 * many are at work: that one rule gives the closed loop (all at work), many
 * connections of which few are active, and connections that only idle (no
 * request beyond the first one each).  With a rate, requests start by the
 * clock and their latency counts from the time they were due, so that a proxy
 * that stalls is charged for those that had to wait.
 */
#ifndef BENCH_CLIENTS_H
#define BENCH_CLIENTS_H

#include <netinet/in.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tally.h"

#define CLIENTS_SCRATCH 262144 /* bytes received or sent at once */
#define CLIENTS_HEAD_MAX 8192  /* a head larger than this is an error */

enum client_state {
	CLIENT_CLOSED,	/* no socket; opened when its turn comes */
	CLIENT_IDLE,	/* open, in the queue */
	CLIENT_SENDING, /* the request is not out completely */
	CLIENT_HEAD,	/* waits for the end of the response head */
	CLIENT_BODY,	/* reads `left` more bytes */
	CLIENT_EOF,	/* all is there, the peer announced to close */
};

struct client {
	int fd;
	enum client_state state;
	uint32_t next;	   /* in the queue of idle ones */
	uint32_t head_len; /* bytes of an incomplete head in `head` */
	char *head;	   /* allocated when a head comes in pieces */
	size_t sent;	   /* bytes of the request that are out */
	size_t left;	   /* bytes of the body not seen yet */
	uint64_t due_ns;   /* the latency counts from here */
	bool peer_closes;  /* the request or the response said so */
};

struct clients {
	/* set by the owner before clients_init() */
	struct sockaddr_in target;
	uint32_t count;
	bool one_shot;	    /* a connection per request */
	size_t expected;    /* body bytes of each response */
	const char *request; /* borrowed: the head, then filler for the body */
	size_t head_len;
	size_t filler_len;
	size_t request_len; /* head and whole body */
	uint64_t give_up_ns;
	/* the table */
	struct client *table;
	uint32_t idle_first, idle_last;
	uint32_t source; /* spreads one-shot clients over addresses */
	int epoll_fd;
	/* the phase that runs */
	uint64_t start_ns, end_ns;
	uint64_t target_count, started, done;
	uint32_t active, active_max;
	double rate;
	/* what came of it */
	uint64_t errors, reconnects;
	char error[160];
	struct tally latency;
};

struct clients_phase {
	uint64_t requests;
	uint32_t active_max; /* at most so many at once */
	double rate;	     /* requests a second; 0: as fast as they go */
	double seconds;	     /* no new ones later than this; 0: no limit */
};

/* Return 0, or -1 with errno set. */
int clients_init(struct clients *set) __attribute__((warn_unused_result));

/* Make the requests; returns when all are done or the time is up. */
void clients_run(struct clients *set, const struct clients_phase *phase);

/* Note what happened to idle connections while nobody looked. */
void clients_check_idle(struct clients *set);

/* Open the socket of one, outside of the loop; 0, or -1 with errno set. */
int clients_open(struct clients *set, struct client *client)
	__attribute__((warn_unused_result));
void clients_close(struct client *client);

uint64_t clients_now_ns(void);

#endif

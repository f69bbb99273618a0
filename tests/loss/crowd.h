/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * crowd - clients of several kinds that keep a steady load on a proxy, and a
 * count of everything that went wrong for one of them.
 *
 * Each does one thing after the other, at fixed times; nobody retries.  What
 * counts as a fault is said at enum fault.
 */
#ifndef LOSS_CROWD_H
#define LOSS_CROWD_H

#include <netinet/in.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../../bench/tally.h"

enum kind {
	KEPT,     /* a request every 40 ms on one connection */
	ONESHOT,  /* a connection for each request, every 40 ms */
	SPARSE,   /* a request a second on one connection */
	DOWNLOAD, /* 10 MB in about 2 s, again and again */
	UPLOAD,   /* the same the other way */
	SOCKET,   /* a WebSocket: 10 messages a second for 5 s, then anew */
	KIND_COUNT,
};

enum fault {
	REFUSED,    /* no connection */
	RESET,      /* by the peer, whenever that was */
	LOST,       /* a kept connection closed while a request went to it */
	UNANSWERED, /* the same on a connection that was new */
	TRUNCATED,  /* closed, or a WebSocket cut, within an answer */
	CORRUPT,    /* bytes other than the pattern's, either way */
	STATUS,     /* an answer that is not the backend's */
	TIMEOUT,    /* nothing for 20 s */
	FAULT_COUNT,
};

struct crowd_counts {
	uint64_t requests;    /* begun; a WebSocket's messages too */
	uint64_t answers;     /* whole and right */
	uint64_t announced;   /* closed after an answer that said so */
	uint64_t idle_closed; /* closed between requests, and seen in time */
	uint64_t faults[FAULT_COUNT];
};

struct client;

struct crowd {
	struct sockaddr_in target;
	int epoll_fd;
	struct client *clients;
	size_t client_count;
	unsigned active;       /* clients that are not at rest */
	bool is_ending;        /* nothing new is begun */
	uint64_t now_ns;
	uint64_t begun_ns;
	struct crowd_counts counts[KIND_COUNT];
	struct tally latency;  /* of small answers, with the connecting */
	char first[20][96];    /* the first faults, in words */
	unsigned first_count;
};

extern const char *const crowd_kinds[KIND_COUNT];
extern const char *const crowd_faults[FAULT_COUNT];

/* How many of each kind; -1 with errno on failure. */
int crowd_init(struct crowd *crowd, const struct sockaddr_in *target,
    const unsigned numbers[KIND_COUNT]);
/* Go on for at most 5 ms. */
void crowd_turn(struct crowd *crowd);
/* Forget the counts, keep the connections. */
void crowd_reset(struct crowd *crowd);
void crowd_free(struct crowd *crowd);

#endif

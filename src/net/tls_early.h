/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tls_early - which tickets were used for early data, in all workers.
 *
 * Early data can be sent again by anybody who has seen it (RFC 8446, section
 * 8).  A ticket serves it once only: its secret leaves a mark here, for longer
 * than OpenSSL takes a ClientHello for fresh (10 s).  A table that has no room
 * refuses early data, which costs the client one round trip and nothing else.
 *
 * A mark is one atomic word, so that a process may die at any instruction.
 * Who writes one looks for its like afterwards: of two at once one finds the
 * other, at least.
 *
 * Marks age by the monotonic clock.  OpenSSL judges a ClientHello by the wall
 * clock, and when that is set back, takes for fresh what is long forgotten
 * here.  So the zone knows how far the wall clock was ahead of the monotonic
 * one at most: once it is less, nothing is taken until the wall clock has
 * passed all that it had shown before.
 */
#ifndef NET_TLS_EARLY_H
#define NET_TLS_EARLY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	TLS_EARLY_LAYOUT = 2,
	TLS_EARLY_BYTES = 16384,  /* of early data on a connection */
	TLS_EARLY_WINDOW_S = 20,  /* a mark counts so long */
	TLS_EARLY_WAYS = 8,
	TLS_EARLY_ROWS = 8192,
	TLS_EARLY_KEY = 16,
	TLS_EARLY_STEP_MS = 2000, /* that clocks may drift apart unseen */
};

enum tls_early_answer {
	TLS_EARLY_TAKEN,
	TLS_EARLY_USED,    /* before: it may be a replay */
	TLS_EARLY_FULL,    /* no room to mark it */
	TLS_EARLY_WAITING, /* the table is too new */
	TLS_EARLY_CLOCK,   /* the wall clock was set back */
	TLS_EARLY_ANSWERS
};

struct tls_early_time {
	uint64_t mono_ms, wall_ms; /* of one moment */
};

/* The zone "tls.early"; all zero is empty. */
struct tls_early_zone {
	_Atomic uint64_t open_s; /* from then on, monotonic + 1; 0 = never */
	_Atomic int64_t ahead_ms; /* wall - monotonic, at most; 0 = unknown */
	_Atomic uint64_t marks[TLS_EARLY_ROWS][TLS_EARLY_WAYS];
};

/*
 * In the master, each time it is attached.  A new one takes nothing until what
 * was used before it was there is too old, unless there was nothing to use.
 */
void tls_early_begin(struct tls_early_zone *zone, struct tls_early_time now,
    bool is_first);
/* Marks the key if it is new.  key: evenly distributed bytes. */
enum tls_early_answer tls_early_take(struct tls_early_zone *zone,
    const unsigned char key[TLS_EARLY_KEY], struct tls_early_time now);

#endif

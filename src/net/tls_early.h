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
 */
#ifndef NET_TLS_EARLY_H
#define NET_TLS_EARLY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	TLS_EARLY_LAYOUT = 1,
	TLS_EARLY_BYTES = 16384,  /* of early data on a connection */
	TLS_EARLY_WINDOW_S = 20,  /* a mark counts so long */
	TLS_EARLY_WAYS = 8,
	TLS_EARLY_ROWS = 8192,
	TLS_EARLY_KEY = 16,
};

/* The zone "tls.early"; all zero is empty. */
struct tls_early_zone {
	_Atomic uint64_t open_s; /* from then on, monotonic + 1; 0 = never */
	_Atomic uint64_t marks[TLS_EARLY_ROWS][TLS_EARLY_WAYS];
};

/*
 * In the master, each time it is attached.  A new one takes nothing until what
 * was used before it was there is too old, unless there was nothing to use.
 */
void tls_early_begin(struct tls_early_zone *zone, uint64_t now_s,
    bool is_first);
/*
 * True if the key is new, and marked from now on; false if it may not be.  key:
 * evenly distributed bytes.  now_s: monotonic seconds.
 */
bool tls_early_take(struct tls_early_zone *zone,
    const unsigned char key[TLS_EARLY_KEY], uint64_t now_s);

#endif

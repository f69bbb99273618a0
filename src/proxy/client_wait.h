/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * client_wait - how long, and at which rate, a client may keep weir waiting.
 *
 * Its time counts only while weir waits for it alone: for its body while the
 * backend would take more, or for it to read while bytes wait for it.
 */
#ifndef PROXY_CLIENT_WAIT_H
#define PROXY_CLIENT_WAIT_H

#include <stdbool.h>
#include <stdint.h>

struct deadline;
struct exchange;

/* Embedded in what carries an exchange of the client's; zero is the start. */
struct client_wait {
	uint64_t since_ms;   /* waiting for this client alone; 0 = not */
	uint64_t waited_ms;  /* for this body, or for this reader, before */
	uint64_t bytes;      /* that had been sent when it began to be slow */
	bool is_reader_slow; /* bytes wait for the client */
};

/*
 * Bytes wait for a client that does not read them; progress: it read some.
 * d is the deadline of this state, sent what has left so far.
 */
void client_wait_reader(struct client_wait *w, struct exchange *ex,
    struct deadline *d, uint64_t sent, bool progress);
/* From here on the rest of its body is waited for; may end the exchange. */
void client_wait_sender(struct client_wait *w, struct exchange *ex,
    struct deadline *d);
/* It sent something, or it is not what is waited for. */
void client_wait_progressed(struct client_wait *w);
/* The deadline has come while an exchange is on; may end it. */
void client_wait_expired(struct client_wait *w, struct exchange *ex,
    struct deadline *d, uint64_t sent, bool body_done);

#endif

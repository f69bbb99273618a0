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

struct client_conn;

/* Bytes wait for a client that does not read them; progress: it read some. */
void client_wait_reader(struct client_conn *c, bool progress);
/* From here on the rest of its body is waited for; may end the exchange. */
void client_wait_sender(struct client_conn *c);
/* It sent something, or it is not what is waited for. */
void client_wait_progressed(struct client_conn *c);
/* The deadline has come while an exchange is on; may end it. */
void client_wait_expired(struct client_conn *c);

#endif

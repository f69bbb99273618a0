/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * client_conn - an HTTP/1 connection of a client: requests in turn, answered
 * in turn.
 */
#ifndef PROXY_CLIENT_CONN_H
#define PROXY_CLIENT_CONN_H

#include <stdbool.h>
#include <stddef.h>

#include "os/addr.h"

struct listener_spec;
struct proxy;
struct proxy_cut;

/* Takes the accepted fd and begins to read. */
void client_conn_open(struct proxy *proxy, const struct listener_spec *spec,
    int fd, const struct addr *peer);
/* Of one connection, for the slab. */
size_t client_conn_bytes(void);
/* Frees the memory of those that ended: at the end of the turn. */
void client_conn_bury(struct proxy *proxy);
/* Watch those that were answered too slowly to do without. */
void client_conn_watch_late(struct proxy *proxy);
/* At the end of a drain: cut all; how many had an exchange. */
void client_conn_cut_all(struct proxy *proxy, struct proxy_cut *cut);
/* See proxy_serves_admin(). */
bool client_conn_serves_admin(const struct proxy *proxy);
/*
 * Cut the tunnels that may not last as long as this in a drain; returns how
 * many there were.
 */
unsigned client_conn_cut_tunnels(struct proxy *proxy, uint64_t drained_ms);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * client_addr - who the client is, and telling the backend of it.
 *
 * A peer in trusted_proxies is believed about the client before it; the list
 * it sends is read from the right, past further trusted proxies (RFC 7239,
 * section 7.4, applies to all of these fields).
 */
#ifndef PROXY_CLIENT_ADDR_H
#define PROXY_CLIENT_ADDR_H

#include <stdbool.h>

struct addr_ip;
struct core_conf;
struct exchange;
struct http_request;

/* Is this address one of trusted_proxies? */
bool client_addr_is_trusted(const struct core_conf *core,
    const struct addr_ip *ip);
/* Sets ex->client_ip and ex->peer_trusted. */
void client_addr_find(struct exchange *ex);
/* X-Forwarded-* or Forwarded in the request that the backend gets. */
void client_addr_forward(struct exchange *ex, struct http_request *up);

#endif

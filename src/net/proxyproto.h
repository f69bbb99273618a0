/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * proxyproto - the PROXY protocol, versions 1 and 2: what a proxy says of its
 * client before the connection's own first byte.
 *
 * Strict: what could be read two ways is refused.  A caller that must not read
 * beyond the head asks proxyproto_wanted() how much of it may be taken.
 */
#ifndef NET_PROXYPROTO_H
#define NET_PROXYPROTO_H

#include <stdbool.h>
#include <stddef.h>

#include "base/span.h"
#include "os/addr.h"

struct str;

enum {
	PROXYPROTO_V1_MAX = 107, /* with its CRLF */
	PROXYPROTO_MAX = 4096,   /* of a head in version 2 that is taken */
	PROXYPROTO_ID_MAX = 128,
};

enum proxyproto_result {
	PROXYPROTO_DONE,
	PROXYPROTO_MORE, /* incomplete so far */
	PROXYPROTO_BAD,
};

struct proxyproto {
	size_t used;      /* bytes of the head */
	bool is_local;    /* nothing is said: the connection's own hold */
	struct addr_ip client, server;
	/* Of version 2; NULL where it is not said. */
	struct span authority; /* the server name that was asked for */
	struct span alpn;
	struct span unique_id; /* any bytes, 128 at most */
};

/* Spans of *out borrow from in. */
enum proxyproto_result proxyproto_read(struct span in,
    struct proxyproto *out);
/* Of bytes that wait behind what was taken: how many belong to the head. */
size_t proxyproto_wanted(struct span taken, struct span waiting);
/* A head of version 1 or 2.  Addresses of other families: nothing is said. */
void proxyproto_write(struct str *out, unsigned version,
    const struct addr_ip *client, const struct addr_ip *server);

#endif

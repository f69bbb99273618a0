/* SPDX-License-Identifier: BSD-2-Clause */
/* client_h2_none - a build without nghttp2: no client speaks HTTP/2. */
#include <assert.h>

#include "proxy/client_h2.h"

enum client_h2_preface
client_h2_preface(struct span bytes)
{
	(void)bytes;
	return CLIENT_H2_NOT;
}

void
client_h2_take(struct proxy *proxy, struct conn *from,
    const struct listener_spec *spec, const struct addr_ip *peer, uint64_t id,
    struct span bytes)
{
	(void)proxy;
	(void)from;
	(void)spec;
	(void)peer;
	(void)id;
	(void)bytes;
	assert(!"the configuration allows none");
}

size_t
client_h2_bytes(void)
{
	return 16;
}

size_t
client_h2_stream_bytes(void)
{
	return 16;
}

void
client_h2_bury(struct proxy *proxy)
{
	(void)proxy;
}

void
client_h2_drain(struct proxy *proxy)
{
	(void)proxy;
}

void
client_h2_cut_all(struct proxy *proxy, struct proxy_cut *cut)
{
	(void)proxy;
	(void)cut;
}

unsigned
client_h2_cut_tunnels(struct proxy *proxy, uint64_t drained_ms)
{
	(void)proxy;
	(void)drained_ms;
	return 0;
}

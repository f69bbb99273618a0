/* SPDX-License-Identifier: BSD-2-Clause */
/* backend_h2_none - a build without nghttp2: no backend speaks HTTP/2. */
#include <assert.h>
#include <stdlib.h>

#include "proxy/backend_h2.h"
#include "proxy/proxy_private.h"

bool
backend_h2_is_wanted(const struct exchange *ex)
{
	(void)ex;
	return false;
}

bool
backend_h2_is_spoken(const struct exchange *ex, const struct conn *c)
{
	(void)ex;
	(void)c;
	return false;
}

enum backend_h2_result
backend_h2_open(struct exchange *ex, bool may_reuse)
{
	(void)ex;
	(void)may_reuse;
	return BACKEND_H2_CONNECT;
}

void
backend_h2_connect_began(struct proxy *proxy, const struct backend *b)
{
	(void)proxy;
	(void)b;
}

void
backend_h2_connect_ended(struct proxy *proxy, const struct backend *b)
{
	(void)proxy;
	(void)b;
}

void
backend_h2_take(struct exchange *ex, struct conn *from, bool is_limited,
    uint32_t tenancy)
{
	(void)tenancy;
	(void)is_limited;
	(void)ex;
	(void)from;
	assert(!"the configuration allows none");
}

bool
backend_h2_close_one(struct proxy *proxy, const struct backend *b)
{
	(void)proxy;
	(void)b;
	return false;
}

size_t
backend_h2_bytes(void)
{
	return 16;
}

size_t
backend_h2_stream_bytes(void)
{
	return 16;
}

void
backend_h2_bury(struct proxy *proxy)
{
	(void)proxy;
}

void
backend_h2_drain(struct proxy *proxy)
{
	(void)proxy;
}

void
backend_h2_fini(struct proxy *proxy)
{
	free(proxy->h2_pools);
	proxy->h2_pools = NULL;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* probe_h2_none - a build without nghttp2: no check speaks HTTP/2. */
#include "background/probe_h2.h"

struct probe_h2 *
probe_h2_new(struct conn *conn, struct block_pool *pool,
    const struct probe_h2_request *r)
{
	(void)conn;
	(void)pool;
	(void)r;
	return NULL;
}

void
probe_h2_free(struct probe_h2 *h)
{
	(void)h;
}

enum probe_h2_state
probe_h2_receive(struct probe_h2 *h, struct span bytes)
{
	(void)h;
	(void)bytes;
	return PROBE_H2_FAILED;
}

unsigned
probe_h2_status(const struct probe_h2 *h)
{
	(void)h;
	return 0;
}

struct span
probe_h2_body(const struct probe_h2 *h)
{
	(void)h;
	return span_of(NULL, 0);
}

const char *
probe_h2_why(const struct probe_h2 *h)
{
	(void)h;
	return NULL;
}

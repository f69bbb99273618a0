/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * probe_h2 - the one request of a health check over HTTP/2.
 *
 * On a connection that stands, and for it alone: it is closed afterwards.  In a
 * build without nghttp2 there is none, and no backend either that would want it.
 */
#ifndef BACKGROUND_PROBE_H2_H
#define BACKGROUND_PROBE_H2_H

#include <stdbool.h>
#include <stddef.h>

#include "base/span.h"

struct block_pool;
struct check_conf;
struct conn;
struct probe_h2;

enum probe_h2_state {
	PROBE_H2_MORE,   /* the answer has not ended */
	PROBE_H2_ENDED,  /* it has, or its body is as long as is wanted */
	PROBE_H2_FAILED, /* there will be none, or no end of it */
};

struct probe_h2_request {
	const struct check_conf *conf;
	struct span host;
	bool is_secure;
	size_t body_max; /* of the answer, in bytes */
};

/*
 * Send the request over conn, borrowed; what is in r is not needed any more
 * then, but for conf.  NULL: it cannot be sent.
 */
struct probe_h2 *probe_h2_new(struct conn *conn, struct block_pool *pool,
    const struct probe_h2_request *r);
void probe_h2_free(struct probe_h2 *h);
/* Bytes of the backend. */
enum probe_h2_state probe_h2_receive(struct probe_h2 *h, struct span bytes);
/* The final status; 0 while its head has not come. */
unsigned probe_h2_status(const struct probe_h2 *h);
/* The body so far. */
struct span probe_h2_body(const struct probe_h2 *h);
/* What went wrong; NULL if there is nothing to add. */
const char *probe_h2_why(const struct probe_h2 *h);

#endif

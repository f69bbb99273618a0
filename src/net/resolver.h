/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * resolver - names to addresses, without blocking the event loop.
 *
 * c-ares where it was configured in, else getaddrinfo on helper threads.
 * /etc/hosts is respected; "localhost" and what ends in ".localhost" needs
 * neither file nor server (RFC 6761, section 6.3).  IPv4 and IPv6 are both
 * asked for; the order of the answer is the order of preference.
 */
#ifndef NET_RESOLVER_H
#define NET_RESOLVER_H

#include <stdbool.h>
#include <stdint.h>

#include "os/addr.h"

struct error;
struct loop;
struct resolver;
struct resolver_query;

enum {
	RESOLVER_ADDRESSES_MAX = 256,
	RESOLVER_TTL_UNKNOWN = 30, /* seconds, where the source tells none */
};

struct resolver_answer {
	struct addr_ip items[RESOLVER_ADDRESSES_MAX]; /* port 0 */
	uint32_t count;  /* 0 = failure */
	uint32_t ttl;    /* seconds: the smallest of the records */
	const char *why; /* of a failure: "name not found"; static */
};

/* Called once, from the loop and never from inside resolver_start(). */
typedef void resolver_fn(struct resolver_query *q,
    const struct resolver_answer *answer);

/* Embedded in what waits for the answer. */
struct resolver_query {
	resolver_fn *on_answer;
	void *pending; /* the resolver's own; NULL = not under way */
};

struct resolver_options {
	/* "127.0.0.1:5353,[::1]:53"; NULL = as /etc/resolv.conf says. */
	const char *servers;
	uint32_t timeout_ms; /* of the first try, 0 = 2000 */
	uint32_t tries;      /* 0 = 3 */
	bool use_getaddrinfo; /* even where there is c-ares; for tests */
};

/* After the fork; options may be NULL.  NULL and err on failure. */
struct resolver *resolver_new(struct loop *loop,
    const struct resolver_options *options, struct error *err);
/* Queries under way are forgotten; their on_answer is not called. */
void resolver_free(struct resolver *r);
/* host is copied.  on_answer must be set; the query must not be under way. */
void resolver_start(struct resolver *r, struct resolver_query *q,
    const char *host);
void resolver_cancel(struct resolver *r, struct resolver_query *q);
/* "c-ares 1.18.1" or "getaddrinfo", for weir -V. */
const char *resolver_name(void);

#endif

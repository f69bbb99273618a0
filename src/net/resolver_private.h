/* SPDX-License-Identifier: BSD-2-Clause */
/* resolver_private - what the resolver and its two sources share. */
#ifndef NET_RESOLVER_PRIVATE_H
#define NET_RESOLVER_PRIVATE_H

#include <sys/socket.h>

#include "base/list.h"
#include "net/resolver.h"

enum { RESOLVER_HOST_MAX = 256 };

/* One name that is asked for; owned by the resolver. */
struct resolver_job {
	struct list node;
	struct resolver *resolver;
	struct resolver_query *query; /* NULL = nobody waits any more */
	struct resolver_answer answer;
	char host[RESOLVER_HOST_MAX];
};

struct resolver_ops {
	const char *(*name)(void);
	/* The source's own state; NULL and err on failure. */
	void *(*open)(struct loop *loop,
	    const struct resolver_options *options, struct error *err);
	/* May call resolver_done(); afterwards no job is touched. */
	void (*close)(void *source);
	/* Fill job->answer, now or later, and call resolver_done(). */
	void (*start)(void *source, struct resolver_job *job);
};

#ifdef HAVE_CARES
extern const struct resolver_ops resolver_cares;
#endif
extern const struct resolver_ops resolver_threads;

/* The answer is complete; it is given to the query at the end of the turn. */
void resolver_done(struct resolver_job *job);
/* Add an address unless it is there, or no IP address, or there is no room. */
void resolver_add(struct resolver_answer *answer, const struct sockaddr *sa,
    socklen_t len);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * serving - what a worker is busy with, in shared memory, so that the log can
 * say it when the worker dies.
 *
 * One record a process, of plain stores: whoever reads it does so when the
 * writer is dead, and believes nothing in it.  It tells of the exchange that
 * the processor works on, not of those that wait.
 */
#ifndef PROXY_SERVING_H
#define PROXY_SERVING_H

#include <stdint.h>

#include "os/addr.h"
#include "proxy/exchange.h"
#include "proxy/route.h"

struct str;

enum serving_what {
	SERVING_NOTHING,
	SERVING_HEAD,     /* parsing what a client sent */
	SERVING_EXCHANGE,
};

enum { SERVING_METHOD_MAX = 16, SERVING_TARGET_MAX = 128 };

struct serving {
	uint32_t what;   /* enum serving_what */
	uint32_t phase;  /* enum phase */
	uint32_t module; /* its index and 1; 0 = weir itself */
	uint32_t route;  /* route->metric_index */
	uint64_t owner;  /* the exchange that the rest is of */
	struct addr_ip client;
	uint8_t method_len;
	uint8_t target_len;
	char method[SERVING_METHOD_MAX];
	char target[SERVING_TARGET_MAX]; /* its beginning */
};

/* How the numbers of a record become names; NULL for one that is wrong. */
struct serving_names {
	const char *(*module)(const void *arg, uint32_t index);
	const char *(*route)(const void *arg, uint32_t index);
	const void *arg;
};

/* ex is new: its request line, client and route. */
void serving_fill(struct serving *s, const struct exchange *ex);

/* The processor turns to ex. */
static inline void
serving_enter(struct serving *s, const struct exchange *ex)
{
	if (s->owner != (uintptr_t)ex)
		serving_fill(s, ex);
	s->what = SERVING_EXCHANGE;
}

/* A handler of a module is called, in ex->phase or that of a body. */
static inline void
serving_call(struct serving *s, const struct exchange *ex, enum phase phase,
    uint32_t module_index)
{
	serving_enter(s, ex);
	s->phase = (uint32_t)phase;
	s->module = module_index + 1;
}

/*
 * "GET /path for 192.0.2.1 in phase request, module headers, route web/1" or
 * "the head of a request"; nothing if it was busy with nothing.  Escaped; s is
 * read once and may hold anything.
 */
void serving_describe(const struct serving *s,
    const struct serving_names *names, struct str *out);

#endif

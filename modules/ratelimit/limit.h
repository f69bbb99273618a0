/* SPDX-License-Identifier: BSD-2-Clause */
/* limit - one limit as configured, and the options that say it. */
#ifndef MODULES_RATELIMIT_LIMIT_H
#define MODULES_RATELIMIT_LIMIT_H

#include "module.h"

#include "gcra.h"
#include "leases.h"

enum limit_mode { LIMIT_ENFORCE, LIMIT_SHADOW };

/* requests in each period; requests 0 = no rate. */
struct limit_rate {
	uint32_t requests;
	uint64_t period_us;
};

struct limit {
	/* As configured. */
	const char *name;
	const struct template *key;
	struct limit_rate rate;
	uint32_t burst;       /* 0 = as many as the rate has */
	uint64_t delay_ms;
	uint32_t concurrent;  /* 0 = no limit */
	uint32_t ipv6_prefix;
	uint32_t status;
	uint32_t mode;        /* enum limit_mode */
	bool fields;

	/* Made of it. */
	bool is_by_address;   /* the key is the client's address */
	bool is_late;         /* the key needs what `auth` finds out */
	/* By limit_start(). */
	struct gcra_limit gcra;
	uint64_t id;          /* whose counts these are */
	struct span label;    /* for logs and fields */
	const char *rate_text, *concurrent_text; /* who refused, for logs */
	struct span policy;   /* its part of RateLimit-Policy */
};

/* The groups of the list `ratelimit`. */
extern const struct conf_table limit_table;

/*
 * place: where the list stands, and number its place in it, from 0; both make
 * up the identity of a limit without a name.
 */
void limit_start(struct limit *l, struct arena *arena, const char *place,
    size_t number);

enum { LIMIT_KEY_BYTES_MAX = 1024 };

/*
 * The key of this request behind the limit's id, in memory; what is longer is
 * cut off.  0 if the key is empty: then the limit does not hold.
 */
size_t limit_key(const struct limit *l, const struct exchange *ex,
    char memory[LIMIT_KEY_BYTES_MAX]);

#endif

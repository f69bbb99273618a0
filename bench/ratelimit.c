/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ratelimit - what a check of a limit costs: keys of clients in a table of
 * shared memory, one after the other and in no order.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "../modules/ratelimit/gcra.h"
#include "base/entropy.h"
#include "base/error.h"
#include "base/heap_alloc.h"
#include "os/shmem.h"
#include "timing.h"

enum { CHECKS = 2000000, KEY_BYTES = 24 };

/* A client's number as a key of the usual length. */
static uint64_t
hash_of(const struct gcra *g, uint64_t number)
{
	uint64_t key[KEY_BYTES / 8] = { 0x5eed, 0, number };

	return gcra_hash(g, key, sizeof(key));
}

/*
 * Whose requests come, one after the other.  is_skewed: as clients come in
 * life, the N-th an N-th as often as the first (Zipf's law); else all alike,
 * so that most are in no cache.
 */
static void
draw(uint32_t *numbers, uint64_t clients, bool is_skewed)
{
	for (size_t i = 0; i < CHECKS; i++) {
		double u = (double)(entropy_fast() >> 11) / 0x1p53;

		numbers[i] = (uint32_t)(is_skewed
		    ? exp(u * log((double)clients)) - 1
		    : u * (double)clients);
	}
}

struct checks {
	const struct gcra *g;
	const uint32_t *numbers;
	struct gcra_limit limit;
	uint64_t now_us;
};

static bool
check(void *arg, unsigned i)
{
	const struct checks *c = arg;
	struct gcra_answer a;

	gcra_take(c->g, hash_of(c->g, c->numbers[i]), &c->limit,
	    c->now_us + i / 8, &a);
	return a.verdict == GCRA_REFUSED;
}

/* Of hash and check together. */
static double
measure(const struct gcra *g, const uint32_t *numbers, uint64_t now_us)
{
	struct checks c = { .g = g, .numbers = numbers, .now_us = now_us };

	gcra_limit_set(&c.limit, 1000, 1000000, 1000, 0);
	return timing_best_ns(check, &c, CHECKS);
}

int
main(void)
{
	static const uint64_t clients[] = { 1, 1000, 100000, 1000000 };
	uint32_t *numbers = heap_alloc(CHECKS * sizeof(*numbers));
	struct shmem zone;
	struct error err;
	struct gcra g;

	if (shmem_create(&zone, "ratelimit", GCRA_VERSION, 24 << 20,
	    &err) != 0) {
		fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	gcra_open(&g, zone.data, zone.data_bytes, true);
	printf("ns a check, in a zone of 24 MB\n%10s  %8s  %8s\n",
	    "clients", "as usual", "all alike");
	for (size_t i = 0; i < sizeof(clients) / sizeof(*clients); i++) {
		printf("%10llu", (unsigned long long)clients[i]);
		draw(numbers, clients[i], true);
		printf("  %8.0f", measure(&g, numbers, 1000000000));
		draw(numbers, clients[i], false);
		printf("  %8.0f\n", measure(&g, numbers, 2000000000));
	}
	free(numbers);
	shmem_close(&zone);
	return 0;
}

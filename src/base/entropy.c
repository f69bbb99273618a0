/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * entropy - getrandom(2), a pool of what it gave, and a splitmix generator for
 * what is no secret.
 */
#include "base/entropy.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { POOL_BYTES = 4096, DRAW_MAX = 256 };

static uint64_t state;
static bool is_seeded;
static bool is_hooked;
static unsigned char pool[POOL_BYTES];
static size_t pool_left;

void
entropy_fill(void *p, size_t len)
{
	char *at = p;

	while (len > 0) {
		ssize_t n = getrandom(at, len, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			abort();
		at += n;
		len -= (size_t)n;
	}
}

void
entropy_seed(uint64_t seed)
{
	state = seed;
	is_seeded = true;
}

/* A child must not repeat its parent's numbers. */
static void
forget_all(void)
{
	is_seeded = false;
	pool_left = 0;
}

static void
hook_fork(void)
{
	if (!is_hooked && pthread_atfork(NULL, NULL, forget_all) != 0)
		abort();
	is_hooked = true;
}

void
entropy_draw(void *p, size_t len)
{
	assert(len <= DRAW_MAX);
	if (pool_left < len) {
		hook_fork();
		entropy_fill(pool, sizeof(pool));
		pool_left = sizeof(pool);
	}
	pool_left -= len;
	memcpy(p, pool + pool_left, len);
	/* What was given out cannot be found here any more. */
	memset(pool + pool_left, 0, len);
}

static void
seed_from_kernel(void)
{
	hook_fork();
	entropy_fill(&state, sizeof(state));
	is_seeded = true;
}

uint64_t
entropy_fast(void)
{
	uint64_t z;

	if (!is_seeded)
		seed_from_kernel();
	state += 0x9e3779b97f4a7c15U;
	z = state;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
	return z ^ (z >> 31);
}

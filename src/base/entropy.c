/* SPDX-License-Identifier: BSD-2-Clause */
/* entropy - getrandom(2), and a splitmix generator for what is no secret. */
#include "base/entropy.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/random.h>

static uint64_t state;
static bool is_seeded;
static bool is_hooked;

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
forget_seed(void)
{
	is_seeded = false;
}

static void
seed_from_kernel(void)
{
	if (!is_hooked && pthread_atfork(NULL, NULL, forget_seed) != 0)
		abort();
	is_hooked = true;
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

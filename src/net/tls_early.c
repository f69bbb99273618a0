/* SPDX-License-Identifier: BSD-2-Clause */
/* tls_early - marks of tickets, by rows that their keys name. */
#include "net/tls_early.h"

#include <string.h>

enum { TIME_BITS = 24 };

#define TIME_MASK ((UINT64_C(1) << TIME_BITS) - 1)

void
tls_early_begin(struct tls_early_zone *zone, uint64_t now_s, bool is_first)
{
	uint64_t none = 0;

	atomic_compare_exchange_strong(&zone->open_s, &none,
	    is_first ? 1 : now_s + TLS_EARLY_WINDOW_S + 1);
}

/* A mark: the key's bits above, the time (never 0) below. */
static bool
is_fresh(uint64_t mark, uint64_t now_s)
{
	uint64_t age = (now_s + 1 - mark) & TIME_MASK;

	/* A little of the future is a process whose clock is ahead. */
	return mark != 0 && (age <= TLS_EARLY_WINDOW_S ||
	    age > TIME_MASK - TLS_EARLY_WINDOW_S);
}

static bool
is_same(uint64_t a, uint64_t b)
{
	return a >> TIME_BITS == b >> TIME_BITS;
}

/* How many fresh marks of that key the row has. */
static unsigned
count(_Atomic uint64_t *row, uint64_t mark, uint64_t now_s)
{
	unsigned n = 0;

	for (int i = 0; i < TLS_EARLY_WAYS; i++) {
		uint64_t there = atomic_load(&row[i]);

		n += is_fresh(there, now_s) && is_same(there, mark);
	}
	return n;
}

bool
tls_early_take(struct tls_early_zone *zone,
    const unsigned char key[TLS_EARLY_KEY], uint64_t now_s)
{
	uint64_t high, low, mark, open_s = atomic_load(&zone->open_s);
	_Atomic uint64_t *row;

	/* What was used before the table was made is not in it. */
	if (open_s == 0 || now_s + 1 < open_s)
		return false;
	memcpy(&high, key, sizeof(high));
	memcpy(&low, key + sizeof(high), sizeof(low));
	row = zone->marks[low % TLS_EARLY_ROWS];
	mark = (high & ~TIME_MASK) | ((now_s + 1) & TIME_MASK);
	if (mark == 0 || count(row, mark, now_s) > 0)
		return false;
	for (int i = 0; i < TLS_EARLY_WAYS; i++) {
		uint64_t there = atomic_load(&row[i]);

		if (!is_fresh(there, now_s) &&
		    atomic_compare_exchange_strong(&row[i], &there, mark))
			return count(row, mark, now_s) == 1;
	}
	return false;
}

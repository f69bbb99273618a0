/* SPDX-License-Identifier: BSD-2-Clause */
/* tls_early - marks of tickets, by rows that their keys name. */
#include "net/tls_early.h"

#include <string.h>

enum { TIME_BITS = 24 };

#define TIME_MASK ((UINT64_C(1) << TIME_BITS) - 1)

static int64_t
ahead_of(struct tls_early_time now)
{
	int64_t ahead = (int64_t)now.wall_ms - (int64_t)now.mono_ms;

	return ahead != 0 ? ahead : 1;
}

/*
 * False: the wall clock shows what it has shown before.  Then open_s is moved
 * behind all of that, before the new difference is noted: whoever sees the
 * latter finds the former.
 */
static bool
check_clock(struct tls_early_zone *zone, struct tls_early_time now)
{
	int64_t ahead = ahead_of(now), most = atomic_load(&zone->ahead_ms);
	uint64_t open_s, until_s;

	while (most == 0 || ahead > most) {
		if (atomic_compare_exchange_weak(&zone->ahead_ms, &most,
		    ahead))
			return true;
	}
	if (most - ahead <= TLS_EARLY_STEP_MS)
		return true;
	until_s = (now.mono_ms + (uint64_t)(most - ahead)) / 1000 +
	    TLS_EARLY_WINDOW_S + 2;
	open_s = atomic_load(&zone->open_s);
	while (open_s != 0 && open_s < until_s &&
	    !atomic_compare_exchange_weak(&zone->open_s, &open_s, until_s))
		;
	atomic_compare_exchange_strong(&zone->ahead_ms, &most, ahead);
	return false;
}

void
tls_early_begin(struct tls_early_zone *zone, struct tls_early_time now,
    bool is_first)
{
	uint64_t none = 0;

	atomic_compare_exchange_strong(&zone->open_s, &none, is_first ? 1
	    : now.mono_ms / 1000 + TLS_EARLY_WINDOW_S + 1);
	(void)check_clock(zone, now);
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

enum tls_early_answer
tls_early_take(struct tls_early_zone *zone,
    const unsigned char key[TLS_EARLY_KEY], struct tls_early_time now)
{
	uint64_t high, low, mark, open_s, now_s = now.mono_ms / 1000;
	_Atomic uint64_t *row;

	if (!check_clock(zone, now))
		return TLS_EARLY_CLOCK;
	/* What was used before the table was made is not in it. */
	open_s = atomic_load(&zone->open_s);
	if (open_s == 0 || now_s + 1 < open_s)
		return TLS_EARLY_WAITING;
	memcpy(&high, key, sizeof(high));
	memcpy(&low, key + sizeof(high), sizeof(low));
	row = zone->marks[low % TLS_EARLY_ROWS];
	mark = (high & ~TIME_MASK) | ((now_s + 1) & TIME_MASK);
	if (mark == 0 || count(row, mark, now_s) > 0)
		return TLS_EARLY_USED;
	for (int i = 0; i < TLS_EARLY_WAYS; i++) {
		uint64_t there = atomic_load(&row[i]);

		if (!is_fresh(there, now_s) &&
		    atomic_compare_exchange_strong(&row[i], &there, mark))
			return count(row, mark, now_s) == 1 ? TLS_EARLY_TAKEN
							    : TLS_EARLY_USED;
	}
	return TLS_EARLY_FULL;
}

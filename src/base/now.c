/* SPDX-License-Identifier: BSD-2-Clause */
/* now - one reading of the clocks, shared by everything in one loop turn. */
#include "base/now.h"

#include <time.h>

static uint64_t monotonic_us;
static uint64_t monotonic_ms; /* asked for often: divided once a turn */
static uint64_t wall_offset_us;   /* wall time minus monotonic time */
static uint64_t offset_taken_us;  /* monotonic time of that difference */

static uint64_t
read_us(clockid_t id)
{
	struct timespec ts;

	if (clock_gettime(id, &ts) != 0)
		return 0;
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

void
now_update(void)
{
	monotonic_us = read_us(CLOCK_MONOTONIC);
	monotonic_ms = monotonic_us / 1000;
	/* The wall clock may be set: look again every 100 ms. */
	if (offset_taken_us == 0 || monotonic_us - offset_taken_us > 100000) {
		wall_offset_us = read_us(CLOCK_REALTIME) - monotonic_us;
		offset_taken_us = monotonic_us;
	}
}

uint64_t
now_ms(void)
{
	if (monotonic_us == 0)
		now_update();
	return monotonic_ms;
}

uint64_t
now_us(void)
{
	if (monotonic_us == 0)
		now_update();
	return monotonic_us;
}

uint64_t
now_wall_ms(void)
{
	return (now_us() + wall_offset_us) / 1000;
}

uint64_t
now_exact_us(void)
{
	return read_us(CLOCK_MONOTONIC);
}

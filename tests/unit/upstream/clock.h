/* SPDX-License-Identifier: BSD-2-Clause */
/* clock - base/now with a time that the test sets; defined in the program. */
#ifndef TESTS_UNIT_UPSTREAM_CLOCK_H
#define TESTS_UNIT_UPSTREAM_CLOCK_H

#include "base/now.h"

static uint64_t clock_ms = 1000000;

void
now_update(void)
{
}

uint64_t
now_ms(void)
{
	return clock_ms;
}

uint64_t
now_us(void)
{
	return clock_ms * 1000;
}

uint64_t
now_wall_ms(void)
{
	return clock_ms;
}

uint64_t
now_exact_us(void)
{
	return clock_ms * 1000;
}

#endif

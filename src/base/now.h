/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * now - the process's cached clocks, read once per turn of the event loop.
 *
 * Monotonic time counts from an arbitrary start and is for deadlines; wall
 * time is for people and logs.
 */
#ifndef BASE_NOW_H
#define BASE_NOW_H

#include <stdint.h>

/* Reads the clocks; the loop calls it after each wait. */
void now_update(void);
uint64_t now_ms(void);      /* monotonic, milliseconds, as of now_update() */
uint64_t now_us(void);      /* monotonic, microseconds, as of now_update() */
uint64_t now_wall_ms(void); /* since 1970-01-01 UTC, milliseconds */
uint64_t now_exact_us(void); /* monotonic, read at the call: set-up only */

#endif

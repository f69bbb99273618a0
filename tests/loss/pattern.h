/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pattern - bodies whose every byte follows from a seed and its place, so that
 * one that is missing, doubled or another's is seen where it happens.
 */
#ifndef LOSS_PATTERN_H
#define LOSS_PATTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A prime, so that no shift by a buffer's size fits. */
#define PATTERN_PERIOD 65521

void pattern_init(void);
/* Bytes from place `at` on; at least PATTERN_PERIOD may be read. */
const char *pattern_bytes(uint64_t seed, uint64_t at);
bool pattern_matches(uint64_t seed, uint64_t at, const char *bytes, size_t len);

#endif

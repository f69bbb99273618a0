/* SPDX-License-Identifier: BSD-2-Clause */
/* measure - durations and sizes as text: "30s", "64KB". */
#ifndef CONF_MEASURE_H
#define CONF_MEASURE_H

#include <stdint.h>

#include "base/span.h"

struct error;
struct str;

/*
 * "500ms", "30s", "5m", "1h", "1d" to milliseconds, and "0", which needs no
 * unit.  -1 and err, which says what is wrong with the text.
 */
int measure_duration(struct span text, uint64_t *ms, struct error *err);
/* "512B", "64KB", "1MB", "1GB", "1TB" (powers of 1024) to bytes, and "0". */
int measure_size(struct span text, uint64_t *bytes, struct error *err);
/* The shortest exact form; plain "0" for nothing. */
void measure_put_duration(struct str *out, uint64_t ms);
void measure_put_size(struct str *out, uint64_t bytes);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/* nearest - which known name a misspelt one was meant to be. */
#ifndef CONF_NEAREST_H
#define CONF_NEAREST_H

#include "base/span.h"

/* The best of the names offered so far; start with nearest_init(). */
struct nearest {
	struct span word;
	const char *best; /* NULL: none is near */
	size_t distance;  /* of best; else the first that is too far */
};

void nearest_init(struct nearest *n, struct span word);
/* name is borrowed and becomes best if it is nearer than what was there. */
void nearest_offer(struct nearest *n, const char *name);

#endif

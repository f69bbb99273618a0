/* SPDX-License-Identifier: BSD-2-Clause */
/* number - the numbers of libconfig 1.5, and which of them it reads wrong. */
#ifndef CONF_NUMBER_H
#define CONF_NUMBER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"

enum number_kind {
	NUMBER_INT,   /* of 32 bits */
	NUMBER_INT64, /* with an L */
	NUMBER_FLOAT,
};

struct number {
	enum number_kind kind;
	bool overflow;   /* fits into no 64 bits; a float: infinite */
	bool wraps;      /* needs an L, without which it is read as wrapped */
	int32_t wrapped;
	int64_t integer; /* right unless overflow */
	double real;
};

/*
 * The whole text as a number; false if it is none.  A byte behind it must be
 * readable, and be none that a number could go on with.
 */
bool number_parse(struct span text, struct number *n);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * packed - a set of address ranges as one piece of bytes, for other processes:
 * to sort a hundred thousand takes longer than clients of a worker should wait,
 * so it is done once, elsewhere.
 */
#ifndef MODULES_ACCESS_PACKED_H
#define MODULES_ACCESS_PACKED_H

#include "cidr.h"

/* *bytes is heap, the caller's. */
void packed_make(const struct cidr *set, char **bytes, size_t *len);
/*
 * The set that lies in bytes, which it borrows, at an address that fits any
 * type: checked throughout, so that no search leaves it.  -1 and err.
 */
int packed_open(struct cidr *set, struct span bytes, struct error *err)
    __attribute__((warn_unused_result));

#endif

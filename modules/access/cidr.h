/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cidr - a set of address ranges, for which a hundred thousand are not many.
 *
 * Ranges that touch or lie in each other are joined, so that what is left is in
 * order and apart: one binary search finds the only one that may have an
 * address.  A table by the first 16 bits of an IPv4 address, and by the first
 * 16 in which IPv6 addresses of the set differ, says where to search.
 * Immutable once built; all of it lies in one arena.
 */
#ifndef MODULES_ACCESS_CIDR_H
#define MODULES_ACCESS_CIDR_H

#include "module.h"

/* First and last address, in the byte order of the machine. */
struct cidr_v4 {
	uint32_t from, to;
};

struct cidr_v6 {
	uint64_t from[2], to[2];
};

enum { CIDR_INDEX_ENTRIES = 65537 };

struct cidr {
	const struct cidr_v4 *v4;
	const struct cidr_v6 *v6;
	size_t v4_count, v6_count;
	/*
	 * By those bits, the number of the first range that ends there or
	 * behind; NULL where there are few.
	 */
	const uint32_t *v4_index, *v6_index;
	uint64_t v6_base;  /* of the first half of an address */
	unsigned v6_shift;
};

/* Ranges while they are gathered; zeroed = none. */
struct cidr_list {
	struct addr_range *items; /* heap */
	size_t count, size;
};

void cidr_list_add(struct cidr_list *list, const struct addr_range *range);
void cidr_list_fini(struct cidr_list *list);
/* Forgets the order of the list. */
void cidr_build(struct cidr *set, struct arena *arena,
    const struct cidr_list *list);
/* False for clients of Unix sockets. */
bool cidr_has(const struct cidr *set, const struct addr_ip *ip);

/* What is wrong in line `line` (from 1), from byte `column` (from 1) on. */
typedef void cidr_error_fn(void *arg, unsigned line, unsigned column,
    struct span text, const struct error *err);
/*
 * Add the ranges of a text: one a line, "192.0.2.0/24", "2001:db8::/32" or an
 * address; blanks around them, empty lines, and what follows # or ; are
 * skipped.  fn hears of each line that is none; how many there were.
 */
size_t cidr_parse(struct span text, struct cidr_list *list,
    cidr_error_fn *fn, void *arg);

#endif

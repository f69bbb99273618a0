/* SPDX-License-Identifier: BSD-2-Clause */
/* access - what a look into a list of 100,000 address ranges costs. */
#include <stdio.h>
#include <stdlib.h>

#include "../modules/access/cidr.h"
#include "base/entropy.h"
#include "timing.h"

enum { RANGES = 100000, LOOKS = 2000000 };

/* Anywhere in IPv4, or below 2000::/3. */
static void
draw(struct addr_ip *ip, bool is_v4)
{
	uint64_t random[2] = { entropy_fast(), entropy_fast() };

	memcpy(ip->bytes, random, 16);
	ip->family = is_v4 ? AF_INET : AF_INET6;
	if (is_v4) {
		memset(ip->bytes, 0, 10);
		memset(ip->bytes + 10, 0xff, 2);
	} else {
		ip->bytes[0] = (uint8_t)(0x20 | (ip->bytes[0] & 0x1f));
	}
}

static void
fill(struct cidr_list *list, bool is_v4)
{
	for (unsigned i = 0; i < RANGES; i++) {
		struct addr_ip ip;
		struct addr_range range;

		draw(&ip, is_v4);
		range.bits = (uint8_t)(is_v4 ? 96 + 20 + i % 13 : 32 + i % 33);
		memcpy(range.bytes, ip.bytes, 16);
		for (unsigned bit = range.bits; bit < 128; bit++)
			range.bytes[bit / 8] &= (uint8_t)~(0x80 >> bit % 8);
		cidr_list_add(list, &range);
	}
}

struct looks {
	const struct cidr *set;
	const struct addr_ip *ips;
};

static bool
look(void *arg, unsigned i)
{
	const struct looks *l = arg;

	return cidr_has(l->set, &l->ips[i]);
}

int
main(void)
{
	struct addr_ip *ips = heap_alloc(LOOKS * sizeof(*ips));

	printf("ns a look, %d ranges, random addresses\n", RANGES);
	for (unsigned v6 = 0; v6 < 2; v6++) {
		struct cidr_list list = { NULL, 0, 0 };
		struct arena arena;
		struct cidr set;
		struct looks looks = { &set, ips };

		arena_init(&arena, NULL);
		fill(&list, v6 == 0);
		cidr_build(&set, &arena, &list);
		for (unsigned i = 0; i < LOOKS; i++)
			draw(&ips[i], v6 == 0);
		printf("%s  %4.0f\n", v6 == 0 ? "IPv4" : "IPv6",
		    timing_best_ns(look, &looks, LOOKS));
		cidr_list_fini(&list);
		arena_fini(&arena);
	}
	free(ips);
	return 0;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Files of address ranges: what was read is in the set, and at the edges of
 * each range the set knows what the ranges know; so does the set that was
 * packed and opened.  The bytes themselves are opened, too: what is refused is
 * not looked at, and in what is not, every search stays inside.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include <stdlib.h>

#include "../../modules/access/packed.h"

enum { RANGES_MAX = 400 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
ignore(void *arg, unsigned line, unsigned column, struct span text,
    const struct error *err)
{
	(void)arg;
	(void)err;
	assert(line >= 1 && column >= 1 && column <= text.len);
}

static void
check(const struct cidr *set, const struct cidr_list *list,
    const uint8_t bytes[16])
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	struct addr_ip ip = { .family = AF_INET6 };
	bool want = false;

	memcpy(ip.bytes, bytes, 16);
	if (memcmp(bytes, mapped, sizeof(mapped)) == 0)
		ip.family = AF_INET;
	for (size_t i = 0; i < list->count && i < RANGES_MAX; i++)
		want |= addr_range_has(&list->items[i], &ip);
	assert(cidr_has(set, &ip) == want || list->count > RANGES_MAX);
}

/* bytes + by, which is 1 or -1 */
static void
step(uint8_t bytes[16], int by)
{
	for (int i = 15; i >= 0; i--) {
		bytes[i] = (uint8_t)(bytes[i] + by);
		if (bytes[i] != (by > 0 ? 0 : 0xff))
			return;
	}
}

static void
check_edges(const struct cidr *set, const struct cidr_list *list,
    const struct addr_range *range)
{
	uint8_t bytes[16];

	memcpy(bytes, range->bytes, 16);
	check(set, list, bytes);
	step(bytes, -1);
	check(set, list, bytes);
	memcpy(bytes, range->bytes, 16);
	for (unsigned i = range->bits; i < 128; i++)
		bytes[i / 8] |= (uint8_t)(0x80 >> i % 8);
	check(set, list, bytes);
	step(bytes, 1);
	check(set, list, bytes);
}

/* On heap of just that size, so that a sanitizer sees what goes beyond. */
static void
search_bytes(const uint8_t *data, size_t size)
{
	struct addr_ip ip = { .family = AF_INET6 };
	char *copy = heap_alloc(size + 1);
	struct cidr set;
	struct error err;

	memcpy(copy, data, size);
	if (packed_open(&set, span_of(copy, size), &err) == 0) {
		for (unsigned i = 0; i + 16 <= size && i < 256; i++) {
			memcpy(ip.bytes, copy + i, 16);
			ip.family = i % 2 == 0 ? AF_INET6 : AF_INET;
			(void)cidr_has(&set, &ip);
		}
	}
	free(copy);
}

static void
check_packed(const struct cidr *set, const struct cidr_list *list)
{
	struct cidr opened;
	struct error err;
	char *bytes;
	size_t len;
	int result;

	packed_make(set, &bytes, &len);
	result = packed_open(&opened, span_of(bytes, len), &err);
	assert(result == 0);
	for (size_t i = 0; i < list->count && i < RANGES_MAX; i++)
		check_edges(&opened, list, &list->items[i]);
	free(bytes);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cidr_list list = { NULL, 0, 0 };
	struct arena arena;
	struct cidr set;

	search_bytes(data, size);

	arena_init(&arena, NULL);
	(void)cidr_parse(span_of((const char *)data, size), &list, ignore,
	    NULL);
	cidr_build(&set, &arena, &list);
	for (size_t i = 0; i < list.count && i < RANGES_MAX; i++)
		check_edges(&set, &list, &list.items[i]);
	check_packed(&set, &list);
	cidr_list_fini(&list);
	arena_fini(&arena);
	return 0;
}

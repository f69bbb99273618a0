/* SPDX-License-Identifier: BSD-2-Clause */
/* heap_alloc - malloc for sizes of our own choosing; aborts when it fails. */
#include "base/heap_alloc.h"

#include <stdint.h>
#include <stdlib.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <string.h>
#include <unistd.h>

static void
out_of_memory(void)
{
	static const char text[] = "weir: out of memory\n";
	ssize_t ignored = write(STDERR_FILENO, text, sizeof(text) - 1);

	(void)ignored;
	abort();
}

void *
heap_alloc(size_t len)
{
	void *p = malloc(len > 0 ? len : 1);

	if (p == NULL)
		out_of_memory();
	return p;
}

void *
heap_alloc_zeroed(size_t count, size_t len)
{
	void *p = calloc(count > 0 ? count : 1, len > 0 ? len : 1);

	if (p == NULL)
		out_of_memory();
	return p;
}

void *
heap_alloc_grow(void *p, size_t count, size_t len)
{
	void *grown = NULL;

	if (len == 0 || count <= SIZE_MAX / len)
		grown = realloc(p, count * len > 0 ? count * len : 1);
	if (grown == NULL)
		out_of_memory();
	return grown;
}

char *
heap_alloc_strdup(const char *s)
{
	size_t len = strlen(s) + 1;

	return memcpy(heap_alloc(len), s, len);
}

void
heap_alloc_trim(void)
{
#ifdef __GLIBC__
	malloc_trim(0);
#endif
}

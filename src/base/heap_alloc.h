/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * heap_alloc - heap memory whose size weir itself chose.
 *
 * These never return NULL: running out of memory for our own structures ends
 * the process with a message (workers are replaced).  What a peer sizes is
 * bounded by options and comes from pools that may refuse.
 */
#ifndef BASE_HEAP_ALLOC_H
#define BASE_HEAP_ALLOC_H

#include <stddef.h>

/* Caller frees with free(). */
void *heap_alloc(size_t len) __attribute__((malloc, returns_nonnull));
void *heap_alloc_zeroed(size_t count, size_t len)
    __attribute__((malloc, returns_nonnull));
void *heap_alloc_grow(void *p, size_t count, size_t len)
    __attribute__((returns_nonnull));
char *heap_alloc_strdup(const char *s)
    __attribute__((malloc, returns_nonnull));

/*
 * Give back to the system what is free, also in the midst of the heap.  For
 * after something large has gone: it takes milliseconds.
 */
void heap_alloc_trim(void);

#endif

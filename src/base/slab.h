/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * slab - objects of one size, packed, reused last-in first-out.
 *
 * For connections, exchanges and the like: no header per object, and memory
 * that once held such an object never becomes anything else while the slab
 * lives, so that an event of this loop turn for an object just freed finds at
 * worst another object of the same kind.
 */
#ifndef BASE_SLAB_H
#define BASE_SLAB_H

#include <stddef.h>

struct slab {
	size_t item_bytes;
	void *spare;
	void *pages;
	size_t in_use;
};

/* item_bytes is rounded up to 16. */
void slab_init(struct slab *s, size_t item_bytes);
void slab_fini(struct slab *s);
/* Not cleared; never NULL. */
void *slab_get(struct slab *s);
/* The same, cleared. */
void *slab_get_zeroed(struct slab *s);
void slab_put(struct slab *s, void *item);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/* slab - pages of 64 KB cut into items of one size. */
#include "base/slab.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/heap_alloc.h"

enum { PAGE_BYTES = 65536 - 32, PAGE_HEAD = 16 };

void
slab_init(struct slab *s, size_t item_bytes)
{
	memset(s, 0, sizeof(*s));
	s->item_bytes = (item_bytes + 15) & ~(size_t)15;
	assert(s->item_bytes >= sizeof(void *) &&
	    s->item_bytes <= PAGE_BYTES - PAGE_HEAD);
}

void
slab_fini(struct slab *s)
{
	while (s->pages != NULL) {
		void *page = s->pages;

		memcpy(&s->pages, page, sizeof(void *));
		free(page);
	}
	s->spare = NULL;
	s->in_use = 0;
}

static void
add_page(struct slab *s)
{
	char *page = heap_alloc(PAGE_BYTES);
	size_t count = (PAGE_BYTES - PAGE_HEAD) / s->item_bytes;

	memcpy(page, &s->pages, sizeof(void *));
	s->pages = page;
	for (size_t i = count; i-- > 0;) {
		char *item = page + PAGE_HEAD + i * s->item_bytes;

		memcpy(item, &s->spare, sizeof(void *));
		s->spare = item;
	}
}

void *
slab_get(struct slab *s)
{
	void *item;

	if (s->spare == NULL)
		add_page(s);
	item = s->spare;
	memcpy(&s->spare, item, sizeof(void *));
	s->in_use++;
	return item;
}

void *
slab_get_zeroed(struct slab *s)
{
	return memset(slab_get(s), 0, s->item_bytes);
}

void
slab_put(struct slab *s, void *item)
{
	assert(s->in_use > 0);
	memcpy(item, &s->spare, sizeof(void *));
	s->spare = item;
	s->in_use--;
}

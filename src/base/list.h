/* SPDX-License-Identifier: BSD-2-Clause */
/* list - doubly linked list whose nodes lie inside what they link. */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
	struct list *next;
	struct list *prev;
};

/* The struct of type that has this node as its member. */
#define LIST_OF(node, type, member) \
	((type *)(void *)((char *)(node) - offsetof(type, member)))
/* Safe against removal of the current node only. */
#define LIST_EACH(head, node, after)                               \
	for (struct list *node = (head)->next, *after = node->next; \
	     node != (head); node = after, after = node->next)

static inline void
list_init(struct list *head)
{
	head->next = head;
	head->prev = head;
}

static inline bool
list_is_empty(const struct list *head)
{
	return head->next == head;
}

static inline void
list_insert_after(struct list *at, struct list *node)
{
	node->next = at->next;
	node->prev = at;
	at->next->prev = node;
	at->next = node;
}

static inline void
list_push_front(struct list *head, struct list *node)
{
	list_insert_after(head, node);
}

static inline void
list_push_back(struct list *head, struct list *node)
{
	list_insert_after(head->prev, node);
}

/* Unlinks and re-initialises, so that removing twice is harmless. */
static inline void
list_remove(struct list *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
	list_init(node);
}

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/* Lists: order, removal while walking, removing twice. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/list.h"

struct item {
	int number;
	struct list node;
};

static int
digits(const struct list *head)
{
	int n = 0;

	LIST_EACH(head, node, after)
		n = n * 10 + LIST_OF(node, struct item, node)->number;
	return n;
}

static void
test_order(void **state)
{
	struct list head;
	struct item items[5];

	(void)state;
	list_init(&head);
	assert_true(list_is_empty(&head));
	for (int i = 1; i < 5; i++) {
		items[i].number = i;
		list_push_back(&head, &items[i].node);
	}
	assert_int_equal(digits(&head), 1234);
	list_remove(&items[4].node);
	list_remove(&items[4].node);
	list_push_front(&head, &items[4].node);
	assert_int_equal(digits(&head), 4123);
	list_remove(&items[2].node);
	list_insert_after(&items[4].node, &items[2].node);
	assert_int_equal(digits(&head), 4213);
	LIST_EACH(&head, node, after) {
		if (LIST_OF(node, struct item, node)->number % 2 == 0)
			list_remove(node);
	}
	assert_int_equal(digits(&head), 13);
	list_remove(&items[1].node);
	list_remove(&items[3].node);
	assert_true(list_is_empty(&head));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

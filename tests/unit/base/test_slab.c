/* SPDX-License-Identifier: BSD-2-Clause */
/* Slabs: items apart from each other, reused last-in first-out. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/slab.h"

static void
test_items(void **state)
{
	enum { COUNT = 3000 };
	static const size_t sizes[] = { 1, 16, 17, 200, 4096 };
	static unsigned char *items[COUNT];

	(void)state;
	for (size_t k = 0; k < sizeof(sizes) / sizeof(*sizes); k++) {
		struct slab s;
		void *last;

		slab_init(&s, sizes[k]);
		for (unsigned i = 0; i < COUNT; i++) {
			items[i] = slab_get(&s);
			assert_int_equal((uintptr_t)items[i] % 16, 0);
			memset(items[i], (int)(i & 0xff), sizes[k]);
		}
		assert_int_equal(s.in_use, COUNT);
		for (unsigned i = 0; i < COUNT; i++) {
			for (size_t j = 0; j < sizes[k]; j++)
				assert_int_equal(items[i][j], i & 0xff);
		}
		slab_put(&s, items[5]);
		slab_put(&s, items[9]);
		assert_int_equal(s.in_use, COUNT - 2);
		last = slab_get(&s);
		assert_ptr_equal(last, items[9]);
		assert_ptr_equal(slab_get(&s), items[5]);
		slab_fini(&s);
		assert_int_equal(s.in_use, 0);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_items),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

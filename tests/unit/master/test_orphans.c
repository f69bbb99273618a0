/* SPDX-License-Identifier: BSD-2-Clause */
/* What workers without a master hear from the page that they share. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/now.h"
#include "master/orphans.h"

enum { TURNS = 2000, MANY = 100000 };

static char folder[] = "/tmp/weir-orphans-XXXXXX";
static char path[64];
static struct loop *loop;
static struct orphans orphans;
static size_t gone_count, gone_bytes;
static unsigned taken;

static void
collect(void *arg, struct manifest *m)
{
	(void)arg;
	(void)m;
}

static void
on_taken(void *arg, const uint8_t *gone, size_t count)
{
	(void)arg;
	taken++;
	gone_count = count;
	gone_bytes = 0;
	for (size_t i = 0; i < count; i++)
		gone_bytes += gone[i];
}

/* A master takes over so many listeners, and keeps those. */
static void
take_over(size_t listeners, const uint32_t *kept, size_t kept_count)
{
	const struct process_orphan back = { .on_taken = on_taken };
	struct error err;

	taken = 0;
	now_update();
	loop = loop_new(LOOP_AUTO, &err);
	assert_non_null(loop);
	assert_int_equal(orphans_open(&orphans, loop, path, -1, &err), 0);
	orphans_unwatch(&orphans);
	orphans_prepare(&orphans, listeners, collect, NULL);
	orphans_start(&orphans, loop, &back);
	orphans_note_kept(&orphans.memory, kept, kept_count);
	orphans_say_taken(&orphans.memory);
	for (int i = 0; i < TURNS && taken == 0; i++)
		loop_turn(loop, 5);
	assert_int_equal(taken, 1);
	orphans_stop(&orphans);
	orphans_close(&orphans, false);
	loop_free(loop);
}

static void
test_kept(void **state)
{
	static const uint32_t kept[] = { 0, 3, MANY };

	(void)state;
	take_over(5, kept, 3);
	assert_int_equal(gone_count, 5);
	assert_int_equal(gone_bytes, 3);
}

/* More than there is room for in the page. */
static void
test_many(void **state)
{
	static const uint32_t kept[] = { 7 };

	(void)state;
	take_over(MANY, kept, 1);
	assert_true(gone_count > 1000 && gone_count < MANY);
	assert_int_equal(gone_bytes, gone_count - 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kept),
		cmocka_unit_test(test_many),
	};
	int failed;

	if (mkdtemp(folder) == NULL)
		return 1;
	snprintf(path, sizeof(path), "%s/up.sock", folder);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(folder);
	return failed;
}

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

enum { TURNS = 2000, MANY = 100000, STALL_MS = 2200 };

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

/* ---- two workers, each asked by another master ---- */

static struct loop *loops[2], *outside;
static struct orphans workers[2];
static struct handover masters[2];
static unsigned said[2][16];

static void
on_message(struct handover *h, unsigned type, struct span body)
{
	(void)body;
	said[h == &masters[0] ? 0 : 1][type]++;
}

/* Only that worker runs. */
static void
turn_until(int who, unsigned type)
{
	for (int i = 0; i < TURNS && said[who][type] == 0; i++) {
		loop_turn(loops[who], 2);
		loop_turn(outside, 2);
	}
	assert_int_equal(said[who][type], 1);
}

static void
ask(int who)
{
	int fd = orphans_connect(path);
	struct error err;

	assert_true(fd >= 0);
	assert_int_equal(handover_start(&masters[who], outside, fd,
	    on_message, &err), 0);
	handover_say(&masters[who], HANDOVER_HELLO, SPAN("1"));
	turn_until(who, HANDOVER_END);
}

static void
start_workers(void)
{
	const struct process_orphan back = { .on_taken = on_taken };
	struct error err;

	outside = loop_new(LOOP_AUTO, &err);
	loops[0] = loop_new(LOOP_AUTO, &err);
	loops[1] = loop_new(LOOP_AUTO, &err);
	assert_true(outside != NULL && loops[0] != NULL && loops[1] != NULL);
	assert_int_equal(orphans_open(&workers[0], loops[0], path, -1, &err),
	    0);
	orphans_unwatch(&workers[0]);
	workers[1] = workers[0];
	for (int i = 0; i < 2; i++) {
		orphans_prepare(&workers[i], 1, collect, NULL);
		orphans_start(&workers[i], loops[i], &back);
	}
}

static void
stop_workers(void)
{
	for (int i = 0; i < 2; i++) {
		handover_stop(&masters[i]);
		orphans_stop(&workers[i]);
	}
	orphans_close(&workers[0], false);
	loop_free(loops[0]);
	loop_free(loops[1]);
	loop_free(outside);
}

/* A worker that stands still loses its turn, and gives nothing away then. */
static void
test_lost_turn(void **state)
{
	(void)state;
	now_update();
	start_workers();
	ask(0);
	usleep(STALL_MS * 1000);
	now_update();
	ask(1);
	handover_say(&masters[0], HANDOVER_READY, SPAN(""));
	turn_until(0, 0);
	assert_int_equal(said[0][HANDOVER_COMMIT], 0);
	handover_say(&masters[1], HANDOVER_READY, SPAN(""));
	turn_until(1, HANDOVER_COMMIT);
	stop_workers();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kept),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_lost_turn),
	};
	int failed;

	if (mkdtemp(folder) == NULL)
		return 1;
	snprintf(path, sizeof(path), "%s/up.sock", folder);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(folder);
	return failed;
}

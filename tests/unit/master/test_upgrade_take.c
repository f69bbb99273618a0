/* SPDX-License-Identifier: BSD-2-Clause */
/* The coming side of an upgrade: what it says when all is to be its own. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/heap_alloc.h"
#include "base/now.h"
#include "master/upgrade_take.h"
#include "os/fdpass.h"

enum { TURNS = 2000 };

static struct loop *loop;
static struct handover leaving;
static struct upgrade_take coming;
static unsigned said[16]; /* by the coming one, of each type */
static unsigned events[8];
static bool can_take;

static void
on_message(struct handover *h, unsigned type, struct span body)
{
	(void)h;
	(void)body;
	if (type < sizeof(said) / sizeof(*said))
		said[type]++;
}

static void
on_event(void *arg, enum upgrade_take_event event, const char *why)
{
	(void)arg;
	(void)why;
	events[event]++;
	if (event == UPGRADE_TAKE_TAKEN && !can_take)
		upgrade_take_fail(&coming, "it cannot listen");
}

static int
setup(void **state)
{
	const struct upgrade_take_config config = {
		.sock_path = "", .timeout_ms = 10000, .version = "1",
		.on_event = on_event };
	struct upgrade_take_config with_loop = config;
	struct error err;
	int fds[2];

	(void)state;
	now_update();
	memset(said, 0, sizeof(said));
	memset(events, 0, sizeof(events));
	loop = loop_new(LOOP_AUTO, &err);
	if (loop == NULL || fdpass_pair(fds) != 0)
		return -1;
	with_loop.loop = loop;
	upgrade_take_init(&coming, &with_loop);
	if (handover_start(&leaving, loop, fds[0], on_message, &err) != 0)
		return -1;
	return upgrade_take_start(&coming, fds[1], &err);
}

static int
teardown(void **state)
{
	(void)state;
	upgrade_take_stop(&coming);
	handover_stop(&leaving);
	loop_free(loop);
	return 0;
}

static void
turn_until(const unsigned *count)
{
	for (int i = 0; i < TURNS && *count == 0; i++)
		loop_turn(loop, 5);
	assert_int_equal(*count, 1);
}

/* Up to the word that all is the coming one's. */
static void
hand_over(void)
{
	struct manifest m;
	struct estate e;

	estate_init(&e);
	e.weir_version = heap_alloc_strdup("1");
	manifest_init(&m, false);
	estate_encode(&e, &m);
	turn_until(&said[HANDOVER_HELLO]);
	handover_send_manifest(&leaving, &m);
	turn_until(&events[UPGRADE_TAKE_ESTATE]);
	upgrade_take_ready(&coming, NULL, 0);
	turn_until(&said[HANDOVER_READY]);
	handover_say(&leaving, HANDOVER_COMMIT, SPAN(""));
	turn_until(&events[UPGRADE_TAKE_TAKEN]);
	manifest_fini(&m);
	estate_fini(&e, false);
}

static void
test_taken(void **state)
{
	(void)state;
	can_take = true;
	hand_over();
	turn_until(&said[HANDOVER_TAKEN]);
	assert_int_equal(said[HANDOVER_FAILED], 0);
	assert_int_equal(coming.state, TAKE_TAKEN);
	assert_false(upgrade_take_is_running(&coming));
	handover_say(&leaving, HANDOVER_ENDED, SPAN(""));
	turn_until(&events[UPGRADE_TAKE_GONE]);
	assert_true(coming.has_ended);
}

/* The other one is to serve on: it hears why, and never TAKEN. */
static void
test_cannot_take(void **state)
{
	(void)state;
	can_take = false;
	hand_over();
	turn_until(&said[HANDOVER_FAILED]);
	turn_until(&said[0]);
	assert_int_equal(said[HANDOVER_TAKEN], 0);
	assert_int_equal(coming.state, TAKE_OVER);
	assert_int_equal(events[UPGRADE_TAKE_GONE], 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_taken, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cannot_take, setup,
		    teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

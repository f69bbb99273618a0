/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The table of processes, with workers that do nothing but note what they are
 * told in memory that all share.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/log.h"
#include "base/now.h"
#include "base/str.h"
#include "master/children.h"
#include "metrics/metrics.h"
#include "net/listener.h"
#include "os/channel.h"
#include "os/logring.h"
#include "os/signals.h"
#include "site/generation.h"
#include "site/settings.h"
#include "site/shared.h"

enum { WORKERS = 3, NOTES = 256 };
/* The lowest free ones, in the order of their forks. */
enum { BACKGROUND = SHARED_FIRST_CHILD, FIRST_WORKER = BACKGROUND + 1 };

/* What a worker's next life is to be. */
enum plan { PLAN_SERVE, PLAN_FAIL, PLAN_EXIT, PLAN_CRASH, PLAN_DEAF };

struct note {
	_Atomic int type; /* of the message; 0 = forked, -1 = leaves */
	int slot;         /* who notes; -1 = the background process */
	int body;
	unsigned process;
	pid_t pid;
};

struct board {
	_Atomic int plan[WORKERS];
	_Atomic unsigned count;
	struct note notes[NOTES];
};

static struct board *board;
static struct shared *shared;
static struct generation_shared parts;
static struct loop *loop;
static struct signals child_signals;
static struct children *children;
static unsigned ready_count, failed_count, ended_count;
static char failed_why[1024];
static char log_text[16384];
static int lifeline[2];

/* ---- in place of a generation ---- */

const struct generation_shared *
generation_shared(const struct generation *g)
{
	(void)g;
	return &parts;
}

const struct settings *
generation_settings(const struct generation *g)
{
	static const struct settings quiet = { .error_log = {
		.level = LOG_LEVEL_NOTICE } };

	(void)g;
	return &quiet;
}

void
generation_process_ended(const struct generation *g, unsigned process,
    struct str *was_serving)
{
	(void)g;
	(void)process;
	str_lit(was_serving, " while serving its purpose");
}

bool
generation_has_signer(const struct generation *g)
{
	(void)g;
	return false;
}

void
generation_keep_keys(const struct generation *g, bool is_signer)
{
	(void)g;
	(void)is_signer;
}

/* Files that may change: these have no content but their version. */
enum { FILES = 300 };
static uint32_t versions[FILES];

size_t
generation_files_count(const struct generation *g)
{
	(void)g;
	return FILES;
}

uint32_t
generation_files_version(const struct generation *g, size_t i)
{
	(void)g;
	return versions[i];
}

const char *
generation_files_name(const struct generation *g, size_t i)
{
	(void)g;
	(void)i;
	return "file";
}

int
generation_files_open(const struct generation *g, size_t i,
    struct error *err)
{
	(void)g;
	(void)i;
	(void)err;
	return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

void
generation_files_hear(struct generation *g, const struct channel_message *m,
    const struct generation_send *send)
{
	(void)g;
	(void)m;
	(void)send;
}

/* ---- the processes ---- */

static const struct process_boot *own;
static struct loop *own_loop;
static struct channel own_channel;

static void
note(int type, int body)
{
	unsigned at = atomic_fetch_add(&board->count, 1);
	struct note *n = &board->notes[at % NOTES];

	n->slot = own->process == BACKGROUND ? -1
							 : (int)own->slot;
	n->body = body;
	n->process = own->process;
	n->pid = getpid();
	atomic_store(&n->type, type);
}

static void
on_own_message(struct channel *c, const struct channel_message *m)
{
	struct channel_slot slot = { 0 };

	(void)c;
	if (m == NULL)
		_exit(0);
	(void)channel_body(m, &slot, sizeof(slot));
	note(m->type, (int)slot.slot);
	if (m->type == CHANNEL_STOP || m->type == CHANNEL_DRAIN)
		_exit(0);
}

static void
on_own_signal(void *arg, int number, pid_t sender)
{
	(void)arg;
	(void)number;
	(void)sender;
	/* Leaves, but has something to finish. */
	channel_send(&own_channel, CHANNEL_LEAVING, NULL, 0, NULL, 0);
	note(-1, 0);
}

static int
live(const struct process_boot *boot)
{
	static const int numbers[] = { SIGTERM };
	static struct signals signals;
	struct error err;

	own = boot;
	own_loop = loop_new(LOOP_AUTO, &err);
	if (own_loop == NULL ||
	    signals_start(&signals, own_loop, numbers, 1, on_own_signal, NULL,
	    &err) != 0 ||
	    channel_start(&own_channel, own_loop, boot->channel_fd,
	    on_own_message, &err) != 0)
		_exit(9);
	note(0, 0);
	channel_send(&own_channel, CHANNEL_READY, NULL, 0, NULL, 0);
	loop_run(own_loop);
	_exit(0);
}

static int
worker_life(const struct process_boot *boot)
{
	switch ((enum plan)atomic_load(&board->plan[boot->slot])) {
	case PLAN_FAIL:
		channel_send_fd(boot->channel_fd, CHANNEL_FAILED, "no luck",
		    7, NULL, 0);
		_exit(1);
	case PLAN_EXIT:
		_exit(3);
	case PLAN_CRASH:
		raise(SIGKILL);
		_exit(0);
	case PLAN_DEAF:
		for (;;)
			pause();
	case PLAN_SERVE:
		break;
	}
	return live(boot);
}

/* ---- the master's part ---- */

static void
in_child(void *arg, struct process_boot *boot)
{
	(void)boot;
	(void)arg;
	children_forget(children);
	loop_free(loop);
}

static void
on_ready(void *arg)
{
	(void)arg;
	ready_count++;
}

static void
on_failed(void *arg, const char *why)
{
	(void)arg;
	failed_count++;
	snprintf(failed_why, sizeof(failed_why), "%s", why);
}

static void
on_ended(void *arg)
{
	(void)arg;
	ended_count++;
}

static void
on_child_signal(void *arg, int number, pid_t sender)
{
	int status;
	pid_t pid;

	(void)arg;
	(void)number;
	(void)sender;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		assert_true(children_on_exit(children, pid, status));
}

static void
keep_log(void *arg, enum log_level level, const char *line, size_t len)
{
	size_t at = strlen(log_text);

	(void)arg;
	(void)level;
	if (at + len < sizeof(log_text))
		memcpy(log_text + at, line, len);
}

static bool
until(bool (*is_true)(void))
{
	uint64_t start_us = now_exact_us();

	while (!is_true()) {
		if (now_exact_us() - start_us > 10000000)
			return false;
		loop_turn(loop, 20);
	}
	return true;
}

static bool
is_ready(void)
{
	return ready_count > 0;
}

/* How many notes of that type a slot's processes have made. */
static unsigned
notes_of(int slot, int type)
{
	unsigned n = 0;

	for (unsigned i = 0; i < atomic_load(&board->count); i++)
		n += board->notes[i].slot == slot &&
		    atomic_load(&board->notes[i].type) == type;
	return n;
}

static const struct note *
last_life(int slot)
{
	const struct note *last = NULL;

	for (unsigned i = 0; i < atomic_load(&board->count); i++) {
		if (board->notes[i].slot == slot &&
		    atomic_load(&board->notes[i].type) == 0)
			last = &board->notes[i];
	}
	return last;
}

static void
turns(unsigned ms)
{
	uint64_t end_us = now_exact_us() + (uint64_t)ms * 1000;

	while (now_exact_us() < end_us)
		loop_turn(loop, 5);
}

static int
setup(void **state)
{
	static const int numbers[] = { SIGCHLD };
	static const struct metric_set *const sets[] = { &children_metrics };
	const struct settings settings = { .routes_max = 1,
		.backends_max = 1, .max_draining_generations = 1,
		.log_ring_bytes = LOGRING_BYTES_MIN };
	const struct shared_config config = { .settings = &settings,
		.workers = WORKERS, .metric_sets = sets,
		.metric_set_count = 1 };
	static struct listener_set listeners;
	struct children_config c = { .workers = WORKERS,
		.listeners = &listeners, .worker_main = worker_life,
		.background_main = live, .is_serving = true, .in_child = in_child,
		.on_ready = on_ready, .on_failed = on_failed,
		.on_ended = on_ended };
	struct error err;

	(void)state;
	ready_count = failed_count = ended_count = 0;
	memset(log_text, 0, sizeof(log_text));
	log_set_sink(keep_log, NULL);
	board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (board == MAP_FAILED || pipe(lifeline) != 0)
		return -1;
	shared = shared_new(&config, &err);
	if (shared == NULL)
		return -1;
	parts.shared = shared;
	parts.rings = shared->ring_list;
	parts.ring_count = shared->process_count;
	parts.metrics = &shared->metrics;
	loop = loop_new(LOOP_AUTO, &err);
	if (loop == NULL || signals_start(&child_signals, loop, numbers, 1,
	    on_child_signal, NULL, &err) != 0)
		return -1;
	c.loop = loop;
	c.lifeline[0] = lifeline[0];
	c.lifeline[1] = lifeline[1];
	children = children_new(&c);
	return 0;
}

static bool
nobody_is_left(void)
{
	return children_count_workers(children) == 0 &&
	    !children_has_background(children);
}

static int
teardown(void **state)
{
	(void)state;
	children_kill_workers(children);
	children_kill_background(children);
	if (!until(nobody_is_left))
		return -1;
	children_free(children);
	signals_stop(&child_signals);
	loop_free(loop);
	shared_free(shared);
	munmap(board, sizeof(*board));
	close(lifeline[0]);
	close(lifeline[1]);
	return 0;
}

static void
start(void)
{
	struct error err;

	assert_int_equal(children_start(children, &err), 0);
	assert_true(until(is_ready));
}

/* ---- tests ---- */

static void
test_ready(void **state)
{
	(void)state;
	start();
	assert_int_equal(ready_count, 1);
	assert_int_equal(children_count_workers(children), WORKERS);
	assert_true(children_has_background(children));
	for (int slot = 0; slot < WORKERS; slot++)
		assert_int_equal(last_life(slot)->process,
		    FIRST_WORKER + slot);
	assert_int_equal(last_life(-1)->process, BACKGROUND);
	assert_int_equal(failed_count, 0);
}

static bool
slot_1_lives_again(void)
{
	return notes_of(1, 0) == 2 && notes_of(2, CHANNEL_RELEASE) == 1;
}

/* Replaced at once; the neighbour has its sockets until then. */
static void
test_killed_worker(void **state)
{
	uint64_t start_us;
	char text[128];
	pid_t victim;

	(void)state;
	start();
	victim = last_life(1)->pid;
	start_us = now_exact_us();
	kill(victim, SIGKILL);
	assert_true(until(slot_1_lives_again));
	/* A busy machine may be slow, but there was no pause. */
	assert_true(now_exact_us() - start_us < 2000000);
	assert_int_equal(notes_of(2, CHANNEL_ADOPT), 1);
	assert_int_equal(notes_of(0, CHANNEL_ADOPT), 0);
	assert_int_not_equal(last_life(1)->pid, victim);
	assert_int_equal(last_life(1)->process, FIRST_WORKER + 1);
	assert_int_equal(children_count_workers(children), WORKERS);
	snprintf(text, sizeof(text), "worker 1 (pid %ld) was killed by "
	    "signal 9 (SIGKILL) while serving its purpose", (long)victim);
	assert_non_null(strstr(log_text, text));
	assert_null(strstr(log_text, "the next one starts in"));
	assert_int_equal(ready_count, 1);
}

static bool
slot_2_is_adopted_by_1(void)
{
	return notes_of(1, CHANNEL_ADOPT) == 2;
}

/* The adopter dies too: the next neighbour has both. */
static void
test_adopter_dies(void **state)
{
	(void)state;
	start();
	atomic_store(&board->plan[2], PLAN_DEAF);
	kill(last_life(2)->pid, SIGKILL);
	while (notes_of(0, CHANNEL_ADOPT) == 0)
		loop_turn(loop, 20);
	atomic_store(&board->plan[0], PLAN_DEAF);
	kill(last_life(0)->pid, SIGKILL);
	assert_true(until(slot_2_is_adopted_by_1));
}

static bool
background_lives_again(void)
{
	return notes_of(-1, 0) == 2;
}

static void
test_killed_background(void **state)
{
	(void)state;
	start();
	kill(last_life(-1)->pid, SIGKILL);
	assert_true(until(background_lives_again));
	assert_non_null(strstr(log_text, "background (pid "));
}

/* Pauses that double, not a loop of forks. */
static void
test_crash_loop(void **state)
{
	uint64_t starts;

	(void)state;
	start();
	atomic_store(&board->plan[0], PLAN_CRASH);
	kill(last_life(0)->pid, SIGKILL);
	turns(700);
	starts = metrics_sum(&shared->metrics, &children_metrics, 0, 0);
	/* 4 at the start, 5 at once, then after 50, 100, 200 ms, ... */
	assert_true(starts >= 4 + 6 && starts <= 4 + 5 + 4);
	assert_non_null(strstr(log_text, "worker 0: the next one starts in "
	    "100 ms"));
	assert_true(metrics_sum(&shared->metrics, &children_metrics, 0, 1) >= 6);
	/* And it recovers. */
	atomic_store(&board->plan[0], PLAN_SERVE);
	starts = notes_of(0, 0);
	for (int i = 0; i < 100 && notes_of(0, 0) == starts; i++)
		turns(20);
	assert_int_equal(notes_of(0, 0), starts + 1);
}

static bool
has_failed(void)
{
	return failed_count > 0;
}

static void
test_failed_start(void **state)
{
	static const struct {
		enum plan plan;
		const char *why;
	} rows[] = {
		{ PLAN_FAIL, "worker 1: no luck" },
		{ PLAN_EXIT, "ended with status 3" },
	};
	struct error err;

	for (size_t i = 0; i < 2; i++) {
		if (i > 0)
			assert_int_equal(setup(state), 0);
		atomic_store(&board->plan[1], rows[i].plan);
		assert_int_equal(children_start(children, &err), 0);
		assert_true(until(has_failed));
		turns(50);
		assert_int_equal(failed_count, 1);
		assert_int_equal(ready_count, 0);
		assert_non_null(strstr(failed_why, rows[i].why));
		/* It is not tried again. */
		assert_int_equal(children_count_workers(children),
		    WORKERS - 1);
		if (i == 0)
			assert_int_equal(teardown(state), 0);
	}
}

static bool
slot_0_has_a_successor(void)
{
	return notes_of(0, 0) == 2 && notes_of(1, CHANNEL_ADOPT) == 1;
}

/* Told by a signal to go: both live, each with counters of its own. */
static void
test_leaving(void **state)
{
	pid_t first;

	(void)state;
	start();
	first = last_life(0)->pid;
	kill(first, SIGTERM);
	assert_true(until(slot_0_has_a_successor));
	assert_int_equal(children_count_workers(children), WORKERS + 1);
	assert_int_equal(last_life(0)->process, FIRST_WORKER + WORKERS);
	kill(first, SIGKILL);
	turns(100);
	assert_int_equal(children_count_workers(children), WORKERS);
	assert_int_equal(notes_of(0, 0), 2);

	/* The background process is stopped first: it is the only writer. */
	kill(last_life(-1)->pid, SIGTERM);
	assert_true(until(background_lives_again));
	assert_int_equal(notes_of(-1, CHANNEL_STOP), 1);
}

static unsigned backgrounds; /* that have lived */

static bool
background_has_ended(void)
{
	return notes_of(-1, 0) > backgrounds ||
	    strstr(log_text, "background: the next one starts in") != NULL;
}

/* It waits to be replaced when its generation is retired: nobody follows. */
static void
test_retired_background(void **state)
{
	(void)state;
	start();
	for (backgrounds = 1; strstr(log_text, "the next one starts") == NULL;
	     backgrounds++) {
		kill(last_life(-1)->pid, SIGKILL);
		assert_true(until(background_has_ended));
	}
	backgrounds = notes_of(-1, 0);
	children_retire(children, now_ms() + 1000, NULL, 0);
	turns(200);
	assert_int_equal(notes_of(-1, 0), backgrounds);
	assert_false(children_has_background(children));
}

static bool
no_worker_is_left(void)
{
	return children_count_workers(children) == 0;
}

static void
test_end(void **state)
{
	(void)state;
	start();
	children_drain(children, now_ms() + 1000);
	assert_true(until(no_worker_is_left));
	for (int slot = 0; slot < WORKERS; slot++)
		assert_int_equal(notes_of(slot, CHANNEL_DRAIN), 1);
	/* The background process is needed to the end, and replaced. */
	kill(last_life(-1)->pid, SIGKILL);
	assert_true(until(background_lives_again));
	children_end_background(children);
	assert_true(until(nobody_is_left));
	assert_int_equal(notes_of(-1, CHANNEL_STOP), 1);
	assert_int_equal(notes_of(-1, 0), 2);
}

/* Nobody writes what the rings hold: one is started for that. */
static void
test_end_without_background(void **state)
{
	(void)state;
	start();
	children_stop(children);
	kill(last_life(-1)->pid, SIGSTOP);
	assert_true(until(no_worker_is_left));
	children_kill_background(children);
	assert_true(until(nobody_is_left));
	assert_int_equal(metrics_sum(&shared->metrics, &children_metrics, 0, 2), 1);
	children_end_background(children);
	assert_true(children_has_background(children));
	assert_true(until(nobody_is_left));
	assert_int_equal(notes_of(-1, CHANNEL_STOP), 1);
}

static void
test_kill(void **state)
{
	(void)state;
	start();
	atomic_store(&board->plan[1], PLAN_DEAF);
	kill(last_life(1)->pid, SIGKILL);
	turns(100);
	children_stop(children);
	turns(200);
	assert_int_equal(children_count_workers(children), 1);
	assert_int_equal(children_kill_workers(children), 1);
	assert_true(until(no_worker_is_left));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_ready, setup, teardown),
		cmocka_unit_test_setup_teardown(test_killed_worker, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_adopter_dies, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_killed_background, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_crash_loop, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_failed_start, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_leaving, setup, teardown),
		cmocka_unit_test_setup_teardown(test_retired_background, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_end, setup, teardown),
		cmocka_unit_test_setup_teardown(test_end_without_background,
		    setup, teardown),
		cmocka_unit_test_setup_teardown(test_kill, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

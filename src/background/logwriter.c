/* SPDX-License-Identifier: BSD-2-Clause */
/* logwriter - when to write, and which line belongs to which output. */
#include "background/logwriter.h"

#include <inttypes.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "background/logoutput.h"
#include "base/heap_alloc.h"
#include "base/log.h"
#include "base/now.h"
#include "os/deadline.h"
#include "os/logring.h"
#include "os/logtarget.h"
#include "os/loop.h"

enum {
	/* How soon a busy output is tried again; longer if it stays busy. */
	BUSY_MS = 5,
	WARN_MS = 10000,
	FLUSH_PAUSE_NS = 5000000,
};

enum {
	ROW_DROPPED_RING = LOGOUTPUT_ROWS,
	ROW_BROKEN,
	ROW_COUNT
};

static const struct metric rows[ROW_COUNT] = {
	[LOGOUTPUT_LINES] = { .name = "lines_total",
		.help = "Log lines written." },
	[LOGOUTPUT_BYTES] = { .name = "bytes_total",
		.help = "Bytes of log lines written." },
	[LOGOUTPUT_WRITES] = { .name = "writes_total",
		.help = "System calls that wrote log lines." },
	[LOGOUTPUT_DROPPED_FAILED] = { .name = "dropped_total",
		.help = "Log lines dropped, by reason.",
		.label = "reason=\"write_failed\"" },
	[LOGOUTPUT_DROPPED_BUSY] = { .name = "dropped_total",
		.label = "reason=\"output_busy\"" },
	[ROW_DROPPED_RING] = { .name = "dropped_total",
		.label = "reason=\"ring_full\"" },
	[ROW_BROKEN] = { .name = "rings_broken_total",
		.help = "Log rings emptied because they made no sense." },
};

const struct metric_set logwriter_metrics =
    METRIC_SET("log", METRIC_SCOPE_PROCESS, rows);

enum state {
	STATE_ASLEEP,    /* until the first line */
	STATE_GATHERING, /* until the deadline, or a ring is half full */
};

struct logwriter {
	struct logwriter_config config;
	struct logoutput **outputs; /* by target */
	size_t output_count;
	struct loop_watch kick;
	struct deadline gathered;
	enum state state;
	uint32_t busy_ms;    /* until the next try, when an output is busy */
	uint64_t ring_lost;  /* lines that found their ring full, */
	uint64_t warn_at_ms; /* and when to speak of it again */
	_Atomic uint64_t unread[ROW_COUNT]; /* when nobody wants counters */
};

/* NULL = a target that this process does not have. */
static struct logoutput *
output_of(const struct logwriter *w, unsigned target)
{
	if (target >= w->output_count ||
	    w->config.targets->items[target].uses == 0)
		return NULL;
	return w->outputs[target];
}

static void
count_ring(struct logwriter *w, struct logring *ring)
{
	uint64_t dropped = logring_take_dropped(ring);

	counter_add(w->config.counters + ROW_DROPPED_RING, dropped);
	counter_add(w->config.counters + ROW_BROKEN,
	    logring_take_broken(ring));
	w->ring_lost += dropped;
	if (w->ring_lost == 0 || now_ms() < w->warn_at_ms)
		return;
	log_warn(NULL, "log ring is full: %" PRIu64 " lines were dropped",
	    w->ring_lost);
	w->ring_lost = 0;
	w->warn_at_ms = now_ms() + WARN_MS;
}

/* No more than what a ring holds, even if its producer goes on. */
static void
drain_ring(struct logwriter *w, struct logring *ring)
{
	struct logoutput_line l = { .ring = ring };
	uint64_t cursor = logring_start(ring);
	uint64_t end = cursor + ring->size;

	while (cursor < end && logring_next(ring, &cursor, &l.line)) {
		struct logoutput *o = output_of(w, l.line.target);

		if (o != NULL)
			logoutput_take(o, &l);
		else
			logoutput_put_off(w->config.counters, &l);
	}
	count_ring(w, ring);
}

/* One pass over all rings. */
static void
drain(struct logwriter *w)
{
	for (size_t i = 0; i < w->output_count; i++)
		logoutput_begin(w->outputs[i]);
	for (size_t i = 0; i < w->config.ring_count; i++)
		drain_ring(w, w->config.rings[i]);
	for (size_t i = 0; i < w->output_count; i++)
		logoutput_flush(w->outputs[i]);
	for (size_t i = 0; i < w->config.ring_count; i++)
		logring_release(w->config.rings[i]);
}

static bool
is_all_written(const struct logwriter *w)
{
	for (size_t i = 0; i < w->config.ring_count; i++) {
		if (!logring_is_empty(w->config.rings[i]))
			return false;
	}
	for (size_t i = 0; i < w->output_count; i++) {
		if (logoutput_has_rest(w->outputs[i]))
			return false;
	}
	return true;
}

static void
set_wake(struct logwriter *w, enum logring_wake wake)
{
	for (size_t i = 0; i < w->config.ring_count; i++)
		logring_set_wake(w->config.rings[i], wake);
}

static void
gather(struct logwriter *w, uint64_t ms)
{
	w->state = STATE_GATHERING;
	set_wake(w, LOGRING_WAKE_HALF);
	deadline_set(w->config.loop, &w->gathered, now_ms() + ms);
}

/* A pipe's reader may be fast or may hang: try soon, then less often. */
static uint64_t
pause_ms(struct logwriter *w)
{
	bool is_busy = false, has_written = false;

	for (size_t i = 0; i < w->output_count; i++) {
		if (!logoutput_is_busy(w->outputs[i]))
			continue;
		is_busy = true;
		has_written |= logoutput_has_written(w->outputs[i]);
	}
	if (is_busy && has_written)
		w->busy_ms = BUSY_MS;
	else if (is_busy && w->busy_ms < LOGWRITER_GATHER_MS / 2)
		w->busy_ms *= 2;
	else
		w->busy_ms = LOGWRITER_GATHER_MS;
	return w->busy_ms;
}

/* Write, then sleep if that was all: first say so, then look again. */
static void
work(struct logwriter *w)
{
	drain(w);
	w->state = STATE_ASLEEP;
	deadline_clear(&w->gathered);
	if (is_all_written(w)) {
		set_wake(w, LOGRING_WAKE_FIRST);
		if (is_all_written(w))
			return;
	}
	gather(w, pause_ms(w));
}

static void
on_gathered(struct deadline *d)
{
	struct logwriter *w = (struct logwriter *)(void *)((char *)d -
	    offsetof(struct logwriter, gathered));

	work(w);
}

static void
on_kick(struct loop_watch *watch, unsigned events)
{
	struct logwriter *w = (struct logwriter *)(void *)((char *)watch -
	    offsetof(struct logwriter, kick));
	uint64_t kicks;
	ssize_t ignored;

	(void)events;
	ignored = read(watch->fd, &kicks, sizeof(kicks));
	(void)ignored;
	if (w->state == STATE_ASLEEP)
		gather(w, LOGWRITER_GATHER_MS);
	else
		work(w);
}

/* Lines that an earlier writer left in the middle come before all others. */
static void
adopt_rests(struct logwriter *w)
{
	for (size_t i = 0; i < w->config.ring_count; i++) {
		struct logoutput_line l = { .ring = w->config.rings[i] };
		uint64_t cursor = logring_start(l.ring);

		while (logring_next(l.ring, &cursor, &l.line)) {
			struct logoutput *o = output_of(w, l.line.target);

			if (o != NULL)
				logoutput_adopt(o, &l);
		}
	}
}

struct logwriter *
logwriter_start(const struct logwriter_config *config)
{
	struct logwriter *w = heap_alloc_zeroed(1, sizeof(*w));

	w->config = *config;
	if (w->config.counters == NULL)
		w->config.counters = w->unread;
	w->kick.on_event = on_kick;
	w->kick.fd = -1;
	deadline_init(&w->gathered, on_gathered);
	if (loop_add_reader(config->loop, &w->kick, config->kick_fd,
	    false) != 0) {
		free(w);
		return NULL;
	}
	w->output_count = config->targets->count;
	w->outputs = heap_alloc_zeroed(w->output_count + 1,
	    sizeof(*w->outputs));
	for (unsigned i = 0; i < w->output_count; i++)
		w->outputs[i] = logoutput_new(config->targets, i,
		    w->config.counters);
	adopt_rests(w);
	w->busy_ms = LOGWRITER_GATHER_MS;
	w->state = STATE_GATHERING;
	deadline_set(config->loop, &w->gathered, now_ms());
	return w;
}

void
logwriter_replace(struct logwriter *w, unsigned target, int fd)
{
	struct logoutput *o = output_of(w, target);

	if (o != NULL)
		logoutput_replace(o, fd);
	else
		close(fd);
}

void
logwriter_flush(struct logwriter *w, unsigned wait_ms)
{
	const struct timespec pause = { .tv_nsec = FLUSH_PAUSE_NS };
	uint64_t end_us = now_exact_us() + (uint64_t)wait_ms * 1000;

	for (;;) {
		now_update();
		drain(w);
		if (is_all_written(w) || now_exact_us() >= end_us)
			return;
		nanosleep(&pause, NULL);
	}
}

void
logwriter_stop(struct logwriter *w)
{
	if (w == NULL)
		return;
	deadline_stop(w->config.loop, &w->gathered);
	loop_remove(w->config.loop, &w->kick);
	for (size_t i = 0; i < w->output_count; i++)
		logoutput_free(w->outputs[i]);
	free(w->outputs);
	free(w);
}

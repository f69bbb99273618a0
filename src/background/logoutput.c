/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * logoutput - whole lines to one target, whatever its writes do.
 *
 * A line that was written in part is copied here, and its rest comes before
 * all others: so its place in the ring can be given up while a disk stays full.
 * Where the output is a file that can be read, its end tells how far a killed
 * predecessor came; elsewhere a kill between a write and the note of it makes a
 * line appear twice.  None is lost.
 */
#include "background/logoutput.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/heap_alloc.h"
#include "base/log.h"
#include "os/logtarget.h"

enum { BATCH_LINES = 256, BATCH_BYTES = 131072 };

struct logoutput {
	struct logtargets *targets;
	unsigned target;
	_Atomic uint64_t *counters;

	struct logoutput_line lines[BATCH_LINES];
	struct iovec iov[BATCH_LINES * 2]; /* prefix and line */
	unsigned count;
	size_t bytes;

	/* A line that was written in part; NULL = there is none. */
	char *rest;
	size_t rest_len;
	size_t rest_at;      /* bytes of it that are written */
	uint32_t rest_place; /* in a file, where it begins */
	struct logoutput_line rest_line; /* ring NULL = has no place there */

	bool is_busy;
	bool has_written;
	bool is_failing; /* the last write failed */
	uint64_t lost;   /* lines, since it began to fail */
};

struct logoutput *
logoutput_new(struct logtargets *targets, unsigned target,
    _Atomic uint64_t *counters)
{
	struct logoutput *o = heap_alloc_zeroed(1, sizeof(*o));

	o->targets = targets;
	o->target = target;
	o->counters = counters;
	return o;
}

void
logoutput_free(struct logoutput *o)
{
	if (o == NULL)
		return;
	free(o->rest);
	free(o);
}

static struct logtarget *
target_of(const struct logoutput *o)
{
	return &o->targets->items[o->target];
}

static void
note_failure(struct logoutput *o, int errno_value, uint64_t lines)
{
	bool is_news = !o->is_failing;

	o->is_failing = true;
	o->lost += lines;
	counter_add(o->counters + LOGOUTPUT_DROPPED_FAILED, lines);
	/* Once only: the message may be for this very output. */
	if (is_news)
		log_warn(NULL, "writing log %s: %s", target_of(o)->path,
		    strerror(errno_value));
}

static void
note_success(struct logoutput *o, uint64_t bytes)
{
	uint64_t lost = o->lost;

	o->has_written = true;
	counter_add(o->counters + LOGOUTPUT_WRITES, 1);
	counter_add(o->counters + LOGOUTPUT_BYTES, bytes);
	if (!o->is_failing)
		return;
	o->is_failing = false;
	o->lost = 0;
	log_notice(NULL, "writing log %s works again: %" PRIu64
	    " lines were dropped", target_of(o)->path, lost);
}

static void
drop_rest(struct logoutput *o)
{
	free(o->rest);
	o->rest = NULL;
	o->rest_line.ring = NULL;
}

/* Hold a line (with its prefix) of which a part is written. */
static void
hold_rest(struct logoutput *o, const struct logoutput_line *l,
    uint32_t written, uint32_t place)
{
	struct span prefix = logtarget_prefix(target_of(o), l->line.level);

	logring_note_written(l->ring, l->line.at, written);
	o->rest_line = *l;
	o->rest_at = written;
	o->rest_place = place;
	o->rest_len = prefix.len + l->line.bytes.len;
	o->rest = heap_alloc(o->rest_len);
	memcpy(o->rest, prefix.p, prefix.len);
	memcpy(o->rest + prefix.len, l->line.bytes.p, l->line.bytes.len);
}

/* Say in the rings where the lines from `from` on will be, if one can. */
static void
note_places(struct logoutput *o, unsigned from)
{
	uint32_t place;

	if (logtarget_place(target_of(o), &place) != 0)
		return;
	for (unsigned i = from; i < o->count; i++) {
		struct logoutput_line *l = &o->lines[i];

		l->line.place = place;
		logring_note_flight(l->ring, l->line.at, place);
		place += (uint32_t)l->line.bytes.len;
	}
}

/*
 * The written part must still be the file's end: who truncated the file, or
 * wrote to it too, made it useless, and the line is written whole.
 */
static void
check_rest(struct logoutput *o)
{
	const struct logoutput_line *l = &o->rest_line;
	uint32_t place;

	if (logtarget_place(target_of(o), &place) != 0 ||
	    place == o->rest_place + (uint32_t)o->rest_at)
		return;
	o->rest_at = 0;
	o->rest_place = place;
	if (l->ring != NULL)
		logring_note_flight(l->ring, l->line.at, place);
}

/* 0 = there is no rest any more; -1 with errno, EAGAIN = not now. */
static int
write_rest(struct logoutput *o)
{
	const struct logoutput_line *l = &o->rest_line;

	while (o->rest != NULL) {
		struct iovec iov;
		ssize_t n;

		check_rest(o);
		iov = (struct iovec){ o->rest + o->rest_at,
			o->rest_len - o->rest_at };
		n = logtarget_writev(target_of(o), &iov, 1);
		if (n < 0)
			return -1;
		note_success(o, (uint64_t)n);
		o->rest_at += (size_t)n;
		if (o->rest_at < o->rest_len) {
			if (l->ring != NULL)
				logring_note_written(l->ring, l->line.at,
				    (uint32_t)o->rest_at);
			continue;
		}
		counter_add(o->counters + LOGOUTPUT_LINES, 1);
		if (l->ring != NULL)
			logring_done(l->ring, l->line.at);
		drop_rest(o);
	}
	return 0;
}

/* n bytes were written from line `from` on: which line is the next? */
static unsigned
take_written(struct logoutput *o, unsigned from, size_t n)
{
	unsigned i = from;

	for (; i < o->count && n > 0; i++) {
		const struct logoutput_line *l = &o->lines[i];
		size_t len = o->iov[2 * i].iov_len + o->iov[2 * i + 1].iov_len;

		if (n < len) {
			hold_rest(o, l, (uint32_t)n, l->line.place);
			return i + 1;
		}
		logring_done(l->ring, l->line.at);
		counter_add(o->counters + LOGOUTPUT_LINES, 1);
		n -= len;
	}
	return i;
}

/* Write until all is taken (0) or a write fails (errno); *at: the next line. */
static int
write_batch(struct logoutput *o, unsigned *at)
{
	for (;;) {
		ssize_t n;

		if (write_rest(o) != 0)
			return errno;
		if (*at == o->count)
			return 0;
		note_places(o, *at);
		n = logtarget_writev(target_of(o), o->iov + 2 * *at,
		    (int)(2 * (o->count - *at)));
		if (n < 0)
			return errno;
		note_success(o, (uint64_t)n);
		*at = take_written(o, *at, (size_t)n);
	}
}

void
logoutput_flush(struct logoutput *o)
{
	unsigned at = 0, left;
	int why = write_batch(o, &at);

	left = o->count - at;
	if (why == EAGAIN) {
		o->is_busy = true;
		for (; at < o->count; at++)
			logoutput_put_off(o->counters, &o->lines[at]);
	} else if (why != 0) {
		for (; at < o->count; at++)
			logring_done(o->lines[at].ring, o->lines[at].line.at);
	}
	o->count = 0;
	o->bytes = 0;
	if (why != 0 && why != EAGAIN)
		note_failure(o, why, left);
}

void
logoutput_put_off(_Atomic uint64_t *counters, const struct logoutput_line *l)
{
	if (!logring_is_half_full(l->ring))
		return;
	logring_done(l->ring, l->line.at);
	logring_release(l->ring);
	counter_add(counters + LOGOUTPUT_DROPPED_BUSY, 1);
}

static void
send_syslog(struct logoutput *o, const struct logoutput_line *l)
{
	int why = 0;

	if (logtarget_syslog(o->targets, o->target, l->line.level,
	    l->line.bytes) != 0)
		why = errno;
	if (why == EAGAIN) {
		o->is_busy = true;
		logoutput_put_off(o->counters, l);
		return;
	}
	logring_done(l->ring, l->line.at);
	if (why != 0) {
		note_failure(o, why, 1);
		return;
	}
	note_success(o, l->line.bytes.len);
	counter_add(o->counters + LOGOUTPUT_LINES, 1);
}

static void
add_to_batch(struct logoutput *o, const struct logoutput_line *l)
{
	const struct logtarget *t = target_of(o);
	struct span prefix = logtarget_prefix(t, l->line.level);
	size_t len = prefix.len + l->line.bytes.len;
	size_t max = t->medium == LOGTARGET_REGULAR ? BATCH_BYTES
						    : LOGTARGET_PIECE_MAX;

	if (o->count == BATCH_LINES || (o->count > 0 && o->bytes + len > max))
		logoutput_flush(o);
	if (o->is_busy) {
		logoutput_put_off(o->counters, l);
		return;
	}
	/* writev() only reads. */
	o->iov[2 * o->count] = (struct iovec){
		(void *)(uintptr_t)prefix.p, prefix.len };
	o->iov[2 * o->count + 1] = (struct iovec){
		(void *)(uintptr_t)l->line.bytes.p, l->line.bytes.len };
	o->lines[o->count++] = *l;
	o->bytes += len;
}

/* The line of which the rest is held: its place goes when others need it. */
static void
pass_rest(struct logoutput *o)
{
	struct logoutput_line *l = &o->rest_line;

	if (!logring_is_half_full(l->ring))
		return;
	logring_done(l->ring, l->line.at);
	logring_release(l->ring);
	l->ring = NULL;
}

void
logoutput_take(struct logoutput *o, const struct logoutput_line *l)
{
	const struct logtarget *t = target_of(o);

	if (o->rest != NULL && o->rest_line.ring == l->ring &&
	    o->rest_line.line.at == l->line.at)
		pass_rest(o);
	else if (o->is_busy || (t->fd < 0 && t->kind != LOGTARGET_SYSLOG))
		logoutput_put_off(o->counters, l);
	else if (t->kind == LOGTARGET_SYSLOG)
		send_syslog(o, l);
	else
		add_to_batch(o, l);
}

void
logoutput_begin(struct logoutput *o)
{
	o->is_busy = false;
	o->has_written = false;
}

void
logoutput_adopt(struct logoutput *o, const struct logoutput_line *l)
{
	struct span prefix = logtarget_prefix(target_of(o), l->line.level);
	ssize_t written = -1;

	if (l->line.in_flight)
		written = logtarget_find(target_of(o), l->line.place,
		    l->line.bytes);
	if (written < 0)
		written = (ssize_t)l->line.written;
	if ((size_t)written >= prefix.len + l->line.bytes.len)
		logring_done(l->ring, l->line.at);
	else if (written > 0 && o->rest == NULL)
		hold_rest(o, l, (uint32_t)written, l->line.place);
}

void
logoutput_replace(struct logoutput *o, int fd)
{
	const struct logoutput_line *l = &o->rest_line;

	if (o->rest != NULL && write_rest(o) != 0) {
		/* The old file keeps a part; the new one gets all. */
		if (l->ring != NULL)
			logring_note_unwritten(l->ring, l->line.at);
		else
			counter_add(o->counters + LOGOUTPUT_DROPPED_FAILED, 1);
		drop_rest(o);
	}
	logtarget_replace(o->targets, o->target, fd);
}

bool
logoutput_is_busy(const struct logoutput *o)
{
	return o->is_busy;
}

bool
logoutput_has_written(const struct logoutput *o)
{
	return o->has_written;
}

bool
logoutput_has_rest(const struct logoutput *o)
{
	return o->rest != NULL;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * logring - records in a circle of bytes between a head and a tail.
 *
 * Positions count bytes for ever; masked, they are places in the ring.  A
 * record is a multiple of 16 bytes and never wraps: what is left at the end
 * becomes a record to be skipped.  The producer alone writes head, the consumer
 * alone tail and the state of published records.
 *
 * Sleeping without losing a wake-up: the consumer sets `wake` and then looks
 * at head; the producer sets head and then looks at `wake`.  Both use
 * sequentially consistent operations, so one of them sees the other.
 */
#include "os/logring.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/error.h"

#define ZONE_NAME "log"

enum { LAYOUT_VERSION = 2, UNIT = 16 };

/* In the zone; producer, consumer and `wake` have a cache line each. */
struct logring_zone {
	_Alignas(64) _Atomic uint64_t head;
	_Atomic uint64_t dropped;
	_Alignas(64) _Atomic uint64_t tail;
	uint64_t dropped_taken; /* the consumer's own, like the next two */
	uint64_t broken;
	uint64_t broken_taken;
	_Alignas(64) _Atomic uint32_t wake; /* enum logring_wake */
};

enum record_state { RECORD_PENDING, RECORD_FLIGHT, RECORD_DONE, RECORD_SKIP };

/* In the ring, in front of the line; skipped ones have a length only. */
struct record {
	uint32_t length; /* of the line, without padding */
	uint16_t target;
	uint8_t level;
	uint8_t state;
	uint32_t written;
	uint32_t place; /* of RECORD_FLIGHT */
};

_Static_assert(sizeof(struct record) == UNIT, "records are aligned to it");

int
logring_kick_open(struct error *err)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	if (fd < 0)
		return error_set_errno(err, errno, "creating an eventfd");
	return fd;
}

static uint64_t
ring_size(uint64_t bytes)
{
	uint64_t size = LOGRING_BYTES_MIN;

	while (size < bytes && size < (uint64_t)1 << 40)
		size *= 2;
	return size;
}

static size_t
zone_bytes(size_t count, uint64_t bytes)
{
	return count * (sizeof(struct logring_zone) +
	    (size_t)ring_size(bytes));
}

static void
place(const struct shmem *zone, struct logring *rings, size_t count,
    uint64_t bytes, int kick_fd)
{
	char *at = zone->data;

	for (size_t i = 0; i < count; i++) {
		rings[i] = (struct logring){
			.kick_fd = kick_fd,
			.size = ring_size(bytes),
			.head = (void *)at,
			.bytes = at + sizeof(struct logring_zone),
		};
		at += sizeof(struct logring_zone) + rings[i].size;
	}
}

int
logring_open_all(struct shmem *zone, struct logring *rings, size_t count,
    uint64_t bytes, int kick_fd, struct error *err)
{
	if (shmem_create(zone, ZONE_NAME, LAYOUT_VERSION,
	    zone_bytes(count, bytes), err) != 0)
		return -1;
	place(zone, rings, count, bytes, kick_fd);
	return 0;
}

int
logring_adopt_all(struct shmem *zone, int fd, struct logring *rings,
    size_t count, uint64_t bytes, int kick_fd, struct error *err)
{
	if (shmem_adopt(zone, fd, ZONE_NAME, LAYOUT_VERSION,
	    zone_bytes(count, bytes), err) != 0)
		return -1;
	place(zone, rings, count, bytes, kick_fd);
	return 0;
}

static struct record *
record_at(const struct logring *r, uint64_t at)
{
	at &= (r->size - 1) & ~(uint64_t)(UNIT - 1);
	return (void *)(r->bytes + at);
}

/* Of a record with so long a line. */
static uint64_t
record_bytes(uint64_t length)
{
	return (sizeof(struct record) + length + UNIT - 1) / UNIT * UNIT;
}

/* True if need bytes are free behind head. */
static bool
has_room(struct logring *r, uint64_t head, uint64_t need)
{
	if (head - r->tail_seen <= r->size - need)
		return true;
	r->tail_seen = atomic_load_explicit(&r->head->tail,
	    memory_order_acquire);
	return head - r->tail_seen <= r->size - need;
}

static void
kick(const struct logring *r)
{
	static const uint64_t one = 1;
	ssize_t ignored;

	if (r->kick_fd < 0)
		return;
	ignored = write(r->kick_fd, &one, sizeof(one));
	(void)ignored;
}

static void
wake_consumer(struct logring *r, uint64_t head)
{
	uint32_t wake = atomic_load(&r->head->wake);

	if (wake == LOGRING_WAKE_NEVER)
		return;
	if (wake == LOGRING_WAKE_HALF) {
		if (has_room(r, head, r->size / 2))
			return;
	}
	if (atomic_exchange(&r->head->wake, LOGRING_WAKE_NEVER) !=
	    LOGRING_WAKE_NEVER)
		kick(r);
}

bool
logring_push(struct logring *r, unsigned target, enum log_level level,
    struct span line)
{
	uint64_t head = atomic_load_explicit(&r->head->head,
	    memory_order_relaxed) & ~(uint64_t)(UNIT - 1);
	uint64_t need = record_bytes(line.len);
	uint64_t to_end = r->size - (head & (r->size - 1));
	uint64_t skip = to_end < need ? to_end : 0;
	struct record *record;

	assert(line.len > 0 && line.len <= LOGRING_LINE_MAX);
	assert(line.p[line.len - 1] == '\n');
	if (!has_room(r, head, skip + need)) {
		atomic_store_explicit(&r->head->dropped,
		    atomic_load_explicit(&r->head->dropped,
		    memory_order_relaxed) + 1, memory_order_relaxed);
		return false;
	}
	if (skip > 0) {
		*record_at(r, head) = (struct record){
			.length = (uint32_t)(skip - sizeof(*record)),
			.state = RECORD_SKIP,
		};
		head += skip;
	}
	record = record_at(r, head);
	*record = (struct record){
		.length = (uint32_t)line.len,
		.target = (uint16_t)target,
		.level = (uint8_t)level,
		.state = RECORD_PENDING,
	};
	memcpy(record + 1, line.p, line.len);
	head += need;
	atomic_store(&r->head->head, head);
	wake_consumer(r, head);
	return true;
}

void
logring_sink(void *arg, enum log_level level, const char *line, size_t len)
{
	const struct logring_output *output = arg;

	/* What is dropped was counted; nothing else can be done here. */
	(void)logring_push(output->ring, output->target, level,
	    span_of(line, len));
}

/* Whoever could write to the ring broke it: go on behind what is there. */
static void
start_over(struct logring *r, uint64_t head)
{
	atomic_store_explicit(&r->head->tail, head, memory_order_release);
	r->head->broken++;
}

/* Copies the record at `at` out of the ring; false if it makes no sense. */
static bool
read_record(const struct logring *r, uint64_t at, uint64_t head,
    struct record *record)
{
	uint64_t place = at & (r->size - 1);
	uint64_t bytes;

	*record = *record_at(r, at);
	bytes = record_bytes(record->length);
	if (bytes > head - at || bytes > r->size - place)
		return false;
	if (record->state == RECORD_SKIP)
		return true;
	return record->state <= RECORD_DONE && record->length > 0 &&
	    record->length <= LOGRING_LINE_MAX &&
	    record->level <= LOG_LEVEL_DEBUG &&
	    r->bytes[place + sizeof(*record) + record->length - 1] == '\n';
}

uint64_t
logring_start(const struct logring *r)
{
	return atomic_load_explicit(&r->head->tail, memory_order_relaxed);
}

bool
logring_next(struct logring *r, uint64_t *cursor, struct logring_line *line)
{
	uint64_t head = atomic_load(&r->head->head);
	uint64_t tail = logring_start(r);
	struct record record;
	uint64_t at;

	/* A record to be skipped may have been released already. */
	if ((int64_t)(*cursor - tail) < 0)
		*cursor = tail;
	if (head - tail > r->size || *cursor - tail > head - tail ||
	    ((head | tail | *cursor) & (UNIT - 1)) != 0) {
		start_over(r, head);
		*cursor = head;
		return false;
	}
	do {
		at = *cursor;
		if (at == head)
			return false;
		if (!read_record(r, at, head, &record)) {
			start_over(r, head);
			*cursor = head;
			return false;
		}
		*cursor = at + record_bytes(record.length);
	} while (record.state == RECORD_DONE || record.state == RECORD_SKIP);
	*line = (struct logring_line){
		.at = at,
		.written = record.written,
		.place = record.place,
		.in_flight = record.state == RECORD_FLIGHT,
		.target = record.target,
		.level = (enum log_level)record.level,
		.bytes = span_of((const char *)(record_at(r, at) + 1),
		    record.length),
	};
	return true;
}

void
logring_note_written(struct logring *r, uint64_t at, uint32_t written)
{
	record_at(r, at)->written = written;
}

void
logring_note_flight(struct logring *r, uint64_t at, uint32_t place)
{
	record_at(r, at)->place = place;
	record_at(r, at)->state = RECORD_FLIGHT;
}

void
logring_note_unwritten(struct logring *r, uint64_t at)
{
	record_at(r, at)->written = 0;
	record_at(r, at)->state = RECORD_PENDING;
}

void
logring_done(struct logring *r, uint64_t at)
{
	record_at(r, at)->state = RECORD_DONE;
}

void
logring_release(struct logring *r)
{
	uint64_t head = atomic_load_explicit(&r->head->head,
	    memory_order_acquire);
	uint64_t tail = logring_start(r);
	struct record record;

	if (head - tail > r->size)
		return; /* logring_next() will see to it */
	while (tail != head && read_record(r, tail, head, &record) &&
	    record.state >= RECORD_DONE)
		tail += record_bytes(record.length);
	atomic_store_explicit(&r->head->tail, tail, memory_order_release);
}

void
logring_set_wake(struct logring *r, enum logring_wake wake)
{
	atomic_store(&r->head->wake, wake);
}

static uint64_t
used(const struct logring *r)
{
	return atomic_load(&r->head->head) - logring_start(r);
}

bool
logring_is_empty(const struct logring *r)
{
	return used(r) == 0;
}

bool
logring_is_half_full(const struct logring *r)
{
	return used(r) > r->size / 2;
}

uint64_t
logring_take_dropped(struct logring *r)
{
	uint64_t dropped = atomic_load_explicit(&r->head->dropped,
	    memory_order_relaxed);
	uint64_t more = dropped - r->head->dropped_taken;

	r->head->dropped_taken = dropped;
	return more;
}

uint64_t
logring_take_broken(struct logring *r)
{
	uint64_t more = r->head->broken - r->head->broken_taken;

	r->head->broken_taken = r->head->broken;
	return more;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lane - parking connections in socketpairs.
 *
 * `parked` of a slot is raised before a descriptor is sent and lowered after
 * one was received: a process that dies between leaves it too high, never too
 * low, so that 0 means that the lane is empty.
 */
#include "upstream/lane.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "base/heap_alloc.h"
#include "base/log.h"
#include "os/fdpass.h"
#include "os/sock.h"
#include "upstream/backend.h"
#include "upstream/backend_zone.h"

enum {
	MESSAGE_LAYOUT = 2,
	/* Room for about 500 connections, as far as the kernel allows. */
	SEND_BUFFER_BYTES = 1 << 20,
	TAKE_MAX = 16,  /* bad ones that one lane_take() passes */
	REAP_MAX = 256, /* messages of a lane that one lane_reap() closes */
};

/* What is sent; the layout goes over in an upgrade. */
struct message {
	uint32_t layout;
	uint32_t slot;
	uint32_t version; /* of the slot */
	uint32_t terms;   /* of the backend */
	struct lane_meta meta;
};

struct lane {
	int in;
	int out;
};

struct lane_set {
	size_t count;
	struct lane *lanes;
};

/* A quarter of the descriptors that this process may have is for lanes. */
static size_t
clamp(size_t slots)
{
	struct rlimit limit;
	size_t max;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 ||
	    limit.rlim_cur == RLIM_INFINITY)
		return slots;
	max = (size_t)limit.rlim_cur / 4 / 2;
	if (slots <= max)
		return slots;
	log_warn(NULL, "sharing idle connections between workers: only the "
	    "first %zu of %zu backends: the limit of %llu descriptors allows "
	    "no more (see ulimit -n, or lower backends_max)", max, slots,
	    (unsigned long long)limit.rlim_cur);
	return max;
}

static int
open_lane(struct lane *lane)
{
	int bytes = SEND_BUFFER_BYTES;
	int fds[2];

	if (fdpass_pair(fds) != 0)
		return -1;
	/* Where less is allowed, fewer connections fit. */
	(void)setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &bytes,
	    sizeof(bytes));
	lane->in = fds[0];
	lane->out = fds[1];
	return 0;
}

struct lane_set *
lane_set_new(size_t slots, struct error *err)
{
	struct lane_set *set = heap_alloc_zeroed(1, sizeof(*set));
	size_t count = clamp(slots);

	set->lanes = heap_alloc_zeroed(count + 1, sizeof(*set->lanes));
	for (; set->count < count; set->count++) {
		if (open_lane(&set->lanes[set->count]) != 0) {
			error_set_errno(err, errno, "making lane %zu of %zu "
			    "for idle connections", set->count + 1, count);
			lane_set_free(set);
			return NULL;
		}
	}
	return set;
}

static bool
is_lane(int fd)
{
	int type = 0;
	socklen_t len = sizeof(type);

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 &&
	    type == SOCK_SEQPACKET;
}

struct lane_set *
lane_set_adopt(int *fds, size_t fd_count, struct error *err)
{
	struct lane_set *set;

	for (size_t i = 0; i < fd_count; i++) {
		if (!is_lane(fds[i])) {
			error_set(err, "what was handed over as lane %zu is "
			    "none", i / 2);
			return NULL;
		}
	}
	set = heap_alloc_zeroed(1, sizeof(*set));
	set->count = fd_count / 2;
	set->lanes = heap_alloc_zeroed(set->count + 1, sizeof(*set->lanes));
	for (size_t i = 0; i < set->count; i++) {
		set->lanes[i] = (struct lane){ fds[2 * i], fds[2 * i + 1] };
		fds[2 * i] = fds[2 * i + 1] = -1;
	}
	return set;
}

void
lane_set_descriptors(const struct lane_set *set, int *fds)
{
	for (size_t i = 0; i < set->count; i++) {
		fds[2 * i] = set->lanes[i].in;
		fds[2 * i + 1] = set->lanes[i].out;
	}
}

void
lane_set_free(struct lane_set *set)
{
	if (set == NULL)
		return;
	for (size_t i = 0; i < set->count; i++) {
		close(set->lanes[i].in);
		close(set->lanes[i].out);
	}
	free(set->lanes);
	free(set);
}

size_t
lane_set_count(const struct lane_set *set)
{
	return set->count;
}

enum lane_result
lane_send(const struct lane_set *set, const struct backend *b, int fd,
    const struct lane_meta *meta, struct lane_counts *counts)
{
	struct message message;
	int why;

	if (set == NULL || b->slot >= set->count || b->shared == NULL)
		return LANE_FAILED;
	memset(&message, 0, sizeof(message));
	message.layout = MESSAGE_LAYOUT;
	message.slot = b->slot;
	message.version = b->slot_version;
	message.terms = b->terms;
	message.meta = *meta;
	atomic_fetch_add(&b->shared->parked, 1);
	if (fdpass_send(set->lanes[b->slot].in, &message, sizeof(message),
	    &fd, 1) == 0) {
		close(fd);
		counts->parked++;
		return LANE_PARKED;
	}
	why = errno;
	atomic_fetch_sub(&b->shared->parked, 1);
	if (why == EAGAIN) {
		counts->refused_full++;
		return LANE_FULL;
	}
	if (why == ETOOMANYREFS) {
		counts->refused_refs++;
		return LANE_NO_REFS;
	}
	return LANE_FAILED;
}

enum received { RECEIVED, RECEIVED_NOTHING, RECEIVED_RUBBISH };

/* The next of the lane, whatever it is. */
static enum received
receive(const struct lane *lane, struct backend_slot *slot,
    struct message *message, int *fd)
{
	size_t fd_count = 1;
	ssize_t n = fdpass_receive(lane->out, message, sizeof(*message), fd,
	    &fd_count);

	if (n < 0 && errno != EMFILE && errno != EMSGSIZE)
		return RECEIVED_NOTHING;
	/* Also of what could not be received: it is gone. */
	atomic_fetch_sub(&slot->parked, 1);
	if (n == (ssize_t)sizeof(*message) && fd_count == 1 &&
	    message->layout == MESSAGE_LAYOUT)
		return RECEIVED;
	if (n >= 0 && fd_count == 1)
		close(*fd);
	return RECEIVED_RUBBISH;
}

enum state { GOOD, STALE, EXPIRED, DEAD };

/* Whose connections a slot takes now. */
struct tenant {
	uint32_t slot;
	uint32_t version;
	uint32_t tenancy;
};

static enum state
judge(const struct message *message, const struct tenant *t, uint64_t now_ms)
{
	if (message->slot != t->slot || message->version != t->version ||
	    message->meta.tenancy != t->tenancy)
		return STALE;
	return message->meta.expires_ms <= now_ms ? EXPIRED : GOOD;
}

static void
count(struct lane_counts *counts, enum state state)
{
	switch (state) {
	case GOOD:
		counts->taken++;
		break;
	case STALE:
		counts->stale++;
		break;
	case EXPIRED:
		counts->expired++;
		break;
	case DEAD:
		counts->dead++;
		break;
	}
}

int
lane_take(const struct lane_set *set, const struct backend *b,
    uint64_t now_ms, struct lane_meta *meta, struct lane_counts *counts)
{
	struct tenant t = { b->slot, b->slot_version, backend_tenancy(b) };

	if (set == NULL || b->shared == NULL || b->slot >= set->count)
		return -1;
	for (int i = 0; i < TAKE_MAX; i++) {
		struct message message;
		enum state state;
		int fd;

		if (atomic_load_explicit(&b->shared->parked,
		    memory_order_relaxed) == 0)
			return -1;
		switch (receive(&set->lanes[b->slot], b->shared, &message,
		    &fd)) {
		case RECEIVED_NOTHING:
			return -1;
		case RECEIVED_RUBBISH:
			count(counts, DEAD);
			continue;
		case RECEIVED:
			break;
		}
		state = judge(&message, &t, now_ms);
		if (state == GOOD && message.terms != b->terms)
			state = STALE; /* of another generation */
		if (state == GOOD && !sock_is_quiet(fd))
			state = DEAD;
		count(counts, state);
		if (state == GOOD) {
			*meta = message.meta;
			return fd;
		}
		close(fd);
	}
	return -1;
}

/*
 * Another process may have taken the message that was looked at: then what
 * came is in time and goes back to the end.
 */
static bool
close_next(const struct lane *lane, struct backend_slot *slot,
    const struct tenant *t, uint64_t now_ms, struct lane_counts *counts)
{
	struct message message;
	enum state state;
	int fd;

	switch (receive(lane, slot, &message, &fd)) {
	case RECEIVED_NOTHING:
		return false;
	case RECEIVED_RUBBISH:
		count(counts, DEAD);
		return true;
	case RECEIVED:
		break;
	}
	state = judge(&message, t, now_ms);
	if (state == GOOD) {
		atomic_fetch_add(&slot->parked, 1);
		if (fdpass_send(lane->in, &message, sizeof(message), &fd,
		    1) != 0)
			atomic_fetch_sub(&slot->parked, 1);
	} else {
		count(counts, state);
	}
	close(fd);
	return state != GOOD;
}

static size_t
reap(const struct lane *lane, struct backend_slot *slot, uint32_t index,
    uint64_t now_ms, struct lane_counts *counts)
{
	struct tenant t = { index, atomic_load(&slot->version),
		atomic_load(&slot->tenancy) };
	size_t closed = 0;

	while (closed < REAP_MAX && atomic_load(&slot->parked) > 0) {
		struct message message;
		ssize_t n = recv(lane->out, &message, sizeof(message),
		    MSG_PEEK | MSG_DONTWAIT);

		if (n < 0 || (n == (ssize_t)sizeof(message) &&
		    judge(&message, &t, now_ms) == GOOD))
			break;
		if (!close_next(lane, slot, &t, now_ms, counts))
			break;
		closed++;
	}
	return closed;
}

size_t
lane_reap(const struct lane_set *set, struct backend_zone *zone,
    uint64_t now_ms, struct lane_counts *counts)
{
	size_t closed = 0;

	assert(backend_zone_slots(zone) >= set->count);
	for (size_t i = 0; i < set->count; i++)
		closed += reap(&set->lanes[i], backend_zone_slot(zone, i),
		    (uint32_t)i, now_ms, counts);
	return closed;
}

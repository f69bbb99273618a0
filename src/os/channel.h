/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * channel - commands between the master and one process that it forked, over
 * a SOCK_SEQPACKET pair, with descriptors.
 *
 * A message has a type and a body.  Bodies grow at their end only: a receiver
 * reads the part that it knows, and passes over types that it does not.  The
 * end of a channel is how each side learns that the other one has died.
 */
#ifndef OS_CHANNEL_H
#define OS_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "os/loop.h"

struct error;

enum {
	CHANNEL_BODY_MAX = 4096,
	CHANNEL_FDS_MAX = 16,
};

enum channel_type {
	/* From the master. */
	CHANNEL_DRAIN = 1, /* struct channel_drain */
	CHANNEL_STOP,      /* end now */
	CHANNEL_ADOPT,     /* struct channel_slot: serve its sockets too */
	CHANNEL_RELEASE,   /* struct channel_slot: no longer */
	CHANNEL_LOGS,      /* uint32_t targets[]: a new descriptor for each */
	CHANNEL_LEAVE,     /* soon it drains: health says so already */
	CHANNEL_SERVE,     /* struct channel_serve: it is its turn now */
	CHANNEL_CONTROL,   /* text: a command; its connection comes along */
	CHANNEL_LOG_LEVEL, /* uint32_t: enum log_level */
	CHANNEL_FILE,      /* struct channel_file, and a sealed memfd */
	CHANNEL_KEYS,      /* to the signer: the vault has changed */
	/* To the master. */
	CHANNEL_READY = 64, /* serving */
	CHANNEL_FAILED,     /* text: why it cannot serve; it ends */
	CHANNEL_LEAVING,    /* a signal told it to go: wants a successor */
	CHANNEL_FILE_ANSWER, /* struct channel_answer, perhaps a memfd */
	CHANNEL_FILE_FED,   /* struct channel_file, and a sealed memfd */
};

struct channel_drain {
	uint64_t deadline_ms; /* monotonic: cut then what is left */
	uint32_t is_stop;     /* sockets go too: nobody comes after */
	uint32_t gone_count;
	/*
	 * Unless it is a stop: a bit for each listener, in its order, which is
	 * to be emptied as in a stop; the others are a successor's.
	 */
	uint8_t gone[];
};

enum {
	CHANNEL_GONE_MAX = (CHANNEL_BODY_MAX - 16) * 8, /* listeners */
};

struct channel_serve {
	uint32_t surplus_stays; /* what no slot serves is not closed */
};

/* See conf/files.h; behind the files come the pairs of listeners. */
struct channel_file {
	uint32_t number, version;
	uint32_t is_check; /* is it good?  To the background process alone */
};

enum channel_verdict {
	CHANNEL_NO,    /* behind the answer, as text: why not */
	CHANNEL_YES,
	CHANNEL_AGAIN, /* it could not be looked at: no descriptor */
};

struct channel_answer {
	uint32_t number, version;
	uint32_t is_check;
	uint32_t verdict; /* enum channel_verdict */
};

struct channel_slot {
	uint32_t slot;
};

struct channel_message {
	uint16_t type;
	struct span body; /* valid during the callback */
	/* The receiver sets to -1 what it takes; the rest is closed. */
	int *fds;
	size_t fd_count;
	bool is_cut; /* there were some, but this process can have no more */
};

struct channel;

/* m NULL: the other end has gone; called once, the channel is stopped then. */
typedef void channel_fn(struct channel *c, const struct channel_message *m);

struct channel {
	struct loop_watch watch;
	struct loop *loop;
	channel_fn *on_message;
};

/* Takes fd, also on failure. */
int channel_start(struct channel *c, struct loop *loop, int fd,
    channel_fn *on_message, struct error *err)
    __attribute__((warn_unused_result));
/* Closes; harmless on one that is stopped. */
void channel_stop(struct channel *c);
/*
 * Queue a message; the descriptors stay the caller's.  Never blocks.  -1 with
 * errno: EAGAIN (the other side does not read), EPIPE (it has gone).
 */
int channel_send(const struct channel *c, enum channel_type type,
    const void *body, size_t len, const int *fds, size_t fd_count);
/* The same before there is a loop. */
int channel_send_fd(int fd, enum channel_type type, const void *body,
    size_t len, const int *fds, size_t fd_count);
/* The first len bytes of the body; false if it is shorter. */
bool channel_body(const struct channel_message *m, void *body, size_t len);

#endif

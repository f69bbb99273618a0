/* SPDX-License-Identifier: BSD-2-Clause */
/* channel - framing of commands over a SEQPACKET socket. */
#include "os/channel.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "base/error.h"
#include "base/list.h"
#include "base/log.h"
#include "os/fdpass.h"

enum { HEAD_VERSION = 1, MESSAGES_PER_EVENT = 32 };

struct head {
	uint16_t version; /* of this head */
	uint16_t type;
	uint32_t body_bytes;
};

struct packet {
	struct head head;
	char body[CHANNEL_BODY_MAX];
};

/* False if the message is to be passed over. */
static bool
is_valid(const struct packet *p, size_t len)
{
	return len >= sizeof(p->head) && p->head.version == HEAD_VERSION &&
	    p->head.body_bytes == len - sizeof(p->head);
}

static void
deliver(struct channel *c, const struct packet *p, size_t len, int *fds,
    size_t fd_count, bool is_cut)
{
	struct channel_message m = { .fds = fds, .fd_count = fd_count,
		.is_cut = is_cut };

	if (is_valid(p, len)) {
		m.type = p->head.type;
		m.body = span_of(p->body, p->head.body_bytes);
		c->on_message(c, &m);
	} else {
		log_warn(NULL, "a message between processes makes no sense");
	}
	for (size_t i = 0; i < fd_count; i++) {
		if (fds[i] >= 0)
			close(fds[i]);
	}
}

static void
on_readable(struct loop_watch *w, unsigned events)
{
	struct channel *c = LIST_OF(w, struct channel, watch);
	struct packet p;
	int fds[CHANNEL_FDS_MAX];

	(void)events;
	/* The callback may stop the channel. */
	for (int i = 0; i < MESSAGES_PER_EVENT && w->fd >= 0; i++) {
		size_t fd_count = CHANNEL_FDS_MAX;
		bool is_cut;
		ssize_t n = fdpass_receive_cut(w->fd, &p, sizeof(p), fds,
		    &fd_count, &is_cut);

		if (is_cut)
			log_error(NULL, "receiving a message between "
			    "processes: %s", strerror(EMFILE));
		if (n > 0) {
			deliver(c, &p, (size_t)n, fds, fd_count, is_cut);
			continue;
		}
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n < 0 && errno == EMSGSIZE) {
			log_error(NULL, "receiving a message between "
			    "processes: %s", strerror(errno));
			continue;
		}
		channel_stop(c);
		c->on_message(c, NULL);
		return;
	}
}

int
channel_start(struct channel *c, struct loop *loop, int fd,
    channel_fn *on_message, struct error *err)
{
	*c = (struct channel){ .watch = { on_readable, -1, 0 }, .loop = loop,
		.on_message = on_message };
	if (loop_add_reader(loop, &c->watch, fd, false) == 0)
		return 0;
	error_set_errno(err, errno, "watching a channel");
	close(fd);
	return -1;
}

void
channel_stop(struct channel *c)
{
	int fd = c->watch.fd;

	if (fd < 0)
		return;
	loop_remove(c->loop, &c->watch);
	close(fd);
}

int
channel_send_fd(int fd, enum channel_type type, const void *body, size_t len,
    const int *fds, size_t fd_count)
{
	struct packet p = { .head = { .version = HEAD_VERSION,
		.type = (uint16_t)type, .body_bytes = (uint32_t)len } };

	assert(len <= sizeof(p.body) && fd_count <= CHANNEL_FDS_MAX);
	if (len > 0)
		memcpy(p.body, body, len);
	return fdpass_send(fd, &p, sizeof(p.head) + len, fds, fd_count);
}

int
channel_send(const struct channel *c, enum channel_type type,
    const void *body, size_t len, const int *fds, size_t fd_count)
{
	if (c->watch.fd < 0) {
		errno = EPIPE;
		return -1;
	}
	return channel_send_fd(c->watch.fd, type, body, len, fds, fd_count);
}

bool
channel_body(const struct channel_message *m, void *body, size_t len)
{
	if (m->body.len < len)
		return false;
	memcpy(body, m->body.p, len);
	return true;
}

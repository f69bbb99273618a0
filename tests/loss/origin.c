/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * origin - one epoll loop over a table of connections by descriptor.
 *
 * A connection has at most one request at a time, and reads no further one
 * before the last answer has gone.
 */
#include "origin.h"

#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pattern.h"
#include "ws.h"

#define HEAD_MAX 8192
#define EVENTS_MAX 128
#define MARK "X-Origin: loss\r\n"

enum state {
	HEAD,   /* waiting for a request, or for the rest of its head */
	UPLOAD, /* its body comes */
	ANSWER, /* ours goes out */
	SOCKET, /* frames come and go */
};

struct conn {
	int fd;
	enum state state;
	char in[HEAD_MAX];
	size_t in_len;
	char out[HEAD_MAX]; /* what goes before the pattern's bytes */
	size_t out_len, out_sent;
	uint64_t seed, length, at;
	bool is_corrupt, is_closing;
};

static int epoll_fd;
static struct conn **conns; /* by descriptor */
static size_t conns_max;
static char scratch[65536];

static void
drop(struct conn *c)
{
	conns[c->fd] = NULL;
	(void)close(c->fd);
	free(c);
}

/* Queue bytes; what does not fit was never asked for. */
static void
put(struct conn *c, const void *bytes, size_t len)
{
	if (c->out_sent == c->out_len)
		c->out_sent = c->out_len = 0;
	if (len > sizeof(c->out) - c->out_len) {
		c->is_closing = true;
		return;
	}
	memcpy(c->out + c->out_len, bytes, len);
	c->out_len += len;
}

static void
put_head(struct conn *c, const char *status, uint64_t length)
{
	char head[200];
	int n = snprintf(head, sizeof(head),
	    "HTTP/1.1 %s\r\n" MARK "Content-Length: %llu\r\n\r\n", status,
	    (unsigned long long)length);

	put(c, head, (size_t)n);
}

static void
answer(struct conn *c, const char *status, const char *text)
{
	put_head(c, status, strlen(text));
	put(c, text, strlen(text));
	c->at = c->length = 0;
	c->state = ANSWER;
}

static void
start_socket(struct conn *c)
{
	put(c, WS_ANSWER, sizeof(WS_ANSWER) - 1);
	c->state = SOCKET;
}

static void
on_head(struct conn *c)
{
	unsigned long long length, seed;

	c->at = c->length = 0;
	c->is_corrupt = false;
	if (sscanf(c->in, "GET /b/%llu/%llu ", &length, &seed) == 2) {
		c->seed = seed;
		c->length = length;
		put_head(c, "200 OK", c->length);
		c->state = ANSWER;
	} else if (sscanf(c->in, "POST /u/%llu/%llu ", &length, &seed) == 2) {
		c->seed = seed;
		c->length = length;
		c->state = UPLOAD;
	} else if (strncmp(c->in, "GET /ws ", 8) == 0) {
		start_socket(c);
	} else {
		answer(c, "404 Not Found", "what?\n");
	}
}

/* Bytes of an upload; returns how many of them were its. */
static size_t
on_upload(struct conn *c, const char *bytes, size_t len)
{
	if (len > c->length - c->at)
		len = (size_t)(c->length - c->at);
	if (!pattern_matches(c->seed, c->at, bytes, len))
		c->is_corrupt = true;
	c->at += len;
	if (c->at == c->length)
		answer(c, c->is_corrupt ? "400 Bad Request" : "200 OK",
		    c->is_corrupt ? "corrupt" : "ok");
	return len;
}

/* A whole frame comes back as it came, without its mask. */
static size_t
on_frames(struct conn *c, const char *bytes, size_t len)
{
	char payload[WS_PAYLOAD_MAX], frame[WS_FRAME_MAX];
	struct ws_frame f = { .payload = payload };
	size_t done = 0, n;

	while ((n = ws_parse(&f, bytes + done, len - done)) > 0) {
		done += n;
		put(c, frame, ws_compose(frame, f.opcode, payload, f.len,
		    false));
		if (f.opcode == WS_CLOSE)
			c->is_closing = true;
	}
	return done;
}

/* Take what the buffer holds, as far as the state allows. */
static void
consume(struct conn *c)
{
	bool goes_on = true;

	while (goes_on && c->in_len > 0) {
		size_t taken = 0;
		char *end;

		switch (c->state) {
		case HEAD:
			end = memmem(c->in, c->in_len, "\r\n\r\n", 4);
			if (end == NULL)
				break;
			*end = '\0';
			taken = (size_t)(end + 4 - c->in);
			on_head(c);
			break;
		case UPLOAD:
			taken = on_upload(c, c->in, c->in_len);
			break;
		case SOCKET:
			taken = on_frames(c, c->in, c->in_len);
			break;
		case ANSWER:
			break;
		}
		memmove(c->in, c->in + taken, c->in_len - taken);
		c->in_len -= taken;
		goes_on = taken > 0;
	}
}

/* False once the connection is of no use any more. */
static bool
receive(struct conn *c)
{
	while (c->state != ANSWER) {
		/* Uploads are checked where they lie. */
		bool direct = c->state == UPLOAD && c->in_len == 0;
		char *to = direct ? scratch : c->in + c->in_len;
		size_t room = direct ? sizeof(scratch) : HEAD_MAX - c->in_len;
		ssize_t n;

		if (direct && room > c->length - c->at)
			room = (size_t)(c->length - c->at);
		if (room == 0)
			return false;
		n = recv(c->fd, to, room, 0);
		if (n < 0)
			return errno == EAGAIN;
		if (n == 0)
			return false;
		if (direct) {
			(void)on_upload(c, to, (size_t)n);
		} else {
			c->in_len += (size_t)n;
			consume(c);
		}
	}
	return true;
}

static ssize_t
send_some(struct conn *c)
{
	size_t len = c->out_len - c->out_sent;
	ssize_t n;

	if (len > 0) {
		n = send(c->fd, c->out + c->out_sent, len,
		    MSG_NOSIGNAL | (c->at < c->length ? MSG_MORE : 0));
		if (n > 0)
			c->out_sent += (size_t)n;
		return n;
	}
	len = (size_t)(c->length - c->at);
	if (len > PATTERN_PERIOD)
		len = PATTERN_PERIOD;
	n = send(c->fd, pattern_bytes(c->seed, c->at), len, MSG_NOSIGNAL);
	if (n > 0)
		c->at += (uint64_t)n;
	return n;
}

static bool
transmit(struct conn *c)
{
	while (c->out_sent < c->out_len ||
	    (c->state == ANSWER && c->at < c->length)) {
		if (send_some(c) < 0)
			return errno == EAGAIN;
	}
	if (c->state == ANSWER)
		c->state = HEAD;
	return !c->is_closing;
}

static void
on_event(struct conn *c)
{
	enum state before;

	do {
		consume(c);
		if (!receive(c)) {
			(void)transmit(c);
			drop(c);
			return;
		}
		before = c->state;
		if (!transmit(c)) {
			drop(c);
			return;
		}
		/* The next request may be there already. */
	} while (before == ANSWER && c->state == HEAD);
}

static void
on_acceptable(int listen_fd)
{
	int fd, yes = 1;

	while ((fd = accept4(listen_fd, NULL, NULL,
	    SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct epoll_event event = { .data.fd = fd,
			.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET };

		if ((size_t)fd >= conns_max) {
			(void)close(fd);
			continue;
		}
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes,
		    sizeof(yes));
		conns[fd] = calloc(1, sizeof(**conns));
		if (conns[fd] == NULL)
			abort();
		conns[fd]->fd = fd;
		(void)epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
	}
}

int
origin_listen(int *port)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons((uint16_t)*port) };
	socklen_t len = sizeof(at);
	int yes = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
	    0);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes,
	    sizeof(yes)) != 0 || bind(fd, (struct sockaddr *)&at, len) != 0 ||
	    listen(fd, 4096) != 0 ||
	    getsockname(fd, (struct sockaddr *)&at, &len) != 0)
		return -1;
	*port = ntohs(at.sin_port);
	return fd;
}

void
origin_run(int listen_fd, int lifeline_fd)
{
	struct epoll_event events[EVENTS_MAX];
	struct epoll_event event = { .events = EPOLLIN };
	struct rlimit files;

	(void)getrlimit(RLIMIT_NOFILE, &files);
	conns_max = files.rlim_cur < 65536 ? files.rlim_cur : 65536;
	conns = calloc(conns_max, sizeof(*conns));
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	event.data.fd = listen_fd;
	(void)epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listen_fd, &event);
	event.data.fd = lifeline_fd;
	(void)epoll_ctl(epoll_fd, EPOLL_CTL_ADD, lifeline_fd, &event);
	for (;;) {
		int n = epoll_wait(epoll_fd, events, EVENTS_MAX, -1);

		for (int i = 0; i < n; i++) {
			int fd = events[i].data.fd;

			if (fd == lifeline_fd)
				return;
			if (fd == listen_fd)
				on_acceptable(fd);
			else if (conns[fd] != NULL)
				on_event(conns[fd]);
		}
	}
}

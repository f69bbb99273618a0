/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * crowd - one step function for each state of a client, driven by events and,
 * for what is due by the clock, by a pass over all clients every 5 ms.
 */
#include "crowd.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <netinet/tcp.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "pattern.h"
#include "ws.h"

#define MS UINT64_C(1000000)
#define TURN_MS 5
#define HEAD_MAX 4096
#define EVENTS_MAX 256
#define PATIENCE_NS (20000 * MS)
#define LARGE_BYTES UINT64_C(10485760)
#define LARGE_PER_MS UINT64_C(5243) /* 10 MB in 2 s */
#define SOCKET_MESSAGES 50

enum state {
	CLOSED,   /* no connection; begins when due */
	IDLE,     /* a connection; begins when due */
	SENDING,
	WAITING,  /* for a head */
	BODY,
	TALKING,  /* a WebSocket */
	LEAVING,  /* its close was sent, the peer's is awaited */
};

struct client {
	enum kind kind;
	enum state state;
	int fd;
	bool is_reused;     /* had an answer before */
	bool peer_closes;
	uint64_t due_ns;    /* when the next thing begins */
	uint64_t begun_ns;  /* the current one */
	uint64_t moved_ns;  /* when something came last */
	uint64_t paced_ns;  /* transfers: pace is counted from here */
	uint64_t seed;
	uint64_t at, length;
	char head[HEAD_MAX];
	size_t head_len;    /* of the request, then of the answer */
	size_t head_sent;
	unsigned messages;  /* of a WebSocket; odd = an echo is awaited */
};

const char *const crowd_kinds[KIND_COUNT] = {
	"kept", "oneshot", "sparse", "download", "upload", "websocket",
};

const char *const crowd_faults[FAULT_COUNT] = {
	"refused", "reset", "lost", "unanswered", "truncated", "corrupt",
	"status", "timeout",
};

static const uint64_t every_ns[KIND_COUNT] = {
	40 * MS, 40 * MS, 1000 * MS, 100 * MS, 100 * MS, 100 * MS,
};

static char scratch[65536];

static void step(struct crowd *crowd, struct client *c);
static void on_idle(struct crowd *crowd, struct client *c);
static void send_message(struct crowd *crowd, struct client *c);

static uint64_t
now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 * MS + (uint64_t)ts.tv_nsec;
}

static struct crowd_counts *
counts_of(struct crowd *crowd, const struct client *c)
{
	return &crowd->counts[c->kind];
}

/* ---- ends ---- */

static bool
is_at_rest(const struct client *c)
{
	return c->state == CLOSED || c->state == IDLE;
}

static void
enter(struct crowd *crowd, struct client *c, enum state state)
{
	bool was_at_rest = is_at_rest(c);

	c->state = state;
	if (was_at_rest && !is_at_rest(c))
		crowd->active++;
	else if (!was_at_rest && is_at_rest(c))
		crowd->active--;
}

static void
close_client(struct crowd *crowd, struct client *c)
{
	if (c->fd >= 0)
		(void)close(c->fd);
	c->fd = -1;
	c->is_reused = false;
	enter(crowd, c, CLOSED);
}

/* The one place where something has gone wrong. */
static void
fail(struct crowd *crowd, struct client *c, enum fault fault,
    const char *detail)
{
	counts_of(crowd, c)->faults[fault]++;
	if (crowd->first_count < 20)
		(void)snprintf(crowd->first[crowd->first_count++],
		    sizeof(crowd->first[0]), "at %.3f s %s: %s (%.40s)",
		    (double)(crowd->now_ns - crowd->begun_ns) / 1e9,
		    crowd_kinds[c->kind], crowd_faults[fault], detail);
	close_client(crowd, c);
}

static void
fail_errno(struct crowd *crowd, struct client *c)
{
	int e = errno;
	enum fault fault = e == ECONNREFUSED ? REFUSED
	    : e == ETIMEDOUT ? TIMEOUT : RESET;

	fail(crowd, c, fault, strerror(e));
}

/* The peer has closed; what that means is for the state to say. */
static void
on_end(struct crowd *crowd, struct client *c)
{
	switch (c->state) {
	case CLOSED:
		break;
	case IDLE:
		counts_of(crowd, c)->idle_closed++;
		close_client(crowd, c);
		break;
	case SENDING:
	case WAITING:
		if (c->head_len > 0 && c->state == WAITING)
			fail(crowd, c, TRUNCATED, "within a head");
		else if (c->is_reused)
			fail(crowd, c, LOST, "closed without an answer");
		else
			fail(crowd, c, UNANSWERED, "closed without an answer");
		break;
	case BODY:
		fail(crowd, c, TRUNCATED, "within a body");
		break;
	case TALKING:
		fail(crowd, c, TRUNCATED, "a WebSocket was cut");
		break;
	case LEAVING:
		counts_of(crowd, c)->answers++;
		close_client(crowd, c);
		break;
	}
}

static void
finish(struct crowd *crowd, struct client *c)
{
	counts_of(crowd, c)->answers++;
	if (c->kind <= SPARSE)
		tally_add(&crowd->latency, now_ns() - c->begun_ns);
	if (c->peer_closes && c->kind != ONESHOT)
		counts_of(crowd, c)->announced++;
	if (c->peer_closes || c->kind == ONESHOT) {
		close_client(crowd, c);
		return;
	}
	c->is_reused = true;
	enter(crowd, c, IDLE);
}

/* ---- beginning ---- */

static int
open_client(struct crowd *crowd, struct client *c)
{
	struct epoll_event event = { .data.ptr = c,
		.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET };
	int yes = 1;

	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
	    0);
	if (c->fd < 0 || setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &yes,
	    sizeof(yes)) != 0)
		return -1;
	if (connect(c->fd, (const struct sockaddr *)&crowd->target,
	    sizeof(crowd->target)) != 0 && errno != EINPROGRESS)
		return -1;
	return epoll_ctl(crowd->epoll_fd, EPOLL_CTL_ADD, c->fd, &event);
}

static int
compose_get(struct client *c, unsigned long long seed)
{
	unsigned long long bytes = c->kind == DOWNLOAD ? LARGE_BYTES : 1024;

	return snprintf(c->head, HEAD_MAX,
	    "GET /b/%llu/%llu HTTP/1.1\r\nHost: loss.example\r\n%s\r\n",
	    bytes, seed, c->kind == ONESHOT ? "Connection: close\r\n" : "");
}

static int
compose_upload(struct client *c, unsigned long long seed)
{
	c->length = LARGE_BYTES;
	return snprintf(c->head, HEAD_MAX,
	    "POST /u/%llu/%llu HTTP/1.1\r\nHost: loss.example\r\n"
	    "Content-Length: %llu\r\n\r\n",
	    (unsigned long long)c->length, seed,
	    (unsigned long long)c->length);
}

static void
compose(struct client *c)
{
	unsigned long long seed = ++c->seed * 7919;
	int n;

	c->at = c->length = 0;
	if (c->kind == UPLOAD)
		n = compose_upload(c, seed);
	else if (c->kind == SOCKET)
		n = snprintf(c->head, HEAD_MAX, "%s", WS_REQUEST);
	else
		n = compose_get(c, seed);
	c->head_len = (size_t)n;
	c->head_sent = 0;
}

static void
begin(struct crowd *crowd, struct client *c)
{
	/* As any client does, look whether the connection is still there. */
	if (c->state == IDLE)
		on_idle(crowd, c);
	c->begun_ns = now_ns();
	c->moved_ns = c->paced_ns = crowd->now_ns;
	do
		c->due_ns += every_ns[c->kind];
	while (c->due_ns <= crowd->now_ns);
	counts_of(crowd, c)->requests++;
	c->peer_closes = c->kind == ONESHOT;
	c->messages = 0;
	compose(c);
	enter(crowd, c, SENDING);
	if (c->fd < 0 && open_client(crowd, c) != 0)
		fail_errno(crowd, c);
	else
		step(crowd, c);
}

/* ---- one step in each state ---- */

/* What a transfer may have moved by now. */
static uint64_t
allowed(const struct crowd *crowd, const struct client *c)
{
	uint64_t ms = (crowd->now_ns - c->paced_ns) / MS + TURN_MS;

	return ms * LARGE_PER_MS;
}

static ssize_t
send_some(struct crowd *crowd, struct client *c)
{
	uint64_t most = allowed(crowd, c);
	size_t len;

	if (c->head_sent < c->head_len)
		return send(c->fd, c->head + c->head_sent,
		    c->head_len - c->head_sent, MSG_NOSIGNAL);
	if (most > c->length)
		most = c->length;
	if (most <= c->at) {
		errno = EAGAIN;
		return -1;
	}
	len = (size_t)(most - c->at);
	return send(c->fd, pattern_bytes(c->seed * 7919, c->at),
	    len < PATTERN_PERIOD ? len : PATTERN_PERIOD, MSG_NOSIGNAL);
}

static void
on_sending(struct crowd *crowd, struct client *c)
{
	while (c->head_sent < c->head_len || c->at < c->length) {
		ssize_t n = send_some(crowd, c);

		if (n < 0) {
			if (errno == EPIPE)
				on_end(crowd, c);
			else if (errno != EAGAIN)
				fail_errno(crowd, c);
			return;
		}
		c->moved_ns = crowd->now_ns;
		if (c->head_sent < c->head_len)
			c->head_sent += (size_t)n;
		else
			c->at += (uint64_t)n;
	}
	c->head_len = 0;
	enter(crowd, c, WAITING);
	step(crowd, c);
}

static void
on_body_bytes(struct crowd *crowd, struct client *c, const char *bytes,
    size_t len)
{
	bool is_small = c->kind == UPLOAD; /* "ok", which the status says */

	if (len > c->length - c->at) {
		fail(crowd, c, CORRUPT, "bytes after the end");
		return;
	}
	if (!is_small &&
	    !pattern_matches(c->seed * 7919, c->at, bytes, len)) {
		fail(crowd, c, CORRUPT, "another body");
		return;
	}
	c->at += len;
	if (c->at == c->length)
		finish(crowd, c);
}

/* NULL if the head is the backend's and all is well, else what is not. */
static const char *
read_head(struct client *c, enum fault *fault)
{
	char *line = strstr(c->head, "\r\n");
	bool is_origins = false;
	const char *want = c->kind == SOCKET ? " 101" : " 200";

	c->length = 0;
	for (; line != NULL; line = strstr(line + 2, "\r\n")) {
		if (strncasecmp(line + 2, "Content-Length:", 15) == 0)
			c->length = strtoull(line + 17, NULL, 10);
		if (strncasecmp(line + 2, "X-Origin:", 9) == 0)
			is_origins = true;
		if (strncasecmp(line + 2, "Connection: close", 17) == 0)
			c->peer_closes = true;
	}
	*fault = is_origins ? CORRUPT : STATUS;
	c->head[16] = '\0';
	if (!is_origins || strncmp(c->head + 8, want, 4) != 0)
		return c->head;
	return NULL;
}

static void
on_head(struct crowd *crowd, struct client *c, char *end)
{
	size_t rest = c->head_len - (size_t)(end - c->head);
	enum fault fault;
	const char *wrong;

	end[-2] = '\0';
	wrong = read_head(c, &fault);
	if (wrong != NULL) {
		fail(crowd, c, fault, wrong);
		return;
	}
	c->at = 0;
	memmove(c->head, end, rest);
	c->head_len = 0;
	c->paced_ns = crowd->now_ns;
	if (c->kind == SOCKET) {
		enter(crowd, c, TALKING);
		c->head_len = rest;
		send_message(crowd, c);
	} else {
		enter(crowd, c, BODY);
		on_body_bytes(crowd, c, c->head, rest);
	}
	step(crowd, c);
}

/* Bytes received, or 0 when there is no more to do with them now. */
static size_t
receive(struct crowd *crowd, struct client *c, char *to, size_t room)
{
	ssize_t n = recv(c->fd, to, room, 0);

	if (n > 0) {
		c->moved_ns = crowd->now_ns;
		return (size_t)n;
	}
	if (n == 0)
		on_end(crowd, c);
	else if (errno != EAGAIN)
		fail_errno(crowd, c);
	return 0;
}

static void
on_waiting(struct crowd *crowd, struct client *c)
{
	size_t n = receive(crowd, c, c->head + c->head_len,
	    HEAD_MAX - 1 - c->head_len);
	char *end;

	if (n == 0)
		return;
	c->head_len += n;
	end = memmem(c->head, c->head_len, "\r\n\r\n", 4);
	if (end != NULL)
		on_head(crowd, c, end + 4);
	else if (c->head_len == HEAD_MAX - 1)
		fail(crowd, c, CORRUPT, "no end of a head");
	else
		step(crowd, c);
}

static void
on_body(struct crowd *crowd, struct client *c)
{
	while (c->state == BODY) {
		size_t room = sizeof(scratch), n;

		if (c->kind == DOWNLOAD) {
			uint64_t most = allowed(crowd, c);

			if (most <= c->at)
				return;
			if (room > most - c->at)
				room = (size_t)(most - c->at);
		}
		n = receive(crowd, c, scratch, room);
		if (n == 0)
			return;
		on_body_bytes(crowd, c, scratch, n);
	}
}

static void
on_idle(struct crowd *crowd, struct client *c)
{
	if (receive(crowd, c, scratch, sizeof(scratch)) > 0)
		fail(crowd, c, CORRUPT, "bytes that nobody asked for");
}

/* ---- WebSockets ---- */

static size_t
message_text(const struct client *c, char text[WS_PAYLOAD_MAX])
{
	memcpy(text, pattern_bytes(c->seed * 7919, c->messages), 64);
	return 64;
}

/* Small, and at most one is on its way: a send takes all or nothing. */
static void
send_message(struct crowd *crowd, struct client *c)
{
	char text[WS_PAYLOAD_MAX], frame[WS_FRAME_MAX];
	bool is_last = crowd->is_ending || c->messages >= 2 * SOCKET_MESSAGES;
	size_t text_len = message_text(c, text);
	size_t len = is_last ? 0 : text_len;
	size_t frame_len = ws_compose(frame, is_last ? WS_CLOSE : WS_TEXT,
	    text, len, true);

	c->messages |= 1;
	c->begun_ns = c->moved_ns = crowd->now_ns;
	if (send(c->fd, frame, frame_len, MSG_NOSIGNAL) < 0) {
		fail_errno(crowd, c);
		return;
	}
	if (is_last)
		enter(crowd, c, LEAVING);
	else
		counts_of(crowd, c)->requests++;
}

static void
on_frame(struct crowd *crowd, struct client *c, const struct ws_frame *f)
{
	char text[WS_PAYLOAD_MAX];

	if (c->state == LEAVING && f->opcode == WS_CLOSE)
		return;
	if ((c->messages & 1) == 0 || f->opcode != WS_TEXT) {
		fail(crowd, c, CORRUPT, "a frame that nobody asked for");
		return;
	}
	c->messages--;
	if (f->len != message_text(c, text) ||
	    memcmp(f->payload, text, f->len) != 0) {
		fail(crowd, c, CORRUPT, "another frame");
		return;
	}
	counts_of(crowd, c)->answers++;
	c->messages += 2;
	c->due_ns = crowd->now_ns + every_ns[SOCKET];
}

static void
on_talking(struct crowd *crowd, struct client *c)
{
	while (c->state == TALKING || c->state == LEAVING) {
		char payload[WS_PAYLOAD_MAX];
		struct ws_frame f = { .payload = payload };
		size_t n = receive(crowd, c, c->head + c->head_len,
		    HEAD_MAX - c->head_len);

		if (n == 0)
			break;
		c->head_len += n;
		n = ws_parse(&f, c->head, c->head_len);
		if (n == 0)
			continue;
		c->head_len -= n;
		memmove(c->head, c->head + n, c->head_len);
		on_frame(crowd, c, &f);
	}
	if (c->state == TALKING && (c->messages & 1) == 0 &&
	    crowd->now_ns >= c->due_ns)
		send_message(crowd, c);
}

/* ---- the loop ---- */

static void
step(struct crowd *crowd, struct client *c)
{
	switch (c->state) {
	case CLOSED:
		break;
	case IDLE:
		on_idle(crowd, c);
		break;
	case SENDING:
		on_sending(crowd, c);
		break;
	case WAITING:
		on_waiting(crowd, c);
		break;
	case BODY:
		on_body(crowd, c);
		break;
	case TALKING:
	case LEAVING:
		on_talking(crowd, c);
		break;
	}
}

/* An answer that comes before an upload has ended is a refusal. */
static void
look_for_refusal(struct crowd *crowd, struct client *c)
{
	char byte;

	if (c->kind == UPLOAD && c->state == SENDING && c->fd >= 0 &&
	    recv(c->fd, &byte, 1, MSG_PEEK) > 0) {
		c->head_len = 0;
		enter(crowd, c, WAITING);
	}
}

static void
on_tick(struct crowd *crowd, struct client *c)
{
	if (is_at_rest(c)) {
		if (c->due_ns <= crowd->now_ns && !crowd->is_ending)
			begin(crowd, c);
		return;
	}
	if (crowd->now_ns - c->moved_ns > PATIENCE_NS) {
		fail(crowd, c, TIMEOUT, "nothing came");
		return;
	}
	if (c->kind >= DOWNLOAD) {
		look_for_refusal(crowd, c);
		step(crowd, c);
	}
}

void
crowd_turn(struct crowd *crowd)
{
	struct epoll_event events[EVENTS_MAX];
	int n = epoll_wait(crowd->epoll_fd, events, EVENTS_MAX, TURN_MS);

	crowd->now_ns = now_ns();
	for (int i = 0; i < n; i++)
		step(crowd, events[i].data.ptr);
	crowd->now_ns = now_ns();
	for (size_t i = 0; i < crowd->client_count; i++)
		on_tick(crowd, &crowd->clients[i]);
}

void
crowd_reset(struct crowd *crowd)
{
	memset(crowd->counts, 0, sizeof(crowd->counts));
	tally_reset(&crowd->latency);
	crowd->first_count = 0;
}

int
crowd_init(struct crowd *crowd, const struct sockaddr_in *target,
    const unsigned numbers[KIND_COUNT])
{
	size_t at = 0;

	memset(crowd, 0, sizeof(*crowd));
	crowd->target = *target;
	for (unsigned k = 0; k < KIND_COUNT; k++)
		crowd->client_count += numbers[k];
	crowd->clients = calloc(crowd->client_count + 1,
	    sizeof(*crowd->clients));
	crowd->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (crowd->clients == NULL || crowd->epoll_fd < 0)
		return -1;
	crowd->now_ns = crowd->begun_ns = now_ns();
	tally_reset(&crowd->latency);
	for (unsigned k = 0; k < KIND_COUNT; k++) {
		for (unsigned i = 0; i < numbers[k]; i++) {
			struct client *c = &crowd->clients[at++];

			c->kind = (enum kind)k;
			c->fd = -1;
			c->seed = at * 1000;
			/* Spread over the interval. */
			c->due_ns = crowd->now_ns +
			    every_ns[k] * i / numbers[k];
		}
	}
	return 0;
}

void
crowd_free(struct crowd *crowd)
{
	for (size_t i = 0; i < crowd->client_count; i++) {
		if (crowd->clients[i].fd >= 0)
			(void)close(crowd->clients[i].fd);
	}
	free(crowd->clients);
	(void)close(crowd->epoll_fd);
}

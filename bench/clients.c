/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * clients - a table of connections that send one prepared request again and
 * again and check every response.
 *
 * A response counts only if its status is 200 and its body is announced with,
 * and has, exactly the expected length.  Everything else is an error.
 */
#include "clients.h"

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

#define NS_PER_S UINT64_C(1000000000)
#define EVENTS_MAX 256
#define ERRORS_MAX 1000 /* give up after so many */
#define NOBODY UINT32_MAX

static char scratch[CLIENTS_SCRATCH];

uint64_t
clients_now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

static void
idle_push(struct clients *set, uint32_t index)
{
	set->table[index].next = NOBODY;
	if (set->idle_first == NOBODY)
		set->idle_first = index;
	else
		set->table[set->idle_last].next = index;
	set->idle_last = index;
}

static uint32_t
idle_pop(struct clients *set)
{
	uint32_t index = set->idle_first;

	set->idle_first = set->table[index].next;
	return index;
}

void
clients_close(struct client *client)
{
	if (client->fd >= 0)
		(void)close(client->fd);
	free(client->head);
	client->head = NULL;
	client->head_len = 0;
	client->fd = -1;
	client->state = CLIENT_CLOSED;
}

/* The one place where an exchange ends badly. */
static void
client_fail(struct clients *set, uint32_t index, const char *what)
{
	struct client *client = &set->table[index];
	bool idle = client->state == CLIENT_IDLE;

	if (set->errors++ == 0)
		(void)snprintf(set->error, sizeof(set->error), "%s%s", what,
			       idle ? " (while idle)" : "");
	if (set->errors >= ERRORS_MAX)
		set->target_count = set->started;
	clients_close(client);
	if (idle)
		return;
	set->active--;
	set->done++;
	idle_push(set, index);
}

static void
client_fail_errno(struct clients *set, uint32_t index, const char *what)
{
	char text[120];

	(void)snprintf(text, sizeof(text), "%s: %s", what, strerror(errno));
	client_fail(set, index, text);
}

static void
client_done(struct clients *set, uint32_t index)
{
	struct client *client = &set->table[index];

	tally_add(&set->latency, clients_now_ns() - client->due_ns);
	set->active--;
	set->done++;
	if (client->peer_closes) {
		set->reconnects++;
		clients_close(client);
	} else {
		client->state = CLIENT_IDLE;
	}
	idle_push(set, index);
}

/*
 * One-shot clients come from several addresses of 127/8, for a single one has
 * too few ports for the connections that linger after their end.
 */
int
clients_open(struct clients *set, struct client *client)
{
	struct sockaddr_in from = { .sin_family = AF_INET };
	int yes = 1;

	client->fd = socket(AF_INET,
			    SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (client->fd < 0)
		return -1;
	if (set->one_shot) {
		set->source = (set->source + 1) % 16;
		from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + set->source);
		if (setsockopt(client->fd, IPPROTO_IP,
			       IP_BIND_ADDRESS_NO_PORT, &yes,
			       sizeof(yes)) != 0 ||
		    bind(client->fd, (struct sockaddr *)&from,
			 sizeof(from)) != 0)
			return -1;
	}
	/* A single small request is not delayed in any case. */
	if (!(set->one_shot && set->filler_len == 0) &&
	    setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &yes,
		       sizeof(yes)) != 0)
		return -1;
	if (connect(client->fd, (struct sockaddr *)&set->target,
		    sizeof(set->target)) != 0 && errno != EINPROGRESS)
		return -1;
	return 0;
}

/* A connection that will send nothing more need not hear that it could. */
static int
client_register(struct clients *set, uint32_t index)
{
	struct epoll_event event = {
		.events = EPOLLIN | EPOLLRDHUP | EPOLLET,
		.data.u32 = index,
	};

	if (!set->one_shot || set->table[index].state == CLIENT_SENDING)
		event.events |= EPOLLOUT;
	return epoll_ctl(set->epoll_fd, EPOLL_CTL_ADD, set->table[index].fd,
			 &event);
}

/* Send what the socket takes; the body is the same filler over and over. */
static void
client_send(struct clients *set, uint32_t index)
{
	struct client *client = &set->table[index];
	size_t prepared = set->head_len + set->filler_len;

	while (client->sent < set->request_len) {
		size_t from = client->sent < set->head_len ? client->sent
							   : set->head_len;
		size_t len = set->request_len - client->sent;
		ssize_t n;

		if (len > prepared - from)
			len = prepared - from;
		n = send(client->fd, set->request + from, len, MSG_NOSIGNAL);
		if (n < 0) {
			if (errno != EAGAIN && errno != ENOTCONN)
				client_fail_errno(set, index, "send");
			return;
		}
		client->sent += (size_t)n;
	}
	client->state = CLIENT_HEAD;
}

static void
client_start(struct clients *set, uint32_t index, uint64_t due_ns)
{
	struct client *client = &set->table[index];
	bool fresh = client->state == CLIENT_CLOSED;

	client->state = CLIENT_SENDING;
	client->due_ns = due_ns;
	client->sent = 0;
	client->peer_closes = set->one_shot;
	if (fresh && clients_open(set, client) != 0) {
		client_fail_errno(set, index, "connect");
		return;
	}
	client_send(set, index);
	if (fresh && client->fd >= 0 && client_register(set, index) != 0)
		client_fail_errno(set, index, "epoll_ctl");
}

/* Take status and framing from a complete head; NULL if all is as expected. */
static const char *
head_check(const struct clients *set, struct client *client, const char *head,
	   const char *end)
{
	const char *line = memchr(head, '\n', (size_t)(end - head));
	bool length_seen = false;

	if (end - head < 13 || memcmp(head, "HTTP/1.1 ", 9) != 0)
		return "not an HTTP/1.1 response";
	if (memcmp(head + 9, "200", 3) != 0)
		return "status is not 200";
	while (line != NULL && ++line < end) {
		if (strncasecmp(line, "Content-Length:", 15) == 0) {
			client->left = strtoul(line + 15, NULL, 10);
			length_seen = true;
		} else if (strncasecmp(line, "Connection: close", 17) == 0) {
			client->peer_closes = true;
		}
		line = memchr(line, '\n', (size_t)(end - line));
	}
	if (!length_seen)
		return "no Content-Length";
	return client->left == set->expected ? NULL : "wrong length";
}

/* Keep the beginning of a head; false if it grows too long. */
static bool
head_keep(struct client *client, const char *bytes, size_t len)
{
	if (client->head == NULL)
		client->head = malloc(CLIENTS_HEAD_MAX);
	if (client->head == NULL ||
	    client->head_len + len > CLIENTS_HEAD_MAX)
		return false;
	memcpy(client->head + client->head_len, bytes, len);
	client->head_len += (uint32_t)len;
	return true;
}

static void
on_body_taken(struct clients *set, uint32_t index)
{
	struct client *client = &set->table[index];

	if (client->left > 0)
		client->state = CLIENT_BODY;
	else if (client->peer_closes)
		client->state = CLIENT_EOF;
	else
		client_done(set, index);
}

static void
on_head_bytes(struct clients *set, uint32_t index, const char *bytes,
	      size_t len)
{
	struct client *client = &set->table[index];
	const char *end = memmem(bytes, len, "\r\n\r\n", 4);
	const char *wrong;

	if (client->head_len > 0 || end == NULL) {
		if (!head_keep(client, bytes, len)) {
			client_fail(set, index, "response head too long");
			return;
		}
		bytes = client->head;
		len = client->head_len;
		end = memmem(bytes, len, "\r\n\r\n", 4);
	}
	if (end == NULL)
		return;
	end += 4;
	client->head_len = 0;
	wrong = head_check(set, client, bytes, end);
	len -= (size_t)(end - bytes);
	if (wrong == NULL && len > client->left)
		wrong = "bytes after the body";
	if (wrong != NULL) {
		client_fail(set, index, wrong);
		return;
	}
	client->left -= len;
	on_body_taken(set, index);
}

static void
on_bytes(struct clients *set, uint32_t index, size_t len)
{
	struct client *client = &set->table[index];

	switch (client->state) {
	case CLIENT_HEAD:
		on_head_bytes(set, index, scratch, len);
		break;
	case CLIENT_BODY:
		if (len > client->left) {
			client_fail(set, index, "bytes after the body");
			return;
		}
		client->left -= len;
		on_body_taken(set, index);
		break;
	case CLIENT_SENDING:
	case CLIENT_IDLE:
	case CLIENT_EOF:
	case CLIENT_CLOSED:
		client_fail(set, index, "bytes that nobody asked for");
		break;
	}
}

/* The end of the stream, or an error: right only where it was announced. */
static void
on_end(struct clients *set, uint32_t index, ssize_t n)
{
	if (n < 0)
		client_fail_errno(set, index, "recv");
	else if (set->table[index].state == CLIENT_EOF)
		client_done(set, index);
	else
		client_fail(set, index, "closed by the peer");
}

/*
 * Read until the socket is empty.  A short read is taken for that, unless the
 * peer has closed too.  Body bytes are counted and dropped in the kernel.
 */
static void
client_recv(struct clients *set, uint32_t index, bool hangup)
{
	struct client *client = &set->table[index];

	while (client->fd >= 0) {
		bool body = client->state == CLIENT_BODY;
		size_t want = body ? sizeof(scratch) : CLIENTS_HEAD_MAX;
		ssize_t n = recv(client->fd, scratch, want,
				 body ? MSG_TRUNC : 0);

		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			on_end(set, index, n);
			return;
		}
		on_bytes(set, index, (size_t)n);
		if ((size_t)n < want && !hangup)
			return;
	}
}

static void
client_on_event(struct clients *set, uint32_t index, uint32_t events)
{
	struct client *client = &set->table[index];
	bool hangup = (events & (EPOLLRDHUP | EPOLLERR | EPOLLHUP)) != 0;

	if (client->fd >= 0 && (events & EPOLLOUT) != 0 &&
	    client->state == CLIENT_SENDING)
		client_send(set, index);
	if (hangup || (events & EPOLLIN) != 0)
		client_recv(set, index, hangup);
}

/* When the next request is due; with no rate, at once. */
static uint64_t
next_due_ns(const struct clients *set)
{
	if (set->rate <= 0)
		return 0;
	return set->start_ns + (uint64_t)((double)set->started *
					  (double)NS_PER_S / set->rate);
}

/* Start what is due and fits; called whenever a connection came free. */
static void
dispatch(struct clients *set)
{
	while (set->started < set->target_count &&
	       set->active < set->active_max && set->idle_first != NOBODY) {
		uint64_t now = clients_now_ns();
		uint64_t due = next_due_ns(set);

		if (set->end_ns != 0 && now >= set->end_ns)
			set->target_count = set->started;
		if (due > now || set->started == set->target_count)
			return;
		set->started++;
		set->active++;
		client_start(set, idle_pop(set), due > 0 ? due : now);
	}
}

/* How long the loop may sleep: to the next due request, or 0.1 s. */
static struct timespec
wait_time(const struct clients *set)
{
	struct timespec ts = { .tv_nsec = NS_PER_S / 10 };
	uint64_t now, due;

	if (set->rate <= 0 || set->started >= set->target_count ||
	    set->active >= set->active_max)
		return ts;
	now = clients_now_ns();
	due = next_due_ns(set);
	if (due <= now)
		ts.tv_nsec = 0;
	else if (due - now < NS_PER_S / 10)
		ts.tv_nsec = (long)(due - now);
	return ts;
}

/* Handle what came; false when the time is up for good. */
static bool
turn(struct clients *set)
{
	struct epoll_event events[EVENTS_MAX];
	struct timespec ts = wait_time(set);
	int n = epoll_pwait2(set->epoll_fd, events, EVENTS_MAX, &ts, NULL);

	for (int i = 0; i < n; i++) {
		client_on_event(set, events[i].data.u32, events[i].events);
		if (set->rate <= 0)
			dispatch(set);
	}
	dispatch(set);
	if (clients_now_ns() < set->give_up_ns)
		return true;
	if (set->errors == 0)
		(void)snprintf(set->error, sizeof(set->error),
			       "time is up with %u in flight",
			       (unsigned)set->active);
	set->errors += set->active + (set->active == 0);
	return false;
}

void
clients_run(struct clients *set, const struct clients_phase *phase)
{
	set->target_count = phase->requests;
	set->active_max = phase->active_max;
	set->rate = phase->rate;
	set->started = set->done = set->reconnects = 0;
	tally_reset(&set->latency);
	set->start_ns = clients_now_ns();
	set->end_ns = 0;
	if (phase->seconds > 0)
		set->end_ns = set->start_ns +
			      (uint64_t)(phase->seconds * (double)NS_PER_S);
	dispatch(set);
	while (set->done < set->target_count)
		if (!turn(set))
			break;
}

void
clients_check_idle(struct clients *set)
{
	struct epoll_event events[EVENTS_MAX];
	int n;

	while ((n = epoll_wait(set->epoll_fd, events, EVENTS_MAX, 0)) > 0)
		for (int i = 0; i < n; i++)
			client_on_event(set, events[i].data.u32,
					events[i].events);
}

int
clients_init(struct clients *set)
{
	set->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	set->table = calloc(set->count, sizeof(*set->table));
	if (set->epoll_fd < 0 || set->table == NULL)
		return -1;
	set->idle_first = NOBODY;
	for (uint32_t i = 0; i < set->count; i++) {
		set->table[i].fd = -1;
		idle_push(set, i);
	}
	return 0;
}
